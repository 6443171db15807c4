"""The lab's own stalls, told from failures of what it shows."""

import signal
import subprocess
import sys
import time

import pytest

from pycarp.lab.trial import Expectation, judged

_PROGRAM = """
import sys, time
from pycarp.lab.stalls import StallWatch
with StallWatch() as stalls:
    print("watching", flush=True)
    sys.stdin.readline()
    began_s = time.time()
    print(stalls.longest_s(), stalls.longest_s(began_s + 1))
"""


def test_a_process_that_was_stopped_knows_for_how_long() -> None:
    argv = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "watching\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.4)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.1)
        longest_s, later_s = map(float, process.communicate("\n", timeout=30)[0].split())

    assert longest_s > 0.3
    assert later_s == 0


@pytest.mark.parametrize(
    ("is_met", "stalled_s", "is_inconclusive"),
    [(False, 0.2, True), (False, 0.0, False), (True, 0.2, False), (True, 0.0, False)],
)
def test_what_fails_while_the_machine_stalls_is_inconclusive(
    is_met: bool, stalled_s: float, is_inconclusive: bool
) -> None:
    assert judged("x", is_met=is_met, stalled_s=stalled_s) == Expectation("x", is_met, is_inconclusive)
