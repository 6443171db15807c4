"""The settings of failback: what is legal, and when a window of the day is open."""

from datetime import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp import ConfigError
from pycarp.failback import Damping, FailbackPolicy
from pycarp.placement.damping import PENALTY, Damper
from pycarp.placement.policy import Window

NIGHT, EVENING = Window(time(2), time(4)), Window(time(22), time(1))


@pytest.mark.parametrize(
    ("window", "at", "is_open"),
    [
        (NIGHT, time(1, 59, 59), False),
        (NIGHT, time(2), True),
        (NIGHT, time(3, 59, 59), True),
        (NIGHT, time(4), False),
        (EVENING, time(22), True),
        (EVENING, time(0, 30), True),
        (EVENING, time(1), False),
        (EVENING, time(12), False),
    ],
)
def test_a_window_is_open_from_its_begin_to_just_before_its_end(window: Window, at: time, is_open: bool) -> None:
    assert window.is_open(at) is is_open


@pytest.mark.parametrize(
    ("window", "at", "seconds"),
    [(NIGHT, time(1), 3600), (NIGHT, time(2), 7200), (NIGHT, time(3, 30), 1800), (EVENING, time(23), 7200)],
)
def test_a_window_changes_at_its_next_bound(window: Window, at: time, seconds: float) -> None:
    assert window.changes_in_s(at) == seconds


def test_a_policy_reads_its_window() -> None:
    assert FailbackPolicy(failback="02:00-04:00").window == NIGHT
    assert FailbackPolicy(failback="manual").is_manual
    assert FailbackPolicy().window is None


@pytest.mark.parametrize(
    "settings",
    [
        {"startup_hold_s": -1},
        {"failback_delay_s": "60"},
        {"min_dwell_s": 10**9},
        {"failback": "never"},
        {"failback": "25:00-26:00"},
        {"failback": "02:00-02:00"},
        {"failback": None},
        {"damping": 900},
    ],
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        FailbackPolicy(**settings)


@pytest.mark.parametrize(
    "settings", [{"half_life_s": 0}, {"suppress": 0}, {"reuse": 2000}, {"longest_s": 60.0}, {"suppress": 1.5}]
)
def test_damping_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Damping(**settings)


# Damping


def test_the_penalty_halves_with_every_half_life() -> None:
    damper, damping = Damper(), Damping(half_life_s=100)
    damper.fail(damping, 0)
    damper.decay(damping, 200)

    assert damper.penalty == PENALTY / 4


def test_three_failures_in_a_row_suppress_and_time_ends_it() -> None:
    damper, damping = Damper(), Damping(half_life_s=100)
    for at_s in (0, 1, 2):
        before = damper.is_suppressed
        damper.fail(damping, at_s)
    until_s = damper.until_s(damping)

    assert (before, damper.is_suppressed) == (False, True)
    assert until_s is not None
    assert until_s == pytest.approx(2 + 100 * 1.994, abs=1)
    damper.decay(damping, until_s)
    assert not damper.is_suppressed


def test_one_failure_in_a_half_life_never_suppresses() -> None:
    damper, damping = Damper(), Damping(half_life_s=100)
    for number in range(50):
        damper.fail(damping, 100.0 * number)
        assert not damper.is_suppressed


@given(gaps_s=st.lists(st.floats(0, 5000), min_size=1, max_size=40), half_life_s=st.floats(60, 3000))
def test_a_suppression_ends_within_its_longest_time(gaps_s: list[float], half_life_s: float) -> None:
    damping = Damping(half_life_s=half_life_s, longest_s=3 * half_life_s)
    damper, now_s = Damper(), 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        damper.fail(damping, now_s)
        until_s = damper.until_s(damping)
        assert until_s is None or now_s <= until_s <= now_s + damping.longest_s * 1.0001


@given(gaps_s=st.lists(st.floats(0, 5000), max_size=20))
def test_what_would_suppress_is_what_does(gaps_s: list[float]) -> None:
    damping, damper, now_s = Damping(), Damper(), 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        damper.decay(damping, now_s)
        would = damper.would_suppress(damping)
        damper.fail(damping, now_s)
        assert would == damper.is_suppressed
