"""How a driver's links are defended: a flood in virtual time, a transport that notes what it is asked to screen."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_interface

import pytest

from pycarp.aio.log_records import log_event
from pycarp.aio.sieges import Sieges
from pycarp.core.engine import Engine
from pycarp.core.events import SiegeChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import DatagramReceived, HostAdded, LinkChanged, SiegeChanged
from pycarp.core.siege import Screen
from pycarp.core.speaker import Speaker
from pycarp.dialects.base import Claim
from pycarp.vocabulary import CARP_GROUPS, NS_PER_S, Datagram, Family, HostKey, LinkFacts, Outgoing

LINK = "em0"
PEER = IPv4Address("192.0.2.2")


@dataclass
class ScreenedLink:
    """``screen`` keeps what is asked for; while ``error`` is set, it is refused."""

    read: dict[str, int] = field(default_factory=lambda: {LINK: 0})
    screens: list[Screen | None] = field(default_factory=list)
    error: OSError | None = None

    def reads(self) -> dict[str, int]:
        return dict(self.read)

    def screen(self, link: str, screen: Screen | None) -> None:
        if self.error is not None:
            raise self.error
        self.screens.append(screen)


class Defence:
    """An engine with a BACKUP, its sieges, and a MASTER of the same vhid that speaks to it."""

    def __init__(self) -> None:
        self.transport = ScreenedLink()
        self.engine = Engine(entropy=lambda: 1000)
        self.changes: list[SiegeChanged] = []
        self.sieges = Sieges(self.engine, self.transport, self.changes.append)
        self.now_ns = 0
        config = HostConfig(interface=LINK, vhid=1, passphrase="testpass", addresses=["192.0.2.50/24"], advskew=100)
        self.master = Speaker(config, lambda: 4711)
        self.engine.handle(LinkChanged(LinkFacts(name=LINK, is_up=True, addresses=(ip_interface("192.0.2.1/24"),))), 0)
        self.engine.handle(HostAdded(config), 0)
        self.sieges.look(0)

    def advertise(self) -> bytes:
        """Let the BACKUP hear the MASTER; return the digest."""
        (outgoing,) = self.master.compose(Claim(advbase=1, advskew=0), (PEER,), self.now_ns)
        self.transport.read[LINK] += 1
        self.engine.handle(DatagramReceived(datagram(outgoing)), self.now_ns)
        self.sieges.look(self.now_ns)
        return outgoing.payload[16:20]

    def flood(self, count: int) -> None:
        """Let packets of no use be read within ten milliseconds."""
        self.now_ns += NS_PER_S // 100
        self.transport.read[LINK] += count
        self.sieges.look(self.now_ns)


def datagram(outgoing: Outgoing) -> Datagram:
    return Datagram(LINK, Family.IPV4, PEER, CARP_GROUPS[Family.IPV4], 255, outgoing.payload)


def words(screen: Screen | None) -> list[bytes]:
    assert screen is not None
    return [digest.to_bytes(4, "big") for digest in screen.upcoming]


def test_without_a_flood_nothing_is_screened() -> None:
    defence = Defence()
    for _ in range(100):
        defence.advertise()
        defence.flood(5)

    assert defence.transport.screens == []


def test_a_flood_is_screened_and_told() -> None:
    defence = Defence()
    defence.flood(1000)

    assert defence.transport.screens[-1] is not None
    assert defence.transport.screens[-1].every > 1
    assert [change.is_on for change in defence.changes] == [True]


def test_the_next_advertisements_of_the_master_pass_the_screen() -> None:
    defence = Defence()
    defence.advertise()
    defence.flood(1000)

    passing = words(defence.transport.screens[-1])

    assert [defence.advertise() in passing for _ in range(3)] == [True, True, True]


def test_what_was_heard_does_not_pass_again() -> None:
    defence = Defence()
    defence.advertise()
    defence.flood(1000)

    heard = defence.advertise()

    assert heard not in words(defence.transport.screens[-1])


def test_a_constant_counter_passes_as_what_is_repeated() -> None:
    defence = Defence()
    (outgoing,) = defence.master.compose(Claim(advbase=1, advskew=0), (PEER,), 0)
    for _ in range(2):
        defence.engine.handle(DatagramReceived(datagram(outgoing)), 0)
        defence.transport.read[LINK] += 1
    defence.flood(1000)

    screen = defence.transport.screens[-1]

    assert screen is not None
    assert screen.repeated == (int.from_bytes(outgoing.payload[16:20], "big"),)


def test_when_it_is_quiet_everything_passes_again() -> None:
    defence = Defence()
    defence.flood(1000)
    for _ in range(20):
        defence.now_ns += NS_PER_S
        defence.advertise()

    assert defence.transport.screens[-1] is None
    assert [change.is_on for change in defence.changes] == [True, False]


def test_a_screen_that_the_kernel_refuses_is_tried_again() -> None:
    defence = Defence()
    defence.transport.error = OSError("no memory")
    defence.flood(1000)
    defence.transport.error = None

    defence.flood(1)

    assert len(defence.transport.screens) == 1


def test_a_link_that_was_opened_anew_is_screened_anew() -> None:
    defence = Defence()
    defence.flood(1000)
    defence.transport.read[LINK] = 0
    defence.flood(0)
    defence.flood(1000)

    assert len(defence.transport.screens) == 2


def test_a_siege_is_a_line_in_the_log_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    key = HostKey(LINK, 1)
    with caplog.at_level("INFO", logger="pycarp"):
        log_event(SiegeChange(key=key, at_ns=0, is_on=True, rate=100_000, every=64))
        log_event(SiegeChange(key=key, at_ns=0, is_on=False, rate=0, every=1))

    begun, ended = [record.getMessage() for record in caplog.records]
    assert "100000 packets a second of no use arrive; looking at 1 in 64" in begun
    assert ended == f"carp: {key}: all packets are looked at again"


def test_every_host_of_the_link_hears_of_it_and_it_is_counted() -> None:
    defence = Defence()

    step = defence.engine.handle(SiegeChanged(LINK, is_on=True, rate=100_000, every=64), 7)

    (told,) = [effect.event for effect in step.effects if hasattr(effect, "event")]
    assert isinstance(told, SiegeChange)
    assert (told.rate, told.every, told.is_on) == (100_000, 64, True)
    assert defence.engine.snapshot().links[LINK].sieges == 1
