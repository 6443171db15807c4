"""One trial: two machines and a client on a segment, one event, and what the witnesses saw of it."""

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failover import witnesses
from benchmarks.failover.answers import Answers
from benchmarks.failover.systems import BACKUP, HOSTS, INTERFACE, MASTER, SHARED, System
from pycarp.errors import CarpError
from pycarp.lab.lab_network import Segment

STALLED_S = 0.01
"""A trial whose gap is due to the client's own being late by more than this, says nothing."""

_ELECTED_S = 30.0
_SETTLE_S = 1.5
_CALM_S = 0.7
_PAUSE_S = 10.0
_AFTER_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happens to the MASTER: ``begin``, and for one that ends again ``end``, ten seconds later.

    ``is_reachable`` says whether the MASTER of before can be reached while it lasts; else two owners do not count.
    """

    name: str
    begin: Callable[[System], None]
    end: Callable[[System], None] | None = None
    is_reachable: bool = True
    is_fast: bool = False
    only: str = ""


def _cut(system: System) -> None:
    system.segment.isolate(MASTER)


def _set_link(system: System, state: str) -> None:
    system.segment.run(MASTER, ["ip", "link", "set", INTERFACE, state])


def _split(system: System) -> None:
    rules = "".join(
        f"add rule bridge split forward iifname {one} oifname {other} drop; "
        for one, other in ((MASTER, BACKUP), (BACKUP, MASTER))
    )
    table = "add table bridge split; add chain bridge split forward { type filter hook forward priority 0; }; "
    system.segment.run("switch", ["nft", table + rules])


def _heal(system: System) -> None:
    system.segment.run("switch", ["nft", "flush ruleset"])


def _signal_it(system: System, number: signal.Signals) -> None:
    """Send a signal to all processes of a system, but not to a guardian, which is there for this."""
    system.signal(MASTER, number, all_of_it=not system.has_guardian)


def _delete(system: System) -> None:
    system.segment.run(MASTER, ["ip", "addr", "del", f"{SHARED}/24", "dev", system.device])


EVENTS = (
    Event(name="SIGTERM", begin=lambda system: system.signal(MASTER, signal.SIGTERM, all_of_it=False)),
    Event(name="planned hand-over", begin=lambda system: system.hand_over()),
    Event(name="SIGKILL", begin=lambda system: _signal_it(system, signal.SIGKILL)),
    Event(name="SIGKILL, guardian too", begin=lambda system: system.signal(MASTER, signal.SIGKILL), only="pycarp"),
    Event(
        name="SIGSTOP for 10 s",
        begin=lambda system: _signal_it(system, signal.SIGSTOP),
        end=lambda system: _signal_it(system, signal.SIGCONT),
    ),
    Event(name="cut off", begin=_cut, is_reachable=False),
    Event(
        name="link down for 10 s",
        begin=lambda system: _set_link(system, "down"),
        end=lambda system: _set_link(system, "up"),
        is_reachable=False,
    ),
    Event(name="split for 10 s", begin=_split, end=_heal),
    Event(name="address deleted", begin=_delete),
    Event(name="cut off, fastest setting", begin=_cut, is_reachable=False, is_fast=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Seconds: the longest gap of the client, and after an event that ended; and how long both had the address.

    ``owners_after_s`` is the part of that after the event ended.
    """

    gap_s: float
    gap_after_s: float | None
    owners_s: float | None
    owners_after_s: float | None


def run(kind: Callable[..., System], event: Event, *, prefix: str, stalled_s: float = STALLED_S) -> Result | None:
    """Return what came of a trial; None when it is the client that was stalled."""
    with (
        tempfile.TemporaryDirectory() as name,
        Segment(prefix, HOSTS, interface=INTERFACE) as segment,
    ):
        folder = Path(name)
        system = kind(segment=segment, folder=folder, is_fast=event.is_fast)
        for machine in (MASTER, BACKUP):
            witness(segment, machine, "answer")
        watchers = [witness(segment, machine, "see", folder / f"{machine}.seen") for machine in (MASTER, BACKUP)]
        for machine in (MASTER, BACKUP):
            system.start(machine)
            time.sleep(0.3)
        _wait_for_master(segment)
        time.sleep(_SETTLE_S)
        client = witness(segment, "client", "ask", folder / "answers")
        time.sleep(_CALM_S)
        began_s = time.monotonic()
        event.begin(system)
        ended_s = None
        if event.end is not None:
            time.sleep(max(0.0, began_s + _PAUSE_S - time.monotonic()))
            ended_s = time.monotonic()
            event.end(system)
        time.sleep(_AFTER_S)
        over_s = time.monotonic()
        for each in (client, *watchers):
            each.terminate()
            each.wait(5)
        return _result(folder, event, (began_s, ended_s, over_s), stalled_s)


def _wait_for_master(segment: Segment) -> None:
    """Wait until the first machine has the address, and the other one has not."""
    ends_s = time.monotonic() + _ELECTED_S
    while [_has_address(segment, machine) for machine in (MASTER, BACKUP)] != [True, False]:
        if time.monotonic() > ends_s:
            raise CarpError(f"{MASTER} did not become MASTER within {_ELECTED_S:g} s")
        time.sleep(0.1)


def _has_address(segment: Segment, machine: str) -> bool:
    return f" {SHARED}/" in segment.run(machine, ["ip", "-4", "-o", "addr", "show"])


def witness(segment: Segment, machine: str, what: str, file: Path | None = None) -> "subprocess.Popen[str]":
    """Start a program that looks on from a machine."""
    argv = [sys.executable, "-I", "-S", witnesses.__file__, what, SHARED, *([str(file)] if file else [])]
    return segment.popen(machine, argv, stdin=subprocess.DEVNULL)


def _result(folder: Path, event: Event, times: tuple[float, float | None, float], stalled_s: float) -> Result | None:
    began_s, ended_s, over_s = times
    answers = Answers.read(folder / "answers")
    gaps = [answers.longest_gap(began_s, ended_s or over_s)]
    gaps += [] if ended_s is None else [answers.longest_gap(ended_s, over_s)]
    if any(answers.may_be_the_clients(gap, stalled_s) for gap in gaps):
        return None
    owned = [owned_spans(folder / f"{machine}.seen", over_s) for machine in (MASTER, BACKUP)]
    return Result(
        gap_s=gaps[0].length_s,
        gap_after_s=None if ended_s is None else gaps[1].length_s,
        owners_s=overlap(owned, began_s, ended_s or over_s) if event.is_reachable else None,
        owners_after_s=None if ended_s is None else overlap(owned, ended_s, over_s),
    )


def owned_spans(file: Path, over_s: float) -> list[tuple[float, float]]:
    """Return from when to when a machine had the address."""
    spans: list[tuple[float, float]] = []
    since_s: float | None = None
    with contextlib.suppress(FileNotFoundError):
        for line in file.read_text().split("\n"):
            if line.startswith("comes") and since_s is None:
                since_s = float(line.split()[1])
            elif line.startswith("goes") and since_s is not None:
                spans.append((since_s, float(line.split()[1])))
                since_s = None
    return spans + ([(since_s, over_s)] if since_s is not None else [])


def overlap(owned: list[list[tuple[float, float]]], from_s: float, to_s: float) -> float:
    """Return for how long of a span both had the address."""
    one, other = owned
    return sum(max(0.0, min(a[1], b[1], to_s) - max(a[0], b[0], from_s)) for a in one for b in other)
