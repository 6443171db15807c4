"""Runs the probe of a check: one run at a time, within its timeout, and whatever the probe does there is an answer."""

import asyncio

from pycarp.durations import format_duration
from pycarp.health.health_check import Answer, Check, Finding, Request
from pycarp.tasks import start_task

END_S = 2.0
"""Seconds that a probe has to end when it is cancelled."""

_STALL_S = 0.05
"""Seconds by which the event loop is late when the whole process stood still."""

_DETAIL_MAX = 300


async def look(check: Check) -> Finding:
    """Run the probe of a check once, and return what it found, its detail cut to one line of 300 characters.

    It takes ``timeout_s``, and what the probe needs to clean up when it is cancelled, at most ``END_S``. Raises
    CancelledError alone.
    """
    return await Looker(check).look()


class Looker:
    """Runs the probe of a check again and again; a run that does not end keeps the next one from beginning."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._run: asyncio.Task[object] | None = None

    async def look(self) -> Finding:
        """Run the probe, as ``look`` does; unknown while an earlier run has not ended."""
        is_late = self._run is not None
        if self._run is None:
            self._run = start_task(_call(self._check), name=self._check.cause)
        run = self._run
        try:
            await self._wait_for(run)
            is_in_time = run.done() and not is_late
        finally:
            # Also when the caller is cancelled. Once: a second time would cut short what the run has to clean up.
            if not run.done():
                if not run.cancelling():
                    run.cancel()
                await asyncio.wait({run}, timeout=END_S)
        if not run.done():
            return _unknown("the probe does not end when it is cancelled")
        self._run = None
        if is_in_time:
            return _outcome(run)
        if not run.cancelled():
            run.exception()  # Fetched, because asyncio would log it otherwise.
        return _silence(self._check)

    async def _wait_for(self, run: "asyncio.Task[object]") -> None:
        """Wait for the end of a run, or its timeout."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + self._check.timeout_s
        await asyncio.wait({run}, timeout=self._check.timeout_s)
        # A process that was stopped has not read yet what has come meanwhile.
        late_s = loop.time() - ends_s
        if late_s > _STALL_S and not run.done():
            await asyncio.wait({run}, timeout=min(late_s, self._check.timeout_s))


async def _call(check: Check) -> object:
    return await check.probe()


def _outcome(run: "asyncio.Task[object]") -> Finding:
    if run.cancelled():
        return _unknown("the probe was cancelled from within")
    # The code of others: whatever it raises, the host must not serve on.
    if (exc := run.exception()) is not None:
        return _unknown(f"{type(exc).__name__}: {exc}" if str(exc) else f"the probe raised {type(exc).__name__}")
    return _finding(run.result())


def _silence(check: Check) -> Finding:
    took = f"within {format_duration(check.timeout_s)}"
    if isinstance(check.probe, Request):
        return Finding(Answer.FAIL, _one_line(f"{check.probe.silence} {took}"))
    return _unknown(f"no answer {took}")


def _finding(found: object) -> Finding:
    """Return what a probe found as a Finding, whatever it returned."""
    match found:
        case Finding():
            return Finding(found.answer, _one_line(found.detail))
        case Answer():
            return Finding(found, "" if found is Answer.OK else f"the answer was {found}")
        case None | True:
            return Finding(Answer.OK)
        case False:
            return Finding(Answer.FAIL, "the answer was False")
        case _:
            return _unknown(f"the probe returned {found!r} instead of True or False")


def _unknown(detail: str) -> Finding:
    return Finding(Answer.UNKNOWN, _one_line(detail))


def _one_line(detail: str) -> str:
    """Return a detail as one line of the log, whatever a program or a server wrote."""
    text = "".join(each if each.isprintable() else " " for each in detail)
    line = " ".join(text.split())
    return line if len(line) <= _DETAIL_MAX else f"{line[: _DETAIL_MAX - 4]} ..."
