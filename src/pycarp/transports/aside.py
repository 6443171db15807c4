"""When ports set packets aside, and when those are read: a few times a second, at times that slots share.

That a host is not calm any more takes effect at once, by setting nothing aside on its link; what can be set aside again
is so from the next reading on. So a take-over of hundreds of hosts costs one small program.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from pycarp.vocabulary import Datagram

READ_S = 0.25
"""How often what was set aside is read: a take-over is not later for it, because packets bear their times."""

_RESPITE_S = 10.0
"""For how long everything is read as it comes after more was set aside than hosts send, or nothing could be."""

_AT_ONCE = 4
"""Readings in one turn of the event loop."""

_MOST = 256
"""More packets than this, a few times a second, do not come from hosts that are well."""


@runtime_checkable
class AsidePort(Protocol):
    """A port that may be able to set packets aside."""

    def set_aside(self, heads: Mapping[int, bytes]) -> None:
        """Set aside what has these heads; OSError when that cannot be."""

    def read_aside(self, limit: int, into: list[Datagram]) -> int:
        """Read what was set aside, at most so many packets, and return how many they were."""

    def has_aside(self, more_than: int = 0) -> bool:
        """Say whether more than so many packets are set aside."""


@dataclass(slots=True)
class Aside:
    """What one port sets aside, and what it should; not before ``again_at_s``."""

    wake: Callable[[], None]
    port: AsidePort | None = None
    wanted: Mapping[int, bytes] = field(default_factory=dict)
    taken: Mapping[int, bytes] = field(default_factory=dict)
    again_at_s: float = 0.0
    is_flooded: bool = False

    def want(self, heads: Mapping[int, bytes]) -> None:
        """Learn what should be set aside; what should not is not from now on."""
        self.wanted = heads
        if any(heads.get(vhid) != head for vhid, head in self.taken.items()):
            self.stop()

    def stop(self) -> None:
        """Set nothing aside any more, and have what was read."""
        if self.taken and self.port is not None:
            self.taken = {}
            with contextlib.suppress(OSError):
                self.port.set_aside({})
            asyncio.get_running_loop().call_soon(self.wake)

    def renew(self, now_s: float) -> None:
        """Set aside what should be."""
        if self.port is None or self.is_flooded or now_s < self.again_at_s or self.taken == self.wanted:
            return
        try:
            self.port.set_aside(self.wanted)
            self.taken = self.wanted
        except OSError:
            self.again_at_s = now_s + _RESPITE_S

    def mind_floods(self, now_s: float) -> None:
        """Set nothing aside for a while if there was too much."""
        if self.port is not None and self.port.has_aside(_MOST):
            self.again_at_s = now_s + _RESPITE_S
            self.stop()


class AsideTimer:
    """Reads what all ports have set aside, as long as there is any that does."""

    def __init__(self, asides: Callable[[], Iterable[Aside]]) -> None:
        self._asides = asides
        self._timer: asyncio.TimerHandle | None = None

    def plan(self) -> None:
        """Read at the next multiple of ``READ_S``, if anything is, or should be, set aside."""
        if self._timer is None and any(each.wanted or each.taken for each in self._asides()):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at((loop.time() // READ_S + 1) * READ_S, self._tick)

    def stop(self) -> None:
        """Read no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        for each in self._asides():
            each.mind_floods(now_s)
            each.renew(now_s)
        self._read()
        self.plan()

    def _read(self) -> None:
        """Wake whoever drains; a transport drains all its ports at once."""
        for _ in range(_AT_ONCE):
            waiting = next((each for each in self._asides() if each.port is not None and each.port.has_aside()), None)
            if waiting is None:
                return
            waiting.wake()
        asyncio.get_running_loop().call_soon(self._read)
