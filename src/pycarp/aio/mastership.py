"""One stay of user code in office: what it may know, and how it is made to leave."""

import asyncio
from enum import Enum
from typing import Any, Protocol

from pycarp.aio.log_records import explain, logger
from pycarp.core.events import StateChange
from pycarp.errors import CarpError
from pycarp.vocabulary import HostKey


class LossReason(Enum):
    """Why a mastership was lost though the host has not left MASTER; in words."""

    SILENT = "could give no sign of life in time, so that a peer may act"
    FAILED = "is on a node that failed"


class MastershipLost(CarpError):  # noqa: N818  it names what happened
    """The host is not, or not surely, MASTER any more; ``reason`` is the ``StateChange``, or a ``LossReason``."""

    def __init__(self, key: HostKey, reason: StateChange | LossReason) -> None:
        words = f"is {reason.new}: {explain(reason)}" if isinstance(reason, StateChange) else reason.value
        super().__init__(f"{key} {words}")
        self.reason = reason


class MastershipOwner(Protocol):
    """What a mastership has to know of the mastership that it is in."""

    @property
    def key(self) -> HostKey:
        """The host."""

    def clean_up_s(self, wanted_s: float) -> float:
        """Return how long clean-up may take, at most as long as it wants."""

    def remaining_s(self) -> float:
        """Return how long no peer can act even if no sign of life is given any more; negative when one may."""

    def leave(self, mastership: "Mastership") -> None:
        """Forget a mastership: it is over, or has outstayed its time."""


class Mastership:
    """What a body of ``async with host.mastership() as mastership`` may know.

    ``lost`` is set when the body is cancelled because its host is not surely MASTER any more; it stays unset when the
    body ends by itself. ``token`` grows from mastership to mastership, across hosts, as far as its source promises.
    """

    def __init__(self, owner: MastershipOwner, *, clean_up_s: float) -> None:
        self.lost = asyncio.Event()
        self.token = 0
        self._owner = owner
        self._wanted_s = clean_up_s
        self._reason: StateChange | LossReason | None = None
        self._body: asyncio.Task[Any] | None = None
        self._timer: asyncio.Handle | None = None
        self._cancellations = 0

    def __repr__(self) -> str:
        return f"<Mastership of {self._owner.key}, token {self.token}: {'lost' if self.is_lost else 'in owner'}>"

    @property
    def is_lost(self) -> bool:
        """Whether the body has been told to end; the clock may know better, see ``check``."""
        return self.lost.is_set()

    @property
    def reason(self) -> StateChange | LossReason | None:
        """Why the mastership was lost; None as long as it is not."""
        return self._reason

    @property
    def remaining_s(self) -> float:
        """How long the body may go on at least, even if nothing can be heard or sent from now on; 0 when lost."""
        return 0.0 if self.is_lost else max(self._owner.remaining_s() - self.clean_up_s, 0.0)

    @property
    def clean_up_s(self) -> float:
        """How long the body may take to clean up once it is cancelled: what was asked for, or what is safe."""
        return self._owner.clean_up_s(self._wanted_s)

    def check(self) -> None:
        """Raise MastershipLost unless the host is surely MASTER at this very moment, by the clock.

        For use right before something that cannot be taken back, where the body did not await anything for long.
        """
        if not self.is_lost and self.remaining_s <= 0:
            self.lose(LossReason.SILENT)
        if self._reason is not None:
            raise MastershipLost(self._owner.key, self._reason)

    # For the mastership, and for the context manager

    def start(self, body: "asyncio.Task[Any]") -> None:
        """Have the task cancelled when the mastership is lost."""
        self._body = body
        self._watch()

    def look_again(self) -> None:
        """Take note that the time that remains may be shorter than it was."""
        if self._body is not None and not self.is_lost:
            self._disarm()
            self._watch()

    def lose(self, reason: StateChange | LossReason) -> None:
        """End the mastership: cancel the body, and once more when its time for clean-up has run out."""
        if self.is_lost:
            return
        self._reason = reason
        self.lost.set()
        self._disarm()
        if self._body is None:
            self._owner.leave(self)
        elif asyncio.current_task() is self._body:
            # The body brought it about itself. Cancelled within its step, it might end without ever noticing.
            self._timer = asyncio.get_running_loop().call_soon(self._cancel)
        else:
            self._cancel()

    def finish(self) -> int:
        """Take note that the body has ended; return how often it was cancelled."""
        self._disarm()
        self._owner.leave(self)
        return self._cancellations

    def _watch(self) -> None:
        """Lose the mastership when no sign of life was given for too long; each puts that off, so look again then."""
        remaining_s = self.remaining_s
        if remaining_s > 0:
            self._timer = asyncio.get_running_loop().call_later(remaining_s, self._watch)
        else:
            self.lose(LossReason.SILENT)

    def _cancel(self) -> None:
        assert self._body is not None
        self._cancellations += 1
        self._body.cancel()
        self._timer = asyncio.get_running_loop().call_later(self.clean_up_s, self._overrun)

    def _overrun(self) -> None:
        """Give a body up that has not ended in time: nobody can stop it, so nobody waits for it."""
        assert self._body is not None
        logger.error(
            "carp: %s: code that may run only while MASTER has not ended within %.3f s of being cancelled; "
            "it is cancelled again, and the addresses are dropped whether it ends or not: %s",
            self._owner.key,
            self.clean_up_s,
            _location(self._body),
        )
        self._cancellations += 1
        self._body.cancel()
        self._owner.leave(self)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _location(task: "asyncio.Task[Any]") -> str:
    """Return where a task is suspended, innermost last."""
    places = []
    each: Any = task.get_coro()
    while (frame := getattr(each, "cr_frame", None)) is not None:
        places.append(f"{frame.f_code.co_name} ({frame.f_code.co_filename}, line {frame.f_lineno})")
        each = each.cr_await
    return " awaits ".join(places)
