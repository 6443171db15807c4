"""What everybody accepts is sent, and what anybody sends is accepted."""

from pycarp.auth.digest import DigestLayout
from pycarp.dialects import UNIVERSAL
from pycarp.dialects.dialect import Claim, Farewell


def test_it_signs_link_locals_and_accepts_both_layouts() -> None:
    """Source: FreeBSD signs those that were configured, carp.md 14; OpenBSD accepts both, carp.md 3.3."""
    assert UNIVERSAL.layouts == (DigestLayout.ORIGINAL, DigestLayout.WITHOUT_LINK_LOCAL)


def test_it_bows_out_and_says_when_it_has_given_way() -> None:
    """Source: dialects.md, recommended default; carp.md section 10, 3."""
    assert (UNIVERSAL.bow_out, UNIVERSAL.farewell) == (Claim(advbase=255, advskew=255, demote=255), Farewell.DROPPED)


def test_it_sends_from_the_virtual_mac() -> None:
    assert str(UNIVERSAL.source_mac(42)) == "00:00:5e:00:01:2a"


def test_demotion_is_graded_so_that_demoted_hosts_still_differ() -> None:
    skews = [UNIVERSAL.claim(1, advskew, 100).advskew for advskew in (0, 50, 100)]

    assert skews == [100, 150, 200]


def test_configured_skews_above_240_stay_distinct() -> None:
    assert UNIVERSAL.claim(1, 254, 0) != UNIVERSAL.claim(1, 253, 0)


def test_an_announcement_is_written_in_both_forms() -> None:
    assert UNIVERSAL.arp.with_reply
    assert not UNIVERSAL.arp.own_target_mac
