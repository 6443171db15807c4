"""Durations as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp import ConfigError
from pycarp.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("500ms", 0.5),
        ("50ms", 0.05),
        ("2s", 2),
        ("1.5s", 1.5),
        ("5m", 300),
        ("5min", 300),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        (" 1h 30 min ", 5400),
        ("0s", 0),
        (2, 2),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_a_number_of_seconds(value: object, seconds: float) -> None:
    assert parse_duration(value, name="every") == seconds


@pytest.mark.parametrize(
    "value",
    ["", " ", "2", "s", "2 weeks", "1.s", "-2s", "2s,", "٢s", True, None, -1, math.nan, math.inf, 10**400, [1], "2S"],
)
def test_anything_else_is_refused_with_the_way_out(value: object) -> None:
    with pytest.raises(ConfigError, match=r'^every .* is no duration; write "500ms", "2s", '):
        parse_duration(value, name="every")


@pytest.mark.parametrize(
    ("value", "words"),
    [("49ms", "every 49ms is below 50ms"), ("25h", "every 1d1h is above 1d"), (0, "0s is below 50ms")],
)
def test_a_duration_out_of_bounds_is_named_with_the_bound(value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_duration(value, name="every", least_s=0.05, most_s=86400)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.05, "50ms"), (1, "1s"), (1.5, "1.5s"), (60, "1min"), (5400, "1h30min"), (90061.25, "1d1h1min1.25s")],
)
def test_a_duration_is_shown_with_its_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**10))
def test_what_is_shown_is_read_as_the_same(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000), name="every") == milliseconds / 1000
