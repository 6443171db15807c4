"""ucarp 1.5.2, as it was measured; its packets are in tests/vectors."""

from pycarp.dialects import UCARP
from pycarp.dialects.dialect import Farewell


def test_it_shares_exactly_one_address() -> None:
    """Source: carp.md 3.2."""
    assert UCARP.limits.addresses == 1


def test_its_advskew_may_be_255() -> None:
    """Source: carp.md 8.6."""
    assert UCARP.limits.advskew_max == 255


def test_it_leaves_silently_but_bids_farewell_when_it_yields() -> None:
    """Source: captured, carp.md 5.3."""
    assert (UCARP.bow_out, UCARP.farewell) == (None, Farewell.BEFORE)


def test_it_announces_again_with_the_second_later_advertisement() -> None:
    """Source: captured, ARP at 3.031 and 5.031 s."""
    assert UCARP.announce_again_after == 2
    assert UCARP.reasserts


def test_its_advertisements_come_from_a_mac_of_its_own() -> None:
    """Source: captured, carp.md 1.4."""
    assert str(UCARP.source_mac(200)) == "00:00:5e:00:00:c8"


def test_its_announcement_has_its_own_mac_as_the_target() -> None:
    """Source: captured, carp.md section 7."""
    assert UCARP.arp.own_target_mac
    assert not UCARP.arp.with_reply


def test_it_ignores_advertisements_from_its_own_address() -> None:
    """Source: carp.md 4.2."""
    assert UCARP.drops_own_source
