"""When packets that were set aside are read: those of all links together, the fewer the more rarely."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import pytest

from pycarp.transports.aside import Aside, AsideTimer, Change
from pycarp.vocabulary import Datagram
from tests.support.virtual import in_virtual_time, now_s


class Packets:
    """A port on which packets wait all the time; it notes when it was read."""

    def __init__(self) -> None:
        self.read_at_s: list[float] = []
        self._is_read = False

    def set_aside(self, heads: Mapping[int, bytes]) -> None:
        """Do nothing: a kernel would."""

    def watch_aside(self, wake: Callable[[], None] | None) -> None:
        """Do nothing: nothing arrives between two readings."""

    def read_aside(self, limit: int, into: list[Datagram]) -> int:
        raise AssertionError((limit, into))

    def has_aside(self, more_than: int = 0) -> bool:
        is_one = more_than == 0 and not self._is_read
        self._is_read = False
        return is_one

    def wake(self) -> None:
        self._is_read = True
        self.read_at_s.append(now_s())


def run_at_once(changes: Sequence[Change], then: Callable[[list[bool]], None]) -> None:
    then([change.carry_out() for change in changes])


def heads(count: int) -> dict[int, bytes]:
    return dict.fromkeys(range(1, count + 1), b"!")


async def readings(*counts: int, every_s: float = 10.0) -> list[float]:
    """Return when packets were read while so many hosts were calm, one number after the other."""
    port = Packets()
    aside = Aside(port.wake, port)
    timer = AsideTimer(lambda: [aside], run=run_at_once)
    for count in counts:
        aside.want(heads(count))
        timer.plan()
        await asyncio.sleep(every_s)
    timer.stop()
    return port.read_at_s


@pytest.mark.parametrize(
    ("count", "pause_s"),
    [(1, 2.0), (32, 2.0), (50, 2.0), (128, 2.0), (255, 2.0), (1024, 2.0), (1025, 1.0), (2048, 1.0), (2049, 0.5)],
)
def test_the_fewer_hosts_the_longer_their_packets_wait(count: int, pause_s: float) -> None:
    @in_virtual_time
    async def check() -> None:
        at_s = await readings(count)
        pauses = {later - earlier for earlier, later in pairwise(at_s[1:])}

        assert pauses == {pause_s}

    check()


class Hourglass(Packets):
    """A port on which a packet arrives every second."""

    def has_aside(self, more_than: int = 0) -> bool:
        return int(now_s() - (self.read_at_s or [0.0])[-1]) > more_than


@in_virtual_time
async def test_all_links_are_read_at_the_same_time() -> None:
    ports = [Hourglass() for _ in range(4)]
    asides = [Aside(port.wake, port) for port in ports]
    timer = AsideTimer(lambda: asides, run=run_at_once)
    for each in asides:
        each.want(heads(250))
        timer.plan()
        await asyncio.sleep(0.7)
    await asyncio.sleep(6)
    timer.stop()

    assert {at_s for port in ports for at_s in port.read_at_s if at_s > 3} == {4.0, 6.0, 8.0}


class Backlog(Packets):
    """A port on which so many packets wait."""

    waiting = 400

    def has_aside(self, more_than: int = 0) -> bool:
        return self.waiting > more_than


@pytest.mark.parametrize(("count", "is_flood"), [(1, True), (100, True), (255, False)])
def test_what_the_hosts_have_sent_since_a_late_reading_is_no_flood(count: int, is_flood: bool) -> None:
    @in_virtual_time
    async def check() -> None:
        port = Backlog()
        aside = Aside(port.wake, port)
        aside.want(heads(count))
        AsideTimer(lambda: [aside], run=run_at_once).renew()
        await asyncio.sleep(1.5)

        assert aside.stop_in_flood() is is_flood

    check()


@in_virtual_time
async def test_one_more_that_may_wait_begins_to_do_so_soon() -> None:
    at_s = await readings(1, 2, every_s=4.7)

    assert 5.0 in at_s


class SlowKernel(Packets):
    """A port on which no packets wait, and whose changes take until they are ``allowed``."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed = threading.Event()
        self.changes: list[Mapping[int, bytes]] = []
        self.watches: list[bool] = []
        self.is_closed = False

    def set_aside(self, heads: Mapping[int, bytes]) -> None:
        assert self.allowed.wait(10)
        assert not self.is_closed
        self.changes.append(heads)

    def watch_aside(self, wake: Callable[[], None] | None) -> None:
        self.watches.append(wake is not None)

    def has_aside(self, more_than: int = 0) -> bool:
        return False

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def slow() -> SlowKernel:
    return SlowKernel()


async def of_two(slow: SlowKernel) -> tuple[Aside, AsideTimer]:
    """Return the port of two calm hosts, and its timer."""
    aside = Aside(slow.wake, slow)
    timer = AsideTimer(lambda: [aside])
    aside.want(heads(2))
    slow.allowed.set()
    timer.renew()
    await timer.changed()
    slow.allowed.clear()
    return aside, timer


async def test_the_event_loop_goes_on_while_the_kernel_makes_a_change(slow: SlowKernel) -> None:
    aside = Aside(slow.wake, slow)
    timer = AsideTimer(lambda: [aside])
    aside.want(heads(2))
    timer.renew()
    await asyncio.sleep(0.01)
    assert (aside.taken, slow.changes) == ({}, [])

    slow.allowed.set()
    await timer.changed()
    assert (aside.taken, slow.changes) == (heads(2), [heads(2)])


async def test_a_host_that_is_not_calm_any_more_is_heard_before_the_kernel_has_made_the_change(
    slow: SlowKernel,
) -> None:
    aside, timer = await of_two(slow)
    aside.want(heads(1))
    timer.renew()
    await asyncio.sleep(0)
    assert (slow.watches, slow.changes) == ([True], [heads(2)])
    assert len(slow.read_at_s) == 1

    slow.allowed.set()
    await timer.changed()
    assert (slow.watches, slow.changes) == ([True, False], [heads(2), heads(1)])


async def test_a_host_that_is_not_calm_any_more_when_it_is_set_aside_is_heard(slow: SlowKernel) -> None:
    aside = Aside(slow.wake, slow)
    timer = AsideTimer(lambda: [aside])
    aside.want(heads(2))
    timer.renew()
    aside.want(heads(1))
    slow.allowed.set()
    await timer.changed()
    assert (slow.watches, aside.taken) == ([True], heads(2))

    timer.renew()
    await timer.changed()
    assert (slow.watches, aside.taken) == ([True, False], heads(1))


async def test_a_port_is_closed_only_when_the_kernel_has_made_the_change(slow: SlowKernel) -> None:
    aside, timer = await of_two(slow)
    aside.want(heads(1))
    timer.renew()
    aside.close(slow, slow.close)
    before = slow.is_closed

    slow.allowed.set()
    await timer.changed()
    assert (before, slow.is_closed, aside.port) == (False, True, None)
