"""Section 4 of carp.md, statement by statement: which packets are accepted, and how the others are counted."""

from collections import Counter
from ipaddress import ip_address
from itertools import combinations
from typing import Any

import pytest

from pycarp.auth.digest import DigestLayout
from pycarp.core.inputs import AdminChanged, DatagramReceived, SettingsChanged
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.core.statistics import DropReason, Statistic
from pycarp.dialects import ALL, FREEBSD, FREEBSD9, NETBSD, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.errors import ConfigError
from pycarp.vocabulary import Datagram, HostKey
from pycarp.wire import advertisement as wire
from pycarp.wire.checksum import internet_checksum
from tests.support.hosts import KEY, LINK, OWN, Bench, advert, bench, config, datagram, master, seconds, transmitted

every_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
KERNELS = [FREEBSD, FREEBSD9, OPENBSD, NETBSD]
every_kernel = pytest.mark.parametrize("dialect", KERNELS, ids=lambda dialect: dialect.name)
OWN_ADDRESS = ip_address(OWN.split("/")[0])


def drops(host: Bench) -> Counter[DropReason]:
    return sum((link.drops for link in host.engine.snapshot().links.values()), Counter[DropReason]())


def heard(host: Bench) -> bool:
    return host.engine.host_snapshot(KEY).peer is not None


def counts(host: Bench) -> dict[str, int]:
    return {name.value: count for name, count in host.engine.snapshot().statistics.items() if count}


def altered(packet: Datagram, at: int, *octets: int) -> Datagram:
    """Return a packet with other octets and a checksum that fits."""
    changed = bytearray(packet.payload)
    changed[at : at + len(octets)] = octets
    fields = wire.decode(bytes(changed))
    return packet._replace(payload=wire.encode(fields) + bytes(changed[wire.LENGTH :]))


# 4.1 Statistics


def test_there_are_sixteen_counters_in_the_order_of_the_bsds() -> None:
    """carp.md 4.1."""
    assert [counter.value for counter in Statistic] == [
        *("ipackets", "ipackets6", "badif", "badttl", "hdrops", "badsum", "badver", "badlen", "badauth", "badvhid"),
        *("badaddrs", "opackets", "opackets6", "onomem", "ostates", "preempt"),
    ]


def test_an_address_list_that_differs_is_counted_where_it_can_be_told() -> None:
    """carp.md 4.1: the kernels declare badaddrs and never use it.

    Deviation: badaddrs-counts.
    """
    host = bench(config(addresses=("192.168.1.50/24", "192.168.1.51/24")))

    host.hear(advert(addresses=("192.168.1.50/24",)))

    assert counts(host) == {"ipackets": 1, "badauth": 1, "badaddrs": 1}


@every_dialect
def test_every_takeover_counts_as_a_preemption(dialect: Dialect) -> None:
    """carp.md 4.1: only OpenBSD counts here, and every BACKUP to MASTER.

    Deviation: preempt-counts-everywhere.
    """
    assert counts(master(config(dialect=dialect)))["preempt"] == 1


def test_ucarp_is_counted_like_the_others() -> None:
    """carp.md 4.1: UCARP keeps no counters.

    Deviation: ucarp-has-counters.
    """
    host = bench(config(dialect=UCARP))

    host.hear(advert(ttl=1))

    assert counts(host) == {"ipackets": 1, "badttl": 1}


# 4.2 Order of the checks

FAULTS: dict[str, Any] = {
    "badttl": {"ttl": 254},
    "badlen": {"length": 35},
    "badsum": {"checksum": True},
    "badvhid": {"vhid": 2},
    "badver": {"version": 3},
    "badauth": {"passphrase": "guessed"},
}


def faulty(*names: str) -> Datagram:
    """Return an advertisement with several faults."""
    faults = {key: value for name in names for key, value in FAULTS[name].items()}
    packet = advert(
        ttl=faults.get("ttl", 255), vhid=faults.get("vhid", 1), passphrase=faults.get("passphrase", "testpass")
    )
    if "version" in faults:
        packet = altered(packet, 0, 0x31)
    payload = packet.payload
    if "checksum" in faults:
        payload = payload[:6] + bytes(octet ^ 0x55 for octet in payload[6:8]) + payload[8:]
    return packet._replace(payload=payload[: faults.get("length", len(payload))])


@every_dialect
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_counter(dialect: Dialect, fault: str) -> None:
    """carp.md 4.1, 4.2."""
    host = bench(config(dialect=dialect))

    host.hear(faulty(fault))

    assert counts(host) == {"ipackets": 1, fault: 1}


@every_dialect
@pytest.mark.parametrize(("first", "second"), list(combinations(FAULTS, 2)))
def test_the_first_fault_decides_in_the_order_of_the_older_kernels(dialect: Dialect, first: str, second: str) -> None:
    """carp.md 4.2: F9, F10-13, OpenBSD and NetBSD test TTL, length, checksum, vhid, version, digest.

    FreeBSD 14 and 15 test the TTL later, UCARP the version before the vhid and the checksum after both.

    Deviation: one-order-of-checks.
    """
    host = bench(config(dialect=dialect))

    host.hear(faulty(first, second))

    assert counts(host) == {"ipackets": 1, first: 1}


@every_dialect
def test_allow_off_counts_what_is_received_and_drops_it_silently(dialect: Dialect) -> None:
    """carp.md 4.2: received++, then allow."""
    host = bench(config(dialect=dialect))
    host.feed(SettingsChanged(Settings(allow=False)))

    host.hear(faulty("badttl"))

    assert counts(host) == {"ipackets": 1}


def test_a_link_without_a_host_is_a_bad_interface() -> None:
    """carp.md 4.2: parent has no carp: badif."""
    host = bench()

    host.feed(DatagramReceived(advert()._replace(link="em9")))

    assert counts(host) == {"ipackets": 1, "badif": 1}


@every_dialect
def test_a_vhid_that_is_not_up_is_as_one_that_is_not_there(dialect: Dialect) -> None:
    """carp.md 4.2: vhid not configured, or carp not UP and RUNNING: badvhid."""
    host = bench(config(dialect=dialect))
    host.feed(AdminChanged(KEY, is_up=False))

    host.hear(advert())

    assert counts(host) == {"ipackets": 1, "badvhid": 1}


@pytest.mark.parametrize("dialect", [each for each in ALL if each is not UCARP], ids=lambda dialect: dialect.name)
def test_a_family_of_which_no_address_is_shared_is_an_unknown_vhid(dialect: Dialect) -> None:
    """carp.md 4.2: F10 and newer want an address of the family; the others do not ask.

    Deviation: family-is-asked-for.
    """
    host = bench(config(dialect=dialect, addresses=("2001:db8::50/64",)))

    host.hear(advert(addresses=("2001:db8::50/64",)))

    assert counts(host) == {"ipackets": 1, "badvhid": 1}


def test_freebsd_asks_for_ttl_255_of_what_came_to_the_group() -> None:
    """carp.md 4.2: FreeBSD 15 means to, but by the octet order of its test does not for IPv4.

    Deviation: freebsd-15-ttl.
    """
    host = bench(config(dialect=FREEBSD))

    host.hear(advert(ttl=64))

    assert counts(host) == {"ipackets": 1, "badttl": 1}


def test_openbsd_asks_for_ttl_255_of_a_unicast_peer() -> None:
    """carp.md 4.2, 7.2."""
    host = bench(config(dialect=OPENBSD, peers=("192.168.1.5",)))

    host.hear(advert(destination=OWN_ADDRESS, ttl=64))

    assert counts(host) == {"ipackets": 1, "badttl": 1}


@pytest.mark.parametrize(
    ("peers", "destination", "dropped"),
    [((), None, {}), (("192.168.1.5",), OWN_ADDRESS, {}), (("192.168.1.5",), None, {"badvhid": 1})],
    ids=["group to group", "unicast to peer", "group to peer"],
)
def test_openbsd_matches_the_kind_of_the_peer(
    peers: tuple[str, ...], destination: Any, dropped: dict[str, int]
) -> None:
    """carp.md 4.2: multicast packet with multicast peer, unicast with carppeer, else badvhid."""
    host = bench(config(dialect=OPENBSD, peers=peers))

    host.hear(advert(destination=destination))

    assert counts(host) == {"ipackets": 1, **dropped}


@pytest.mark.parametrize("layout", DigestLayout)
def test_openbsd_accepts_two_digests(layout: DigestLayout) -> None:
    """carp.md 4.2: HMAC, two variants."""
    addresses = ("192.168.1.50/24", "fe80::50/64")
    host = bench(config(dialect=OPENBSD, addresses=addresses))

    host.hear(advert(addresses=addresses, layout=layout))

    assert counts(host) == {"ipackets": 1}


def test_openbsd_drops_its_own_cookie_as_not_authentic() -> None:
    """carp.md 4.2: on a simplex interface, which every Ethernet is."""
    host = bench(config(dialect=OPENBSD))
    cookie = transmitted(host.pass_time(to_ns=seconds(3)))[0].counter

    host.hear(advert(counter=cookie))

    assert (host.state, drops(host)) == (State.MASTER, {DropReason.OWN_COUNTER: 1})


def test_netbsd_accepts_its_own_source_address() -> None:
    """carp.md 4.2: it drops it only on a parent that is not simplex; section 13: accepted on Ethernet."""
    host = master(config(dialect=NETBSD))

    host.hear(advert(source=OWN_ADDRESS))

    assert host.state is State.BACKUP


def test_ucarp_drops_what_comes_from_its_own_address() -> None:
    """carp.md 4.2: source equals srcip."""
    host = master(config(dialect=UCARP))

    host.hear(advert(source=OWN_ADDRESS))

    assert (host.state, drops(host)) == (State.MASTER, {DropReason.LOOPED: 1})


@pytest.mark.parametrize(("group", "heard"), [("224.0.0.18", False), ("239.192.0.5", True)])
def test_ucarp_listens_to_exactly_its_group(group: str, *, heard: bool) -> None:
    """carp.md 4.2: destination equals the configured multicast address."""
    host = bench(config(dialect=UCARP, multicast_group="239.192.0.5"))

    host.hear(advert(destination=ip_address(group)))

    assert (drops(host) == {}) is heard


def test_ucarp_hears_no_unicast() -> None:
    """carp.md 4.2: it does not accept unicast advertisements."""
    host = bench(config(dialect=UCARP))

    host.hear(advert(destination=OWN_ADDRESS))

    assert counts(host) == {}


def test_freebsd_9_and_10_do_not_look_at_the_destination() -> None:
    """carp.md 1.2, 4.2; section 11, "rx dst checked"."""
    for dialect in (FREEBSD, FREEBSD9):
        host = bench(config(dialect=dialect))
        host.hear(advert(destination=OWN_ADDRESS, advbase=255, advskew=255))
        assert host.state is State.MASTER


@every_dialect
@pytest.mark.parametrize(("at", "octet"), [(3, 0), (4, 77)], ids=["authlen", "demote"])
def test_authlen_and_the_fourth_octet_are_not_validated(dialect: Dialect, at: int, octet: int) -> None:
    """carp.md 1.1, 4.2: no implementation validates them."""
    host = bench(config(dialect=dialect))

    host.hear(altered(advert(), at, octet))

    assert drops(host) == {}


@every_dialect
@pytest.mark.parametrize("octets", [b"trailing octets", bytes(8), bytes(64), bytes(200), b"\xff" * 1400])
def test_octets_behind_the_36th_are_not_looked_at(dialect: Dialect, octets: bytes) -> None:
    """carp.md section 2, 13: others than FreeBSD 15 sum exactly 36.

    Deviation: freebsd-15-sums-all.
    """
    host = bench(config(dialect=dialect))
    packet = advert()

    host.hear(packet._replace(payload=packet.payload + octets))

    assert (drops(host), heard(host)) == ({}, True)


@pytest.mark.parametrize("dialect", [each for each in ALL if each is not UCARP], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("octets", [b"trailing octets", bytes(64), b"\xff" * 1400])
@pytest.mark.parametrize("form", wire.ChecksumForm)
def test_nor_are_they_over_ipv6(dialect: Dialect, octets: bytes, form: wire.ChecksumForm) -> None:
    """carp.md section 2: with the pseudo-header it is that of 36 octets as well."""
    shared = ("192.168.1.50/24", "2001:db8::50/64")
    host = bench(config(dialect=dialect, addresses=shared))
    packet = advert(source=ip_address("fe80::5"), addresses=shared, checksum=form, layout=dialect.layouts[-1])

    host.hear(packet._replace(payload=packet.payload + octets))

    assert (drops(host), heard(host)) == ({}, True)


@every_dialect
@pytest.mark.parametrize("vhid", [1, 2])
def test_vrrp_that_is_long_enough_for_carp_is_told_from_it(dialect: Dialect, vhid: int) -> None:
    """carp.md section 10: with five addresses and more kernels count version 2 as badvhid or badauth.

    Deviation: vrrp-is-told-apart.
    """
    five = bytes((0x21, vhid, 100, 5, 0, 1, 0, 0)) + bytes(range(1, 21)) + bytes(8)
    payload = wire.with_checksum(five, internet_checksum(five).to_bytes(2, "big"))
    host = bench(config(dialect=dialect))

    host.hear(datagram(payload))

    assert (len(payload), drops(host)) == (wire.LENGTH, {DropReason.VRRP: 1})
    assert counts(host) == {"ipackets": 1, "badlen": 1}


# 4.3 Replay protection


@every_dialect
def test_a_recorded_advertisement_is_accepted_again(dialect: Dialect) -> None:
    """carp.md 4.3: none has replay protection."""
    host = bench(config(dialect=dialect))
    for second in range(1, 8):
        host.hear(advert(counter=41), at_ns=seconds(second))

    assert (host.state, drops(host)) == (State.BACKUP, {})


@every_dialect
def test_counters_need_not_grow(dialect: Dialect) -> None:
    """carp.md 4.3: a strictly increasing counter breaks with every real peer."""
    host = bench(config(dialect=dialect))
    for number, counter in enumerate((1 << 63, 5, 5, 4)):
        host.hear(advert(counter=counter), at_ns=seconds(number))

    assert drops(host) == {}


@every_dialect
def test_an_edited_skew_takes_mastership_down(dialect: Dialect) -> None:
    """carp.md 4.3: our own frame, its advskew edited and the checksum fixed, from another address."""
    host = bench(config(dialect=dialect, advskew=100))
    own = host.pass_time(to_ns=seconds(10))
    sent = transmitted(own)[0]
    edited = sent._replace(advskew=0, counter=sent.counter)
    host.hear(datagram(wire.encode(edited)))

    assert host.state is (State.MASTER if dialect is OPENBSD else State.BACKUP)


# 4.4 Own packets and duplicate vhids


@every_kernel
def test_kernels_yield_to_their_own_echo_but_for_openbsd(dialect: Dialect) -> None:
    """carp.md 4.4: no detection of own packets in FreeBSD; OpenBSD's cookie does it."""
    host = bench(config(dialect=dialect))
    echo = transmitted(host.pass_time(to_ns=seconds(3)))[0]

    host.hear(datagram(wire.encode(echo), source=OWN_ADDRESS))

    assert host.state is (State.MASTER if dialect is OPENBSD else State.BACKUP)


def test_universal_ignores_its_own_echo() -> None:
    """carp.md 4.4: for Linux, ignore frames from the own source address and with the own digest."""
    host = bench(config(dialect=UNIVERSAL))
    echo = transmitted(host.pass_time(to_ns=seconds(3)))[0]

    host.hear(datagram(wire.encode(echo), source=OWN_ADDRESS))

    assert (host.state, drops(host)) == (State.MASTER, {DropReason.LOOPED: 1})


@every_dialect
def test_a_vhid_exists_once_on_an_interface(dialect: Dialect) -> None:
    """carp.md 4.4: the kernels refuse a second; with FreeBSD 10 its addresses join the first.

    Deviation: one-host-a-vhid.
    """
    host = bench(config(dialect=dialect))

    with pytest.raises(AssertionError, match="added twice"):
        bench(config(dialect=dialect), config(dialect=dialect))
    assert host.engine.host_snapshot(HostKey(LINK, 1)).key == KEY


def test_vhid_0_does_not_exist() -> None:
    """carp.md 4.2: the loop test of vhid 0 has nothing to test."""
    with pytest.raises(ConfigError, match="vhid 0 is outside 1-255"):
        config(vhid=0)
