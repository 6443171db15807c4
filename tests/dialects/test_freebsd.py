"""FreeBSD 10 and newer, as its sources have it."""

from pycarp.dialects import FREEBSD
from pycarp.dialects.dialect import Farewell


def test_it_leaves_silently() -> None:
    """Source: carp.md 5.3."""
    assert (FREEBSD.bow_out, FREEBSD.farewell) == (None, Farewell.NONE)


def test_it_announces_a_configured_skew_above_240_as_240() -> None:
    """Source: carp.md 6.1."""
    assert FREEBSD.claim(1, 254, 0).advskew == 240


def test_three_send_errors_demote_by_240() -> None:
    """Source: carp.md 6.1, senderr_demotion_factor."""
    budget = FREEBSD.send_errors

    assert (budget.failures, budget.successes, budget.demotion) == (3, 3, 240)


def test_its_tos_is_dscp_56() -> None:
    """Source: carp.md 1.2."""
    assert FREEBSD.tos == 56 << 2


def test_a_takeover_is_announced_once() -> None:
    """Source: carp.md 5.3."""
    assert FREEBSD.announce_again_after is None
    assert not FREEBSD.reasserts


def test_it_takes_its_own_looped_advertisement_for_a_peers() -> None:
    """Source: carp.md 4.4."""
    assert not FREEBSD.drops_own_source
