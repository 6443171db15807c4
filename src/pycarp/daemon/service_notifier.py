"""Tells systemd, or whoever plays it, what the daemon is doing. Source: sd_notify(3), systemd.service(5)."""

import asyncio
import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

NAMED_MOST = 8
"""So many hosts are named in STATUS; of more, the states are counted."""

_US_PER_S = 1_000_000
_NS_PER_US = 1000
_LOOK_AGAIN_S = 0.1


class ServiceNotifier:
    """Sends datagrams to NOTIFY_SOCKET; does nothing without it, and never waits."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self.watchdog_s = _watchdog_s(environment)
        """How long systemd waits for a sign of life; None when it does not."""

    def ready(self) -> None:
        """Say that the daemon serves, for the first time or after a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is being read again; ``ready`` follows, whatever comes of it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // _NS_PER_US}")

    def stopping(self) -> None:
        """Say that the daemon is leaving."""
        self._send("STOPPING=1")

    def status(self, states: Sequence[tuple[str, str]]) -> None:
        """Tell the hosts' names and states."""
        self._send(f"STATUS={status_line(states)}")

    async def keep_alive(self, is_progressing: Callable[[], bool]) -> None:
        """Send a sign of life twice as often as needed, as long as the event loop runs and there is progress."""
        if self.watchdog_s is None:
            return
        while True:
            if is_progressing():
                self._send("WATCHDOG=1")
                await asyncio.sleep(self.watchdog_s / 2)
            else:
                # After a pause of the whole process the timers that are due come in this turn of the loop, or the next.
                await asyncio.sleep(min(_LOOK_AGAIN_S, self.watchdog_s / 8))

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        # A manager that is gone or does not read is no reason to stop.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(assignments).encode(), self._address)


def status_line(states: Sequence[tuple[str, str]]) -> str:
    """Return ``carp0 MASTER, carp1 BACKUP``, or ``250 MASTER, 5 BACKUP`` of many."""
    if not states:
        return "no virtual host"
    if len(states) <= NAMED_MOST:
        return ", ".join(f"{name} {state}" for name, state in states)
    counts = Counter(state for _name, state in states)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return the time within which a sign of life must come, if it is this process that must give it."""
    said, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
    if not said.isdecimal() or int(said) == 0 or pid != str(os.getpid()):
        return None
    return int(said) / _US_PER_S
