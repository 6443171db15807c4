"""The code uses the words of the glossary: those on the left of this table are not to come back."""

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "pycarp"
REPLACED = {
    "memento": "checkpoint",
    "speaker": "advertisement codec",
    "reign": "mastership",
    "tenure": "mastership",
    "misfit": "configuration conflict",
    "companion": "guardian process",
    "patience": "timeout",
    "deed": "clean-up step",
    "parcel": "prepared packet",
    "precaution": "lease timings",
    "prolong": "renew",
    "rhythm": "renewal interval",
    "whereabouts": "location",
    "siege": "flood",
    "resident": "host entry",
    "foresight": "counter prediction",
    "disguise": "anonymizer",
    "scribe": "writer",
    "crew": "worker pool",
    "agenda": "event queue",
    "chronicle": "history",
    "happening": "entry",
    "ordeal": "recurring fault",
    "story": "fault plan",
    "stories": "fault plans",
    "computer": "machine",
}
"""Old word, or the stem of it, and what to say; see docs/reference/glossary.md."""


IN_NAMES = {**REPLACED, "told": "what was done: logged, shown, named, described"}
"""The same for names: in a sentence the word may stand."""


def words_of(path: Path) -> set[str]:
    """Return the words that the names in a module are made of, and those of its file name."""
    with path.open("rb") as file:
        names = {token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.NAME}
    parts = re.split(r"_|(?<=[a-z])(?=[A-Z])", "_".join((*names, path.stem)))
    return {each.lower() for each in parts if each}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_names_are_made_of_the_fields_words(path: Path) -> None:
    found = {word: IN_NAMES[stem] for word in words_of(path) for stem in (word, word.rstrip("s")) if stem in IN_NAMES}

    assert not found


def test_pages_are_written_with_the_fields_words() -> None:
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path.name not in ("carp.md", "dialects.md")]
    pattern = re.compile(rf"\b({'|'.join(REPLACED)})s?\b", re.IGNORECASE)

    assert {f"{path.name}: {found[0]}" for path in pages for found in pattern.finditer(path.read_text())} == set()
