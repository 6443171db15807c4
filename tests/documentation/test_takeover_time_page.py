"""The page on takeover times is true: the dialects compute what it says."""

import re

import pytest

from pycarp import dialects
from pycarp.dialects.rules import DEAD_RATIO
from tests.support.pages import DOCS

PAGE = (DOCS / "explanation" / "takeover-time.md").read_text()
NS_PER_S = 1_000_000_000
ROWS = re.findall(
    r"^\| (\d+) \| (\d+) and (\d+) \| ([\d.]+) s \| ([\d.]+) to ([\d.]+) s \|$",
    PAGE.partition("<!-- the times are computed by a test -->")[2],
    re.MULTILINE,
)


def test_there_are_times() -> None:
    assert len(ROWS) == 5


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_the_times_are_those_of_the_universal_dialect(row: tuple[str, ...]) -> None:
    advbase, masters, backups = map(int, row[:3])
    waits_s = dialects.UNIVERSAL.master_down_ns(advbase, backups, DEAD_RATIO) / NS_PER_S
    interval_s = advbase + masters / 256

    assert [float(each) for each in row[3:]] == [round(each, 2) for each in (waits_s, waits_s - interval_s, waits_s)]


@pytest.mark.parametrize("dialect", dialects.ALL, ids=lambda each: each.name)
def test_the_formulas_are_those_of_the_dialects(dialect: dialects.Dialect) -> None:
    skew_s = 100 / 256
    expected_s = 3 * (1 + skew_s) if dialect is dialects.UCARP else 3 + skew_s

    assert dialect.master_down_ns(1, 100, DEAD_RATIO) == expected_s * NS_PER_S
