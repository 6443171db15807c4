"""A watch that is cancelled in the middle of its probes leaves no descriptor, process, thread or task behind."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator

import pytest

from pycarp.core.restriction import Restriction
from pycarp.health import Check, Probe, dns, file_exists, http, interface, ping, process, program, route, tcp, watch
from tests.support.descriptors import open_descriptors
from tests.support.processes import own_children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture
def silence() -> Iterator[int]:
    """Have a port that accepts connections and datagrams, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as stream:
        port = stream.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.1", port))
            yield port


class Target:
    """What is demoted or restricted."""

    def demote(self, cause: str, *, by: int | None = None, last: bool = False) -> None:
        """Do nothing."""

    def restore(self, cause: str) -> None:
        """Do nothing."""

    def restrict(self, cause: str, to: Restriction | str) -> None:
        """Do nothing."""

    def unrestrict(self, cause: str) -> None:
        """Do nothing."""


def probes(port: int) -> dict[str, Probe]:
    return {
        "http": http(f"http://127.0.0.1:{port}/"),
        "https": http(f"https://127.0.0.1:{port}/"),
        "tcp": tcp("127.0.0.1", port),
        "dns": dns("www.example.org", server=f"127.0.0.1:{port}"),
        "exec": program(["/bin/sleep", "60"]),
        "short": program(["/bin/true"]),
        "process": process("no-such-process"),
        "file": file_exists("/none"),
        "interface": interface("lo"),
        "route": route(),
        "ping": ping("127.0.0.1"),
    }


@pytest.mark.parametrize("after_s", [0.01, 0.1, 0.4])
async def test_nothing_is_left_of_a_watch_that_is_cancelled(silence: int, after_s: float) -> None:
    await watch_for(0.2, silence)  # What is made once, such as the loop's own descriptors.
    before = open_things()

    await watch_for(after_s, silence)

    assert await left_of(before) == set()


async def test_nothing_is_left_of_runs_that_reach_their_timeout(silence: int) -> None:
    await watch_for(0.2, silence)
    before = open_things()

    await watch_for(1, silence, timeout_s=0.02)

    assert await left_of(before) == set()


def open_things() -> set[object]:
    return {*map(str, open_descriptors()), *own_children(), *asyncio.all_tasks()}


async def left_of(before: set[object]) -> set[object]:
    """Return what is open that was not before, once the loop has closed what it closes late, and threads have ended."""
    for _attempt in range(200):
        if open_things() <= before:
            break
        await asyncio.sleep(0.01)
    return open_things() - before


async def watch_for(span_s: float, port: int, *, timeout_s: float = 30) -> None:
    checks = [Check(name=name, probe=probe, every_s=0.05, timeout_s=timeout_s) for name, probe in probes(port).items()]
    watching = asyncio.create_task(watch(Target(), *checks))
    await asyncio.sleep(span_s)
    watching.cancel()
    async with asyncio.timeout(5):
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def test_an_event_loop_closes_while_probes_are_under_way(silence: int) -> None:
    async def leave() -> None:
        checks = [Check(name=name, probe=probe, timeout_s=30) for name, probe in probes(silence).items()]
        asyncio.create_task(watch(Target(), *checks))  # noqa: RUF006  it is left on purpose
        await asyncio.sleep(0.2)

    # Other tests of this process may have left the helpers of a process pool.
    before, children = open_descriptors(), own_children()
    asyncio.run(leave())

    assert open_descriptors() == before
    assert own_children() == children
