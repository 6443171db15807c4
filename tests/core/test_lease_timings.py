"""What keeps a dead or frozen MASTER from answering acts before the fastest peer, and never while all is well."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pycarp.core.effects import HoldAddresses, RenewAddresses
from pycarp.core.inputs import Action, DemotionSet
from pycarp.core.lease_timings import KERNEL_ROUNDS_NS, lease_timings_of
from pycarp.dialects import ALL, UNIVERSAL, Dialect
from pycarp.vocabulary import NS_PER_S
from pycarp.wire.advertisement import BOW_OUT, decode
from tests.support.hosts import KEY, Bench, bench, config, master, seconds

every_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)


@pytest.mark.parametrize(("advbase", "lifetime_s"), [(1, 2), (2, 5), (10, 29), (255, 764)])
def test_the_kernel_is_told_the_most_whole_seconds_that_end_before_a_peer_takes_over(
    advbase: int, lifetime_s: int
) -> None:
    assert lease_timings_of(config(advbase=advbase)).lifetime_s == lifetime_s


@pytest.mark.parametrize("settings", [{"advbase": 0, "advskew": 2}, {"dead_ratio": 1}, {"dead_ratio": 2}])
def test_where_no_whole_seconds_do_the_guardian_is_alone(settings: dict[str, Any]) -> None:
    assert lease_timings_of(config(**settings)).lifetime_s is None


@given(advbase=st.integers(1, 255), advskew=st.integers(0, 254), dialect=st.sampled_from(ALL))
def test_the_guardian_acts_before_the_kernel_and_the_kernel_before_the_fastest_peer(
    advbase: int, advskew: int, dialect: Dialect
) -> None:
    lease_timings = lease_timings_of(config(advbase=advbase, advskew=advskew, dialect=dialect))

    assert lease_timings.lifetime_s is not None
    assert lease_timings.timeout_ns < lease_timings.lifetime_s * NS_PER_S
    assert lease_timings.lifetime_s * NS_PER_S + KERNEL_ROUNDS_NS <= dialect.master_down_ns(advbase, 0, 3)


@given(
    advbase=st.integers(0, 255),
    advskew=st.integers(0, 254),
    dead_ratio=st.integers(1, 255),
    demotion=st.integers(0, 255),
)
@example(advbase=0, advskew=110, dead_ratio=3, demotion=240)
@example(advbase=2, advskew=0, dead_ratio=2, demotion=240)
def test_however_it_is_configured_and_demoted_a_master_that_is_well_is_not_given_up(
    advbase: int, advskew: int, dead_ratio: int, demotion: int
) -> None:
    assume(advbase or advskew)
    lease_timings = lease_timings_of(config(advbase=advbase, advskew=advskew, dead_ratio=dead_ratio))

    gap_ns = lease_timings.longest_gap_ns(UNIVERSAL.claim(advbase, advskew, demotion).interval_ns)

    assert gap_ns <= lease_timings.timeout_ns * 9 // 10


@pytest.mark.parametrize(
    ("advbase", "advskew"), [(1, 0), (1, 64), (1, 254), (2, 254), (0, 1), (0, 2), (0, 110), (0, 250)]
)
@pytest.mark.parametrize("demotion", [0, 255])
def test_a_living_master_gives_a_sign_of_life_with_time_to_spare(advbase: int, advskew: int, demotion: int) -> None:
    host = master(config(advbase=advbase, advskew=advskew))
    host.feed(DemotionSet(None, "test", demotion))
    lease_timings = lease_timings_of(config(advbase=advbase, advskew=advskew))

    signs = signs_of_life(host, until_ns=host.now_ns + seconds(20 if advbase else 2))
    longest_ns = max(later - sooner for sooner, later in pairwise(signs))

    assert longest_ns == lease_timings.longest_gap_ns(host.engine.host_snapshot(KEY).claim.interval_ns)
    spare_ns = seconds(0.45) if advbase else 0
    assert longest_ns + spare_ns <= lease_timings.timeout_ns


def test_no_sign_of_life_comes_so_late_after_an_advertisement_that_peers_would_be_quicker() -> None:
    settings = config(advskew=254)
    host = master(settings)
    change = host.engine.host_snapshot(KEY).last_change
    assert change is not None
    start_ns = change.at_ns
    interval_ns = UNIVERSAL.claim(1, 254, 0).interval_ns
    lease_timings = lease_timings_of(settings)

    signs = [each - start_ns for each in signs_of_life(host, until_ns=start_ns + seconds(30))]

    assert lease_timings.margin_ns is not None
    assert max(each % interval_ns for each in signs) <= lease_timings.margin_ns


@every_dialect
def test_the_plan_of_a_master_is_a_bow_out_where_the_dialect_has_one(dialect: Dialect) -> None:
    effects = bench(config(dialect=dialect)).wait_for_hold()

    (hold,) = [each for each in effects if isinstance(each, HoldAddresses)]
    assert hold.lease_timings is not None
    adverts = [decode(each.payload) for each in hold.lease_timings.bow_out]
    assert [(each.advbase, each.advskew) for each in adverts] == [(BOW_OUT, BOW_OUT)] * bool(dialect.bow_out)


def test_nothing_is_renewed_before_the_addresses_may_be_held() -> None:
    host = bench()
    host.report(Action.DROP)

    assert not any(isinstance(each, RenewAddresses) for each in host.pass_time(to_ns=seconds(3)))


def signs_of_life(host: Bench, *, until_ns: int) -> list[int]:
    """Return when a MASTER renews its addresses while everything comes when it is due."""
    signs = [host.now_ns]
    while host.step.deadline_ns is not None and host.step.deadline_ns < until_ns:
        effects = host.pass_time(to_ns=host.step.deadline_ns)
        signs += [host.now_ns for each in effects if isinstance(each, RenewAddresses) and each.key == KEY]
    return signs
