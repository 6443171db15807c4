"""What a daemon does that was started without standard error, or with one that nobody reads."""

import subprocess
import sys

PROGRAM = """
import os, socket, sys
os.close(2)
from pycarp.daemon.log_output import logging_to_stderr
import logging
with logging_to_stderr(None):
    left, right = socket.socketpair()
    logging.getLogger("pycarp").warning("to nobody")
print(left.fileno() > 2 and right.fileno() > 2)
"""


def test_the_log_never_goes_into_what_has_got_the_number_of_a_closed_standard_error() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=20, check=False)

    assert done.stdout == "True\n"


STALLED = """
import logging, sys
from pycarp.daemon.log_output import logging_to_stderr
with logging_to_stderr(None):
    for _ in range(5000):
        logging.getLogger("pycarp").warning("x" * 200)
print("x" * 100_000, file=sys.stderr)
"""


def test_after_the_log_nothing_else_waits_for_a_reader_who_does_not_read() -> None:
    """The error with which the command ends, for one, or the traceback of a bug."""
    with subprocess.Popen([sys.executable, "-c", STALLED], stderr=subprocess.PIPE) as process:
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
