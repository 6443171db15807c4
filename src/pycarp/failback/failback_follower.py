"""Follows a virtual host, and restricts it as its failback policy says."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.events import EventsMissed
from pycarp.core.restriction import Restriction
from pycarp.errors import NodeFailedError, UsageError
from pycarp.failback.saved import read, write
from pycarp.placement.failback_state import Cause, FailbackState, Hold, Moment, RestrictionsInForce, Saved
from pycarp.placement.policy import FailbackPolicy
from pycarp.tasks import start_task

_LATE_S = 0.001
"""A look comes so much after its time: a clock that is a hair early would find nothing changed, and look for ever."""

_log = logging.getLogger("pycarp.failback")


def _local_time() -> datetime:
    return datetime.now().astimezone()


async def follow(host: VirtualHost, policy: FailbackPolicy, *, file: Path | None = None) -> None:
    """Restrict a host as a policy says, until it departs or this is cancelled; then remove the restrictions.

    ``file`` keeps what a restart must not forget: failures, and their penalty. It is read once and written when
    something in it changes; its folder must exist. A file that cannot be read or written is a warning in the log.
    """
    await FailbackFollower(host, policy, file=file).run()


class FailbackFollower:
    """The failback of one host, for programs that show it, change it or release the host; see ``follow``.

    ``local_time`` returns the time of day with its time zone. ``is_planned`` says of a cause of demotion whether an
    administrator named it: a loss because of it is no failure.
    """

    def __init__(
        self,
        host: VirtualHost,
        policy: FailbackPolicy,
        *,
        file: Path | None = None,
        local_time: Callable[[], datetime] = _local_time,
        is_planned: Callable[[str], bool] = lambda _cause: False,
    ) -> None:
        self._host = host
        self._policy = policy
        self._file = file
        self._local_time = local_time
        self._is_planned = is_planned
        self._state: FailbackState | None = None
        self._restrictions = RestrictionsInForce()
        self._timer: asyncio.TimerHandle | None = None
        self._written: Saved | None = None
        self._writing: asyncio.Task[None] | None = None

    @property
    def policy(self) -> FailbackPolicy:
        """The policy in force."""
        return self._policy

    @property
    def holds(self) -> tuple[Hold, ...]:
        """What restricts the host now, and until when by the clock of the running loop; empty before it runs."""
        return () if self._state is None else self._state.holds(self._now())

    @property
    def penalty(self) -> float:
        """The penalty of the flap damping now; 0 without damping."""
        return 0.0 if self._state is None else self._state.penalty(self._now())

    def replace(self, policy: FailbackPolicy) -> None:
        """Follow another policy from now on; what has happened to the host still counts."""
        self._policy = policy
        if self._state is not None:
            self._state.policy = policy
            self._apply()

    def release(self) -> None:
        """Allow the host to preempt once, whatever the policy says, and forget its failures; no-op for a MASTER.

        The policy is in force again when the host is MASTER.
        """
        if self._state is not None:
            self._state.release(self._now())
            self._apply()

    async def run(self) -> None:
        """Follow the host; as ``follow``."""
        try:
            await self._run()
        except (UsageError, NodeFailedError):
            pass  # The host has departed, or its node has failed: there is nothing left to restrict.
        finally:
            await self._end()

    async def _run(self) -> None:
        began = self._now()
        saved = None
        if self._file is not None:
            # Until the file is read, a failure may be in it.
            self._restrict({Cause.MIN_DWELL: Restriction.NO_PREEMPT})
            saved = await asyncio.to_thread(read, self._file)
        self._state = FailbackState(self._policy, began, saved, is_planned=self._is_planned)
        async with self._host.events() as events:
            self._state.catch_up(self._host.snapshot(), self._now())
            seen = self._host.seq
            self._apply()
            async for event in events:
                if isinstance(event, EventsMissed):
                    self._state.catch_up(self._host.snapshot(), self._now())
                elif event.seq > seen:
                    self._state.handle(event, self._now())
                self._apply()

    def _now(self) -> Moment:
        return Moment(asyncio.get_running_loop().time(), self._local_time())

    def _apply(self) -> None:
        """Restrict the host as is due now, and plan the next look."""
        assert self._state is not None
        now = self._now()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._restrict({hold.cause: hold.restriction for hold in self._state.holds(now)})
        at_s = self._state.changes_at_s(now)
        if at_s is not None:
            self._timer = asyncio.get_running_loop().call_at(max(at_s, now.s) + _LATE_S, self._look)
        self._save(self._state.saved(now))

    def _look(self) -> None:
        with contextlib.suppress(UsageError, NodeFailedError):
            self._apply()

    def _restrict(self, wanted: dict[Cause, Restriction]) -> None:
        """Restrict the host exactly so."""
        for change in self._restrictions.become(wanted, self._host.snapshot()):
            if change.restriction is None:
                self._host.unrestrict(change.cause)
            else:
                self._host.restrict(change.cause, change.restriction)

    # The file

    def _save(self, saved: Saved) -> None:
        if self._file is not None and not _is_alike(saved, self._written):
            self._written = saved
            if self._writing is None:
                self._writing = start_task(self._write(self._file), name=f"{self._host.name}: failback file")

    async def _write(self, file: Path) -> None:
        """Write the newest content, again if it changed meanwhile."""
        written = None
        while written is not self._written:
            written = self._written
            assert written is not None
            try:
                await asyncio.to_thread(write, file, written)
            except OSError as exc:
                why = f"cannot write {file}: {exc.strerror or exc}"
                _log.warning("%s: failures do not survive a restart: %s", self._host.name, why)
        self._writing = None

    async def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with contextlib.suppress(UsageError, NodeFailedError):
            self._restrict({})
        if self._state is not None:
            self._save(self._state.saved(self._now(), is_over=True))
        if self._writing is not None:
            await asyncio.wait({self._writing})


def _is_alike(one: Saved, other: Saved | None) -> bool:
    """Return True if two files say the same, apart from when they were written."""
    if other is None or (one.was_master, one.is_suppressed) != (other.was_master, other.is_suppressed):
        return False
    if one.failed_at is None or other.failed_at is None:
        return one.failed_at is other.failed_at and (one.penalty > 0) is (other.penalty > 0)
    return abs((one.failed_at - other.failed_at).total_seconds()) < 1
