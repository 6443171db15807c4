"""Which counters come next. Source of what real systems send: carp.md 1.5."""

from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.counter_prediction import WINDOW, CounterPrediction, Freshness

LAST = (1 << 64) - 1


def heard(*counters: int) -> CounterPrediction:
    prediction = CounterPrediction()
    for counter in counters:
        if prediction.follow(counter) is Freshness.UNEXPECTED:
            prediction.begin(counter)
    return prediction


def test_the_numbers_after_one_heard_are_expected() -> None:
    assert heard(41).upcoming(3) == (42, 43, 44)


def test_they_wrap_at_64_bits() -> None:
    assert heard(LAST).upcoming(2) == (0, 1)


@given(st.integers(0, LAST), st.integers(1, WINDOW))
def test_what_comes_after_a_later_number_is_late(counter: int, behind: int) -> None:
    assert heard(counter).is_late((counter - behind) & LAST)
    assert not heard(counter).is_late((counter - WINDOW - behind) & LAST)
    assert not heard(counter).is_late((counter + behind) & LAST)


@given(st.integers(0, LAST), st.integers(1, WINDOW))
def test_what_was_expected_follows(counter: int, ahead: int) -> None:
    assert heard(counter).follow((counter + ahead) & LAST) is Freshness.NEXT


def test_what_was_passed_by_is_not_expected_any_more() -> None:
    prediction = heard(41, 44)

    assert prediction.upcoming(3) == (45, 46, 47)
    assert prediction.follow(43) is Freshness.UNEXPECTED


def test_a_constant_counter_is_noticed_when_it_comes_again() -> None:
    assert heard(7).repeated() == ()
    assert heard(7, 7).repeated() == (7,)


def test_a_number_that_goes_on_is_no_constant_any_more() -> None:
    assert heard(7, 7, 8).repeated() == ()


def test_a_replayed_recording_does_not_crowd_out_the_master_that_lives() -> None:
    prediction = heard(100, 101, 102, *range(10_000, 50_000, 100))

    assert prediction.upcoming(1)[0] == 103


def test_no_more_than_four_series_are_remembered() -> None:
    assert len(heard(*range(0, 100_000, 100)).upcoming(1)) == 4
