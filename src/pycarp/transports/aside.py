"""Decides when ports set packets aside, and reads those of all ports together, every two seconds as a rule.

When a host on a link is no longer calm, the port at once sets nothing aside. From the next reading on it sets aside
again the packets that may wait. A takeover of hundreds of hosts therefore costs one small program in the kernel.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from pycarp.vocabulary import Datagram

READ_S = 0.5
"""Seconds between two readings while packets may be set aside that are not yet."""

_LONGEST_READ_S = 2.0
"""Seconds between two readings otherwise: no takeover is later for it, as packets carry the time of their arrival.

That is no longer than the shortest time that a BACKUP waits for the next advertisement of those set aside.
"""

_AS_A_RULE = 2048
"""Packets that wait at most, as a rule, if each host sends one a second: all are read before a deadline is decided."""

PART = 256
"""Packets set aside that one reading returns at most, unless it is before a deadline: then the event loop turns."""

_RESPITE_S = 10.0
"""Seconds in which nothing is set aside after too many packets were, or after the kernel refused."""

_MOST, _RATE_MOST = 352, 2
"""More packets than this in one reading are a flood, unless the hosts send as many: two a second each since the last.

On a busy machine readings are late, and to read each packet as it comes would make the machine busier still.
"""


@runtime_checkable
class AsidePort(Protocol):
    """A port that may be able to set packets aside."""

    def set_aside(self, heads: Mapping[int, bytes]) -> None:
        """Set aside the packets with these heads, by vhid; raises OSError if the kernel refuses."""

    def read_aside(self, limit: int, into: list[Datagram]) -> int:
        """Read at most ``limit`` packets that were set aside, and return how many were read."""

    def has_aside(self, more_than: int = 0) -> bool:
        """Return whether more than so many packets are set aside."""


@dataclass(slots=True)
class Aside:
    """What one port sets aside (``taken``) and what may wait (``wanted``), by vhid; nothing until ``again_at_s``.

    All that waits has arrived since ``empty_at_s``.
    """

    wake: Callable[[], None]
    port: AsidePort | None = None
    wanted: Mapping[int, bytes] = field(default_factory=dict)
    taken: Mapping[int, bytes] = field(default_factory=dict)
    again_at_s: float = 0.0
    empty_at_s: float = 0.0
    is_flooded: bool = False

    def want(self, heads: Mapping[int, bytes]) -> None:
        """Replace the heads that may wait; stop setting aside at once if one that is set aside no longer may."""
        self.wanted = heads
        if any(heads.get(vhid) != head for vhid, head in self.taken.items()):
            self.stop()

    def stop(self) -> None:
        """Set nothing aside any more, and wake the reader of the packets set aside so far."""
        if self.taken and self.port is not None:
            self.taken = {}
            with contextlib.suppress(OSError):
                self.port.set_aside({})
            asyncio.get_running_loop().call_soon(self.wake)

    def renew(self, now_s: float) -> None:
        """Set aside the packets that may wait, unless a flood or a refusal forbids it."""
        if self.taken is self.wanted or self.port is None or self.is_flooded or now_s < self.again_at_s:
            return
        try:
            if self.taken != self.wanted:
                self.port.set_aside(self.wanted)
            if not self.taken:
                self.empty_at_s = now_s
            self.taken = self.wanted
        except OSError:
            self.again_at_s = now_s + _RESPITE_S

    def stop_in_flood(self) -> None:
        """Set nothing aside for a while if too many packets are set aside."""
        if not self.taken or self.port is None or not self.port.has_aside(_MOST):
            return
        now_s = asyncio.get_running_loop().time()
        sent = round(_RATE_MOST * len(self.taken) * (now_s - self.empty_at_s))
        if sent <= _MOST or self.port.has_aside(sent):
            self.again_at_s = now_s + _RESPITE_S
            self.stop()

    def note_if_empty(self, now_s: float) -> None:
        """Note the time if nothing waits."""
        if self.port is not None and not self.port.has_aside():
            self.empty_at_s = now_s


class AsideTimer:
    """Reads the packets that the ports have set aside, while any port sets packets aside."""

    def __init__(self, asides: Callable[[], Iterable[Aside]]) -> None:
        self._asides = asides
        self._timer: asyncio.TimerHandle | None = None

    def plan(self) -> None:
        """Set the timer for the next reading, or an earlier one, if any packets are set aside or may be."""
        used = [each for each in self._asides() if each.wanted or each.taken]
        if not used:
            return
        loop, every_s = asyncio.get_running_loop(), _every_s(used)
        at_s = (loop.time() // every_s + 1) * every_s
        if self._timer is not None:
            if self._timer.when() <= at_s:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at_s, self._tick)

    def stop(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        for each in self._asides():
            each.stop_in_flood()
            each.renew(now_s)
        self._read()
        for each in self._asides():
            each.note_if_empty(now_s)
        self.plan()

    def _read(self) -> None:
        """Wake the reader of one port that has packets: it drains all ports of the transport, one part a turn."""
        waiting = self._waiting()
        if waiting is not None:
            waiting.wake()
            if self._waiting() is not None:
                asyncio.get_running_loop().call_soon(self._read)

    def _waiting(self) -> Aside | None:
        for each in self._asides():
            if each.port is not None and each.port.has_aside():
                return each
        return None


def _every_s(used: Iterable[Aside]) -> float:
    """Return the time between two readings."""
    count, every_s = 0, READ_S
    for each in used:
        if each.taken is not each.wanted:
            return every_s
        count += len(each.taken)
    while every_s < _LONGEST_READ_S and count * 2 * every_s <= _AS_A_RULE:
        every_s *= 2
    return every_s
