"""Runs health checks, and demotes a virtual host while any fails."""

import asyncio
import contextlib
import logging

from pycarp.aio.host import VirtualHost
from pycarp.errors import ConfigError, NodeFailedError, UsageError
from pycarp.health.check import Answer, Check, CheckState

_log = logging.getLogger("pycarp.health")


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
        answer, why = await _run(check)
        if state.record(check, answer):
            _log.log(
                logging.INFO if state.passes else logging.WARNING,
                "check %s %s%s",
                check.name,
                "passes" if state.passes else "fails",
                f": {why}" if why else "",
                extra={"host": host.name, "check": check.name, "answer": str(answer)},
            )
            _apply(host, check, passes=state.passes)
        due_s = max(due_s + check.every_s, loop.time())
        await asyncio.sleep(due_s - loop.time())


async def _run(check: Check) -> tuple[Answer, str]:
    """Return the answer of one run, and why it is no good one."""
    try:
        async with asyncio.timeout(check.timeout_s):
            found: object = await check.probe()
    except TimeoutError:
        return Answer.UNKNOWN, f"no answer within {check.timeout_s:g} s"
    except Exception as exc:  # noqa: BLE001  the code of others: whatever it raises, the host must not serve on
        return Answer.UNKNOWN, f"{type(exc).__name__}: {exc}"
    if isinstance(found, Answer):
        return found, "" if found is Answer.OK else f"the answer was {found}"
    if found is None or found is True:
        return Answer.OK, ""
    if found is False:
        return Answer.FAIL, "the answer was False"
    return Answer.UNKNOWN, f"the probe returned {found!r} instead of True or False"


def _apply(host: VirtualHost, check: Check, *, passes: bool) -> None:
    if passes:
        host.restore(check.cause)
    elif check.by is None:
        host.demote(check.cause, last=True)
    else:
        host.demote(check.cause, by=check.by)
