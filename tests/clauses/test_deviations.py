"""docs/reference/deviations.md and the tests of deviations name the same ones; every section is dealt with."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
REFERENCE = TESTS.parent / "docs" / "reference"
PAGE = (REFERENCE / "deviations.md").read_text()
DEVIATIONS, NOT_EMULATED = PAGE.split("## Statements about what pycarp does not emulate")

CLAUSES = sorted(path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))
SECTIONS = re.findall(r"^### ([4-7]\.\d) ", (REFERENCE / "carp.md").read_text(), flags=re.MULTILINE)
OURS = {"5.5"}
"""Of the sections, what is no statement about a system but our own summary of them."""


def sources() -> dict[Path, str]:
    return {path: path.read_text() for path in sorted(TESTS.rglob("test_*.py")) if path != Path(__file__)}


def listed() -> list[str]:
    return re.findall(r"^\| `([a-z0-9-]+)` \|", DEVIATIONS, flags=re.MULTILINE)


def asserted() -> set[str]:
    return {name for text in sources().values() for name in re.findall(r"^    Deviation: ([a-z0-9-]+)\.$", text, re.M)}


def test_every_deviation_that_is_asserted_is_listed_and_the_other_way_round() -> None:
    assert sorted(listed()) == sorted(asserted())


def test_no_deviation_is_listed_twice() -> None:
    assert len(listed()) == len(set(listed()))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_has_a_test_or_is_said_not_to_be_emulated(section: str) -> None:
    cited = any(re.search(rf"carp\.md (?:[^\n]*, )?{re.escape(section)}\b", path.read_text()) for path in CLAUSES)
    is_left_out = re.search(rf"\|[^|]*\b{re.escape(section)}\b[^|]*\|$", NOT_EMULATED, flags=re.MULTILINE) is not None

    assert cited or is_left_out or section in OURS


@pytest.mark.parametrize("path", CLAUSES, ids=lambda path: path.stem)
def test_every_clause_names_its_source(path: Path) -> None:
    tests = re.findall(r'^def (test_\w+)\([^"]*?-> None:\n    """(.*?)"""', path.read_text(), flags=re.M | re.S)
    names = re.findall(r"^def (test_\w+)\(", path.read_text(), flags=re.M)

    assert [name for name, words in tests if "carp.md" in words or "No system" in words] == names
