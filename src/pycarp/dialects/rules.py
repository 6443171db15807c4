"""The small pure functions that dialects are put together from."""

from bisect import bisect_right

from pycarp.dialects.dialect import Claim, Tie, Verdict
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW

DEAD_RATIO = 3
"""Advertisements that may be missed before the MASTER counts as gone."""

_DEMOTE_MAX = 255
_LONGER_THAN_ANY_NS = 1000 * NS_PER_S

DEMOTED_ADVSKEW = 240
"""The advskew of a demoted host; FreeBSD announces no larger one at all."""

_STEPS = (1, 2, 3, 5, 8, 13, 20, 30, 45, 65, 95, 135, 190, 255)
"""How far the sum of advskew and demotion exceeds 240 where the next of the advskews 241 to 254 begins."""


def master_down_skew_once(advbase: int, advskew: int, dead_ratio: int) -> int:
    """Return dead_ratio x advbase + advskew: the skew is added once, not tripled.

    Source: carp_setrun() of FreeBSD and NetBSD; carp.md 5.2.
    """
    return advbase * dead_ratio * NS_PER_S + advskew * NS_PER_SKEW


def master_down_skew_thrice(advbase: int, advskew: int, dead_ratio: int) -> int:
    """Return dead_ratio x (advbase + advskew): what ucarp's polling loop comes to. Source: measured, carp.md 5.2."""
    return (advbase * NS_PER_S + advskew * NS_PER_SKEW) * dead_ratio


def master_down_below_a_second(advbase: int, advskew: int, dead_ratio: int) -> int:
    """Return 3 x advbase + advskew; 3 x advskew when advbase is 0, and 3/256 s when both are. Source: carp.md 5.2."""
    if advbase:
        return master_down_skew_once(advbase, advskew, dead_ratio)
    return master_down_skew_thrice(0, advskew or 1, dead_ratio)


def tolerated_unless_below_a_second(advbase: int, advskew: int, dead_ratio: int) -> int:
    """Return 3 x advbase + advskew; with advbase 0 more than anybody can announce. Source: OpenBSD, carp.md 5.1."""
    return master_down_skew_once(advbase, advskew, dead_ratio) if advbase else _LONGER_THAN_ANY_NS


def demote_by_adding(advbase: int, advskew: int, demotion: int) -> Claim:
    """Return advskew + demotion, held in 0-240. Source: FreeBSD 10 and newer, carp.md 6.1."""
    return Claim(advbase=advbase, advskew=min(max(advskew + demotion, 0), DEMOTED_ADVSKEW))


def demote_by_adding_in_order(advbase: int, advskew: int, demotion: int) -> Claim:
    """Return advskew + demotion up to 240, and in ever larger steps up to 254 what exceeds that.

    FreeBSD announces 240 for any larger sum, and so makes equal what was configured differently. Here hosts that are
    fully demoted keep their order, as long as their sums do not fall into one step. A configured advskew above 240 is
    announced as it is.
    """
    total = max(advskew + demotion, 0)
    if total > DEMOTED_ADVSKEW and demotion > 0:
        total = DEMOTED_ADVSKEW + bisect_right(_STEPS, total - DEMOTED_ADVSKEW)
    return Claim(advbase=advbase, advskew=max(total, advskew if demotion > 0 else 0))


def demote_by_suppressing(advbase: int, advskew: int, demotion: int) -> Claim:
    """Return 240 while there is any demotion and the own advskew is smaller. Source: NetBSD, ucarp, carp.md 6.2."""
    return Claim(advbase=advbase, advskew=max(advskew, DEMOTED_ADVSKEW) if demotion > 0 else advskew)


def demote_by_octet(advbase: int, advskew: int, demotion: int) -> Claim:
    """Return the demotion in an octet of its own, held in 0-255; the skew stays. Source: OpenBSD, carp.md 6.4."""
    return Claim(advbase=advbase, advskew=advskew, demote=min(max(demotion, 0), _DEMOTE_MAX))


def faster_wins(ours: Claim, theirs: Claim) -> Verdict:
    """Compare advertisement intervals; the shorter one is stronger. Source: carp.md 5.1."""
    if ours.interval_ns == theirs.interval_ns:
        return Verdict.TIE
    return Verdict.STRONGER if ours.interval_ns < theirs.interval_ns else Verdict.WEAKER


def less_demoted_then_faster(ours: Claim, theirs: Claim) -> Verdict:
    """Compare the demote octets, then the intervals; less is stronger. Source: OpenBSD, carp.md 5.1."""
    if ours.demote == theirs.demote:
        return faster_wins(ours, theirs)
    return Verdict.STRONGER if ours.demote < theirs.demote else Verdict.WEAKER


def never_keep(_tie: Tie) -> bool:
    """Yield to an equal claim. Source: FreeBSD and NetBSD, carp.md 5.1."""
    return False


def keep_with_lower_address(tie: Tie) -> bool:
    """Keep if the peer's source address is higher, both read with the last octet first.

    ucarp compares the addresses as they lie in the memory of a little-endian machine: 10.77.0.1 yields to
    11.0.0.1, but not to 10.1.0.2. Source: captured, carp.md 5.1.
    """
    return tie.their_source.packed[::-1] > tie.our_source.packed[::-1]
