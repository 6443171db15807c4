"""Probes of this machine's services: whether a process lives, and whether systemd counts a unit as active. Linux."""

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pycarp.errors import ConfigError
from pycarp.health.health_check import Answer, Finding, Probe
from pycarp.health.probes import reason_of
from pycarp.system.files.bounded_read import read_at_most
from pycarp.system.programs import run_program

_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+")
"""Letters of the name of a unit; it is no pattern for several of them. Source: systemd.unit(5)."""

_PROC = Path("/proc")

_COMM_MAX = 15
"""Letters that the kernel keeps of the name of a process. Source: TASK_COMM_LEN in ``linux/sched.h``."""

_DEAD_STATES = ("Z", "X", "x")

_NUMBER_MAX = 64
"""Octets that are read of a file with a number."""

_AT_ONCE = 5
"""Processes that are looked at before other tasks have a turn."""

_FAILING_STATES = ("inactive", "failed", "activating", "deactivating", "maintenance")
_ACTIVE_STATES = ("active", "reloading", "refreshing")
"""What ``systemctl is-active`` says, and its exit status agrees. Source: systemctl(1), unit_active_state_table."""


def process(name: str) -> Probe:
    """Return a probe that passes while a process lives; a zombie does not.

    ``name`` is that of its program, or the path of a file with its number, which begins with a slash. It is unknown
    while the processes of others are hidden, and none is found. Raises ConfigError for what is neither.
    """
    wanted = process_named("process", name)
    return _pid_file(Path(wanted)) if wanted.startswith("/") else _named(wanted)


def systemd(unit: str) -> Probe:
    """Return a probe that passes while systemd counts a unit as active; a name without a type is that of a service.

    It runs ``systemctl``, and is unknown where there is none or systemd does not run. Raises ConfigError for what is no
    name of a unit.
    """
    wanted = unit_named("systemd", unit)

    async def look() -> Finding:
        argv = ("systemctl", "is-active", "--", wanted)
        outcome = await run_program(argv, timeout_s=None, environment={"LC_ALL": "C"}, grace_s=0)
        state = outcome.output
        if not outcome.was_run:
            return Finding(Answer.UNKNOWN, f"{outcome.error}; is this a machine with systemd?")
        if state in _ACTIVE_STATES and not outcome.error:
            return Finding(Answer.OK, f"{wanted} is {state}")
        if state in _FAILING_STATES:
            return Finding(Answer.FAIL, f"{wanted} is {state}")
        return Finding(Answer.UNKNOWN, f"systemctl does not say whether {wanted} is active: {state or outcome.error}")

    return look


def process_named(key: str, name: object) -> str:
    """Return the name of a process or the path of its file; raises ConfigError for what is neither."""
    is_one = isinstance(name, str) and name.isprintable() and bool(name.strip())
    if not isinstance(name, str) or not is_one or ("/" in name and not name.startswith("/")):
        raise ConfigError(f'{key} {name!r} is no process; write its name, "nginx", or a file, "/run/nginx.pid"')
    return name


def unit_named(key: str, name: object) -> str:
    """Return the name of a unit of systemd; raises ConfigError for what is none."""
    if not isinstance(name, str) or not _UNIT.fullmatch(name):
        raise ConfigError(f'{key} {name!r} is no unit of systemd; write one such as "nginx.service"')
    return name


def _pid_file(path: Path) -> Probe:
    async def look() -> Finding:
        try:
            line = read_at_most(path, _NUMBER_MAX, timeout_s=0).partition(b"\n")[0].strip().decode(errors="replace")
        except FileNotFoundError:
            return Finding(Answer.FAIL, f"{path} does not exist")
        except OSError as exc:
            return Finding(Answer.UNKNOWN, f"cannot read {path}: {reason_of(exc)}")
        if not line.isdecimal() or not line.isascii():
            return Finding(Answer.UNKNOWN, f"{path} has no number of a process")
        if _lives(line):
            return Finding(Answer.OK, f"process {line} of {path} lives")
        return _gone(f"process {line} of {path} does not live")

    return look


def _named(name: str) -> Probe:
    # The one that was found last time lives on nearly always, so it is looked at before all others.
    last = ""

    async def look() -> Finding:
        nonlocal last
        if not last or not _is_called(last, name):
            last = await _find(name)
        if last:
            return Finding(Answer.OK, f"process {last} is {name}")
        return _gone(f"there is no process {name}")

    return look


def _gone(detail: str) -> Finding:
    # Where the first process is not shown, those of other users are not, either. Source: hidepid in proc(5).
    if not (_PROC / "1").exists():
        return Finding(Answer.UNKNOWN, f"{detail} that can be seen, and those of others are hidden from this one")
    return Finding(Answer.FAIL, detail)


async def _find(name: str) -> str:
    """Return the number of a process of this name; empty if there is none."""
    for count, number in enumerate(_numbers()):
        if _is_called(number, name):
            return number
        if count % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
    return ""


def _numbers() -> Iterator[str]:
    return (each for each in os.listdir(_PROC) if each.isdecimal())


def _is_called(number: str, name: str) -> bool:
    """Return True if a process lives and has this name; of a name that the kernel cut, the program's counts."""
    with contextlib.suppress(OSError):
        folder = _PROC / number
        called = (folder / "comm").read_bytes().removesuffix(b"\n")
        wanted = os.fsencode(name)
        if called == wanted:
            return _lives(number)
        if len(wanted) > _COMM_MAX and called == wanted[:_COMM_MAX]:
            program = (folder / "cmdline").read_bytes().partition(b"\0")[0]
            return program.rpartition(b"/")[2] == wanted and _lives(number)
    return False


def _lives(number: str) -> bool:
    with contextlib.suppress(OSError):
        # The name stands in brackets, and may have any letters in it.
        state = (_PROC / number / "stat").read_bytes().rpartition(b") ")[2][:1].decode(errors="replace")
        return bool(state) and state not in _DEAD_STATES
    return False
