"""How long a MASTER is surely the only one, and how much of that is for clean-up."""

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from pycarp.core.lease import lease_of
from pycarp.core.lease_timings import lease_timings_of
from pycarp.dialects import ALL, Dialect
from tests.support.hosts import config, seconds

advskews = st.integers(0, 254)
dialects = st.sampled_from(ALL)


def test_with_advbase_1_it_is_as_patient_as_the_guardian_and_leaves_a_third_of_a_second() -> None:
    lease = lease_of(config())

    assert (lease.timeout_ns, lease.settling_ns) == (seconds(1.75), seconds(0.75))
    assert seconds(0.32) < lease.reserve_ns < seconds(0.35)


@given(advbase=st.integers(1, 255), advskew=advskews, demotion=st.integers(0, 255), dialect=dialects)
def test_a_master_that_is_well_never_comes_near_its_end(
    advbase: int, advskew: int, demotion: int, dialect: Dialect
) -> None:
    settings = config(advbase=advbase, advskew=advskew, dialect=dialect)
    lease = lease_of(settings)
    gap_ns = lease_timings_of(settings).longest_gap_ns(dialect.claim(advbase, advskew, demotion).interval_ns)

    assert lease.reserve_ns > 0
    assert gap_ns + lease.reserve_ns + seconds(0.1) < lease.timeout_ns


@given(advbase=st.integers(1, 255), advskew=advskews, dialect=dialects)
def test_no_peer_that_is_as_patient_as_its_dialect_demands_acts_within_it(
    advbase: int, advskew: int, dialect: Dialect
) -> None:
    settings = config(advbase=advbase, advskew=advskew, dialect=dialect)
    margin_ns = lease_timings_of(settings).margin_ns or 0

    assert margin_ns + lease_of(settings).timeout_ns < dialect.master_down_ns(advbase, 0, 3)


@given(advbase=st.integers(0, 255), ours=advskews, theirs=advskews)
def test_the_one_that_relieves_a_master_waits_longer_than_that_one_cleans_up(
    advbase: int, ours: int, theirs: int
) -> None:
    assume(advbase or (ours and theirs))
    settings = config(advbase=advbase, advskew=ours)

    assert lease_of(replace(settings, advskew=theirs)).reserve_ns <= lease_of(settings).settling_ns
