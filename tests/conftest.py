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


_FIRST = ("tests/cli/", "tests/daemon/", "tests/interop/", "tests/lab/")
"""Tests that share locks, sockets and names of this machine, so that one process runs them."""

_SECOND = ("test_crash_points.py", "test_kernel_peer.py", "test_two_starts.py", "test_ucarp_command.py")
"""Files among these that share nothing with the others, and take long."""


class _TwoProcesses(LoadScopeScheduling):  # type: ignore[misc]
    """Each process runs its tests in their order: both mostly wait."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "first" if path.startswith(_FIRST) and not path.endswith(_SECOND) else "second"


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Return who runs what under ``pytest -n 2``."""
    return _TwoProcesses(config, log)


# How long an example takes says more about who else uses the machine than about what is tested.
# Who may not write into the checkout keeps no examples: hypothesis would warn of it.
_database = {} if os.access(Path(__file__).parents[1], os.W_OK) else {"database": None}
settings.register_profile("any machine", deadline=None, **_database)
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Keep from the programs that tests start what concerns this run alone: its options, and ignored signals.

    A signal that ``nohup``, or ``&`` in a script, has had ignored stays ignored across ``exec``; one that is handled
    gets its default back. This process goes on as if it ignored them.
    """
    os.environ.pop("PYTEST_ADDOPTS", None)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
