"""What a daemon does that was started without standard error."""

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
