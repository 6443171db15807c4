"""The text scenarios of ``tests/conformance`` and how they are played."""

from functools import cache
from pathlib import Path

from pycarp.dialects import ALL, UNIVERSAL, by_name
from pycarp.sim.scenario.scenario import Played, play

ROOT = Path(__file__).parent.parent / "conformance"
SCENARIOS = sorted(ROOT.glob("*/*.carp"))
_NAMES = {dialect.name for dialect in ALL}


def title_of(path: Path) -> str:
    """Return a scenario's name for people: its directory and itself."""
    return str(path.relative_to(ROOT).with_suffix(""))


@cache
def played(path: Path) -> Played:
    """Play a scenario; its hosts speak the dialect of its directory, if that is named after one."""
    directory = path.parent.name
    dialect = by_name(directory) if directory in _NAMES else UNIVERSAL
    return play(path.read_text(), name=str(path.relative_to(ROOT.parent.parent)), dialect=dialect)
