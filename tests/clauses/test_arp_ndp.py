"""Section 7 of carp.md, statement by statement: ARP, neighbour discovery, MAC addresses, unicast."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest

from pycarp.core import DropAddresses, HoldAddresses, Transmit
from pycarp.core.inputs import Action
from pycarp.core.state import State
from pycarp.dialects import (
    ALL,
    FREEBSD,
    FREEBSD9,
    NETBSD,
    OPENBSD,
    UCARP,
    UNIVERSAL,
    AddressMac,
    Dialect,
    TtlRule,
)
from pycarp.errors import ConfigError
from pycarp.vocabulary import HostKey, MacAddress, Outgoing
from pycarp.wire import arp, envelope, ethernet, ip, ndp
from tests.support.hosts import LINK, OWN, advert, bench, config, seconds

every_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
REAL = MacAddress.parse("02:00:00:00:00:01")
VIRTUAL = MacAddress.parse("00:00:5e:00:01:2a")
VIP4, VIP6 = IPv4Address("192.168.1.50"), IPv6Address("2001:db8::50")
OWN_ADDRESS = ip_address(OWN.split("/")[0])


def advertised(dialect: Dialect, **settings: Any) -> Outgoing:
    """Return the first advertisement of vhid 42."""
    host = bench(config(dialect=dialect, vhid=42, **settings))
    (sent, *_rest) = [each for each in host.pass_time(to_ns=seconds(10)) if isinstance(each, Transmit)]
    return sent.outgoing


@every_dialect
def test_only_a_master_holds_the_addresses(dialect: Dialect) -> None:
    """carp.md section 7: only a MASTER answers ARP requests and neighbour solicitations for a VIP."""
    host = bench(config(dialect=dialect, advskew=10))
    taken = host.wait_for_hold()
    lost = host.hear(advert())

    assert [type(each) for each in taken if isinstance(each, HoldAddresses | DropAddresses)] == [HoldAddresses]
    assert [type(each) for each in lost if isinstance(each, HoldAddresses | DropAddresses)] == [DropAddresses]


@every_dialect
def test_ucarp_alone_answers_from_the_real_mac(dialect: Dialect) -> None:
    """carp.md section 7: UCARP never uses a virtual MAC for traffic."""
    assert dialect.address_mac is (AddressMac.REAL if dialect is UCARP else AddressMac.VIRTUAL)


@every_dialect
def test_advertisements_come_from_the_virtual_mac_and_ucarps_from_another(dialect: Dialect) -> None:
    """carp.md 1.4 and section 7: 00:00:5e:00:01:VHID, UCARP's with a fifth octet of 00."""
    host = bench(config(vhid=42, dialect=dialect))
    host.wait_for_hold()
    host.report(Action.HOLD, key=HostKey(LINK, 42))
    later = host.pass_time(to_ns=host.now_ns + seconds(3))
    mac = next(effect.outgoing.source_mac for effect in later if isinstance(effect, Transmit))

    assert str(mac) == ("00:00:5e:00:00:2a" if dialect is UCARP else "00:00:5e:00:01:2a")


@pytest.mark.parametrize(
    ("dialect", "own_target", "link_source", "with_reply"),
    [
        (FREEBSD, False, True, False),
        (FREEBSD9, False, True, False),
        (NETBSD, False, True, False),
        (OPENBSD, False, False, False),
        (UCARP, True, True, False),
        (UNIVERSAL, False, False, True),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_form_of_the_gratuitous_arp(
    dialect: Dialect, *, own_target: bool, link_source: bool, with_reply: bool
) -> None:
    """carp.md section 7, table: Ethernet source real with FreeBSD and NetBSD, virtual with OpenBSD; THA own with UCARP.

    Universal sends the reply form as well, because some equipment heeds only one of them (section 12).
    """
    form = dialect.arp

    assert (form.own_target_mac, form.link_source, form.with_reply) == (own_target, link_source, with_reply)


@pytest.mark.parametrize("ethernet_source", [REAL, VIRTUAL], ids=["real", "virtual"])
def test_a_gratuitous_arp_is_a_broadcast_request_for_the_vip_by_the_vip(ethernet_source: MacAddress) -> None:
    """carp.md section 7: request, op 1, broadcast, SPA = TPA = VIP, SHA virtual, THA 0."""
    frame = ethernet.decode(arp.gratuitous(VIP4, VIRTUAL, ethernet_source=ethernet_source))
    packet = arp.decode(frame.payload)

    assert (frame.destination, frame.source) == (ethernet.BROADCAST, ethernet_source)
    assert packet == arp.Arp(
        operation=arp.Operation.REQUEST, sender_mac=VIRTUAL, sender=VIP4, target_mac=arp.ZERO_MAC, target=VIP4
    )


def test_ucarps_gratuitous_arp_names_itself_as_the_target() -> None:
    """carp.md section 7, verified: Eth src, SHA and THA are all the real MAC."""
    packet = arp.decode(ethernet.decode(arp.gratuitous(VIP4, REAL, target_mac=REAL)).payload)

    assert (packet.sender_mac, packet.target_mac) == (REAL, REAL)


def test_an_unsolicited_na_overrides_and_names_the_virtual_mac() -> None:
    """carp.md section 7: to ff02::1, target VIP, Override set, Solicited clear; NetBSD 1.76 names the real MAC.

    Deviation: na-names-the-owner.
    """
    packet = ip.decode_ipv6(ethernet.decode(ndp.unsolicited(VIP6, VIRTUAL)).payload)
    told = ndp.decode(packet.payload, source=packet.source, destination=packet.destination)

    assert packet.destination == IPv6Address("ff02::1")
    assert told == ndp.NeighbourAdvertisement(target=VIP6, target_mac=VIRTUAL, is_override=True, is_solicited=False)


# 7.2 Unicast


@pytest.mark.parametrize("peer", ["192.168.1.5", "2001:db8::5"])
def test_freebsd_sends_to_a_peer_of_either_family_from_the_real_mac(peer: str) -> None:
    """carp.md 7.2: destination = peer, real source MAC."""
    shared = ("192.168.1.50/24",) if ip_address(peer).version == 4 else ("2001:db8::50/64",)
    sent = advertised(FREEBSD, peers=(peer,), addresses=shared)

    assert (str(sent.destination), sent.source_mac) == (peer, None)


def test_freebsd_sends_ttl_255_to_a_peer() -> None:
    """carp.md 7.2: TTL 255 still sent."""
    packet = envelope.packet_of(advertised(FREEBSD, peers=("192.168.1.5",)), identification=1)

    assert ip.decode_ipv4(packet).ttl == 255


def test_freebsd_with_a_peer_does_not_check_the_ttl() -> None:
    """carp.md 7.2: effectively unchecked; 4.2."""
    host = bench(config(dialect=FREEBSD, peers=("192.168.1.5",)))

    host.hear(advert(destination=OWN_ADDRESS, ttl=60, advbase=255, advskew=255))

    assert (FREEBSD.ttl, host.state) == (TtlRule.NOT_WITH_PEERS, State.MASTER)


@pytest.mark.parametrize("dialect", [FREEBSD, OPENBSD], ids=lambda dialect: dialect.name)
def test_kernels_have_one_peer_a_family(dialect: Dialect) -> None:
    """carp.md 7.2, 8.3, 8.4: peer, peer6, carppeer."""
    with pytest.raises(ConfigError, match="2 peers are too many"):
        config(dialect=dialect, peers=("192.168.1.5", "192.168.1.6"))


def test_carppeer_is_ipv4_only() -> None:
    """carp.md 7.2."""
    with pytest.raises(ConfigError, match="no unicast peers with IPv6"):
        config(dialect=OPENBSD, peers=("2001:db8::5",), addresses=("2001:db8::50/64",))


def test_a_host_with_a_carppeer_sends_to_it_alone() -> None:
    """carp.md 7.2, 1.2."""
    sent = advertised(OPENBSD, peers=("192.168.1.5",))

    assert (str(sent.destination), sent.source_mac) == ("192.168.1.5", None)


@pytest.mark.parametrize("dialect", [FREEBSD9, NETBSD, UCARP], ids=lambda dialect: dialect.name)
def test_the_others_have_no_unicast(dialect: Dialect) -> None:
    """carp.md 7.2: UCARP's would fail at the group join; F9 and NetBSD have none."""
    with pytest.raises(ConfigError, match="no unicast peers"):
        config(dialect=dialect, peers=("192.168.1.5",))


def test_ucarp_takes_any_multicast_group() -> None:
    """carp.md 7.2, verified with 239.192.0.5; 1.4: the MAC is derived from it."""
    sent = advertised(UCARP, multicast_group="239.192.0.5")
    frame = ethernet.decode(envelope.frame_of(sent, link_mac=REAL, identification=1))

    assert (str(sent.destination), str(frame.destination)) == ("239.192.0.5", "01:00:5e:40:00:05")


def test_ucarp_can_send_to_the_broadcast_mac_while_the_destination_stays_the_group() -> None:
    """carp.md 1.4: with -M."""
    sent = advertised(UCARP, broadcasts=True)
    frame = ethernet.decode(envelope.frame_of(sent, link_mac=REAL, identification=1))

    assert (str(sent.destination), frame.destination) == ("224.0.0.18", ethernet.BROADCAST)
