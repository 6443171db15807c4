"""Decides when ports set packets aside, and reads those of all ports together, every two seconds as a rule.

The kernel takes 10 to 20 ms to change what a port sets aside, because it waits until all processors have seen it. So a
thread has it done, for all ports that have changed since. When a host on a link is no longer calm, the event loop is at
once woken by each packet that is set aside, and the kernel goes on as before: a takeover waits for nothing. At the next
reading the kernel is told which packets may wait from now on.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

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
        """Set aside the packets with these heads, by vhid; raises OSError if the kernel refuses.

        It blocks, and is called in a thread; the port is not closed meanwhile.
        """

    def watch_aside(self, wake: Callable[[], None] | None) -> None:
        """Call a function of the event loop whenever packets are set aside; None for none, as at first."""

    def read_aside(self, limit: int, into: list[Datagram]) -> int:
        """Read at most ``limit`` packets that were set aside, and return how many were read."""

    def has_aside(self, more_than: int = 0) -> bool:
        """Return whether more than so many packets are set aside."""


class Change(NamedTuple):
    """What a port is to set aside from now on."""

    port: AsidePort
    heads: Mapping[int, bytes]

    def carry_out(self) -> bool:
        """Have the kernel change it; return whether it has."""
        try:
            self.port.set_aside(self.heads)
        except OSError:
            return False
        return True


@dataclass(slots=True)
class Aside:
    """What one port sets aside (``taken``) and what may wait (``wanted``), by vhid; nothing until ``again_at_s``.

    All that waits has arrived since ``empty_at_s``. While ``is_watched``, nothing waits: the event loop is woken.
    ``change`` is being carried out.
    """

    wake: Callable[[], None]
    port: AsidePort | None = None
    wanted: Mapping[int, bytes] = field(default_factory=dict)
    taken: Mapping[int, bytes] = field(default_factory=dict)
    again_at_s: float = 0.0
    empty_at_s: float = 0.0
    is_flooded: bool = False
    is_watched: bool = False
    change: Change | None = None
    _when_changed: list[Callable[[], None]] = field(default_factory=list)

    def use(self, port: AsidePort) -> None:
        """Begin with a port that sets nothing aside yet."""
        self.port, self.taken, self.is_watched = port, {}, False

    def close(self, port: AsidePort, close: Callable[[], None]) -> None:
        """Close a port that is used no longer: now, or when the kernel has changed it."""
        if self.port is port:
            self.unwatch()
            self.port = None
        if self.change is not None and self.change.port is port:
            self._when_changed.append(close)
        else:
            close()

    def want(self, heads: Mapping[int, bytes]) -> None:
        """Replace the heads that may wait; watch the port at once if it sets one aside that no longer may."""
        self.wanted = heads
        if not self._may_wait():
            self.watch()

    def watch(self) -> None:
        """Have the event loop woken by each packet that is set aside, those so far included."""
        if self.taken and self.port is not None and not self.is_watched:
            self.is_watched = True
            self.port.watch_aside(self.wake)
            asyncio.get_running_loop().call_soon(self.wake)

    def unwatch(self) -> None:
        """Let what is set aside wait again."""
        if self.is_watched and self.port is not None:
            self.is_watched = False
            self.port.watch_aside(None)

    def begin_change(self, now_s: float) -> Change | None:
        """Return what is to be changed in the kernel, in a thread; None if nothing is, or if something is under way."""
        if self.port is None or self.change is not None:
            return None
        may_wait = not self.is_flooded and now_s >= self.again_at_s
        heads = self.wanted if may_wait else {}
        if self.taken != heads:
            self.change = Change(self.port, heads)
            return self.change
        if may_wait:
            self.taken = self.wanted
        self.unwatch()
        return None

    def end_change(self, now_s: float, *, is_made: bool) -> None:
        """Take note of a change that the kernel has made, or refused."""
        change, self.change = self.change, None
        assert change is not None, "it was begun"
        if change.port is self.port:
            if not is_made:
                self.again_at_s = now_s + _RESPITE_S
            else:
                if not self.taken:
                    self.empty_at_s = now_s
                self.taken = change.heads
            if not self._may_wait():
                self.watch()
            elif self.is_watched:
                self.wake()
                # One part may be left of what no longer may wait: the event loop is woken until it is read.
                if self.taken or not change.port.has_aside():
                    self.unwatch()
        closing, self._when_changed = self._when_changed, []
        for close in closing:
            close()

    def _may_wait(self) -> bool:
        return all(self.wanted.get(vhid) == head for vhid, head in self.taken.items())

    def stop_in_flood(self) -> bool:
        """Let nothing wait for a while if too many packets are set aside; return whether that begins."""
        if not self.taken or self.is_watched or self.port is None or not self.port.has_aside(_MOST):
            return False
        now_s = asyncio.get_running_loop().time()
        sent = round(_RATE_MOST * len(self.taken) * (now_s - self.empty_at_s))
        if sent <= _MOST or self.port.has_aside(sent):
            self.again_at_s = now_s + _RESPITE_S
            self.watch()
        return self.is_watched

    def note_if_empty(self, now_s: float) -> None:
        """Note the time if nothing waits."""
        if self.port is not None and not self.port.has_aside():
            self.empty_at_s = now_s


Run: TypeAlias = Callable[[Sequence[Change], Callable[[list[bool]], None]], None]
"""Carries changes out, and calls a function of the event loop with whether each was made."""


def run_in_thread(changes: Sequence[Change], then: Callable[[list[bool]], None]) -> None:
    """Carry changes out in a thread of their own, which inherits the rights and the namespace of this one."""
    loop = asyncio.get_running_loop()

    def run() -> None:
        made = [change.carry_out() for change in changes]
        # The loop may have been closed meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(then, made)

    threading.Thread(target=run, name="pycarp-aside", daemon=True).start()


class AsideTimer:
    """Reads the packets that the ports have set aside, while any port does so; ``run`` carries changes out."""

    def __init__(self, asides: Callable[[], Iterable[Aside]], *, run: Run = run_in_thread) -> None:
        self._asides = asides
        self._run = run
        self._timer: asyncio.TimerHandle | None = None
        self._changing: set[asyncio.Future[None]] = set()

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

    async def changed(self) -> None:
        """Wait until the kernel has made, or refused, the changes that are under way."""
        if self._changing:
            await asyncio.wait(self._changing)

    def renew(self) -> None:
        """Have the kernel set aside what may wait, and nothing else, where that is not so."""
        loop = asyncio.get_running_loop()
        asides = [each for each in self._asides() if each.begin_change(loop.time()) is not None]
        if asides:
            changing = loop.create_future()
            self._changing.add(changing)
            changing.add_done_callback(self._changing.discard)
            changes = [each.change for each in asides if each.change is not None]
            self._run(changes, partial(self._end_changes, asides, changing))

    def _end_changes(self, asides: Sequence[Aside], changing: "asyncio.Future[None]", made: Sequence[bool]) -> None:
        now_s = asyncio.get_running_loop().time()
        for each, is_made in zip(asides, made, strict=True):
            each.end_change(now_s, is_made=is_made)
        if not changing.done():
            changing.set_result(None)
        if self._timer is not None:
            self.plan()

    def _tick(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        for each in self._asides():
            each.stop_in_flood()
        self.renew()
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
        if each.taken is not each.wanted or each.is_watched:
            return every_s
        count += len(each.taken)
    while every_s < _LONGEST_READ_S and count * 2 * every_s <= _AS_A_RULE:
        every_s *= 2
    return every_s
