"""Options of the suite."""

import pytest

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-transcripts",
        action="store_true",
        help="Record transcripts and generated tables anew instead of comparing with them.",
    )
