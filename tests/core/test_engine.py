"""All hosts behind one door: judging datagrams, finding the host, counting, demoting, and never raising."""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import count

import pytest

from pycarp.core import Announce, Effect, Engine, HoldAddresses, Transmit
from pycarp.core.engine import FULL_DEMOTION, REJECTION_INTERVAL_NS
from pycarp.core.events import AdvertisementRejected, DemotionChange
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    AdminChanged,
    DatagramReceived,
    DemotionSet,
    HostAdded,
    HostReconfigured,
    HostRemoved,
    Input,
    LinkChanged,
    SettingsChanged,
    StateForced,
    TimePassed,
    TransmitReported,
)
from pycarp.core.settings import Settings
from pycarp.core.state import Reason, State
from pycarp.core.statistics import DropReason, Statistic
from pycarp.dialects import ALL, FREEBSD, NETBSD, OPENBSD, UNIVERSAL, Claim, Dialect
from pycarp.vocabulary import CARP_GROUPS, Datagram, Family, HostKey, LinkFacts
from pycarp.wire.checksum import internet_checksum
from tests.support.hosts import (
    KEY,
    OWN,
    PASSPHRASE,
    PEER,
    Bench,
    advert,
    bench,
    changes,
    config,
    datagram,
    link,
    master,
    published,
    seconds,
    transmitted,
)

OTHER = HostKey("fxp0", 2)
SENT_OK = TransmitReported(KEY, None)
SEND_FAILED = TransmitReported(KEY, "network is down")

every_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)


def edited(packet: Datagram, offset: int, octet: int) -> Datagram:
    """Return a datagram with another octet, and with its checksum made right again."""
    octets = bytearray(packet.payload)
    octets[offset] = octet
    octets[6:8] = bytes(2)
    octets[6:8] = internet_checksum(bytes(octets[:36])).to_bytes(2, "big")
    return datagram(bytes(octets), source=IPv4Address(packet.source.packed), ttl=packet.ttl)


def counted(host: Bench, packet: Datagram) -> dict[str, int]:
    """Receive a datagram and return by how much which counters rose."""
    before = Counter(host.engine.snapshot().statistics)
    host.hear(packet)
    return {name.value: count for name, count in (Counter(host.engine.snapshot().statistics) - before).items()}


def elsewhere(packet: Datagram) -> Datagram:
    """Return a datagram as if it had come over another link."""
    return Datagram(
        link="em9",
        family=packet.family,
        source=packet.source,
        destination=packet.destination,
        ttl=packet.ttl,
        payload=packet.payload,
    )


def over_ipv6(packet: Datagram) -> Datagram:
    """Return the same advertisement as if it had come over IPv6."""
    return Datagram(
        link=packet.link,
        family=Family.IPV6,
        source=IPv6Address("fe80::5"),
        destination=CARP_GROUPS[Family.IPV6],
        ttl=packet.ttl,
        payload=packet.payload,
    )


def rejections(effects: tuple[Effect, ...]) -> list[int]:
    return [event.count for event in published(effects) if isinstance(event, AdvertisementRejected)]


def demotions(effects: tuple[Effect, ...]) -> list[tuple[HostKey, int]]:
    return [(event.key, event.total) for event in published(effects) if isinstance(event, DemotionChange)]


# Judging


GOOD = advert()
BROKEN_CHECKSUM = datagram(GOOD.payload[:6] + b"\x00\x00" + GOOD.payload[8:])


@pytest.mark.parametrize(
    ("packet", "drop"),
    [
        (GOOD, None),
        (elsewhere(GOOD), "badif"),
        (advert(ttl=254), "badttl"),
        (advert(ttl=1), "badttl"),
        (datagram(b""), "badlen"),
        (datagram(GOOD.payload[:35]), "badlen"),
        (BROKEN_CHECKSUM, "badsum"),
        (advert(vhid=2), "badvhid"),
        (edited(GOOD, 0, 0x31), "badver"),
        (edited(GOOD, 0, 0x11), "badver"),
        (advert(passphrase="another"), "badauth"),
        (advert(addresses=("192.168.1.51/24",)), "badauth"),
        (edited(GOOD, 8, 0xFF), "badauth"),
        (edited(GOOD, 35, GOOD.payload[35] ^ 1), "badauth"),
    ],
    ids=[
        "accepted",
        "another link",
        "ttl 254",
        "ttl 1",
        "empty",
        "35 octets",
        "checksum",
        "another vhid",
        "version 3",
        "version 1",
        "passphrase",
        "other addresses",
        "counter",
        "digest",
    ],
)
def test_every_drop_is_counted_under_its_name(packet: Datagram, drop: str | None) -> None:
    """Source: carp.md 4.1 and 4.2."""
    rose = counted(bench(), packet)
    rose.pop("badaddrs", None)  # counted beside badauth, where it can be told

    assert rose == {"ipackets": 1, **({drop: 1} if drop else {})}


@pytest.mark.parametrize(
    ("packet", "drop"),
    [
        (elsewhere(advert(ttl=254)), "badif"),
        (datagram(b"", ttl=254), "badttl"),
        (datagram(bytes(35) + b"\x01"), "badsum"),
        (edited(advert(vhid=2), 0, 0x31), "badvhid"),
        (edited(advert(passphrase="another"), 0, 0x31), "badver"),
    ],
    ids=[
        "link before ttl",
        "ttl before length",
        "checksum before vhid",
        "vhid before version",
        "version before digest",
    ],
)
def test_the_checks_come_in_the_order_of_the_kernels(packet: Datagram, drop: str) -> None:
    """Source: carp.md 4.2, F9 and NetBSD."""
    assert counted(bench(), packet) == {"ipackets": 1, drop: 1}


@pytest.mark.parametrize(("offset", "octet"), [(0, 0x20), (0, 0x2F), (3, 0), (4, 77)])
def test_type_authlen_and_demote_octet_are_not_judged(offset: int, octet: int) -> None:
    """Source: carp.md section 13, checks."""
    assert counted(bench(), edited(GOOD, offset, octet)) == {"ipackets": 1}


def test_octets_behind_the_36th_are_not_judged() -> None:
    assert counted(bench(), datagram(GOOD.payload + b"trailer")) == {"ipackets": 1}


@pytest.mark.parametrize("source", ["0.0.0.0", "192.168.1.50", "8.8.8.8"])
def test_any_source_is_accepted(source: str) -> None:
    """Source: carp.md section 13, checks; 192.168.1.50 is the shared address."""
    assert counted(bench(), advert(source=IPv4Address(source))) == {"ipackets": 1}


@pytest.mark.parametrize(
    ("offset", "octet", "claim"),
    [
        (2, 200, Claim(advbase=1, advskew=200)),
        (4, 77, Claim(advbase=1, advskew=0, demote=77)),
        (5, 3, Claim(advbase=3, advskew=0)),
    ],
    ids=["advskew", "demote", "advbase"],
)
def test_the_claim_is_not_under_the_digest(offset: int, octet: int, claim: Claim) -> None:
    """Source: carp.md 3.1, not covered; vectors.json, negative."""
    host = bench()
    host.hear(edited(GOOD, offset, octet))
    peer = host.engine.host_snapshot(KEY).peer

    assert peer is not None
    assert peer.claim == claim


def test_a_host_in_init_is_as_one_that_is_not_there() -> None:
    """Source: carp.md 4.2, "not configured or not UP+RUNNING"."""
    host = bench()
    host.feed(AdminChanged(KEY, is_up=False))

    assert counted(host, GOOD) == {"ipackets": 1, "badvhid": 1}


def test_a_datagram_is_counted_by_its_family() -> None:
    assert "ipackets6" in counted(bench(), over_ipv6(GOOD))


def test_an_advertisement_of_a_family_that_the_host_does_not_share_is_dropped() -> None:
    """Source: carp.md 4.2, F10-13: vhid present and has an address of this family."""
    assert counted(bench(), over_ipv6(GOOD)) == {"ipackets6": 1, "badvhid": 1}


def test_an_advertisement_of_another_family_starts_no_timer() -> None:
    host = bench()
    host.hear(over_ipv6(GOOD), at_ns=0)
    for second in range(1, 6):
        host.hear(advert(counter=second), at_ns=seconds(second))
        host.feed(TimePassed())

    assert host.state is State.BACKUP


def test_the_own_host_is_not_taken_over_by_a_forged_bow_out() -> None:
    host = bench()

    assert changes(host.hear(advert(advbase=255, advskew=255, passphrase="another"))) == []


def test_what_is_disallowed_is_counted_and_ignored() -> None:
    """Source: measured, carp.md section 13; acceptance.json."""
    host = bench(config(preempt=True), settings=Settings(allow=False))

    assert counted(host, advert(advskew=100)) == {"ipackets": 1}
    assert host.state is State.BACKUP


def test_a_disallowed_host_keeps_sending() -> None:
    """Source: measured, carp.md section 13."""
    host = master()
    host.feed(SettingsChanged(Settings(allow=False)))

    assert len(transmitted(host.pass_time(to_ns=seconds(4)))) == 1


def test_what_is_allowed_again_is_heard() -> None:
    host = bench(settings=Settings(allow=False))
    host.feed(SettingsChanged(Settings()))
    host.hear(GOOD)

    assert host.engine.host_snapshot(KEY).peer is not None


# Rejections


def test_the_first_advertisement_that_is_not_authentic_is_told_at_once() -> None:
    (event,) = published(bench().hear(advert(passphrase="another")))

    assert isinstance(event, AdvertisementRejected)
    assert (event.key, event.source, event.count, event.reason) == (KEY, PEER, 1, DropReason.NOT_AUTHENTIC)


def test_further_ones_are_told_once_a_minute_with_their_number() -> None:
    host = bench()
    told = [rejections(host.hear(advert(passphrase="another"), at_ns=seconds(second))) for second in range(121)]

    assert [(second, counts) for second, counts in enumerate(told) if counts] == [(0, [1]), (60, [60]), (120, [60])]


def test_a_rejection_after_a_long_silence_is_told_at_once() -> None:
    host = bench()
    host.hear(advert(passphrase="another"))

    assert rejections(host.hear(advert(passphrase="another"), at_ns=REJECTION_INTERVAL_NS)) == [1]


def test_every_host_tells_of_its_own_rejections() -> None:
    host = bench(config(vhid=1), config(vhid=2))
    first, second = (host.hear(advert(vhid=vhid, passphrase="another")) for vhid in (1, 2))

    assert [event.key for event in published((*first, *second))] == [KEY, OTHER]


def test_a_rejection_does_not_count_as_a_sign_of_life() -> None:
    host = bench()
    host.hear(advert(passphrase="another"), at_ns=seconds(2))

    assert [change.reason for change in changes(host.pass_time(to_ns=seconds(3)))] == [Reason.MASTER_SILENT]


# Echoes


def looped(effects: tuple[Effect, ...], *, source: str = OWN.partition("/")[0]) -> Datagram:
    """Return the advertisement among effects as a looping segment brings it back."""
    (payload,) = [effect.outgoing.payload for effect in effects if isinstance(effect, Transmit)]
    return datagram(payload, source=IPv4Address(source))


def test_our_own_advertisement_that_comes_back_is_counted_and_ignored() -> None:
    """Source: carp.md 4.4; a kernel that does not know it yields to itself for ever."""
    host = master()
    sent = host.pass_time(to_ns=seconds(10))

    assert counted(host, looped(sent)) == {"ipackets": 1, "badif": 1}
    assert host.state is State.MASTER


def test_our_own_advertisement_is_known_also_when_it_comes_back_late() -> None:
    host = master(config(advskew=0))
    host.hear(advert(advskew=100, counter=41))
    late = looped(host.pass_time(to_ns=seconds(10)))
    host.pass_time(to_ns=seconds(11))

    assert counted(host, late) == {"ipackets": 1, "badif": 1}


def test_the_counter_of_our_own_echo_is_not_adopted() -> None:
    numbers = count(100)
    host = Bench(Engine(entropy=lambda: next(numbers) * 1000))
    host.feed(LinkChanged(link()))
    host.feed(HostAdded(config()))
    first = host.pass_time(to_ns=seconds(3))
    (second,) = transmitted(host.pass_time(to_ns=seconds(4)))
    counted(host, looped(first))

    (third,) = transmitted(host.pass_time(to_ns=seconds(5)))
    assert third.counter == second.counter + 1


@pytest.mark.parametrize("dialect", [FREEBSD, NETBSD], ids=lambda dialect: dialect.name)
def test_the_bsds_yield_to_their_own_echo(dialect: Dialect) -> None:
    """Source: carp.md 4.4; acceptance.json for NetBSD."""
    host = master(config(dialect=dialect))
    sent = host.pass_time(to_ns=seconds(4))
    host.hear(looped(sent))

    assert host.state is State.BACKUP


# Sources


def sources(effects: tuple[Effect, ...]) -> list[str]:
    return [str(effect.outgoing.source) for effect in effects if isinstance(effect, Transmit)]


@pytest.mark.parametrize(
    ("own", "source"),
    [
        (("192.168.1.3/24", "10.0.0.1/8"), "192.168.1.3"),
        (("192.168.1.50/24", "192.168.1.3/24"), "192.168.1.3"),
        (("fe80::1/64", "192.168.1.3/24"), "192.168.1.3"),
        (("192.168.1.50/24",), "0.0.0.0"),
        ((), "0.0.0.0"),
    ],
    ids=["the first", "not a shared one", "not of another family", "none but shared ones", "none"],
)
def test_the_source_is_the_first_address_of_the_link_that_is_not_shared(own: tuple[str, ...], source: str) -> None:
    """Source: carp.md 1.2, source address of adverts."""
    host = Bench(Engine(entropy=lambda: 77))
    addresses = tuple(address for each in own for address in link(each).addresses)
    host.feed(LinkChanged(LinkFacts(name="fxp0", is_up=True, addresses=addresses)))
    host.feed(HostAdded(config()))

    assert sources(host.pass_time(to_ns=seconds(3))) == [source]


def test_a_new_address_of_the_link_is_the_source_from_then_on() -> None:
    host = master()
    host.feed(LinkChanged(link("192.168.1.7/24")))

    assert sources(host.pass_time(to_ns=seconds(4))) == ["192.168.1.7"]


def test_an_address_that_left_the_link_is_the_source_no_longer() -> None:
    host = master()
    host.feed(LinkChanged(LinkFacts(name="fxp0", is_up=True)))

    assert sources(host.pass_time(to_ns=seconds(4))) == ["0.0.0.0"]


# Several hosts


def test_an_advertisement_reaches_the_host_of_its_vhid_alone() -> None:
    host = bench(config(vhid=1), config(vhid=2))
    host.hear(advert(vhid=2))

    assert host.engine.host_snapshot(KEY).peer is None
    assert host.engine.host_snapshot(OTHER).peer is not None


def test_the_deadline_is_that_of_the_earliest_host() -> None:
    host = bench(config(vhid=1, advskew=100), config(vhid=2, advskew=50))

    assert host.step.deadline_ns == seconds(3) + 50 * 3_906_250


def test_hosts_whose_time_has_come_react_in_one_step() -> None:
    host = bench(config(vhid=1), config(vhid=2), config(vhid=3, advskew=1))

    assert [change.key.vhid for change in changes(host.pass_time(to_ns=seconds(3)))] == [1, 2]


def test_a_link_concerns_the_hosts_on_it_alone() -> None:
    host = bench()
    host.feed(LinkChanged(LinkFacts(name="em9", is_up=False)))

    assert host.state is State.BACKUP


def test_the_same_host_cannot_be_added_twice() -> None:
    with pytest.raises(AssertionError, match="1@fxp0 was added twice"):
        bench().feed(HostAdded(config()))


def test_a_departed_host_has_nothing_more_to_do_with_its_link() -> None:
    host = bench()
    host.feed(HostRemoved(KEY))
    host.report(Action.DROP)

    assert host.feed(LinkChanged(link(is_up=False))) == ()
    assert counted(host, GOOD) == {"ipackets": 1, "badif": 1}


def test_a_departed_host_can_be_added_again() -> None:
    host = bench()
    host.feed(HostRemoved(KEY))
    host.report(Action.DROP)
    host.feed(HostAdded(config()))

    assert host.state is State.BACKUP


@pytest.mark.parametrize(
    "event",
    [
        HostRemoved(OTHER),
        HostReconfigured(config(vhid=2)),
        AdminChanged(OTHER, is_up=False),
        StateForced(OTHER, State.MASTER),
        TransmitReported(OTHER, "network is down"),
        TransmitReported(OTHER, None),
        ActuationReported(OTHER, 1, Action.DROP, None),
        ActuationReported(OTHER, 1, Action.HOLD, "no such device"),
        DatagramReceived(advert(vhid=2)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_news_of_an_unknown_host_does_nothing(event: Input) -> None:
    assert bench().feed(event) == ()


# Demotion


def test_a_demotion_of_the_node_concerns_every_host() -> None:
    effects = bench(config(vhid=1), config(vhid=2)).feed(DemotionSet(None, "link", 240))

    assert demotions(effects) == [(KEY, 240), (OTHER, 240)]


def test_a_demotion_of_a_host_concerns_it_alone() -> None:
    effects = bench(config(vhid=1), config(vhid=2)).feed(DemotionSet(KEY, "maintenance", 50))

    assert demotions(effects) == [(KEY, 50)]


def test_a_demotion_names_its_causes() -> None:
    host = bench()
    host.feed(DemotionSet(None, "link", 240))
    effects = host.feed(DemotionSet(KEY, "maintenance", 50))

    assert published(effects) == [
        DemotionChange(key=KEY, at_ns=0, total=290, causes=(("link", 240), ("maintenance", 50)))
    ]


@pytest.mark.parametrize("key", [None, KEY], ids=["node", "host"])
def test_setting_the_same_demotion_again_does_nothing(key: HostKey | None) -> None:
    host = master()
    host.feed(DemotionSet(key, "maintenance", 50))

    assert host.feed(DemotionSet(key, "maintenance", 50)) == ()


@every_dialect
def test_a_demoted_master_advertises_its_weaker_claim_at_once(dialect: Dialect) -> None:
    """Source: carp.md 6.1, any change makes all MASTER vhids advertise immediately."""
    host = master(config(dialect=dialect, advskew=10))
    effects = host.feed(DemotionSet(None, "link", 230))

    assert [max(each.advskew, each.demote) for each in transmitted(effects)] == [240 if dialect is not OPENBSD else 230]


def test_a_demotion_that_is_taken_back_is_told_at_once_as_well() -> None:
    host = master(config(advskew=10))
    host.feed(DemotionSet(None, "link", 240))
    effects = host.feed(DemotionSet(None, "link", 0))

    assert demotions(effects) == [(KEY, 0)]
    assert [each.advskew for each in transmitted(effects)] == [10]


def test_a_negative_demotion_promotes() -> None:
    """Source: carp.md 6.1."""
    host = master(config(advskew=100))

    assert [each.advskew for each in transmitted(host.feed(DemotionSet(None, "sysctl", -40)))] == [60]


def test_a_demoted_master_yields_to_whom_it_was_faster_than() -> None:
    host = master(config(advskew=10))
    host.feed(DemotionSet(None, "link", 240))

    assert [change.reason for change in changes(host.hear(advert(advskew=100)))] == [Reason.BETTER_MASTER]


def test_a_host_that_is_added_later_is_demoted_with_the_node() -> None:
    host = bench()
    host.feed(DemotionSet(None, "link", 240))
    host.feed(HostAdded(config(vhid=2)))

    assert host.engine.host_snapshot(OTHER).claim.advskew == 240


def test_a_demotion_of_a_host_goes_with_it() -> None:
    host = bench()
    host.feed(DemotionSet(KEY, "maintenance", 50))
    host.feed(HostRemoved(KEY))
    host.report(Action.DROP)
    host.feed(HostAdded(config()))

    assert host.engine.host_snapshot(KEY).demotion == ()


# Send errors


def test_three_send_errors_demote_the_node() -> None:
    """Source: carp.md 6.1, senderr_demotion_factor."""
    host = bench(config(vhid=1), config(vhid=2))
    told = [demotions(host.feed(SEND_FAILED)) for _ in range(5)]

    assert told == [[], [], [(KEY, 240), (OTHER, 240)], [], []]


def test_three_successes_forgive_the_send_errors() -> None:
    """Source: carp.md 6.1."""
    host = bench()
    for _ in range(7):
        host.feed(SEND_FAILED)
    told = [demotions(host.feed(SENT_OK)) for _ in range(5)]

    assert told == [[], [], [(KEY, 0)], [], []]


def test_successes_forgive_only_when_they_come_in_a_row() -> None:
    host = bench()
    for report in [SEND_FAILED] * 3 + [SENT_OK, SENT_OK, SEND_FAILED, SENT_OK, SENT_OK]:
        host.feed(report)

    assert host.engine.snapshot().demotion == 240


def test_failures_demote_only_when_they_come_in_a_row() -> None:
    """Source: carp.md 6.1, 3 consecutive send errors; ErrorBudget says "in a row"."""
    host = bench()
    for report in [SEND_FAILED, SEND_FAILED, SENT_OK, SEND_FAILED]:
        host.feed(report)

    assert host.engine.snapshot().demotion == 0


def test_forgiven_send_errors_count_from_the_beginning_again() -> None:
    host = bench()
    for report in [SEND_FAILED] * 3 + [SENT_OK] * 3 + [SEND_FAILED] * 2:
        host.feed(report)
    before = host.engine.snapshot().demotion
    host.feed(SEND_FAILED)

    assert (before, host.engine.snapshot().demotion) == (0, 240)


def test_the_send_errors_of_two_hosts_add_up() -> None:
    host = bench(config(vhid=1), config(vhid=2))
    for vhid in (1, 2):
        for _ in range(3):
            host.feed(TransmitReported(HostKey("fxp0", vhid), "network is down"))

    assert host.engine.snapshot().demotion == 480


def test_the_send_errors_of_a_host_go_with_it() -> None:
    host = bench(config(vhid=1), config(vhid=2))
    for _ in range(3):
        host.feed(SEND_FAILED)
    host.feed(HostRemoved(KEY))
    host.report(Action.DROP)

    assert host.engine.snapshot().demotion == 0


@every_dialect
def test_send_errors_demote_in_every_dialect(dialect: Dialect) -> None:
    """Source: carp.md 6.1 to 6.4; OpenBSD tells it in an octet of its own."""
    host = master(config(dialect=dialect))
    for _ in range(3):
        effects = host.feed(SEND_FAILED)

    assert [(each.advskew, each.demote) for each in transmitted(effects)] == [
        (0, 1) if dialect is OPENBSD else (240, 0)
    ]


def test_send_errors_are_counted() -> None:
    host = bench()
    host.feed(SEND_FAILED)
    host.feed(SENT_OK)

    assert host.engine.snapshot().statistics[Statistic.SEND_FAILED] == 1


# Addresses that cannot be held


def taken_over(*, dialect: Dialect = UNIVERSAL) -> Bench:
    """Return a host that has just become MASTER and does not know yet whether it holds its addresses."""
    host = bench(config(dialect=dialect))
    host.wait_for_hold()
    return host


@every_dialect
def test_a_master_that_cannot_hold_its_addresses_is_demoted(dialect: Dialect) -> None:
    host = taken_over(dialect=dialect)

    assert demotions(host.report(Action.HOLD, error="no such device")) == [(KEY, FULL_DEMOTION)]


@every_dialect
def test_a_master_that_cannot_hold_its_addresses_leaves_and_bows_out_if_its_dialect_does(dialect: Dialect) -> None:
    host = taken_over(dialect=dialect)
    left = changes(host.report(Action.HOLD, error="no such device"))
    bow_outs = [each.is_bow_out for each in transmitted(host.report(Action.DROP))]

    assert [(change.new, change.reason) for change in left] == [(State.INIT, Reason.NOT_HELD)]
    assert bow_outs == [True] * (dialect.bow_out is not None)


def test_a_host_that_could_not_hold_its_addresses_leaves_them_to_others_for_a_while() -> None:
    """A bow-out is nothing to it as long as somebody else may take over; silence is, a second later than usual."""
    host = taken_over()
    host.report(Action.HOLD, error="no such device")
    host.report(Action.DROP)
    began_ns = host.now_ns
    host.hear(advert(advbase=255, advskew=255), at_ns=began_ns + seconds(1))
    after_bow_out = host.state
    host.pass_time(to_ns=began_ns + seconds(1.9))

    assert (after_bow_out, host.state) == (State.BACKUP, State.BACKUP)


def test_a_host_that_could_not_hold_its_addresses_is_trusted_again_after_ten_seconds_then_twenty() -> None:
    host = taken_over()
    trusted_after = []
    for _ in range(2):
        host.report(Action.HOLD, error="no such device")
        host.report(Action.DROP)
        failed_ns = host.now_ns
        while host.engine.host_snapshot(KEY).demotion:
            host.hear(advert(), at_ns=host.now_ns + seconds(0.5))
            host.pass_time(to_ns=host.now_ns)
        trusted_after.append(round((host.now_ns - failed_ns) / seconds(1)))
        host.hear(advert(advbase=255, advskew=255))
        host.wait_for_hold()

    assert trusted_after == [10, 20]


def test_a_master_that_holds_them_in_the_end_is_demoted_no_longer() -> None:
    host = taken_over()
    host.report(Action.HOLD, error="no such device")
    host.report(Action.DROP)
    host.wait_for_hold()
    effects = host.report(Action.HOLD)

    assert demotions(effects) == [(KEY, 0)]
    assert [type(effect) for effect in effects].count(Announce) == 1


def test_a_failure_of_an_older_epoch_demotes_nobody() -> None:
    host = taken_over()
    old = host.engine.host_snapshot(KEY).epoch
    host.feed(StateForced(KEY, State.BACKUP))
    host.feed(StateForced(KEY, State.MASTER))

    assert demotions(host.report(Action.HOLD, epoch=old, error="no such device")) == []


def test_a_success_of_an_older_epoch_forgives_nothing() -> None:
    host = taken_over()
    old = host.engine.host_snapshot(KEY).epoch
    host.feed(StateForced(KEY, State.BACKUP))
    host.feed(StateForced(KEY, State.MASTER))
    host.report(Action.HOLD, error="no such device")

    assert demotions(host.report(Action.HOLD, epoch=old)) == []


def test_a_failure_to_drop_demotes_nobody() -> None:
    assert demotions(bench().report(Action.DROP, error="busy")) == []


def test_a_failure_to_announce_demotes_nobody() -> None:
    assert demotions(master().report(Action.ANNOUNCE, error="network is down")) == []


# Counting


def test_what_is_sent_is_counted() -> None:
    host = master()
    for second in (4, 5):
        host.pass_time(to_ns=seconds(second))

    assert host.engine.snapshot().statistics[Statistic.SENT_IPV4] == 3


def test_every_takeover_is_counted() -> None:
    """Source: carp.md 4.1, as OpenBSD counts them."""
    host = master()
    host.feed(StateForced(KEY, State.BACKUP))
    host.feed(StateForced(KEY, State.MASTER))

    assert host.engine.snapshot().statistics[Statistic.PREEMPTED] == 2


# Counters


def counters(effects: tuple[Effect, ...]) -> list[int]:
    return [each.counter for each in transmitted(effects)]


def test_counters_are_random_until_a_peer_was_heard_and_then_follow_it() -> None:
    """Source: carp.md 1.5; measured on NetBSD."""
    numbers = iter([500, 30, 7000])
    host = Bench(Engine(entropy=lambda: next(numbers)))
    host.feed(LinkChanged(link()))
    host.feed(HostAdded(config(dialect=FREEBSD)))
    sent = [*counters(host.pass_time(to_ns=seconds(3))), *counters(host.pass_time(to_ns=seconds(4)))]
    host.hear(advert(advskew=100, counter=41))
    sent += [*counters(host.pass_time(to_ns=seconds(5))), *counters(host.pass_time(to_ns=seconds(6)))]

    assert sent == [500, 30, 42, 43]


def test_a_counter_just_heard_is_never_sent() -> None:
    """Source: carp.md section 10, OpenBSD drops its own cookie."""
    host = master(config(dialect=FREEBSD))
    for second in range(4, 20):
        host.hear(advert(advskew=100, counter=1000))
        assert counters(host.pass_time(to_ns=seconds(second))) == [1001]


def test_an_advertisement_of_ours_is_one_that_a_peer_accepts() -> None:
    sent = looped(bench().pass_time(to_ns=seconds(3)))
    peer = bench(own="192.168.1.5/24")

    assert counted(peer, sent) == {"ipackets": 1}


def test_no_effect_shows_the_secret() -> None:
    host = bench()
    effects = [*host.pass_time(to_ns=seconds(3)), *host.report(Action.HOLD), *host.feed(DemotionSet(None, "x", 1))]

    assert effects
    assert PASSPHRASE not in repr(effects)
    assert PASSPHRASE not in repr(host.engine.snapshot())


def test_a_host_holds_the_addresses_that_it_was_told_to_share() -> None:
    told = replace(config(addresses=("192.168.1.50/24", "192.168.1.51/24")), name="carp0")
    effects = bench(told).wait_for_hold()

    assert [effect.addresses for effect in effects if isinstance(effect, HoldAddresses)] == [told.addresses]
