"""A command at a terminal: what it asks is answered, what it shows is kept."""

import os
import pty
import select
import subprocess
import sys
import time
from dataclasses import dataclass

_WITHIN_S = 30.0
_AGAIN_S = 0.5

CTRL_C, CTRL_D = "\x03", "\x04"


@dataclass(frozen=True, slots=True)
class Session:
    """What was shown at the terminal, and how the command ended; ``elsewhere`` is what was redirected."""

    shown: str
    status: int
    elsewhere: str = ""


def at_terminal(*words: str, answers: dict[str, str], redirected: str = "") -> Session:
    """Run ``pycarp WORDS`` at a terminal of its own, and give each answer when its question is shown.

    ``redirected`` is ``stdout`` or ``stderr`` if that is no terminal. A question that never comes is a failure, and so
    is a command that waits for more.
    """
    ours, theirs = pty.openpty()
    out, err = (subprocess.PIPE if each == redirected else theirs for each in ("stdout", "stderr"))
    # It makes standard input the controlling terminal, so that Ctrl-C becomes a signal.
    argv = ["setsid", "--ctty", sys.executable, "-m", "pycarp", *words]
    with subprocess.Popen(argv, stdin=theirs, stdout=out, stderr=err, text=True) as process:
        os.close(theirs)
        try:
            shown = _conversation(ours, answers)
            elsewhere = "".join(each.read() for each in (process.stdout, process.stderr) if each is not None)
            return Session(shown, process.wait(_WITHIN_S), elsewhere)
        finally:
            process.kill()
            os.close(ours)


def _conversation(terminal: int, answers: dict[str, str]) -> str:
    """Return what is shown until the other end is closed."""
    shown, asked_after, last = "", 0, ""
    left = list(answers.items())
    ends_s = time.monotonic() + _WITHIN_S
    while time.monotonic() < ends_s:
        if not select.select([terminal], [], [], _AGAIN_S)[0]:
            # A signal between the question and the call that reads the answer is noticed with the next one only.
            os.write(terminal, CTRL_C.encode() if last == CTRL_C else b"")
            continue
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:
            assert not left, f"{left[0][0]!r} was not asked: {shown}"
            return shown.replace("\r\n", "\n")
        if left and left[0][0] in shown[asked_after:]:
            asked_after = len(shown)
            last = left.pop(0)[1]
            os.write(terminal, last.encode())
    raise AssertionError(f"it waits: {shown}")
