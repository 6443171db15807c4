"""A host that is last of all: any other takes over from it, of every dialect, whether or not that one preempts."""

import pytest

from pycarp.core.demotion import DemotionLedger
from pycarp.core.inputs import DemotionSet, HostRemoved
from pycarp.dialects import ALL, UNIVERSAL, Dialect
from pycarp.dialects.dialect import Claim, Verdict, last_claim
from pycarp.vocabulary import NS_PER_S
from tests.support.hosts import KEY, config
from tests.support.segment import masters_after, segment_of

LAST = DemotionSet(KEY, "check web", 240, is_last=True)
WELL = DemotionSet(KEY, "check web", 0)

every_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)


@every_dialect
def test_a_backup_of_every_dialect_takes_over_at_once_without_preempt(dialect: Dialect) -> None:
    """Source: carp.md 5.1, the last test of BACKUP."""
    made = segment_of(UNIVERSAL, dialect)

    made.submit("a", LAST)

    assert masters_after(made, 0.02) == ["b"]
    assert masters_after(made, 30) == ["b"]


@every_dialect
def test_a_master_of_every_dialect_can_be_last(dialect: Dialect) -> None:
    made = segment_of(dialect, UNIVERSAL)

    made.submit("a", LAST)

    assert masters_after(made, 0.02) == ["b"]


@every_dialect
def test_a_lone_host_goes_on_serving_and_its_claim_recovers(dialect: Dialect) -> None:
    made = segment_of(dialect)
    before = made.snapshot("a").hosts[0].claim

    made.submit("a", LAST)
    assert masters_after(made, 20) == ["a"]
    made.submit("a", WELL)

    assert made.snapshot("a").hosts[0].claim == before


def test_the_better_one_of_two_takes_over() -> None:
    made = segment_of(UNIVERSAL, UNIVERSAL, UNIVERSAL)

    made.submit("a", LAST)

    assert masters_after(made, 0.05) == ["b"]


def test_nobody_takes_over_where_all_are_last_and_the_next_one_does_when_the_master_dies() -> None:
    made = segment_of(UNIVERSAL, UNIVERSAL)
    made.submit("b", LAST)
    made.submit("a", LAST)
    assert masters_after(made, 20) == ["a"]

    made.crash("a")

    assert masters_after(made, 5) == ["b"]


def test_one_that_is_last_no_more_takes_over_from_one_that_is() -> None:
    made = segment_of(UNIVERSAL, UNIVERSAL)
    made.submit("b", LAST)
    made.submit("a", LAST)
    masters_after(made, 10)

    made.submit("b", WELL)

    assert masters_after(made, 2) == ["b"]


def test_below_a_second_a_follower_does_not_wait_for_what_the_master_claims() -> None:
    made = segment_of(UNIVERSAL, UNIVERSAL, advbase=0)
    made.submit("b", LAST)
    made.submit("a", LAST)
    masters_after(made, 5)

    made.crash("a")

    assert masters_after(made, 6) == ["b"]


def test_a_master_that_is_last_advertises_as_often_as_one_that_is_demoted() -> None:
    made = segment_of(UNIVERSAL, UNIVERSAL)
    made.submit("b", LAST)
    made.submit("a", LAST)
    masters_after(made, 10)
    heard_ns = made.snapshot("b").hosts[0].peers[0].at_ns

    assert made.now_ns - heard_ns < 2 * NS_PER_S


def test_a_bow_out_beside_a_master_that_is_last_makes_a_backup_take_over() -> None:
    made = segment_of(UNIVERSAL, UNIVERSAL, UNIVERSAL)
    made.submit("a", LAST)
    masters_after(made, 1)

    made.submit("b", HostRemoved(KEY))

    assert masters_after(made, 0.5) == ["c"]


@every_dialect
def test_the_claim_is_weaker_than_any_other_and_keeps_the_order(dialect: Dialect) -> None:
    best, worst = (last_claim(dialect.claim(1, advskew, 240)) for advskew in (0, 100))

    assert dialect.compare(dialect.claim(1, 254, 240), best) is Verdict.STRONGER
    assert dialect.compare(best, worst) is not Verdict.WEAKER
    assert not worst.is_bow_out
    assert not last_claim(Claim(advbase=1, advskew=255)).is_bow_out


def test_the_ledger_knows_whom_a_cause_makes_last() -> None:
    host, other = config(vhid=1), config(vhid=2)
    ledger = DemotionLedger()

    assert ledger.set(host.key, "web", 240, is_last=True)
    assert not ledger.set(host.key, "web", 240, is_last=True)
    assert (ledger.makes_last(host), ledger.makes_last(other)) == (True, False)
    assert ledger.set(host.key, "web", 240)
    assert not ledger.makes_last(host)

    ledger.set(None, "node", 240, is_last=True)
    assert ledger.makes_last(other)
    ledger.set(None, "node", 0)
    assert not ledger.last

    ledger.set(host.key, "web", 240, is_last=True)
    ledger.forget(host.key)
    assert not ledger.makes_last(host)


def test_a_backup_that_is_last_waits_until_every_other_could_have_taken_over() -> None:
    made = segment_of(UNIVERSAL, UNIVERSAL, UNIVERSAL)
    made.submit("b", LAST)
    masters_after(made, 2)
    before = len(made.changes)

    made.crash("a")

    assert masters_after(made, 6) == ["c"]
    assert len(made.changes) == before + 1
