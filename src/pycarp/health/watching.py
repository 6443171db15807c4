"""Runs health checks, and demotes a virtual host while any fails."""

import asyncio
import contextlib
import logging

from pycarp.aio.host import VirtualHost
from pycarp.durations import format_duration
from pycarp.errors import ConfigError, NodeFailedError, UsageError
from pycarp.health.check import Answer, Check, CheckState, Finding

_log = logging.getLogger("pycarp.health")

_DETAIL_MAX = 300


async def watch(host: VirtualHost, *checks: Check) -> None:
    """Run checks of a host until it departs or this is cancelled; then remove their demotions.

    Every check counts as failing until it has passed. Raises ConfigError if two checks have one name.
    """
    names = [check.name for check in checks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two checks are called {twice!r}; give each a name of its own")
    try:
        # All demotions before the first run, so that no check lets the host take over before another has answered.
        for check in checks:
            _apply(host, check, passes=False)
        async with asyncio.TaskGroup() as group:
            for check in checks:
                group.create_task(_repeat(host, check), name=check.cause)
    except* (UsageError, NodeFailedError):
        pass  # The host has departed, or its node has failed: there is nothing left to demote.
    finally:
        with contextlib.suppress(UsageError, NodeFailedError):
            for check in checks:
                host.restore(check.cause)


async def _repeat(host: VirtualHost, check: Check) -> None:
    state = CheckState()
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    while True:
        finding = await look(check)
        if state.record(check, finding):
            _log.log(
                logging.INFO if state.passes else logging.WARNING,
                "check %s %s%s",
                check.name,
                "passes" if state.passes else "fails",
                f": {finding.detail}" if finding.detail else "",
                extra={"host": host.name, "check": check.name, "answer": str(finding.answer)},
            )
            _apply(host, check, passes=state.passes)
        due_s = max(due_s + check.every_s, loop.time())
        await asyncio.sleep(due_s - loop.time())


async def look(check: Check) -> Finding:
    """Run the probe of a check once, and return what it found, its detail cut to one line of 300 characters.

    It takes ``timeout_s``, and what the probe needs to clean up when it is cancelled. Raises CancelledError alone.
    """
    try:
        async with asyncio.timeout(check.timeout_s):
            found: object = await check.probe()
    except TimeoutError as exc:
        # The probe's own, or ours: both mean that there was no answer.
        return _unknown(str(exc) or f"no answer within {format_duration(check.timeout_s)}")
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return _unknown("the probe was cancelled from within")
    except Exception as exc:  # noqa: BLE001  the code of others: whatever it raises, the host must not serve on
        return _unknown(f"{type(exc).__name__}: {exc}")
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


def _apply(host: VirtualHost, check: Check, *, passes: bool) -> None:
    if passes:
        host.restore(check.cause)
    elif check.by is None:
        host.demote(check.cause, last=True)
    else:
        host.demote(check.cause, by=check.by)
