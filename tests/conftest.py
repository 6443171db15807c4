"""Options of the suite, and what it makes of the surroundings in which it was started."""

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests together that share something, where several processes run the suite (``pytest -n 3``).

    The tests of a file share their fixtures; those of a daemon and its commands share the locks of this machine.
    """
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder in ("daemon", "cli") else item.path.name))


# How long an example takes says more about who else uses the machine than about what is tested.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Let programs that tests start hear signals that ``nohup``, or ``&`` in a script, has had ignored.

    Who is ignored stays so across ``exec``; who is handled begins anew. We ourselves go on as if we ignored them.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
