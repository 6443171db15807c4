"""How modules are named, so that somebody who looks for a thing finds the one file that has it."""

from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "pycarp"
COMMANDS = PACKAGE / "cli"
SAYS_NOTHING = {"base", "command", "common", "helpers", "misc", "util", "utils"}


def modules() -> list[Path]:
    return [each for each in sorted(PACKAGE.rglob("*.py")) if not each.stem.startswith("__")]


def test_no_two_modules_have_the_same_base_name() -> None:
    """Only a command may share the name of what it shows: ``cli/scan.py`` is ``pycarp scan``."""
    found = defaultdict(list)
    for each in modules():
        if each.parent != COMMANDS:
            found[each.stem].append(str(each.relative_to(PACKAGE)))

    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [str(each.relative_to(PACKAGE)) for each in modules() if each.stem in SAYS_NOTHING] == []
