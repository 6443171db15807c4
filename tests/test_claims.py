"""docs/explanation/claims.md: each claim of README has its evidence, and what is named there exists."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "explanation" / "claims.md").read_text()
TESTS = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))
RUNS = r"`python (?:-m benchmarks|packaging/)"
EVIDENCE = rf"`tests/|{RUNS}"
MANUAL = r"`man \d [\w.]+`"


def rows(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|.*\|$", section, re.MULTILINE)[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


CLAIMS = rows("What README says of pycarp")
COMPARISON = rows("The comparison")


def claims_of_the_comparison() -> list[str]:
    (table,) = re.findall(r"## How it compares\n\n\|.*\n\|.*\n((?:\|.*\n)+)", README)
    return [line.split("|")[1].strip() for line in table.splitlines()]


def test_every_line_of_the_comparison_is_there() -> None:
    assert [claim for claim, *_cells in COMPARISON] == claims_of_the_comparison()


@pytest.mark.parametrize("row", [*CLAIMS, *COMPARISON], ids=lambda row: row[0])
def test_what_is_said_of_pycarp_has_a_test_or_something_that_runs(row: list[str]) -> None:
    assert re.search(EVIDENCE, row[1])


@pytest.mark.parametrize("row", COMPARISON, ids=lambda row: row[0])
def test_what_is_said_of_others_has_evidence_or_a_section_of_their_manual(row: list[str]) -> None:
    _claim, _ours, ucarp, keepalived = row

    assert all(re.search(f"{EVIDENCE}|{MANUAL}", cell) for cell in (ucarp, keepalived))


def test_every_bullet_of_the_readme_has_a_claim() -> None:
    bullets = re.findall(r"^- (.*(?:\n  .*)*)", README.partition("## See it")[0], re.MULTILINE)
    words = ("`rc.conf`", "drops its addresses before", "says who is MASTER, and why", "simulate")

    assert len(bullets) == len(words)
    assert all(any(word.lower() in claim.lower() for claim, _shown in CLAIMS) for word in words)


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_is_named_exists(name: str) -> None:
    path, _colons, function = name.partition("::")

    assert re.search(rf"def {function}\(" if function else "def test_", (ROOT / path).read_text())


def test_what_is_named_to_be_run_exists() -> None:
    modules = set(re.findall(r"`python -m (benchmarks[\w.]*)", PAGE))
    programs = set(re.findall(r"`python (packaging/[\w.]*)", PAGE))

    assert len(modules) == 4
    assert all(find_spec(each) for each in modules)
    assert all((ROOT / each).is_file() for each in programs)
