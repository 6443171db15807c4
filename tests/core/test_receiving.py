"""Which packets a host listens to, and under which reason it counts the other ones."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from pycarp.auth.digest import DigestLayout
from pycarp.core.effects import Transmit
from pycarp.core.events import AdvertisementRejected, Mismatch, PeerMismatch
from pycarp.core.inputs import LinkChanged
from pycarp.core.statistics import DropReason, Statistic
from pycarp.dialects import ALL, FREEBSD, NETBSD, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.vocabulary import Address, Datagram
from pycarp.wire.advertisement import ChecksumForm
from pycarp.wire.checksum import internet_checksum
from tests.support.hosts import (
    KEY,
    LINK,
    OWN,
    PEER,
    Bench,
    advert,
    bench,
    config,
    datagram,
    link,
    published,
    seconds,
)

OWN_ADDRESS = IPv4Address(OWN.partition("/")[0])
V6_OWN = "fe80::3/64"
V6_PEER = IPv6Address("fe80::5")
V6_SHARED = ("192.168.1.50/24", "2001:db8::50/64")
VRRP2 = bytes.fromhex("2101640100010000c0a801320000000000000000")
VRRP2 = VRRP2[:6] + internet_checksum(VRRP2).to_bytes(2, "big") + VRRP2[8:]


def drops(host: Bench) -> dict[DropReason, int]:
    links = host.engine.snapshot().links
    return dict(links[LINK].drops) if LINK in links else {}


def dual(dialect: Dialect = UNIVERSAL) -> Bench:
    """Return a host that shares an address of each family."""
    host = bench(config(dialect=dialect, addresses=V6_SHARED))
    host.feed(LinkChanged(link(OWN, V6_OWN)))
    return host


def heard(packet: Datagram, host: Bench) -> bool:
    host.hear(packet)
    return host.engine.host_snapshot(KEY).peer is not None


def warnings(host: Bench, packet: Datagram, *, at_ns: int = 0) -> list[Mismatch]:
    return [event.mismatch for event in published(host.hear(packet, at_ns=at_ns)) if isinstance(event, PeerMismatch)]


# IPv6


@pytest.mark.parametrize("form", ChecksumForm)
@pytest.mark.parametrize("dialect", [UNIVERSAL, FREEBSD, OPENBSD, NETBSD], ids=lambda dialect: dialect.name)
def test_either_ipv6_checksum_is_accepted(dialect: Dialect, form: ChecksumForm) -> None:
    """Source: carp.md section 2 and 13; plain and pseudo-header sums reject each other on real systems."""
    layout = dialect.layouts[-1]
    packet = advert(source=V6_PEER, addresses=V6_SHARED, checksum=form, layout=layout)

    assert heard(packet, dual(dialect))


def test_an_ipv6_checksum_that_is_neither_is_dropped() -> None:
    packet = advert(source=V6_PEER, addresses=V6_SHARED)
    host = dual()
    host.hear(packet._replace(payload=packet.payload[:6] + b"\x00\x00" + packet.payload[8:]))

    assert drops(host) == {DropReason.CHECKSUM: 1}


def test_an_ipv6_advertisement_counts_as_one() -> None:
    host = dual()
    host.hear(advert(source=V6_PEER, addresses=V6_SHARED))

    assert host.engine.snapshot().statistics[Statistic.RECEIVED_IPV6] == 1


def test_a_family_that_is_not_shared_is_dropped_as_unknown_vhid() -> None:
    """Source: FreeBSD 10 to 13, carp.md 4.2."""
    host = bench()
    host.hear(advert(source=V6_PEER))

    assert drops(host) == {DropReason.OTHER_FAMILY: 1}
    assert host.engine.snapshot().statistics[Statistic.UNKNOWN_VHID] == 1


@pytest.mark.parametrize("layout", DigestLayout)
def test_universal_and_openbsd_accept_both_digests(layout: DigestLayout) -> None:
    """Source: carp.md 3.3."""
    shared = (*V6_SHARED, "fe80::50/64")
    for dialect in (UNIVERSAL, OPENBSD):
        host = bench(config(dialect=dialect, addresses=shared))

        assert heard(advert(addresses=shared, layout=layout), host)


def test_a_peer_that_sums_ipv6_otherwise_is_told_of() -> None:
    packet = advert(source=V6_PEER, addresses=V6_SHARED, checksum=ChecksumForm.PSEUDO, advskew=1)

    assert warnings(dual(), packet) == [Mismatch.CHECKSUM_FORM]


# Unicast


def unicast(**how: object) -> Datagram:
    return advert(destination=OWN_ADDRESS, **how)  # type: ignore[arg-type]


def test_unicast_is_not_even_counted_where_nobody_has_peers() -> None:
    """Source: measured on NetBSD, carp.md section 13."""
    host = bench()

    assert not heard(unicast(), host)
    assert host.engine.snapshot().statistics[Statistic.RECEIVED_IPV4] == 0


def test_unicast_is_heard_where_there_are_peers() -> None:
    assert heard(unicast(), bench(config(peers=("192.168.1.5",))))


def test_unicast_to_another_host_is_not_ours() -> None:
    assert not heard(advert(destination=IPv4Address("192.168.1.4")), bench(config(peers=("192.168.1.5",))))


def test_freebsd_listens_to_unicast_whatever_is_configured() -> None:
    """Source: carp.md 4.2, the destination is not tested."""
    assert heard(unicast(), bench(config(dialect=FREEBSD)))


def test_universal_with_peers_hears_the_group_as_well() -> None:
    assert heard(advert(), bench(config(peers=("192.168.1.5",))))


@pytest.mark.parametrize(("peer", "source"), [("2001:db8::5", "2001:db8::3"), ("fe80::5", "fe80::3")])
def test_a_peer_that_may_be_behind_a_router_is_not_spoken_to_from_a_link_local_address(peer: str, source: str) -> None:
    host = bench(config(addresses=("2001:db8::50/64",), peers=(peer,)))
    host.feed(LinkChanged(link(V6_OWN, "2001:db8::3/64")))
    effects = host.pass_time(to_ns=seconds(3))

    assert [str(effect.outgoing.source) for effect in effects if isinstance(effect, Transmit)] == [source]


def test_openbsd_with_a_peer_hears_unicast_alone() -> None:
    """Source: carp.md 4.2, multicast or unicast as its carppeer."""
    host = bench(config(dialect=OPENBSD, peers=("192.168.1.5",)))

    assert not heard(advert(), host)
    assert drops(host) == {DropReason.OTHER_DESTINATION: 1}
    assert heard(unicast(), host)


def test_ucarp_hears_its_own_group_alone() -> None:
    """Source: carp.md 4.2."""
    host = bench(config(dialect=UCARP, multicast_group="239.192.0.5"))

    assert not heard(advert(), host)
    assert heard(advert(destination=IPv4Address("239.192.0.5")), host)


TTL_PEERS = ("192.168.1.5", "2001:db8::5")
STRANGERS = (IPv4Address("192.168.1.6"), IPv6Address("2001:db8::6"))
WITH_PEER_RULE = [UNIVERSAL, FREEBSD]


def routed(source: Address, *, ttl: int = 254, destination: Address | None = None) -> Datagram:
    return advert(source=source, ttl=ttl, addresses=V6_SHARED, destination=destination)


def with_peers(dialect: Dialect, *peers: str) -> Bench:
    host = bench(config(dialect=dialect, addresses=V6_SHARED, peers=peers))
    host.feed(LinkChanged(link(OWN, "2001:db8::3/64")))
    return host


@pytest.mark.parametrize("to_group", [True, False], ids=["group", "unicast"])
@pytest.mark.parametrize("ttl", [1, 254])
@pytest.mark.parametrize("peer", TTL_PEERS)
@pytest.mark.parametrize("dialect", WITH_PEER_RULE, ids=lambda dialect: dialect.name)
def test_a_configured_peer_may_be_some_routers_away(dialect: Dialect, peer: str, ttl: int, to_group: bool) -> None:
    """Source: carp.md 4.2; FreeBSD 14 and 15, run, accept TTL 1 with `peer` set: the configuration decides."""
    source = ip_address(peer)
    own = OWN_ADDRESS if source.version == 4 else IPv6Address("2001:db8::3")

    assert heard(routed(source, ttl=ttl, destination=None if to_group else own), with_peers(dialect, *TTL_PEERS))


@pytest.mark.parametrize("source", [PEER, IPv6Address("2001:db8::5")], ids=str)
@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_a_lower_ttl_is_a_fault_where_no_peer_is_configured(dialect: Dialect, source: Address) -> None:
    """Source: carp.md 4.2: the TTL of the group is 255, and hop limit 254 is badttl in every FreeBSD."""
    host = bench(config(dialect=dialect, addresses=V6_SHARED if dialect is not UCARP else V6_SHARED[:1]))
    host.feed(LinkChanged(link(OWN, "2001:db8::3/64")))
    host.hear(routed(source))

    assert drops(host) == {DropReason.TTL: 1}


def test_unicast_with_a_lower_ttl_is_a_fault_where_no_peer_is_configured() -> None:
    """FreeBSD listens to it, but the destination says nothing about where it comes from."""
    host = with_peers(FREEBSD)
    host.hear(routed(PEER, destination=OWN_ADDRESS))

    assert drops(host) == {DropReason.TTL: 1}


@pytest.mark.parametrize(("peer", "source"), [(TTL_PEERS[0], TTL_PEERS[1]), (TTL_PEERS[1], TTL_PEERS[0])])
@pytest.mark.parametrize("dialect", WITH_PEER_RULE, ids=lambda dialect: dialect.name)
def test_a_peer_of_one_family_says_nothing_about_the_other(dialect: Dialect, peer: str, source: str) -> None:
    """Source: carp.md 4.2: `peer` and `peer6` are tested each by itself."""
    host = with_peers(dialect, peer)
    host.hear(routed(ip_address(source)))

    assert drops(host) == {DropReason.TTL: 1}


@pytest.mark.parametrize("stranger", STRANGERS, ids=str)
def test_only_the_peers_themselves_may_be_routers_away(stranger: Address) -> None:
    host = with_peers(UNIVERSAL, *TTL_PEERS)
    host.hear(routed(stranger))

    assert drops(host) == {DropReason.TTL: 1}


@pytest.mark.parametrize("stranger", STRANGERS, ids=str)
def test_freebsd_with_a_peer_does_not_ask_who_sent_it(stranger: Address) -> None:
    """Source: carp.md 4.2: the test is whether the configured peer is multicast."""
    assert heard(routed(stranger), with_peers(FREEBSD, *TTL_PEERS))


def test_openbsd_wants_ttl_255_of_a_unicast_peer_too() -> None:
    """Source: carp.md 7.2."""
    host = bench(config(dialect=OPENBSD, peers=("192.168.1.5",)))

    assert not heard(unicast(ttl=254), host)
    assert drops(host) == {DropReason.TTL: 1}


# What is not authentic


def rejection(packet: Datagram) -> tuple[DropReason, str]:
    host = bench(config(addresses=("192.168.1.50/24", "192.168.1.51/24")))
    (event,) = published(host.hear(packet))
    assert isinstance(event, AdvertisementRejected)
    return event.reason, event.finding


def test_another_address_list_is_told_from_another_password() -> None:
    reason, finding = rejection(advert(addresses=("192.168.1.50/24",)))

    assert reason is DropReason.OTHER_ADDRESSES
    assert finding == "same password, other address list: without 192.168.1.51; it signs 192.168.1.50"


def test_another_password_is_not_told_from_a_list_that_cannot_be_guessed() -> None:
    assert rejection(advert(passphrase="hunter2")) == (
        DropReason.NOT_AUTHENTIC,
        "another password, or another address list that cannot be guessed",
    )


def test_a_password_that_netbsds_ifconfig_shortened_is_recognised() -> None:
    """Source: carp.md section 13."""
    listed = ("192.168.1.50/24", "192.168.1.51/24")
    _reason, finding = rejection(advert(passphrase="testpas", addresses=listed))

    assert finding == "same address list, but the password lost its last character there (NetBSD's ifconfig drops it)"


def test_other_address_lists_are_counted_among_the_bad_authentications() -> None:
    host = bench(config(addresses=("192.168.1.50/24", "192.168.1.51/24")))
    host.hear(advert())
    host.hear(advert(passphrase="hunter2", source=IPv4Address("192.168.1.6")))

    counted = host.engine.snapshot().statistics
    assert (counted[Statistic.BAD_AUTHENTICATION], counted[Statistic.BAD_ADDRESS_LIST]) == (2, 1)


# OpenBSD's cookie


def test_openbsd_drops_its_own_cookie() -> None:
    """Source: carp.md 4.2: a loop or a replay."""
    host = bench(config(dialect=OPENBSD))
    host.hear(advert(counter=0x0123_4567_89AB_CDEF))

    assert drops(host) == {DropReason.OWN_COUNTER: 1}
    assert host.engine.snapshot().statistics[Statistic.BAD_AUTHENTICATION] == 1


# Others


def test_vrrp_2_is_told_from_a_short_packet() -> None:
    host = bench()
    host.hear(datagram(VRRP2))

    assert drops(host) == {DropReason.VRRP: 1}


def test_a_vrrp_router_with_our_vhid_is_told_of() -> None:
    """Source: carp.md section 10: the virtual MAC is the same."""
    assert warnings(bench(), datagram(VRRP2)) == [Mismatch.SAME_VRID]


def test_a_short_packet_that_is_no_vrrp_is_just_short() -> None:
    host = bench()
    host.hear(datagram(b"\x21\x01\x02"))

    assert drops(host) == {DropReason.TOO_SHORT: 1}


def test_a_peer_that_advertises_as_often_as_we_do_is_told_of_once_an_hour() -> None:
    """Source: carp.md section 10: never configure equal timing."""
    host = bench(config(advskew=7))
    told = [warnings(host, advert(advskew=7), at_ns=seconds(second)) for second in range(0, 7201, 100)]

    assert [each for each in told if each] == [[Mismatch.EQUAL_CLAIM]] * 3


def test_the_demote_octet_of_an_openbsd_host_is_told_of() -> None:
    """Source: carp.md 6.4: only OpenBSD heeds it."""
    assert warnings(bench(), advert(advskew=1, demote=1)) == [Mismatch.DEMOTE_OCTET]
    assert warnings(bench(config(dialect=OPENBSD)), advert(advskew=1, demote=0)) == []


def test_forged_sources_do_not_fill_the_memory_or_the_log() -> None:
    host = bench(config(advskew=7))
    told = [warnings(host, advert(advskew=7, source=IPv4Address(0x0A000000 + n))) for n in range(1000)]

    assert sum(map(len, told)) == 16


def test_forged_sources_silence_the_warnings_of_real_ones_for_an_hour_at_most() -> None:
    host = bench(config(advskew=7))
    for n in range(16):
        warnings(host, advert(advskew=7, source=IPv4Address(0x0A000000 + n)))

    assert warnings(host, advert(advskew=7), at_ns=seconds(3599)) == []
    assert warnings(host, advert(advskew=7), at_ns=seconds(3601)) == [Mismatch.EQUAL_CLAIM]


def test_what_is_dropped_is_counted_on_its_link() -> None:
    host = bench()
    host.hear(advert(ttl=1))
    host.hear(advert(ttl=1)._replace(link="fxp1"))

    links = host.engine.snapshot().links
    assert [links["fxp0"].drops, links["fxp1"].drops] == [{DropReason.TTL: 1}, {DropReason.NO_HOST_ON_LINK: 1}]
    assert host.engine.snapshot().statistics[Statistic.RECEIVED_IPV4] == 2
