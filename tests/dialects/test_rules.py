"""The pure functions that dialects are put together from, each against its source."""

from ipaddress import IPv4Address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pycarp.dialects import Claim, Tie, Verdict, rules
from pycarp.vocabulary import NS_PER_S

OCTET = st.integers(0, 255)
ADVSKEW = st.integers(0, 255)
DEMOTION = st.integers(-1000, 1000)
ADDRESSES = st.ip_addresses(v=4)


def tie(ours: str, theirs: str) -> Tie:
    return Tie(our_source=IPv4Address(ours), their_source=IPv4Address(theirs))


@pytest.mark.parametrize(
    ("advbase", "advskew", "down_ns"),
    [(1, 0, 3_000_000_000), (1, 100, 3_390_625_000), (2, 254, 6_992_187_500)],
)
def test_the_bsds_add_the_skew_once(advbase: int, advskew: int, down_ns: int) -> None:
    """Source: carp.md 5.2, "with advbase 1, skew 100: 3.39 s"."""
    assert rules.master_down_skew_once(advbase, advskew, 3) == down_ns


@pytest.mark.parametrize(("advskew", "measured_s"), [(0, 3.03), (10, 3.148), (100, 4.215), (200, 5.384), (254, 6.004)])
def test_ucarp_triples_the_skew(advskew: int, measured_s: float) -> None:
    """Source: measured, carp.md 5.2."""
    assert rules.master_down_skew_thrice(1, advskew, 3) == pytest.approx(measured_s * NS_PER_S, abs=0.06 * NS_PER_S)


@pytest.mark.parametrize(
    ("advskew", "demotion", "announced"),
    [(100, 0, 100), (100, 40, 140), (100, 240, 240), (0, 480, 240), (250, 0, 240), (100, -40, 60), (100, -500, 0)],
)
def test_freebsd_adds_the_demotion_and_stays_in_0_to_240(advskew: int, demotion: int, announced: int) -> None:
    """Source: carp.md 6.1."""
    assert rules.demote_by_adding(1, advskew, demotion) == Claim(advbase=1, advskew=announced)


@pytest.mark.parametrize(
    ("advskew", "demotion", "announced"),
    [(100, 0, 100), (100, 40, 140), (0, 240, 240), (254, 0, 254), (254, 10, 254), (254, -10, 244), (5, -10, 0)],
)
def test_universal_adds_the_demotion_and_leaves_a_configured_skew_above_240_alone(
    advskew: int, demotion: int, announced: int
) -> None:
    assert rules.demote_by_adding_in_order(1, advskew, demotion) == Claim(advbase=1, advskew=announced)


@given(st.integers(0, 254), st.integers(0, 254), st.integers(0, 1000))
def test_universal_never_turns_the_order_of_two_skews_by_an_equal_demotion(
    lower: int, higher: int, demotion: int
) -> None:
    assume(lower < higher)

    claimed = [rules.demote_by_adding_in_order(1, advskew, demotion).advskew for advskew in (lower, higher)]

    assert claimed == sorted(claimed)
    assert claimed[1] <= 254


@pytest.mark.parametrize("advskews", [(0, 1, 2, 3), (0, 50, 100), (0, 100, 200, 254), (10, 20, 30), (5, 10)])
def test_usual_skews_stay_apart_when_all_are_fully_demoted(advskews: tuple[int, ...]) -> None:
    claimed = [rules.demote_by_adding_in_order(1, advskew, 240).advskew for advskew in advskews]

    assert len(set(claimed)) == len(advskews)


@pytest.mark.parametrize(
    ("advskew", "demotion", "announced"),
    [(100, 0, 100), (100, 1, 240), (100, 480, 240), (250, 1, 250), (100, -1, 100), (240, 1, 240)],
)
def test_netbsd_and_ucarp_announce_240_while_there_is_any_demotion(advskew: int, demotion: int, announced: int) -> None:
    """Source: carp.md 6.2 and 6.3."""
    assert rules.demote_by_suppressing(1, advskew, demotion) == Claim(advbase=1, advskew=announced)


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ((1, 100), (1, 101), Verdict.STRONGER),
        ((1, 101), (1, 100), Verdict.WEAKER),
        ((1, 100), (1, 100), Verdict.TIE),
        ((1, 255), (2, 0), Verdict.STRONGER),
        ((2, 0), (1, 255), Verdict.WEAKER),
    ],
)
def test_the_shorter_interval_wins(ours: tuple[int, int], theirs: tuple[int, int], verdict: Verdict) -> None:
    """Source: carp.md 5.1; acceptance.json for skew 100 against 101."""
    ours_claim = Claim(advbase=ours[0], advskew=ours[1])

    assert rules.faster_wins(ours_claim, Claim(advbase=theirs[0], advskew=theirs[1])) is verdict


@given(OCTET, OCTET)
def test_the_demote_octet_does_not_decide_between_intervals(one: int, other: int) -> None:
    """Source: carp.md 6.4; everybody but OpenBSD ignores it."""
    ours = Claim(advbase=1, advskew=0, demote=one)

    assert rules.faster_wins(ours, Claim(advbase=1, advskew=0, demote=other)) is Verdict.TIE


@given(ours=ADDRESSES, theirs=ADDRESSES)
def test_the_bsds_never_keep_on_a_tie(ours: IPv4Address, theirs: IPv4Address) -> None:
    """Source: carp.md 5.1, equal means yield."""
    assert not rules.never_keep(Tie(our_source=ours, their_source=theirs))


@pytest.mark.parametrize(
    ("theirs", "keeps"), [("11.0.0.1", False), ("10.1.0.2", True), ("10.77.0.2", True), ("10.76.0.1", False)]
)
def test_ucarp_compares_addresses_with_the_last_octet_first(*, theirs: str, keeps: bool) -> None:
    """Source: captured, carp.md 5.1; 11.0.0.1 is 1.0.0.11 backwards, less than 1.0.77.10."""
    assert rules.keep_with_lower_address(tie("10.77.0.1", theirs)) is keeps


@given(ours=ADDRESSES, theirs=ADDRESSES)
def test_of_two_hosts_of_ucarps_rule_exactly_one_keeps(ours: IPv4Address, theirs: IPv4Address) -> None:
    we_keep = rules.keep_with_lower_address(Tie(our_source=ours, their_source=theirs))
    they_keep = rules.keep_with_lower_address(Tie(our_source=theirs, their_source=ours))

    assert we_keep != they_keep or ours == theirs
