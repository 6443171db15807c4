"""Options of the suite, and what it makes of the surroundings in which it was started."""

import signal

import pytest

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-transcripts",
        action="store_true",
        help="Record transcripts and generated tables anew instead of comparing with them.",
    )


def pytest_configure() -> None:
    """Let programs that tests start hear signals that ``nohup``, or ``&`` in a script, has had ignored.

    Who is ignored stays so across ``exec``; who is handled begins anew. We ourselves go on as if we ignored them.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
