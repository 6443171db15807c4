"""Log lines in ucarp's style, as a process of its own writes them."""

import re
import subprocess
import sys

_PROGRAM = """
import logging
from pycarp.daemon import ucarp_log
ucarp_log.set_up(is_verbose={verbose}, facility=None)
log = logging.getLogger("pycarp.ucarp")
log.debug("d"); log.info("i %s", 1); log.warning("w"); log.error("e")
logging.getLogger("other").debug("not ours")
"""


def written(*, verbose: bool) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-c", _PROGRAM.format(verbose=verbose)]
    return subprocess.run(argv, capture_output=True, text=True, check=True)


def test_warnings_and_errors_go_to_standard_error_and_the_rest_to_standard_output() -> None:
    done = written(verbose=False)

    assert [line.split(": ", 1)[1] for line in done.stderr.splitlines()] == ["[WARNING] w", "[ERROR] e"]
    assert [line.split(": ", 1)[1] for line in done.stdout.splitlines()] == ["[INFO] i 1"]


def test_debugging_is_told_when_asked_for_and_that_of_libraries_never() -> None:
    assert [line.split(": ", 1)[1] for line in written(verbose=True).stdout.splitlines()] == ["[DEBUG] d", "[INFO] i 1"]


def test_a_line_begins_with_its_time_to_the_microsecond() -> None:
    line = written(verbose=False).stdout

    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}: \[INFO\] ", line)
