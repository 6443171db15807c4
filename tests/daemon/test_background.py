"""Into the background: what the foreground exits with."""

import subprocess
import sys

import pytest

_PROGRAM = """
import os, sys
from pycarp.daemon.background import Background
session = os.getsid(0)
background = Background.enter(status_of_a_death=2)
assert os.getsid(0) != session and os.getcwd() == "/"
print("before", flush=True)
{then}
print("after", flush=True)
"""


@pytest.mark.parametrize(
    ("then", "status"),
    [("background.ready()", 0), ("background.fail(7)", 7), ("os._exit(0)", 2), ("raise SystemExit('dead')", 2)],
)
def test_the_foreground_exits_with_what_the_background_says(then: str, status: int) -> None:
    argv = [sys.executable, "-c", _PROGRAM.format(then=then)]

    assert subprocess.run(argv, capture_output=True, check=False, timeout=20).returncode == status


def test_the_terminal_is_let_go_once_it_is_ready() -> None:
    argv = [sys.executable, "-c", _PROGRAM.format(then="background.ready()")]

    assert subprocess.run(argv, capture_output=True, check=False, timeout=20, text=True).stdout == "before\n"
