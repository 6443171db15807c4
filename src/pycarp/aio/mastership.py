"""One mastership: what user code can ask while it runs on the MASTER, and how it is cancelled when that ends."""

import asyncio
from enum import Enum
from typing import Any, Protocol

from pycarp.aio.log_records import explain, logger
from pycarp.core.events import StateChange
from pycarp.errors import CarpError
from pycarp.vocabulary import HostKey


class LossReason(Enum):
    """Why a mastership was lost although the host has not left MASTER; the values are for messages."""

    SILENT = "could give no sign of life in time, so that a peer may act"
    FAILED = "is on a node that failed"


class MastershipLost(CarpError):  # noqa: N818  it names what happened
    """The host is no longer, or no longer surely, MASTER; ``reason`` is a ``StateChange`` or a ``LossReason``."""

    def __init__(self, key: HostKey, reason: StateChange | LossReason) -> None:
        words = f"is {reason.new}: {explain(reason)}" if isinstance(reason, StateChange) else reason.value
        super().__init__(f"{key} {words}")
        self.reason = reason


class MastershipOwner(Protocol):
    """The methods that a mastership needs of the monitor that made it."""

    @property
    def key(self) -> HostKey:
        """The host."""

    def clean_up_s(self, wanted_s: float) -> float:
        """Return how many seconds clean-up may take: ``wanted_s``, or less where the lease is shorter."""

    def remaining_s(self) -> float:
        """Return for how many seconds no peer takes over even if no advertisement is sent; negative when a peer may."""

    async def next_sign(self, after_ns: int | None) -> int | None:
        """Wait for another sign of life than that at ``after_ns``; return the time of it."""

    def leave(self, mastership: "Mastership") -> None:
        """Forget a mastership that has ended, or that has not ended within its time."""


class Mastership:
    """The mastership in which the body of ``async with host.mastership() as mastership`` runs.

    ``lost`` is set when the body is cancelled because its host is not surely MASTER any more; it stays unset when the
    body ends by itself. ``token`` is the fencing token: larger in each later mastership, on any host, if its source
    guarantees that.
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
        self._sign_at_ns: int | None = None

    def __repr__(self) -> str:
        return f"<Mastership of {self._owner.key}, token {self.token}: {'lost' if self.is_lost else 'held'}>"

    @property
    def is_lost(self) -> bool:
        """True once the body has been cancelled. The lease may have run out before that: see ``check``."""
        return self.lost.is_set()

    @property
    def reason(self) -> StateChange | LossReason | None:
        """Why the mastership was lost; None while it is not."""
        return self._reason

    @property
    def remaining_s(self) -> float:
        """For how many seconds the body may still run even if no packet arrives or leaves from now on; 0 when lost."""
        return 0.0 if self.is_lost else max(self._owner.remaining_s() - self.clean_up_s, 0.0)

    @property
    def clean_up_s(self) -> float:
        """Seconds that the body may take to clean up once it is cancelled: as asked for, or less if that is unsafe."""
        return self._owner.clean_up_s(self._wanted_s)

    async def renewed(self) -> None:
        """Wait for a sign of life that came after the one of the last call; each makes ``remaining_s`` grow.

        The first call returns at once. For code that passes ``remaining_s`` on, for example to another process.
        """
        self._sign_at_ns = await self._owner.next_sign(self._sign_at_ns)

    def check(self) -> None:
        """Raise MastershipLost unless the host is surely MASTER at this very moment, by the clock.

        Call it right before an action that cannot be undone, if the body has not awaited anything for a while.
        """
        if not self.is_lost and self.remaining_s <= 0:
            self.lose(LossReason.SILENT)
        if self._reason is not None:
            raise MastershipLost(self._owner.key, self._reason)

    # For the monitor, and for the context manager

    def start(self, body: "asyncio.Task[Any]") -> None:
        """Begin: the task is cancelled when the mastership is lost."""
        self._body = body
        self._watch()

    def look_again(self) -> None:
        """Set the timer again, because new settings may have shortened the remaining time."""
        if self._body is not None and not self.is_lost:
            self._disarm()
            self._watch()

    def lose(self, reason: StateChange | LossReason) -> None:
        """End the mastership: cancel the body, and cancel it again when its time for clean-up has run out."""
        if self.is_lost:
            return
        self._reason = reason
        self.lost.set()
        self._disarm()
        if self._body is None:
            self._owner.leave(self)
        elif asyncio.current_task() is self._body:
            # The body itself caused the loss. Cancelled within its own step, it might end without noticing.
            self._timer = asyncio.get_running_loop().call_soon(self._cancel)
        else:
            self._cancel()

    def finish(self) -> int:
        """End, because the body has ended; return how often it was cancelled."""
        self._disarm()
        self._owner.leave(self)
        return self._cancellations

    def _watch(self) -> None:
        """Lose the mastership when its time has run out; set the timer again if an advertisement has extended it."""
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
        """Log that the body has not ended in time, cancel it again, and stop waiting for it."""
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
    """Return the places at which a task is suspended, innermost last."""
    places = []
    each: Any = task.get_coro()
    while (frame := getattr(each, "cr_frame", None)) is not None:
        places.append(f"{frame.f_code.co_name} ({frame.f_code.co_filename}, line {frame.f_lineno})")
        each = each.cr_await
    return " awaits ".join(places)
