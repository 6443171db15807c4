"""When packets that were set aside are read: those of all links together, the fewer the more rarely."""

import asyncio
from collections.abc import Mapping
from itertools import pairwise

import pytest

from pycarp.transports.aside import Aside, AsideTimer
from pycarp.vocabulary import Datagram
from tests.support.virtual import in_virtual_time, now_s


class Packets:
    """A port on which packets wait all the time; it notes when it was read."""

    def __init__(self) -> None:
        self.read_at_s: list[float] = []
        self._is_read = False

    def set_aside(self, heads: Mapping[int, bytes]) -> None:
        """Do nothing: a kernel would."""

    def read_aside(self, limit: int, into: list[Datagram]) -> int:
        raise AssertionError((limit, into))

    def has_aside(self, more_than: int = 0) -> bool:
        is_one = more_than == 0 and not self._is_read
        self._is_read = False
        return is_one

    def wake(self) -> None:
        self._is_read = True
        self.read_at_s.append(now_s())


def heads(count: int) -> dict[int, bytes]:
    return dict.fromkeys(range(1, count + 1), b"!")


async def readings(*counts: int, every_s: float = 10.0) -> list[float]:
    """Return when packets were read while so many hosts were calm, one number after the other."""
    port = Packets()
    aside = Aside(port.wake, port)
    timer = AsideTimer(lambda: [aside])
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
    timer = AsideTimer(lambda: asides)
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
        aside.renew(now_s())
        await asyncio.sleep(1.5)
        aside.stop_in_flood()

        assert (aside.taken == {}) is is_flood

    check()


@in_virtual_time
async def test_one_more_that_may_wait_begins_to_do_so_soon() -> None:
    at_s = await readings(1, 2, every_s=4.7)

    assert 5.0 in at_s
