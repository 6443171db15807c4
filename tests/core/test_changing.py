"""New addresses and passwords on a running host: nothing is lost, and nothing is left behind."""

import itertools

import pytest

from pycarp.core.effects import Announce, DropAddresses, HoldAddresses
from pycarp.core.inputs import Action, AdminChanged, HostReconfigured
from pycarp.core.state import State
from pycarp.vocabulary import Family
from tests.support.hosts import KEY, Bench, advert, bench, changes, config, master, seconds, transmitted
from tests.support.segment import Segment

OLD = ("192.168.1.50/24",)
NEW = ("192.168.1.50/24", "192.168.1.51/24")
OTHER = ("192.168.1.52/24",)
SIX = ("2001:db8::50/64",)
LAST = ("192.168.1.51/24", "192.168.1.53/24")


def addresses(*texts: str) -> tuple[object, ...]:
    return config(addresses=texts).addresses


def is_signed_for(host: Bench, listed: tuple[str, ...], *, passphrase: str = "testpass") -> bool:
    """Return True if the next advertisement of a host is signed for these addresses."""
    said = None
    while said is None:
        assert host.step.deadline_ns is not None
        said = next(iter(transmitted(host.pass_time(to_ns=host.step.deadline_ns))), None)
    (expected,) = transmitted_as(listed, passphrase, said.counter)
    return said.digest == expected


def transmitted_as(listed: tuple[str, ...], passphrase: str, counter: int) -> list[bytes]:
    packet = advert(addresses=listed, passphrase=passphrase, counter=counter)
    return [packet.payload[16:]]


def test_a_master_stays_one_when_an_address_is_added() -> None:
    """Kernels bounce through BACKUP and lose three seconds (carp.md 5.3)."""
    host = master()
    effects = host.feed(HostReconfigured(config(addresses=NEW)))

    assert (changes(effects), host.state) == ([], State.MASTER)
    assert [each.addresses for each in effects if isinstance(each, HoldAddresses)] == [addresses(*NEW)]


def test_an_address_that_is_shared_no_longer_is_dropped() -> None:
    host = master(config(addresses=NEW))
    effects = host.feed(HostReconfigured(config(addresses=OLD)))

    (hold,) = [each for each in effects if isinstance(each, HoldAddresses)]
    assert (hold.addresses, hold.previous) == (addresses(*OLD), addresses(NEW[1]))


def test_an_address_that_could_not_be_dropped_yet_is_not_forgotten() -> None:
    host = master(config(addresses=NEW))
    host.feed(HostReconfigured(config(addresses=OLD)))
    effects = host.report(Action.HOLD, error="no such device")
    (drop,) = [each for each in effects if isinstance(each, DropAddresses)]

    assert set(drop.addresses) == set(addresses(*NEW))


def test_new_addresses_are_not_announced_before_they_are_held() -> None:
    host = master(config(addresses=OLD))
    effects = list(host.feed(HostReconfigured(config(addresses=NEW))))
    for _ in range(3):
        assert host.step.deadline_ns is not None
        effects += host.pass_time(to_ns=host.step.deadline_ns)
    held = host.report(Action.HOLD)

    assert [each for each in effects if isinstance(each, Announce)] == []
    assert [each.addresses for each in held if isinstance(each, Announce)] == [addresses(*NEW)]


def test_an_address_that_was_dropped_is_forgotten() -> None:
    host = master(config(addresses=NEW))
    host.feed(HostReconfigured(config(addresses=OLD)))
    host.report(Action.HOLD)
    (drop,) = [each for each in host.feed(AdminChanged(KEY, False)) if isinstance(each, DropAddresses)]

    assert drop.addresses == addresses(*OLD)


def test_a_backup_drops_what_it_shared_before() -> None:
    host = bench(config(addresses=OLD))
    (drop,) = [each for each in host.feed(HostReconfigured(config(addresses=OTHER))) if isinstance(each, DropAddresses)]

    assert set(drop.addresses) == set(addresses(*OLD, *OTHER))


def test_a_host_that_is_leaving_still_bows_out_after_its_addresses_changed() -> None:
    host = master()
    host.feed(AdminChanged(KEY, False))
    host.feed(HostReconfigured(config(addresses=NEW)))
    (said,) = transmitted(host.report(Action.DROP))

    assert said.is_bow_out


def test_without_a_rolling_time_the_new_addresses_are_signed_at_once() -> None:
    host = master(config(addresses=OLD))
    (said,) = transmitted(host.feed(HostReconfigured(config(addresses=NEW))))

    assert [said.digest] == transmitted_as(NEW, "testpass", said.counter)


def test_without_a_rolling_time_the_old_addresses_are_not_accepted() -> None:
    host = bench(config(addresses=OLD))
    host.feed(HostReconfigured(config(addresses=NEW)))
    host.hear(advert(addresses=OLD))

    assert host.engine.host_snapshot(KEY).rejected == 1


@pytest.mark.parametrize("listed", [OLD, NEW], ids=["old", "new"])
def test_within_twice_the_rolling_time_both_are_accepted(listed: tuple[str, ...]) -> None:
    host = bench(config(addresses=OLD))
    host.feed(HostReconfigured(config(addresses=NEW), seconds(60)))
    host.hear(advert(addresses=listed, advskew=200), at_ns=seconds(120) - 1)

    assert host.engine.host_snapshot(KEY).rejected == 0


def test_after_twice_the_rolling_time_the_old_one_is_not() -> None:
    host = bench(config(addresses=OLD))
    host.feed(HostReconfigured(config(addresses=NEW), seconds(60)))
    host.hear(advert(addresses=OLD), at_ns=seconds(120))

    assert host.engine.host_snapshot(KEY).rejected == 1


def test_a_master_signs_as_before_for_the_rolling_time() -> None:
    host = master(config(addresses=OLD))
    host.feed(HostReconfigured(config(addresses=NEW), seconds(2.5)))

    assert [is_signed_for(host, OLD) for _ in range(4)] == [True, True, False, False]


def test_a_master_signs_the_new_way_as_soon_as_a_peer_does() -> None:
    host = master(config(addresses=OLD))
    host.feed(HostReconfigured(config(addresses=NEW), seconds(60)))
    host.hear(advert(addresses=NEW, advskew=100))

    assert is_signed_for(host, NEW)


def test_a_password_can_be_changed_in_the_same_way() -> None:
    host = master(config(passphrase="before"))
    host.feed(HostReconfigured(config(passphrase="after"), seconds(2.5)))

    signed = [is_signed_for(host, OLD, passphrase="before") for _ in range(4)]
    assert signed == [True, True, False, False]


def test_a_backup_waits_for_a_new_family_only_once_it_can_be_advertised() -> None:
    host = bench(config(addresses=OLD))
    host.feed(HostReconfigured(config(addresses=(*OLD, "2001:db8::50/64")), seconds(60)))
    for second in range(1, 50):
        assert changes(host.hear(advert(addresses=OLD, advskew=1), at_ns=seconds(second))) == []


def test_a_backup_waits_no_longer_for_a_family_that_went() -> None:
    both = (*OLD, "2001:db8::50/64")
    host = bench(config(addresses=both))
    host.feed(HostReconfigured(config(addresses=OLD)))
    for second in range(1, 50):
        assert changes(host.hear(advert(addresses=OLD, advskew=1), at_ns=seconds(second))) == []


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "b", "a")], ids="".join)
def test_a_rolling_change_of_three_hosts_moves_nothing(order: tuple[str, ...]) -> None:
    segment = Segment(latency_ns=50_000)
    skews = {"a": 0, "b": 100, "c": 200}
    for number, (name, advskew) in enumerate(skews.items(), 3):
        segment.join(name, config(addresses=OLD, advskew=advskew), own=f"192.168.1.{number}/24")
    segment.run(until_ns=seconds(10))
    before = len(segment.changes)
    for step, name in enumerate(order):
        segment.run(until_ns=seconds(10 + 20 * step))
        segment.submit(name, HostReconfigured(config(addresses=NEW, advskew=skews[name]), seconds(60)))
    segment.run(until_ns=seconds(600))

    assert (segment.masters, segment.changes[before:]) == (["a"], [])


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "b", "a")], ids="".join)
@pytest.mark.parametrize(("old", "new"), list(itertools.permutations([OLD, SIX, (*OLD, *SIX)], 2)))
def test_a_rolling_change_of_the_families_moves_nothing(
    old: tuple[str, ...], new: tuple[str, ...], order: tuple[str, ...]
) -> None:
    segment = Segment(latency_ns=50_000)
    skews = {"a": 0, "b": 100, "c": 200}
    for number, (name, advskew) in enumerate(skews.items(), 3):
        own = (f"192.168.1.{number}/24", f"fe80::{number}/64")
        segment.join(name, config(addresses=old, advskew=advskew), own=own)
    segment.run(until_ns=seconds(10))
    before = len(segment.changes)
    for step, name in enumerate(order):
        segment.run(until_ns=seconds(10 + 25 * step))
        segment.submit(name, HostReconfigured(config(addresses=new, advskew=skews[name]), seconds(60)))
    segment.run(until_ns=seconds(300))

    assert (segment.masters, segment.changes[before:]) == (["a"], [])


def test_a_second_change_may_follow_before_the_first_has_rolled_over_all_hosts() -> None:
    segment = Segment(latency_ns=50_000)
    skews = {"a": 0, "b": 100, "c": 200}
    for number, (name, advskew) in enumerate(skews.items(), 3):
        segment.join(name, config(addresses=OLD, advskew=advskew), own=f"192.168.1.{number}/24")
    segment.run(until_ns=seconds(10))
    before = len(segment.changes)
    changes_to = [(0, "a", NEW), (10, "b", NEW), (15, "a", LAST), (20, "b", LAST), (40, "c", NEW), (50, "c", LAST)]
    for after_s, name, addresses in changes_to:
        segment.run(until_ns=seconds(10 + after_s))
        segment.submit(name, HostReconfigured(config(addresses=addresses, advskew=skews[name]), seconds(60)))
    segment.run(until_ns=seconds(600))

    assert (segment.masters, segment.changes[before:]) == (["a"], [])


def test_a_change_without_a_rolling_time_ends_the_rolling_of_the_one_before() -> None:
    host = bench(config(addresses=OLD))
    host.feed(HostReconfigured(config(addresses=NEW), seconds(60)))
    host.feed(HostReconfigured(config(addresses=LAST)))
    host.hear(advert(addresses=OLD))

    assert host.engine.host_snapshot(KEY).rejected == 1


def test_the_families_of_the_new_addresses_are_advertised() -> None:
    host = master(config(addresses=OLD))
    effects = host.feed(HostReconfigured(config(addresses=(*OLD, "2001:db8::50/64"))))

    assert len(transmitted(effects)) == len(Family)
