"""When the command of ``pycarp while-master`` is started, stopped and started again. Pure: no clock, process or socket.

One ``Supervision`` takes what happens (the daemon says something or hangs up, the command ends, a signal arrives, time
passes) and returns what to do, in order. Times are CLOCK_MONOTONIC in nanoseconds, which the daemon's are, too.

The command runs within masterships only: one that is lost, whose lease runs out, or whose daemon is gone ends it.
"""

import signal
from typing import TypeAlias

import msgspec

from pycarp.daemon.control_messages import (
    MastershipAwaited,
    MastershipBegun,
    MastershipEnded,
    MastershipRenewed,
    MastershipReply,
)
from pycarp.durations import format_duration
from pycarp.vocabulary import NS_PER_S

CRASH_GRACE_NS = NS_PER_S // 20
"""How long the command may clean up after its daemon has died: half of what a peer waits then, which acts at once."""

RECONNECT_NS = NS_PER_S // 2
"""How long to wait before the daemon is asked again."""

BACKOFF_LEAST_NS, BACKOFF_MOST_NS = NS_PER_S, 30 * NS_PER_S
"""How long to wait before a command that ended by itself is started again: doubled each time."""

HEALTHY_NS = 10 * NS_PER_S
"""A command that ran so long waits the least again."""


class Start(msgspec.Struct, frozen=True):
    """Start the command in this mastership."""

    mastership: MastershipBegun


class Guard(msgspec.Struct, frozen=True):
    """From now on, let the guard kill the command at this time, even if this process is stopped or dead."""

    at_ns: int


class Signal(msgspec.Struct, frozen=True):
    """Send a signal to the command and all that it has started."""

    number: signal.Signals


class HangUp(msgspec.Struct, frozen=True):
    """Close the connection, which tells the daemon that nothing runs any more."""


class Connect(msgspec.Struct, frozen=True):
    """Ask the daemon for the next mastership."""


class Say(msgspec.Struct, frozen=True):
    """A message for the user."""

    text: str


class Exit(msgspec.Struct, frozen=True):
    """End with this exit status."""

    status: int


Action: TypeAlias = Start | Guard | Signal | HangUp | Connect | Say | Exit


class Supervision:
    """Decides for one command; ``once`` ends with the command when that ends by itself.

    ``stop_timeout_ns`` is the time between SIGTERM and SIGKILL, as far as the mastership lasts so long.
    """

    def __init__(self, *, stop_timeout_ns: int, once: bool) -> None:
        self._stop_timeout_ns = stop_timeout_ns
        self._once = once
        self._host = ""
        self._mastership: MastershipBegun | None = None
        self._is_connected = False
        self._connect_at_ns: int | None = 0
        self._cleans_up_at_ns = self._ends_at_ns = 0
        self._is_running = False
        self._started_at_ns = 0
        self._start_at_ns: int | None = None
        self._backoff_ns = BACKOFF_LEAST_NS
        self._kill_at_ns: int | None = None
        self._is_over = False
        self._trouble = ""

    @property
    def due_at_ns(self) -> int | None:
        """When ``pass_time`` is to be called at the latest; None if only something else can happen."""
        times = [self._connect_at_ns, self._start_at_ns, self._kill_at_ns]
        if self._is_running and self._mastership is not None:
            times.append(self._cleans_up_at_ns)
        return min((each for each in times if each is not None), default=None)

    def pass_time(self, now_ns: int) -> list[Action]:
        """Do what is due."""
        actions: list[Action] = []
        if _is_due(self._connect_at_ns, now_ns):
            self._connect_at_ns, self._is_connected = None, True
            actions.append(Connect())
        if self._is_running and self._mastership is not None and now_ns >= self._cleans_up_at_ns:
            self._mastership = None
            actions += self._stop(now_ns, self._ends_at_ns, "no sign of life in time, so that a peer may act")
        if _is_due(self._kill_at_ns, now_ns):
            # Again and again, until the end of the command is reported.
            self._kill_at_ns = now_ns + NS_PER_S
            actions.append(Signal(signal.SIGKILL))
        if _is_due(self._start_at_ns, now_ns):
            self._start_at_ns = None
            actions += self._start(now_ns)
        return actions

    def receive(self, reply: MastershipReply, now_ns: int) -> list[Action]:
        """Apply a message of the daemon."""
        match reply:
            case MastershipAwaited():
                self._host, self._trouble = reply.host, ""
                return [Say(f"{reply.host} is {reply.state}; waiting for a mastership")] if not self._is_over else []
            case MastershipBegun():
                self._mastership, self._host = reply, reply.host
                return self._renew(reply) + self._start(now_ns)
            case MastershipRenewed():
                return self._renew(reply)
            case MastershipEnded():
                self._mastership, self._start_at_ns = None, None
                if not self._is_running:
                    return self._ask_again(now_ns, after_ns=0)
                return self._stop(now_ns, reply.ends_at_ns, reply.reason)

    def lose_daemon(self, why: str, now_ns: int) -> list[Action]:
        """Record that nobody answers: the daemon has hung up, or could not be asked."""
        self._mastership, self._start_at_ns, self._is_connected = None, None, False
        if self._is_running:
            return self._stop(now_ns, now_ns + CRASH_GRACE_NS, why)
        said: list[Action] = [] if why == self._trouble else [Say(why)]
        self._trouble = why
        return said + self._ask_again(now_ns, after_ns=RECONNECT_NS)

    def end(self, status: int, now_ns: int) -> list[Action]:
        """Record that the command has ended, with all that it started, and its exit status as shells have it."""
        was_stopped = self._kill_at_ns is not None
        self._is_running, self._kill_at_ns = False, None
        if self._is_over:
            return [HangUp(), Exit(0)]
        if was_stopped and self._mastership is None:
            return self._ask_again(now_ns, after_ns=0 if self._is_connected else RECONNECT_NS)
        if self._once:
            return [HangUp(), Exit(status)]
        if now_ns - self._started_at_ns >= HEALTHY_NS:
            self._backoff_ns = BACKOFF_LEAST_NS
        wait_ns, self._backoff_ns = self._backoff_ns, min(2 * self._backoff_ns, BACKOFF_MOST_NS)
        if self._mastership is not None:
            self._start_at_ns = now_ns + wait_ns
        text = f"the command ended with status {status}; starting it again in {format_duration(wait_ns / NS_PER_S)}"
        return [Say(text)]

    def ask_to_end(self, now_ns: int) -> list[Action]:
        """Stop the command, then end; asked again, kill it."""
        if not self._is_running:
            return [HangUp(), Exit(0)]
        if self._is_over:
            return [Signal(signal.SIGKILL)]
        self._is_over = True
        return self._stop(now_ns, now_ns + self._stop_timeout_ns, "asked to end")

    def _renew(self, lease: MastershipRenewed) -> list[Action]:
        if self._mastership is None:
            return []  # It was given up for lost already.
        self._cleans_up_at_ns, self._ends_at_ns = lease.cleans_up_at_ns, lease.ends_at_ns
        return [Guard(lease.ends_at_ns)] if self._is_running else []

    def _start(self, now_ns: int) -> list[Action]:
        if self._mastership is None or self._is_running or self._is_over:
            return []
        if now_ns >= self._cleans_up_at_ns:
            # This process was stopped, and hears of a lease that has run out.
            self._mastership = None
            return self._ask_again(now_ns, after_ns=RECONNECT_NS)
        self._is_running, self._started_at_ns = True, now_ns
        said = f"{self._host} is MASTER, token {self._mastership.token}: starting the command"
        return [Say(said), Start(self._mastership), Guard(self._ends_at_ns)]

    def _stop(self, now_ns: int, ends_at_ns: int, why: str) -> list[Action]:
        """Stop the command by ``ends_at_ns`` at the latest; one that is being stopped may get less time."""
        kill_at_ns = min(now_ns + self._stop_timeout_ns, ends_at_ns)
        guard = [Guard(ends_at_ns)] if self._mastership is None else []
        if self._kill_at_ns is not None:
            self._kill_at_ns = min(self._kill_at_ns, kill_at_ns)
            return [*guard]
        self._kill_at_ns = kill_at_ns
        left = format_duration(max(kill_at_ns - now_ns, 0) / NS_PER_S)
        return [Signal(signal.SIGTERM), *guard, Say(f"{self._host}: {why}; the command has {left} to end")]

    def _ask_again(self, now_ns: int, *, after_ns: int) -> list[Action]:
        self._is_connected = False
        self._connect_at_ns = now_ns + after_ns
        return [HangUp()]


def _is_due(at_ns: int | None, now_ns: int) -> bool:
    return at_ns is not None and now_ns >= at_ns
