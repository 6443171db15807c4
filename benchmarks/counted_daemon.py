"""Runs pycarp and counts what its interpreter does between two signals: what no other program on the machine changes.

    python -m benchmarks.counted_daemon FILE run web.toml

SIGRTMIN begins a count, SIGRTMIN+1 ends it and writes FILE: bytecodes, calls of Python functions, calls of functions
in C, wake-ups of the event loop and advertisements, of every thread; and which functions took how many bytecodes. A
bytecode takes several times as long while it is counted.
"""

import json
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

BEGIN, END = signal.SIGRTMIN, signal.SIGRTMIN + 1


class Counts:
    """What the interpreter has done since ``begin``."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._is_on = False
        self._began_s = 0.0
        self._functions: dict[int, _Function] = {}
        self._c_calls = self._wake_ups = self._advertisements = 0

    def begin(self, _number: int, _frame: FrameType | None) -> None:
        """Count from now on; frames that run already are not counted."""
        self._functions = {}
        self._c_calls = self._wake_ups = self._advertisements = 0
        self._is_on, self._began_s = True, time.monotonic()
        sys.settrace(self.trace)
        sys.setprofile(self.profile)

    def end(self, _number: int, _frame: FrameType | None) -> None:
        """Write what was counted."""
        seconds = time.monotonic() - self._began_s
        self._is_on = False
        sys.settrace(None)
        sys.setprofile(None)
        found = sorted(self._functions.values(), key=lambda each: -each.bytecodes)
        counted = {
            "seconds": seconds,
            "bytecodes": sum(each.bytecodes for each in found),
            "calls": sum(each.calls for each in found),
            "C calls": self._c_calls,
            "wake-ups": self._wake_ups,
            "advertisements": self._advertisements,
            "functions": {each.name: (each.bytecodes, each.calls) for each in found},
        }
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps(counted))
        written.rename(self._file)

    def trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        """Count a call, and the bytecodes of its frame; for ``sys.settrace``."""
        if not self._is_on or event != "call":
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        # By identity: the hash of a code object takes longer than most functions.
        function = self._functions.get(id(frame.f_code))
        if function is None:
            function = self._functions[id(frame.f_code)] = _Function(frame.f_code)
        function.calls += 1
        return function.trace

    def profile(self, _frame: FrameType, event: str, arg: object) -> None:
        """Count a call of a function in C; for ``sys.setprofile``."""
        if event == "c_call" and self._is_on:
            self._c_calls += 1
            # Of an HMAC: each advertisement has one, whether it is sent or heard.
            self._advertisements += getattr(arg, "__name__", "") == "finalize"
            self._wake_ups += getattr(arg, "__name__", "") == "poll" and isinstance(
                getattr(arg, "__self__", None), select.epoll
            )


class _Function:
    """A function, how often it was called, and how many bytecodes that took."""

    __slots__ = ("bytecodes", "calls", "code", "trace")

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.bytecodes = self.calls = 0

        def trace(_frame: FrameType, event: str, _arg: object) -> Any:
            if event == "opcode":
                self.bytecodes += 1
            return trace

        self.trace = trace

    @property
    def name(self) -> str:
        code = self.code
        return f"{code.co_qualname} {Path(code.co_filename).name}:{code.co_firstlineno}"


def main() -> None:
    """Run the command whose words follow the file."""
    counts = Counts(Path(sys.argv[1]).absolute())
    signal.signal(BEGIN, counts.begin)
    signal.signal(END, counts.end)
    threading.settrace(counts.trace)
    threading.setprofile(counts.profile)
    Path(sys.argv[1]).with_suffix(".pid").write_text(str(os.getpid()))
    sys.argv = ["pycarp", *sys.argv[2:]]
    os.environ.pop("PYCARP_COMPLETE", None)
    from pycarp.__main__ import main as run  # noqa: PLC0415  its imports are not to be traced any longer than needed

    run()


if __name__ == "__main__":
    main()
