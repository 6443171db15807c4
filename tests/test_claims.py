"""docs/explanation/claims.md: each line of README's comparison has its evidence, and what is named there exists."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "explanation" / "claims.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", PAGE, re.MULTILINE)][
    2:
]
TESTS = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))


def claims_of_the_readme() -> list[str]:
    (table,) = re.findall(r"## How it compares\n\n\|.*\n\|.*\n((?:\|.*\n)+)", (ROOT / "README.md").read_text())
    return [line.split("|")[1].strip() for line in table.splitlines()]


def test_every_line_of_the_comparison_has_its_evidence() -> None:
    assert [claim for claim, _ours, _theirs in ROWS] == claims_of_the_readme()
    assert all("`tests/" in ours for _claim, ours, _theirs in ROWS)
    assert all(theirs for _claim, _ours, theirs in ROWS)


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_is_named_exists(name: str) -> None:
    path, _colons, function = name.partition("::")

    assert re.search(rf"def {function}\(" if function else "def test_", (ROOT / path).read_text())


def test_a_benchmark_that_is_named_exists() -> None:
    modules = set(re.findall(r"`python -m (benchmarks[\w.]*)", PAGE))

    assert len(modules) == 3
    assert all(find_spec(each) for each in modules)
