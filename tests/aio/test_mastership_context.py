"""Code that runs only while its host is MASTER: stopped before a peer may act, and numbered by a growing token."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from pycarp import ConfigError, LossReason, Mastership, MastershipLost, State, StateChange, UsageError, VirtualHost
from pycarp.aio.mastership_context import ClockTokens
from pycarp.aio.mastership_monitor import MastershipMonitor
from pycarp.aio.node import Node
from pycarp.core.effects import HoldAddresses
from pycarp.core.inputs import Action, ActuationReported
from pycarp.core.lease import lease_of
from pycarp.core.state import Reason
from pycarp.monitors.static import StaticMonitor
from pycarp.testing.virtual_time import VirtualTimeLoop
from pycarp.transports.memory import MemoryBus, MemoryTransport
from pycarp.vocabulary import NS_PER_S, Datagram, Outgoing
from tests.support.actuators import RecordingActuator
from tests.support.nodes import config, link, node
from tests.support.transports import ScriptedTransport
from tests.support.virtual import in_virtual_time, let_others_run, now_s

CLEAN_UP_S = 0.33
"""Seconds of the lease that are for clean-up with advbase 1, rounded up."""


class Unplugged:
    """A port that can be set to refuse to send, as an interface without carrier or buffers does."""

    def __init__(self, port: MemoryTransport) -> None:
        self.is_unplugged = False
        self._port = port
        self.open_link = port.open_link
        self.join = port.join
        self.close_link = port.close_link
        self.prepared_packet = port.prepared_packet
        self.drain = port.drain
        self.close = port.close

    def send(self, outgoing: Outgoing) -> None:
        if self.is_unplugged:
            raise OSError(105, "No buffer space available")
        self._port.send(outgoing)


class Breakable(ScriptedTransport):
    """A transport with a bug that can be triggered."""

    is_broken = False

    def drain(self, limit: int) -> list[Datagram]:
        if self.is_broken:
            raise ZeroDivisionError
        return []


@dataclass(slots=True)
class Pair:
    """A MASTER and its BACKUP."""

    here: VirtualHost
    there: VirtualHost
    node: Node
    port: Unplugged
    monitor: StaticMonitor
    bus: MemoryBus
    peer_actuator: RecordingActuator
    taken_over_s: list[float] = field(default_factory=list)

    @property
    def peer_acted_s(self) -> float:
        """When the peer first took over or held an address, in seconds."""
        return min(self.taken_over_s + self.peer_actuator.times_s(Action.HOLD))


@contextlib.asynccontextmanager
async def pair(*, preempt: bool = False) -> AsyncIterator[Pair]:
    """Run two nodes of which the first is MASTER."""
    bus = MemoryBus()
    port, monitor = Unplugged(bus.port("host-1")), StaticMonitor([link(1)])
    actuator = RecordingActuator()
    peer = Node(transport=bus.port("host-2"), actuator=actuator, monitor=StaticMonitor([link(2)]))
    async with peer, Node(transport=port, actuator="null", monitor=monitor) as first:
        here = await first.add(config(advskew=10))
        await here.wait_for(State.MASTER)
        there = await peer.add(config(advskew=100, preempt=preempt))
        made = Pair(here, there, first, port, monitor, bus, actuator)
        there.on_master(lambda change: made.taken_over_s.append(change.at_ns / NS_PER_S))
        yield made


@dataclass(slots=True)
class Service:
    """Code that works until it is cancelled, and then cleans up slowly."""

    cleans_up_s: float = 0.0
    wants_s: float = 1.0
    began_s: float | None = None
    cancelled_s: float | None = None
    ended_s: float | None = None
    mastership: Mastership | None = None
    lost: MastershipLost | None = None

    async def run(self, host: VirtualHost) -> None:
        try:
            async with host.mastership(clean_up_s=self.wants_s) as self.mastership:
                self.began_s = now_s()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled_s = now_s()
                    await asyncio.sleep(self.cleans_up_s)
                    raise
                finally:
                    self.ended_s = now_s()
        except MastershipLost as lost:
            self.lost = lost


def lose_the_link(pair: Pair) -> None:
    pair.monitor.change(link(1, is_up=False))


async def hand_over(pair: Pair) -> None:
    await pair.here.hand_over()


def set_down(pair: Pair) -> None:
    pair.here.down()


def force_to_backup(pair: Pair) -> None:
    pair.here.force(State.BACKUP)


async def remove(pair: Pair) -> None:
    await pair.node.remove(pair.here)


def unplug(pair: Pair) -> None:
    pair.port.is_unplugged = True


LEAVES: list[tuple[Callable[[Pair], Awaitable[None] | None], Reason | None]] = [
    (lose_the_link, Reason.LINK_DOWN),
    (hand_over, Reason.HANDED_OVER),
    (set_down, Reason.ADMIN_DOWN),
    (force_to_backup, Reason.FORCED),
    (remove, Reason.REMOVED),
    (unplug, None),
]

every_way_to_leave = pytest.mark.parametrize(("leave", "reason"), LEAVES, ids=[each[0].__name__ for each in LEAVES])


async def caused(step: Awaitable[None] | None) -> None:
    if step is not None:
        await step


# When it begins


@in_virtual_time
async def test_a_body_begins_when_the_addresses_are_held() -> None:
    actuator = RecordingActuator(takes_s=0.25)
    node = Node(transport=ScriptedTransport(), actuator=actuator, monitor=StaticMonitor([link(1)]))
    async with node:
        host = await node.add(config())
        async with host.mastership() as mastership:
            assert (now_s(), host.state, mastership.is_lost) == (3.253, State.MASTER, False)


@in_virtual_time
async def test_the_report_of_a_previous_hold_does_not_begin_a_mastership() -> None:
    settings = config()
    monitor = MastershipMonitor(settings, lambda: True)
    reason = Reason.MASTER_SILENT
    monitor.receive(StateChange(key=settings.key, at_ns=0, old=State.BACKUP, new=State.MASTER, reason=reason, epoch=5))
    monitor.record_effect(HoldAddresses(settings.key, 5, settings.addresses))
    mastership = asyncio.create_task(monitor.begin(clean_up_s=1))
    await asyncio.sleep(0.2)

    monitor.record_result(ActuationReported(settings.key, 3, Action.HOLD, None))
    await let_others_run()
    before = mastership.done()
    monitor.record_result(ActuationReported(settings.key, 5, Action.HOLD, None))
    await let_others_run()

    assert (before, mastership.done()) == (False, True)


@in_virtual_time
async def test_a_body_does_not_begin_before_an_advertisement_could_be_sent() -> None:
    transport = ScriptedTransport(error=OSError(105, "No buffer space available"))
    node = Node(transport=transport, actuator="null", monitor=StaticMonitor([link(1)]))
    async with node:
        host = await node.add(config())
        asyncio.get_running_loop().call_at(6.5, setattr, transport, "error", None)
        async with host.mastership():
            assert host.snapshot().last_change is not None
            assert now_s() > 6.5


@in_virtual_time
async def test_of_two_that_take_over_in_the_same_moment_one_begins() -> None:
    services = [Service(), Service()]
    bus = MemoryBus()
    async with contextlib.AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(node(bus, host=number)) for number in (1, 2, 3)]
        hosts = [await each.add(config(advskew=50 * n)) for n, each in enumerate(nodes)]
        await hosts[0].wait_for(State.MASTER)
        running = [asyncio.create_task(each.run(host)) for each, host in zip(services, hosts[1:], strict=True)]
        await asyncio.sleep(1)
        change = asyncio.create_task(hosts[2].wait_for(State.MASTER))
        await hosts[0].hand_over()
        await change
        await asyncio.sleep(1)

        assert [each.began_s is not None for each in services] == [True, False]
        for each in running:
            each.cancel()


@in_virtual_time
async def test_waiting_for_it_can_be_bounded() -> None:
    async with pair() as two:
        with pytest.raises(TimeoutError, match="1@em0 was not MASTER, with its addresses held, within 5 s"):
            async with two.there.mastership(timeout_s=5):
                pytest.fail("a BACKUP has no mastership")


@in_virtual_time
async def test_who_waits_on_a_host_that_departs_is_told() -> None:
    async with pair() as two:
        waiting = asyncio.create_task(Service().run(two.there))
        await asyncio.sleep(1)
    with pytest.raises(UsageError, match="virtual host 1@em0 has departed"):
        await waiting


@in_virtual_time
async def test_a_mastership_is_entered_once_only() -> None:
    async with pair() as two:
        mastership = two.here.mastership()
        async with mastership:
            pass
        with pytest.raises(UsageError, match="a mastership can be entered once only; ask the host for another"):
            await mastership.__aenter__()


@in_virtual_time
async def test_a_clean_up_that_takes_no_time_is_refused() -> None:
    async with pair() as two:
        with pytest.raises(ConfigError, match="clean-up time 0 s is not above 0"):
            two.here.mastership(clean_up_s=0)


# When it ends


@every_way_to_leave
def test_it_is_cancelled_and_has_cleaned_up_before_a_peer_acts(
    leave: Callable[[Pair], Awaitable[None] | None], reason: Reason | None
) -> None:
    @in_virtual_time
    async def plan() -> None:
        service = Service(cleans_up_s=0.3)
        async with pair() as two:
            running = asyncio.create_task(service.run(two.here))
            await asyncio.sleep(1.5)
            await caused(leave(two))
            await two.there.wait_for(State.MASTER)
            await running

            assert service.ended_s is not None
            assert service.cancelled_s is not None
            assert service.ended_s == pytest.approx(service.cancelled_s + 0.3)
            assert service.ended_s <= two.peer_acted_s
            assert service.lost is not None
            what = service.lost.reason
            assert (what.reason if isinstance(what, StateChange) else None) is reason

    plan()


@in_virtual_time
async def test_leaving_the_node_ends_it_before_a_peer_acts() -> None:
    service = Service(cleans_up_s=0.3)
    bus = MemoryBus()
    async with Node(transport=bus.port("b"), actuator="null", monitor=StaticMonitor([link(2)])) as peer:
        async with Node(transport=bus.port("a"), actuator="null", monitor=StaticMonitor([link(1)])) as node:
            here = await node.add(config())
            there = await peer.add(config(advskew=100))
            running = asyncio.create_task(service.run(here))
            await here.wait_for(State.MASTER)
            await asyncio.sleep(1)
        change = await there.wait_for(State.MASTER)
        await running

        assert service.ended_s is not None
        assert service.ended_s <= change.at_ns / NS_PER_S < service.ended_s + 0.01


@in_virtual_time
async def test_a_master_that_cannot_send_is_without_a_mastership_half_a_lease_before_a_peer_acts() -> None:
    service = Service()
    async with pair() as two:
        running = asyncio.create_task(service.run(two.here))
        await asyncio.sleep(2)
        unplug(two)
        await running

        assert two.here.state is State.MASTER
        assert service.lost is not None
        assert service.lost.reason is LossReason.SILENT
        assert str(service.lost) == "1@em0 could give no sign of life in time, so that a peer may act"
        await two.there.wait_for(State.MASTER)
        assert service.ended_s is not None
        assert two.peer_acted_s - service.ended_s > 1.5


@in_virtual_time
async def test_a_master_that_can_send_again_begins_another_mastership() -> None:
    async with pair() as two:
        first = Service()
        running = asyncio.create_task(first.run(two.here))
        await asyncio.sleep(2)
        unplug(two)
        await running
        two.port.is_unplugged = False
        async with two.here.mastership() as second:
            assert first.mastership is not None
            assert second.token > first.mastership.token


@in_virtual_time
async def test_one_that_a_better_master_relieves_ends_before_that_one_holds_the_addresses() -> None:
    service, successor = Service(cleans_up_s=0.005), Service()
    async with pair() as two:
        running = asyncio.create_task(service.run(two.here))
        following = asyncio.create_task(successor.run(two.there))
        await asyncio.sleep(2)
        two.there.reconfigure(advskew=0, preempt=True)
        await running

        assert service.ended_s is not None
        await asyncio.sleep(0.1)
        assert service.ended_s < two.peer_actuator.times_s(Action.HOLD)[0]
        following.cancel()


@in_virtual_time
async def test_the_mastership_of_a_better_master_begins_when_the_previous_one_has_cleaned_up() -> None:
    service, successor = Service(cleans_up_s=10), Service()
    async with pair() as two:
        running = asyncio.create_task(service.run(two.here))
        following = asyncio.create_task(successor.run(two.there))
        await asyncio.sleep(2)
        two.there.reconfigure(advskew=0, preempt=True)
        await running
        await asyncio.sleep(1)

        assert service.ended_s is not None
        assert successor.began_s is not None
        assert two.peer_acted_s < service.ended_s < successor.began_s
        following.cancel()


@in_virtual_time
async def test_a_preempting_host_holds_the_addresses_without_delay_though_clean_up_is_long() -> None:
    service = Service(cleans_up_s=10)
    async with pair() as two:
        running = asyncio.create_task(service.run(two.here))
        await asyncio.sleep(2)
        two.there.reconfigure(advskew=0, preempt=True)
        await two.there.wait_for(State.MASTER)
        await asyncio.sleep(0.015)

        # The old MASTER drops within ten milliseconds, and sends its farewell within twenty.
        assert two.peer_actuator.actions[-2:] == [Action.HOLD, Action.ANNOUNCE]
        await running


@pytest.mark.parametrize("at_s", [3.1, 3.3, 3.5, 3.7, 3.9])
@pytest.mark.parametrize("span_s", [2.0, 60.0])
def test_after_a_stall_longer_than_the_lease_no_line_of_the_body_runs(span_s: float, at_s: float) -> None:
    @in_virtual_time
    async def plan() -> None:
        steps: list[float] = []

        async def body() -> None:
            async with two.here.mastership():
                while True:
                    await asyncio.sleep(0.05)
                    steps.append(now_s())

        def stall() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualTimeLoop)
            loop.stall(span_s)

        async with pair() as two:
            running = asyncio.create_task(body())
            await asyncio.sleep(at_s)
            stalled_s = now_s()
            asyncio.get_running_loop().call_soon(stall)
            with pytest.raises(MastershipLost):
                await asyncio.wait_for(running, 100)

            assert steps
            assert max(steps) <= stalled_s

    plan()


@in_virtual_time
async def test_a_stall_shorter_than_the_lease_does_no_harm() -> None:
    service = Service()
    async with pair() as two:
        running = asyncio.create_task(service.run(two.here))
        await asyncio.sleep(3.333)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.stall(0.7)
        await asyncio.sleep(5)

        assert service.cancelled_s is None
        running.cancel()


@in_virtual_time
async def test_code_that_blocks_can_ask_the_clock_before_it_acts() -> None:
    async def work(host: VirtualHost) -> None:
        async with host.mastership() as mastership:
            mastership.check()
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualTimeLoop)
            loop.stall(2)
            assert (mastership.is_lost, mastership.remaining_s) == (False, 0.0)
            mastership.check()

    async with pair() as two:
        with pytest.raises(MastershipLost, match="could give no sign of life in time"):
            await work(two.here)
        await let_others_run()


@in_virtual_time
async def test_what_remains_is_known_at_any_time() -> None:
    async with pair() as two, two.here.mastership() as mastership:
        remaining_s = []
        for _ in range(100):
            remaining_s.append(mastership.remaining_s)
            await asyncio.sleep(0.0625)

    assert min(remaining_s) > 0.3
    assert 1.3 < max(remaining_s) < 1.75


@in_virtual_time
async def test_a_failing_node_ends_it() -> None:
    service = Service()
    transport = Breakable()

    running: list[asyncio.Task[None]] = []

    async def plan() -> None:
        node = Node(transport=transport, actuator="null", monitor=StaticMonitor([link(1)]))
        async with node:
            host = await node.add(config())
            running.append(asyncio.create_task(service.run(host)))
            await host.wait_for(State.MASTER)
            await asyncio.sleep(1.5)
            transport.is_broken = True
            await asyncio.sleep(60)

    with pytest.raises(ZeroDivisionError):
        await plan()
    await asyncio.gather(*running)

    assert service.lost is not None
    assert service.lost.reason is LossReason.FAILED
    assert service.ended_s == pytest.approx(5)


@in_virtual_time
async def test_a_mastership_within_a_node_that_fails_lets_the_bug_out() -> None:
    transport = Breakable()

    async def plan() -> None:
        async with Node(transport=transport, actuator="null", monitor=StaticMonitor([link(1)])) as node:
            host = await node.add(config())
            async with host.mastership():
                transport.is_broken = True
                await asyncio.sleep(60)

    with pytest.raises(ZeroDivisionError):
        await plan()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@in_virtual_time
async def test_a_shorter_advbase_shortens_a_mastership_under_way() -> None:
    transport = ScriptedTransport()

    async def work(host: VirtualHost) -> None:
        async with host.mastership() as mastership:
            await asyncio.sleep(1)
            assert mastership.remaining_s > 10
            transport.error = OSError(105, "No buffer space available")
            host.reconfigure(advbase=1)
            await asyncio.sleep(60)

    async with Node(transport=transport, actuator="null", monitor=StaticMonitor([link(1)])) as node:
        host = await node.add(replace(config(), advbase=10))
        await host.wait_for(State.MASTER)
        began_s = now_s()
        with pytest.raises(MastershipLost):
            await work(host)

        assert now_s() - began_s < 1 + 1.75


# Cleaning up


@pytest.mark.parametrize(("wants_s", "gets_s"), [(0.1, 0.1), (60.0, CLEAN_UP_S)])
def test_clean_up_is_bounded(wants_s: float, gets_s: float) -> None:
    @in_virtual_time
    async def plan() -> None:
        service = Service(cleans_up_s=600, wants_s=wants_s)
        async with pair() as two:
            running = asyncio.create_task(service.run(two.here))
            await asyncio.sleep(1)
            set_down(two)
            await running

            assert service.ended_s is not None
            assert service.cancelled_s is not None
            assert service.ended_s - service.cancelled_s == pytest.approx(gets_s, abs=0.01)
            assert isinstance(service.lost, MastershipLost)

    plan()


@in_virtual_time
async def test_a_slower_advbase_gives_more_time_to_clean_up() -> None:
    async with pair() as two:
        two.here.reconfigure(advbase=2)
        async with two.here.mastership(clean_up_s=60) as mastership:
            assert 1.0 < mastership.clean_up_s < 2.0


async def never_mind(host: VirtualHost) -> None:
    async with host.mastership(clean_up_s=0.2):
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(5)
                return


@in_virtual_time
async def test_a_body_that_ignores_it_does_not_keep_the_addresses() -> None:
    async with pair() as two:
        stubborn = asyncio.create_task(never_mind(two.here))
        await asyncio.sleep(1)
        down_s = now_s()
        set_down(two)
        change = await two.there.wait_for(State.MASTER)

        assert not stubborn.done()
        assert change.at_ns / NS_PER_S == pytest.approx(down_s + 0.2, abs=0.01)
        await stubborn


def test_a_body_that_ignores_it_is_an_error_in_the_log_that_says_where_it_is(caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def plan() -> None:
        async with pair() as two:
            stubborn = asyncio.create_task(never_mind(two.here))
            await asyncio.sleep(1)
            set_down(two)
            await stubborn

    with caplog.at_level(logging.ERROR, logger="pycarp"):
        plan()

    (text,) = [record.getMessage() for record in caplog.records]
    assert "1@em0: code that may run only while MASTER has not ended within 0.200 s of being cancelled" in text
    assert "never_mind (" in text
    assert " awaits sleep (" in text


@in_virtual_time
async def test_a_new_mastership_on_a_host_waits_for_a_previous_one_to_be_cleaned_up() -> None:
    first, second = Service(cleans_up_s=0.3), Service()
    async with pair() as two:
        one = asyncio.create_task(first.run(two.here))
        await asyncio.sleep(1)
        two.here.force(State.BACKUP)
        two.here.force(State.MASTER)
        other = asyncio.create_task(second.run(two.here))
        await one
        await asyncio.sleep(1)

        assert first.ended_s is not None
        assert second.began_s is not None
        assert first.ended_s <= second.began_s
        other.cancel()


@in_virtual_time
async def test_handing_over_waits_for_clean_up_before_it_counts_its_time() -> None:
    service = Service(cleans_up_s=5, wants_s=5)
    async with pair() as two:
        for each in (two.here, two.there):
            each.reconfigure(advbase=10)
        running = asyncio.create_task(service.run(two.here))
        await asyncio.sleep(1)

        master = await two.here.hand_over()

        assert str(master) == "192.0.2.2"
        await running


# What the body sees


@in_virtual_time
async def test_a_body_that_ends_by_itself_ends_well() -> None:
    async with pair() as two:
        async with two.here.mastership() as mastership:
            await asyncio.sleep(5)
        set_down(two)
        await asyncio.sleep(1)

        assert (mastership.is_lost, mastership.reason) == (False, None)


@in_virtual_time
async def test_what_a_body_raises_comes_out() -> None:
    async with pair() as two:
        with pytest.raises(ZeroDivisionError):
            async with two.here.mastership():
                raise ZeroDivisionError


@in_virtual_time
async def test_what_clean_up_raises_comes_out() -> None:
    async def work(host: VirtualHost) -> None:
        async with host.mastership():
            try:
                await asyncio.sleep(60)
            finally:
                raise ZeroDivisionError

    async with pair() as two:
        asyncio.get_running_loop().call_later(1, two.here.down)
        with pytest.raises(ZeroDivisionError):
            await work(two.here)
        await asyncio.sleep(1)


@in_virtual_time
async def test_a_body_that_swallows_the_cancellation_ends_without_an_error() -> None:
    async with pair() as two:
        asyncio.get_running_loop().call_later(1, two.here.down)
        async with two.here.mastership() as mastership:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

        assert isinstance(mastership.reason, StateChange)
        await asyncio.sleep(1)


@in_virtual_time
async def test_another_cancellation_has_precedence() -> None:
    async def work(host: VirtualHost) -> None:
        async with host.mastership():
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.1)

    async with pair() as two:
        running = asyncio.create_task(work(two.here))
        await asyncio.sleep(1)
        set_down(two)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@in_virtual_time
async def test_a_timeout_around_it_is_a_timeout() -> None:
    async with pair() as two:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), two.here.mastership():
                await asyncio.sleep(60)


@in_virtual_time
async def test_a_timeout_inside_it_is_no_loss() -> None:
    async with pair() as two:
        async with two.here.mastership() as mastership:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.sleep(60)
        assert not mastership.is_lost


@in_virtual_time
async def test_of_two_that_are_nested_the_outer_one_is_lost() -> None:
    inside: list[type[BaseException]] = []

    async def work(host: VirtualHost) -> None:
        async with host.mastership():
            try:
                async with host.mastership():
                    await asyncio.sleep(60)
            except BaseException as exc:
                inside.append(type(exc))
                raise

    async with pair() as two:
        asyncio.get_running_loop().call_later(1, two.here.down)
        with pytest.raises(MastershipLost):
            await work(two.here)

        assert inside == [asyncio.CancelledError]
        await asyncio.sleep(0)


@in_virtual_time
async def test_tasks_of_a_group_inside_it_are_cancelled_with_it() -> None:
    ends: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ends.append(name)

    async def work_together(host: VirtualHost) -> None:
        async with host.mastership(), asyncio.TaskGroup() as group:
            group.create_task(work("a"))
            group.create_task(work("b"))

    async with pair() as two:
        asyncio.get_running_loop().call_later(1, two.here.down)
        with pytest.raises(MastershipLost):
            await work_together(two.here)

    assert sorted(ends) == ["a", "b"]


@in_virtual_time
async def test_a_body_that_sets_its_own_host_down_is_cancelled_when_it_next_waits() -> None:
    steps: list[str] = []

    async def work(host: VirtualHost) -> None:
        async with host.mastership():
            host.down()
            steps.append("told")
            await asyncio.sleep(0)
            steps.append("not reached")

    async with pair() as two:
        with pytest.raises(MastershipLost):
            await work(two.here)

    assert steps == ["told"]


@in_virtual_time
async def test_a_body_whose_last_step_is_to_set_its_host_down_ends_well() -> None:
    async with pair() as two:
        async with two.here.mastership() as mastership:
            two.here.down()
        await asyncio.sleep(1)

        assert mastership.is_lost


@in_virtual_time
async def test_who_waits_for_the_loss_is_told() -> None:
    async with pair() as two, two.here.mastership() as mastership:
        asyncio.get_running_loop().call_later(1, two.here.down)
        began_s = now_s()
        watching = asyncio.create_task(mastership.lost.wait())
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await watching

        assert now_s() == pytest.approx(began_s + 1)


@in_virtual_time
async def test_several_services_of_a_host_have_masterships_of_their_own() -> None:
    services = [Service() for _ in range(3)]
    async with pair() as two:
        running = [asyncio.create_task(each.run(two.here)) for each in services]
        await asyncio.sleep(1)
        set_down(two)
        await asyncio.gather(*running)

    assert len({each.mastership.token for each in services if each.mastership}) == 3
    assert all(each.lost for each in services)


@in_virtual_time
async def test_nothing_is_left_after_a_thousand_masterships() -> None:
    async with pair() as two:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(2.5)
        tasks, timers = len(asyncio.all_tasks()), len(loop._scheduled)  # type: ignore[attr-defined]
        for number in range(1000):
            with contextlib.suppress(MastershipLost):
                async with two.here.mastership():
                    if number % 250 == 0:
                        two.here.force(State.BACKUP)
                        two.here.force(State.MASTER)
                    await asyncio.sleep(0)
        await asyncio.sleep(60)

        assert len(asyncio.all_tasks()) <= tasks
        assert len([each for each in loop._scheduled if not each.cancelled()]) <= timers  # type: ignore[attr-defined]


# The token


def clock() -> ClockTokens:
    """Return a source for one host, whose clock is that of the loop."""
    return ClockTokens(lambda: round(now_s() * NS_PER_S))


async def rule(host: VirtualHost, tokens: ClockTokens, reigns: list[tuple[float, int]]) -> None:
    """Record when each mastership of a host began, and its token."""
    while True:
        with contextlib.suppress(MastershipLost):
            async with host.mastership(token=tokens) as mastership:
                reigns.append((now_s(), mastership.token))
                await asyncio.Event().wait()


@in_virtual_time
async def test_the_token_grows_from_host_to_host() -> None:
    reigns: list[tuple[float, int]] = []
    async with pair() as two:
        ruling = [asyncio.create_task(rule(each, clock(), reigns)) for each in (two.here, two.there)]
        await asyncio.sleep(1)
        for _ in range(10):
            master, other = (two.here, two.there) if two.here.state is State.MASTER else (two.there, two.here)
            await master.hand_over()
            await asyncio.sleep(1)
            other.restore("handed over")
        for each in ruling:
            each.cancel()

    tokens = [token for _at_s, token in reigns]
    assert len(tokens) == 11
    assert tokens == sorted(set(tokens))


@in_virtual_time
async def test_a_segment_that_loses_packets_silently_has_two_masterships_and_the_later_one_the_greater_token() -> None:
    ours: list[tuple[float, int]] = []
    theirs: list[tuple[float, int]] = []
    async with pair() as two:
        ruling = [
            asyncio.create_task(rule(two.here, clock(), ours)),
            asyncio.create_task(rule(two.there, clock(), theirs)),
        ]
        await asyncio.sleep(1)
        two.bus.fabric.isolate("host-1")
        await asyncio.sleep(10)
        both = (len(ours), len(theirs))
        two.bus.fabric.heal()
        await asyncio.sleep(3)

        assert both == (1, 1)
        assert theirs[0] > ours[0]
        assert theirs[0][1] > ours[0][1]
        assert (two.here.state, two.there.state) == (State.MASTER, State.BACKUP)
        for each in ruling:
            each.cancel()


async def test_a_clock_that_is_set_back_does_not_set_the_token_back() -> None:
    times_ns = [2_000_000, 1_000_000, 2_500_000]
    tokens = ClockTokens(lambda: times_ns.pop(0))

    assert [await tokens() for _ in range(3)] == [2000, 2001, 2500]


@in_virtual_time
async def test_a_token_may_come_from_elsewhere() -> None:
    numbers = iter([7, 8])

    async def count() -> int:
        await asyncio.sleep(0.5)
        return next(numbers)

    async with pair() as two:
        tokens = []
        for _ in range(2):
            async with two.here.mastership(token=count) as mastership:
                tokens.append(mastership.token)

    assert tokens == [7, 8]


@in_virtual_time
async def test_a_mastership_that_is_lost_before_its_token_has_come_never_begins() -> None:
    asked_s: list[float] = []

    async def count() -> int:
        asked_s.append(now_s())
        if len(asked_s) == 1:
            two.here.force(State.BACKUP)
            await asyncio.sleep(1)
            two.here.force(State.MASTER)
        return len(asked_s)

    async with pair() as two, two.here.mastership(token=count) as mastership:
        assert mastership.token == 2


@in_virtual_time
async def test_a_source_of_tokens_that_fails_is_heard() -> None:
    async def fail() -> int:
        raise ConnectionError("the database is away")

    async with pair() as two:
        with pytest.raises(ConnectionError, match="the database is away"):
            async with two.here.mastership(token=fail):
                pytest.fail("there is no token")
        async with two.here.mastership() as mastership:
            assert mastership.token


# The real clock


def test_a_process_that_was_stopped_runs_no_line_of_the_body_after_it() -> None:
    said = []
    program = [sys.executable, "-m", "tests.support.mastership_program"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        for line in process.stdout:
            said.append(line.decode().strip())
            if said[-1] == "stop me":
                process.send_signal(signal.SIGSTOP)
                os.waitpid(process.pid, os.WUNTRACED)
                process.stdin.write(b"x")
                time.sleep(0.4)
                process.send_signal(signal.SIGCONT)

    assert said == ["stop me", "stop me", "late steps: 0"]


@in_virtual_time
async def test_each_sign_of_life_is_waited_for_once() -> None:
    async with pair() as hosts, hosts.here.mastership() as mastership:
        await mastership.renewed()
        await asyncio.sleep(0.2)
        before_s = mastership.remaining_s

        await mastership.renewed()

        lease = lease_of(hosts.here.config)
        assert before_s < mastership.remaining_s
        assert mastership.remaining_s == pytest.approx((lease.timeout_ns - lease.reserve_ns) / NS_PER_S, abs=0.001)


@in_virtual_time
async def test_a_sign_of_life_that_has_been_given_is_not_waited_for() -> None:
    async with pair() as hosts, hosts.here.mastership() as mastership:
        await mastership.renewed()
        await asyncio.sleep(1.5)
        asked_s = now_s()

        await mastership.renewed()

        assert now_s() == asked_s
