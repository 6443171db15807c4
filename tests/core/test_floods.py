"""Floods enter by the engine's door: counts of what was read in, packet filters and events out, in virtual time."""

from ipaddress import IPv4Address, ip_interface

import pytest

from pycarp.aio.log_records import log_event
from pycarp.core.advertisement_codec import AdvertisementCodec
from pycarp.core.effects import Publish, SetPacketFilter
from pycarp.core.engine import Engine
from pycarp.core.events import FloodChange
from pycarp.core.flood import PacketFilter
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import DatagramReceived, HostAdded, LinkChanged, PacketFilterFailed, PacketsRead
from pycarp.dialects.dialect import Claim
from pycarp.vocabulary import CARP_GROUPS, NS_PER_S, Datagram, Family, HostKey, LinkFacts, Outgoing

LINK = "em0"
PEER = IPv4Address("192.0.2.2")


class FloodedLink:
    """An engine with a BACKUP, the counts of its link, and a MASTER of the same vhid that speaks to it."""

    def __init__(self) -> None:
        self.engine = Engine(entropy=lambda: 1000)
        self.read = 0
        self.now_ns = 0
        self.filters: list[PacketFilter | None] = []
        self.changes: list[FloodChange] = []
        self.kernel_refuses = False
        config = HostConfig(interface=LINK, vhid=1, passphrase="testpass", addresses=["192.0.2.50/24"], advskew=100)
        self.master = AdvertisementCodec(config, lambda: 4711)
        self.engine.handle(LinkChanged(LinkFacts(name=LINK, is_up=True, addresses=(ip_interface("192.0.2.1/24"),))), 0)
        self.engine.handle(HostAdded(config), 0)
        self.count()

    def advertise(self) -> bytes:
        """Pass the next advertisement of the MASTER to the BACKUP; return its digest."""
        (outgoing,) = self.master.compose(Claim(advbase=1, advskew=0), (PEER,), self.now_ns)
        self.hear(outgoing)
        return outgoing.payload[16:20]

    def hear(self, outgoing: Outgoing) -> None:
        self.read += 1
        self.engine.handle(DatagramReceived(datagram(outgoing)), self.now_ns)
        self.count()

    def flood(self, count: int) -> None:
        """Count useless packets that were read within ten milliseconds."""
        self.now_ns += NS_PER_S // 100
        self.read += count
        self.count()

    def reopen(self) -> None:
        self.read = 0
        self.count()

    def count(self) -> None:
        for effect in self.engine.handle(PacketsRead(((LINK, self.read),)), self.now_ns).effects:
            if isinstance(effect, Publish) and isinstance(effect.event, FloodChange):
                self.changes.append(effect.event)
            elif isinstance(effect, SetPacketFilter) and self.kernel_refuses:
                self.engine.handle(PacketFilterFailed(LINK), self.now_ns)
            elif isinstance(effect, SetPacketFilter):
                self.filters.append(effect.packet_filter)


def datagram(outgoing: Outgoing) -> Datagram:
    return Datagram(LINK, Family.IPV4, PEER, CARP_GROUPS[Family.IPV4], 255, outgoing.payload)


def words(packet_filter: PacketFilter | None) -> list[bytes]:
    assert packet_filter is not None
    return [digest.to_bytes(4, "big") for digest in packet_filter.upcoming]


def test_without_a_flood_no_filter_is_set() -> None:
    link = FloodedLink()
    for _ in range(100):
        link.advertise()
        link.flood(5)

    assert link.filters == []


def test_a_flood_is_filtered_and_published() -> None:
    link = FloodedLink()
    link.flood(1000)

    assert link.filters[-1] is not None
    assert link.filters[-1].every > 1
    assert [change.is_on for change in link.changes] == [True]


def test_the_next_advertisements_of_the_master_pass_the_filter() -> None:
    link = FloodedLink()
    link.advertise()
    link.flood(1000)

    passing = words(link.filters[-1])

    assert [link.advertise() in passing for _ in range(3)] == [True, True, True]


def test_what_was_heard_does_not_pass_again() -> None:
    link = FloodedLink()
    link.advertise()
    link.flood(1000)

    heard = link.advertise()

    assert heard not in words(link.filters[-1])


def test_a_constant_counter_passes_as_what_is_repeated() -> None:
    link = FloodedLink()
    (outgoing,) = link.master.compose(Claim(advbase=1, advskew=0), (PEER,), 0)
    for _ in range(2):
        link.hear(outgoing)
    link.flood(1000)

    packet_filter = link.filters[-1]

    assert packet_filter is not None
    assert packet_filter.repeated == (int.from_bytes(outgoing.payload[16:20], "big"),)


def test_when_it_is_quiet_everything_passes_again() -> None:
    link = FloodedLink()
    link.flood(1000)
    for _ in range(20):
        link.now_ns += NS_PER_S
        link.advertise()

    assert link.filters[-1] is None
    assert [change.is_on for change in link.changes] == [True, False]


def test_a_filter_that_the_kernel_refuses_is_tried_again() -> None:
    link = FloodedLink()
    link.kernel_refuses = True
    link.flood(1000)
    link.kernel_refuses = False

    link.flood(1)

    assert len(link.filters) == 1


def test_a_link_that_was_opened_anew_is_filtered_anew() -> None:
    link = FloodedLink()
    link.flood(1000)
    link.reopen()
    link.flood(1000)

    assert len(link.filters) == 2


def test_a_flood_is_a_line_in_the_log_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    key = HostKey(LINK, 1)
    with caplog.at_level("INFO", logger="pycarp"):
        log_event(FloodChange(key=key, at_ns=0, is_on=True, rate=100_000, every=64))
        log_event(FloodChange(key=key, at_ns=0, is_on=False, rate=0, every=1))

    begun, ended = [record.getMessage() for record in caplog.records]
    assert "100000 packets a second of no use arrive; looking at 1 in 64" in begun
    assert ended == f"carp: {key}: all packets are looked at again"


def test_a_flood_is_counted_and_published_for_every_host_of_the_link() -> None:
    link = FloodedLink()
    other = HostConfig(interface=LINK, vhid=2, passphrase="testpass", addresses=["192.0.2.51/24"])
    link.engine.handle(HostAdded(other), 0)
    link.flood(1000)

    assert [change.key.vhid for change in link.changes] == [1, 2]
    assert link.engine.snapshot().links[LINK].floods == 1


def test_an_engine_restored_from_a_checkpoint_goes_on_with_the_flood() -> None:
    link = FloodedLink()
    link.flood(1000)
    link.engine = Engine.from_checkpoint(link.engine.checkpoint(), entropy=lambda: 1000)
    for _ in range(20):
        link.now_ns += NS_PER_S
        link.advertise()

    assert link.filters[-1] is None
    assert [change.is_on for change in link.changes] == [True, False]


def test_a_link_that_was_closed_before_anything_was_read_there_is_forgotten() -> None:
    engine = Engine(entropy=lambda: 0)
    for second, reads in enumerate(((("em0", 0), ("em1", 0)), (("em1", 0),), (("em1", 0),), (("em0", 0), ("em1", 0)))):
        assert not engine.handle(PacketsRead(reads), second * NS_PER_S).effects
