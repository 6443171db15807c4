"""Nodes in other event loops than asyncio's, with tasks that begin at once, and in several threads."""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from ipaddress import IPv4Address, ip_interface
from pathlib import Path
from typing import Any

import pytest

from pycarp import HostConfig, LinkFacts, MastershipLost, Node, State, StaticMonitor, UdpTransport, UsageError
from pycarp.core.events import StateChange
from pycarp.transports import MemoryBus
from tests.support.nodes import config, node
from tests.support.transports import free_udp_port
from tests.support.virtual import in_virtual_time

ROOT = Path(__file__).parents[2]
OWN = ("127.0.0.2", "127.0.0.3")
LIMIT_S = 30

with_uvloop = pytest.mark.skipif(
    sys.platform != "linux" or sys.version_info >= (3, 15), reason="uvloop does not install here"
)
eager = pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.eager_task_factory came with Python 3.12")


def udp_node(number: int, port: int) -> Node:
    facts = LinkFacts(name="lo", is_up=True, addresses=(ip_interface(f"{OWN[number]}/8"),))
    return Node(transport=UdpTransport(port=port), actuator="null", monitor=StaticMonitor([facts]))


def udp_host(number: int) -> HostConfig:
    return HostConfig(
        interface="lo", vhid=7, passphrase="secret", addresses=["192.0.2.10/24"],
        advbase=0, advskew=(13, 100)[number], peers=[OWN[1 - number]],
    )  # fmt: skip


async def live() -> None:
    """Live through a takeover, a mastership, a callback and a hand-over, on the loopback interface."""
    states: list[State] = []
    port = free_udp_port()

    async def record(change: StateChange) -> None:
        await asyncio.sleep(0)
        states.append(change.new)

    async with asyncio.timeout(LIMIT_S), udp_node(0, port) as here, udp_node(1, port) as there:
        web = await here.add(udp_host(0))
        await web.wait_for(State.MASTER)
        peer = await there.add(udp_host(1))
        peer.on_change(record)
        with contextlib.suppress(MastershipLost):
            async with web.mastership():
                handing_over = asyncio.create_task(web.hand_over(timeout_s=10))
                await asyncio.sleep(LIMIT_S)
        assert await handing_over == IPv4Address(OWN[1])
        assert (web.state, peer.state, states) == (State.BACKUP, State.MASTER, [State.MASTER])


@with_uvloop
def test_a_pair_lives_in_uvloop() -> None:
    import uvloop  # noqa: PLC0415  it does not install everywhere

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live())


@with_uvloop
def test_udp_keeps_the_promises_of_a_transport_in_uvloop() -> None:
    """In a process of its own: uvloop cannot be interrupted while it waits for an endpoint that was not closed."""
    argv = [sys.executable, "-m", "tests.support.uvloop_program", str(free_udp_port())]

    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=LIMIT_S, cwd=ROOT)

    assert (done.returncode, done.stderr) == (0, "")


@eager
def test_a_pair_lives_where_tasks_begin_at_once() -> None:
    with asyncio.Runner() as runner:
        runner.get_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        runner.run(live())


@eager
@in_virtual_time
async def test_the_body_of_a_mastership_ends_before_the_drop_where_tasks_begin_at_once() -> None:
    """A drop that began at once, within the step that ends the mastership, would not wait for the body."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
    bus, ended_s = MemoryBus(), 0.0
    async with node(bus) as here, node(bus, host=2) as there:
        web = await here.add(config())
        await web.wait_for(State.MASTER)
        peer = await there.add(config(advskew=100))
        with contextlib.suppress(MastershipLost):
            async with web.mastership():
                web.down()
                try:
                    await asyncio.sleep(LIMIT_S)
                finally:
                    await asyncio.sleep(0.1)
                    ended_s = asyncio.get_running_loop().time()
        took_over = await peer.wait_for(State.MASTER)

        assert ended_s * 10**9 <= took_over.at_ns


@in_virtual_time
async def test_the_task_factory_of_the_loop_makes_no_task_of_a_host() -> None:
    """Whatever it does with tasks, such as beginning them at once, the order within a host stays."""
    loop = asyncio.get_running_loop()
    bus, made = MemoryBus(), list[str]()

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **settings: Any) -> "asyncio.Task[Any]":
        made.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **settings)

    async def callback(_change: StateChange) -> None:
        await asyncio.sleep(0)

    async with node(bus) as here, node(bus, host=2) as there:
        loop.set_task_factory(factory)
        web, peer = await here.add(config()), await there.add(config(advskew=100))
        web.on_change(callback)
        await web.wait_for(State.MASTER)
        await web.hand_over()
        web.reconfigure(advskew=10)
        await there.remove(peer)
        loop.set_task_factory(None)

    assert made == []


# Threads


def in_thread(main: Callable[[], Coroutine[Any, Any, None]]) -> "Future[None]":
    """Run a coroutine in a thread of its own."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as exc:  # noqa: BLE001  the test raises it
            done.set_exception(exc)
        else:
            done.set_result(None)

    threading.Thread(target=run, daemon=True).start()
    return done


def test_each_thread_may_have_a_node_of_its_own() -> None:
    """With its own loop; the two know each other by their advertisements only."""
    was_master, is_backup = threading.Event(), threading.Event()
    port = free_udp_port()

    async def first() -> None:
        async with asyncio.timeout(LIMIT_S), udp_node(0, port) as here:
            web = await here.add(udp_host(0))
            await web.wait_for(State.MASTER)
            was_master.set()
            await asyncio.to_thread(is_backup.wait, LIMIT_S)
            await web.hand_over(timeout_s=10)

    async def second() -> None:
        await asyncio.to_thread(was_master.wait, LIMIT_S)
        async with asyncio.timeout(LIMIT_S), udp_node(1, port) as there:
            web = await there.add(udp_host(1))
            is_backup.set()
            await web.wait_for(State.MASTER)
            await asyncio.sleep(1)

    for each in (in_thread(first), in_thread(second)):
        each.result(timeout=2 * LIMIT_S)


@in_virtual_time
async def test_another_thread_calls_through_the_loop() -> None:
    loop = asyncio.get_running_loop()
    async with node(MemoryBus()) as here:
        web = await here.add(config())

        def elsewhere(call: Callable[[], Awaitable[object] | None]) -> None:
            with pytest.raises(UsageError, match="this node runs in another thread"):
                call()

        await asyncio.to_thread(elsewhere, lambda: web.demote("thread", by=5))
        await asyncio.to_thread(loop.call_soon_threadsafe, lambda: web.demote("thread", by=5))
        await asyncio.sleep(0)

        assert web.snapshot().demotion == (("thread", 5),)
