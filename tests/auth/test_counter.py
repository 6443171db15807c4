"""The counter that adopts what it hears. Source: carp.md 1.5."""

from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.counter import AdoptingCounter

COUNTERS = st.integers(0, (1 << 64) - 1)
ALL_ONES = (1 << 64) - 1


def counter(*entropy: int) -> AdoptingCounter:
    return AdoptingCounter(iter(entropy).__next__)


def test_every_number_is_random_until_a_peer_was_heard() -> None:
    """Source: measured on NetBSD and on ucarp, carp.md section 13."""
    made = counter(77, 5, 900)

    assert [made.next() for _ in range(3)] == [77, 5, 900]


def test_more_than_64_bits_of_entropy_are_cut() -> None:
    assert counter((1 << 64) + 3).next() == 3


@given(COUNTERS)
def test_the_number_after_one_heard_is_one_more(heard: int) -> None:
    made = counter()
    made.adopt(heard)

    assert made.next() == (heard + 1) % (1 << 64)


@given(COUNTERS)
def test_a_number_heard_is_never_sent_unchanged(heard: int) -> None:
    """Source: carp.md section 10, OpenBSD drops its own cookie."""
    made = counter()
    made.adopt(heard)

    assert made.next() != heard


def test_it_counts_up_by_one_from_then_on() -> None:
    made = counter()
    made.adopt(41)

    assert [made.next() for _ in range(3)] == [42, 43, 44]


def test_it_wraps_at_64_bits() -> None:
    """Source: measured on ucarp, carp.md 1.5."""
    made = counter()
    made.adopt(ALL_ONES)

    assert [made.next(), made.next()] == [0, 1]


def test_a_smaller_number_is_adopted_as_well() -> None:
    """Source: carp.md 4.3; there is no protection against replays in any real system."""
    made = counter()
    made.adopt(1000)
    made.next()
    made.adopt(3)

    assert made.next() == 4


def test_random_numbers_end_once_a_peer_was_heard() -> None:
    made = counter(77)
    first = made.next()
    made.adopt(1)

    assert (first, made.next()) == (77, 2)
