"""NetBSD, as its kernel was measured; what it does with received frames is in tests/vectors."""

from pycarp.dialects import NETBSD
from pycarp.vocabulary import NS_PER_S

TICKS_NS = 20 * NS_PER_S // 1000
"""NetBSD's 100 Hz ticks make intervals up to this much longer. Source: carp.md section 13."""


def test_it_takes_over_as_late_as_the_kernel() -> None:
    """Source: measured, 3.401 to 3.410 s at skew 100."""
    down_ns = NETBSD.master_down_ns(1, 100, 3)

    assert down_ns <= 3_401_000_000
    assert down_ns + TICKS_NS >= 3_410_000_000


def test_it_tolerates_a_peer_of_advbase_3_and_equal_skew() -> None:
    """Source: acceptance.json."""
    assert NETBSD.tolerated_ns(1, 100, 3) == NETBSD.claim(3, 100, 0).interval_ns


def test_it_bows_out() -> None:
    """Source: capture t03."""
    assert NETBSD.bow_out


def test_its_packets_have_identification_0_and_low_delay() -> None:
    """Source: captured."""
    assert (NETBSD.identification, NETBSD.tos) == (0, 0x10)


def test_any_demotion_means_240() -> None:
    """Source: carp.md 6.2."""
    assert NETBSD.claim(1, 100, NETBSD.send_errors.demotion).advskew == 240


def test_a_takeover_is_announced_once() -> None:
    """Source: carp.md section 13."""
    assert NETBSD.announce_again_after is None
    assert not NETBSD.reasserts
