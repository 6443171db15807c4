"""Options of the suite, and what it makes of the surroundings in which it was started."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from pycarp.system import process_groups
from tests.support.isolation import isolate

pytest_plugins = ["pytester"]

# Its descriptors stay open from the first program on; tests that count descriptors must not meet the difference.
process_groups.of_this_process()


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo what a command that runs in this process does to the loggers: a real one ends then."""
    loggers = [logging.getLogger(), logging.getLogger("pycarp")]
    before = [(each, each.level, each.handlers[:]) for each in loggers]
    yield
    for each, level, handlers in before:
        each.setLevel(level)
        each.handlers[:] = handlers


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-transcripts",
        action="store_true",
        help="Record transcripts and generated tables anew instead of comparing with them.",
    )


_LONGEST = (
    "tests/interop/",
    "tests/recipes/",
    "tests/cli/",
    "tests/daemon/",
    "tests/lab/",
)
"""Folders whose tests mostly wait: they are begun first, so that no process ends long after the others."""


class _FilesSideBySide(LoadScopeScheduling):  # type: ignore[misc]
    """Each process takes the next file when it has done one."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Return who runs what under ``pytest -n``."""
    return _FilesSideBySide(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, in each process of ``pytest -n`` alike."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda each: not each.nodeid.startswith(_LONGEST))


# How long an example takes says more about who else uses the machine than about what is tested.
# Who may not write into the checkout keeps no examples: hypothesis would warn of it.
_database = {} if os.access(Path(__file__).parents[1], os.W_OK) else {"database": None}
settings.register_profile("any machine", deadline=None, **_database)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Keep from the programs that tests start what concerns this run alone: its options, and ignored signals.

    A signal that ``nohup``, or ``&`` in a script, has had ignored stays ignored across ``exec``; one that is handled
    gets its default back. This process goes on as if it ignored them.
    """
    os.environ.pop("PYTEST_ADDOPTS", None)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
    if hasattr(config, "workerinput") and os.geteuid() == 0:
        isolate()
