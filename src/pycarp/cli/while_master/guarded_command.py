"""A command in a process group of its own, with a guard that kills the group when nobody else can.

The guard is a forked process, the first of the group. It kills all of the group, itself included, at the time that it
was sent last, or when the process that sends these times has died. So the command does not outlive its mastership even
if its supervisor was killed or stopped. As the guard exists, no other process group can get the number of its group.
"""

import contextlib
import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

from pycarp.vocabulary import NS_PER_S

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""The exit statuses of shells for a command that cannot be started."""

_TIME = struct.Struct("=q")
_NS_PER_MS = NS_PER_S // 1000
_LONGEST_WAIT_MS = 3_600_000
_DESCRIPTORS_MOST = 1 << 20
_BLOCKED = signal.valid_signals()


class GuardedCommand:
    """A running command. All is done within this one thread, because a forked process has no other."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], ends_at_ns: int) -> None:
        """Start the command, which the guard kills at ``ends_at_ns`` of CLOCK_MONOTONIC; raises OSError."""
        reading, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        self.guard(ends_at_ns)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        try:
            self._group = os.fork()
            if self._group == 0:
                _guard(reading)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(reading)
        # The guard does the same, and the first of the two counts.
        os.setpgid(self._group, self._group)
        try:
            self._process = subprocess.Popen(  # noqa: S603  it is the user's
                argv, stdin=subprocess.DEVNULL, env={**os.environ, **environment}, process_group=self._group
            )
        except OSError:
            self._end_group()
            raise

    @property
    def pid(self) -> int:
        """The process id of the command."""
        return self._process.pid

    def guard(self, at_ns: int) -> None:
        """Set the time at which the guard kills the group."""
        # A guard that was stopped has a full pipe; it reads the latest times when it continues.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._pipe, _TIME.pack(at_ns))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; the guard ignores all but SIGKILL."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, number)

    def poll(self) -> int | None:
        """Return None while the command runs; else end what it has left, and return its exit status as shells do."""
        code = self._process.poll()
        if code is None:
            return None
        self._end_group()
        return code if code >= 0 else 128 - code

    def _end_group(self) -> None:
        self.signal(signal.SIGKILL)
        os.waitpid(self._group, 0)
        os.close(self._pipe)


def start_status(error: OSError) -> int:
    """Return the exit status of shells for a command that cannot be started."""
    return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE


def _guard(reading: int) -> NoReturn:
    """Be the guard."""
    try:
        os.setpgid(0, 0)
        _let_go_of_everything_but(reading)
        signal.set_wakeup_fd(-1)
        for number in _BLOCKED - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _wait(reading)
    finally:
        os.killpg(0, signal.SIGKILL)
        os._exit(1)


def _wait(reading: int) -> None:
    """Return when the time has come, or the other end of the pipe is closed."""
    at_ns = None
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    while at_ns is None or time.monotonic_ns() < at_ns:
        left_ms = _LONGEST_WAIT_MS if at_ns is None else (at_ns - time.monotonic_ns()) // _NS_PER_MS + 1
        if poll.poll(max(min(left_ms, _LONGEST_WAIT_MS), 0)):
            octets = os.read(reading, _TIME.size * 512)
            if not octets:
                return
            (at_ns,) = _TIME.unpack(octets[-_TIME.size :])


def _let_go_of_everything_but(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, min(os.sysconf("SC_OPEN_MAX"), _DESCRIPTORS_MOST))
