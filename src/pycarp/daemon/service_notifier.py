"""Tells systemd, or a supervisor like it, what the daemon is doing. Source: sd_notify(3), systemd.service(5)."""

import asyncio
import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from pycarp.vocabulary import NS_PER_S

NAMED_MOST = 8
"""The most hosts that STATUS names; for more hosts it has the number in each state."""

OVERDUE_NS = NS_PER_S
"""A timer that is overdue by so much, in seconds, will not run."""

_US_PER_S = 1_000_000
_NS_PER_US = 1000
_LOOK_AGAIN_S = 0.1
_SEND_AGAIN_S = 0.1
_REPEATED = ("STATUS", "WATCHDOG")


class ServiceNotifier:
    """Sends datagrams to NOTIFY_SOCKET from the event loop; does nothing without it, and never waits.

    What the manager does not take at once is sent again until it does: a lost READY=1 would end the service.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._unsent: list[str] = []
        self._again: asyncio.TimerHandle | None = None
        self.watchdog_s = _watchdog_s(environment)
        """How long systemd waits for a sign of life; None when it does not."""

    @property
    def is_heard(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._address)

    def starting(self) -> None:
        """Show in ``systemctl status`` that the daemon starts."""
        self._send("STATUS=starting")

    def ready(self) -> None:
        """Report that the daemon serves, for the first time or after a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that the configuration is being read again; ``ready`` follows, also if the reload fails."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // _NS_PER_US}")

    def stopping(self) -> None:
        """Report that the daemon is leaving."""
        self._send("STOPPING=1\nSTATUS=leaving")

    def status(self, states: Sequence[tuple[str, str]], note: str = "") -> None:
        """Show the hosts' names and states in ``systemctl status``, and a note of one line behind them."""
        self._send(f"STATUS={'; '.join(filter(None, [status_line(states), ' '.join(note.split())]))}")

    async def keep_alive(self, is_progressing: Callable[[], bool]) -> None:
        """Send a sign of life twice as often as needed, as long as the event loop runs and there is progress."""
        if self.watchdog_s is None:
            return
        while True:
            if is_progressing():
                self._send("WATCHDOG=1")
                await asyncio.sleep(self.watchdog_s / 2)
            else:
                # After a pause of the whole process, overdue timers run in this turn of the loop or the next.
                await asyncio.sleep(min(_LOOK_AGAIN_S, self.watchdog_s / 8))

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # Only the newest waiting status and one sign of life are worth sending.
        repeated = message.partition("=")[0]
        if repeated in _REPEATED:
            self._unsent = [each for each in self._unsent if each.partition("=")[0] != repeated]
        self._unsent.append(message)
        if self._again is None:
            self._send_unsent()

    def _send_unsent(self) -> None:
        self._again = None
        # The daemon goes on without its manager.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            while self._unsent:
                try:
                    sock.sendto(self._unsent[0].encode(), self._address)
                except BlockingIOError:
                    self._again = asyncio.get_running_loop().call_later(_SEND_AGAIN_S, self._send_unsent)
                    return
                del self._unsent[0]
        self._unsent.clear()


def status_line(states: Sequence[tuple[str, str]]) -> str:
    """Return ``carp0 MASTER, carp1 BACKUP``, or ``250 MASTER, 5 BACKUP`` of many."""
    if not states:
        return "no virtual host"
    if len(states) <= NAMED_MOST:
        return ", ".join(f"{name} {state}" for name, state in states)
    counts = Counter(state for _name, state in states)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def is_on_time(deadline_ns: int | None, now_ns: int) -> bool:
    """Return whether no timer is overdue: a loop that turns while the node does nothing is no sign of life."""
    return deadline_ns is None or deadline_ns > now_ns - OVERDUE_NS


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return the time within which a sign of life must come, if it is this process that must give it."""
    said, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
    if not said.isdecimal() or int(said) == 0 or pid != str(os.getpid()):
        return None
    return int(said) / _US_PER_S
