"""Carries out what a ``Supervision`` decides: one thread, one loop over the connection, the signals and the clock."""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from pycarp.cli.while_master.guarded_command import GuardedCommand, start_status
from pycarp.cli.while_master.supervision import (
    Action,
    Connect,
    Exit,
    Guard,
    HangUp,
    Say,
    Signal,
    Start,
    Supervision,
)
from pycarp.daemon.control_client import Lines, error_of, open_stream
from pycarp.daemon.control_messages import (
    MastershipAwaited,
    MastershipBegun,
    MastershipEnded,
    MastershipRenewed,
    MastershipRequest,
    RefusedReply,
    Reply,
)
from pycarp.errors import CarpError, ControlError
from pycarp.vocabulary import NS_PER_S

_TO_END = (signal.SIGTERM, signal.SIGINT)
_TO_PASS_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_TO_IGNORE = (signal.SIGTSTP,)
"""Ctrl-Z would stop this process alone, and the command would run without it until the guard ends it."""

_NS_PER_MS = NS_PER_S // 1000


class Runner:
    """Runs ``argv`` whenever ``host`` of the daemon at ``control`` is MASTER."""

    def __init__(self, control: Path, host: str, argv: Sequence[str], *, stop_timeout_s: float, once: bool) -> None:
        self._control = control
        self._request = MastershipRequest(host, clean_up_s=stop_timeout_s, command=argv[0], pid=os.getpid())
        self._argv = argv
        self._supervision = Supervision(stop_timeout_ns=round(stop_timeout_s * NS_PER_S), once=once)
        self._lines: Lines | None = None
        self._command: GuardedCommand | None = None
        self._was_answered = False
        # Asked now, because a terminal that has hung up is none any more.
        self._has_terminal = os.isatty(0)
        self._status: int | None = None

    def run(self) -> int:
        """Return the exit status; raises CarpError when the daemon cannot be asked at the beginning."""
        with _signals() as wakeups:
            while True:
                self._carry_out(self._supervision.pass_time(_now_ns()))
                if self._status is not None:
                    return self._status
                self._wait(wakeups)
                for each in _received(wakeups):
                    self._take_signal(each)
                self._look_at_command()
                self._read()

    def _wait(self, wakeups: socket.socket) -> None:
        poll = select.poll()
        poll.register(wakeups, select.POLLIN)
        if self._lines is not None:
            poll.register(self._lines, select.POLLIN)
        due_ns = self._supervision.due_at_ns
        # A millisecond early rather than late; the loop comes again.
        poll.poll(None if due_ns is None else max((due_ns - _now_ns()) // _NS_PER_MS, 0))

    def _take_signal(self, number: signal.Signals) -> None:
        has_hung_up = number is signal.SIGHUP and self._has_terminal
        if number in _TO_END or has_hung_up:
            self._carry_out(self._supervision.ask_to_end(_now_ns()))
        elif number in _TO_PASS_ON and self._command is not None:
            self._command.signal(number)

    def _look_at_command(self) -> None:
        if self._command is not None and (status := self._command.poll()) is not None:
            self._command = None
            self._carry_out(self._supervision.end(status, _now_ns()))

    def _read(self) -> None:
        """Pass on each message of the daemon, then its end of the connection."""
        try:
            while self._lines is not None and (reply := self._lines.next()) is not None:
                self._receive(reply)
        except ControlError as exc:
            self._lose_daemon(exc)

    def _receive(self, reply: Reply) -> None:
        match reply:
            case MastershipAwaited() | MastershipBegun() | MastershipRenewed() | MastershipEnded():
                self._was_answered = True
                self._carry_out(self._supervision.receive(reply, _now_ns()))
            case RefusedReply():
                self._lose_daemon(error_of(reply))
            case _:
                self._lose_daemon(ControlError(f"the daemon answered with {type(reply).__name__}"))

    def _lose_daemon(self, error: CarpError) -> None:
        """Go on without the daemon, unless there never was one."""
        self._hang_up()
        if not self._was_answered:
            raise error
        self._carry_out(self._supervision.lose_daemon(str(error), _now_ns()))

    def _carry_out(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Connect():
                    self._connect()
                case HangUp():
                    self._hang_up()
                case Start(mastership):
                    self._start(mastership)
                case Guard() | Signal():
                    self._affect_command(action)
                case Say(text):
                    _say(text)
                case Exit(status):
                    self._status = status

    def _affect_command(self, action: Guard | Signal) -> None:
        # One that could not be started is affected by nothing.
        if self._command is not None:
            if isinstance(action, Guard):
                self._command.guard(action.at_ns)
            else:
                self._command.signal(action.number)

    def _connect(self) -> None:
        try:
            self._lines = open_stream(self._control, self._request)
        except CarpError as exc:
            self._lose_daemon(exc)

    def _hang_up(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def _start(self, mastership: MastershipBegun) -> None:
        try:
            self._command = GuardedCommand(self._argv, environment_of(mastership), mastership.ends_at_ns)
        except OSError as exc:
            _say(f"cannot run {self._argv[0]}: {exc.strerror or exc}")
            self._carry_out(self._supervision.end(start_status(exc), _now_ns()))


def environment_of(mastership: MastershipBegun) -> dict[str, str]:
    """Return the environment that describes the mastership to a command."""
    return {
        "PYCARP_HOST": mastership.host,
        "PYCARP_VHID": str(mastership.vhid),
        "PYCARP_INTERFACE": mastership.interface,
        "PYCARP_ADDRESSES": " ".join(mastership.addresses),
        "PYCARP_EPOCH": str(mastership.epoch),
        "PYCARP_TOKEN": str(mastership.token),
    }


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """Write the numbers of signals to the socket that is returned, and do nothing else on them."""
    handled = (*_TO_END, *_TO_PASS_ON, *_TO_IGNORE, signal.SIGCHLD)
    ours, kernels = socket.socketpair()
    with ours, kernels:
        ours.setblocking(False)
        kernels.setblocking(False)
        wakeup = signal.set_wakeup_fd(kernels.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, lambda _number, _frame: None) for number in handled}
        try:
            yield ours
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)


def _say(text: str) -> None:
    # Whatever became of the terminal or the pipe: the command must be ended in time.
    with contextlib.suppress(OSError):
        click.echo(f"pycarp: {text}", err=True)


def _received(wakeups: socket.socket) -> list[signal.Signals]:
    with contextlib.suppress(BlockingIOError):
        return [signal.Signals(each) for each in wakeups.recv(4096)]
    return []


def _now_ns() -> int:
    return time.monotonic_ns()
