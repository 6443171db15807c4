"""Options of the suite, and what it makes of the surroundings in which it was started."""

import os
import signal

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-transcripts",
        action="store_true",
        help="Record transcripts and generated tables anew instead of comparing with them.",
    )


_NEEDS_THE_MACHINE = frozenset({"interop", "system", "daemon", "cli"})
"""Folders whose tests need root, or share locks and sockets of this machine."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run what needs this machine, and another one all else, under ``pytest -n 2 --dist loadgroup``.

    The first one mostly waits. Its tests go one after the other, because they measure times.
    """
    for item in items:
        needs_it = item.get_closest_marker("system") is not None or item.path.parent.name in _NEEDS_THE_MACHINE
        item.add_marker(pytest.mark.xdist_group("the machine" if needs_it else "all else"))


# How long an example takes says more about who else uses the machine than about what is tested.
settings.register_profile("any machine", deadline=None)
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
