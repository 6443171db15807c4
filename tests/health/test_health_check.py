"""How the answers of a check count, without clock or task."""

from typing import Any

import pytest

from pycarp import ConfigError
from pycarp.health import Answer, Check, CheckState, Finding


async def ok() -> None:
    pass


def passes_after(answers: str, **settings: Any) -> str:
    """Return + or - for each answer (o, f, u): whether the check passes after it."""
    check, state = Check(name="web", probe=ok, **settings), CheckState()
    seen = ""
    for each in answers:
        state.record(check, Finding({"o": Answer.OK, "f": Answer.FAIL, "u": Answer.UNKNOWN}[each]), at_s=0)
        seen += "+" if state.passes else "-"
    return seen


@pytest.mark.parametrize(
    ("answers", "settings", "seen"),
    [
        ("oof", {"rise": 2, "fall": 1}, "-+-"),
        ("ofofoo", {"rise": 2}, "-----+"),
        ("offoff", {"rise": 1, "fall": 3}, "++++++"),
        ("offf", {"rise": 1, "fall": 3}, "+++-"),
        ("ouu", {"rise": 1, "fall": 2}, "++-"),
        ("ouuuf", {"rise": 1, "fall": 1, "unknown": Answer.UNKNOWN}, "++++-"),
        ("u", {"rise": 1, "unknown": Answer.OK}, "+"),
        ("fuf", {}, "---"),
    ],
)
def test_rise_and_fall_count_answers_in_a_row(answers: str, settings: dict[str, Any], seen: str) -> None:
    assert passes_after(answers, **settings) == seen


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"every_s": 0.04}, "0.04 s is below 0.05 s"),
        ({"every_s": 0}, "not above 0"),
        ({"timeout_s": -1}, "not above 0"),
        ({"rise": 0}, "rise 0 is not a whole number from 1 to 1000"),
        ({"fall": True}, "fall True"),
        ({"by": 0}, "by=0 does not demote"),
        ({"by": 1.5}, "not a whole number"),
        ({"name": " "}, "not a text"),
        ({"probe": 7}, "cannot be called"),
        ({"unknown": "maybe"}, "is none of ok, fail, unknown"),
    ],
)
def test_a_value_out_of_range_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Check(**{"name": "web", "probe": ok, **settings})


def test_the_timeout_may_exceed_the_interval() -> None:
    assert Check(name="web", probe=ok, every_s=0.05, timeout_s=60).timeout_s == 60
