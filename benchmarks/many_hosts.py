"""What ten thousand virtual hosts cost in one process, and for how long its event loop is blocked.

    sudo sh -c 'ulimit -n 20000; python -m benchmarks.many_hosts'             ten thousand: about ten minutes
    sudo python -m benchmarks.many_hosts --hosts 1000 5000 --json many.json   fewer
    sudo python -m benchmarks.many_hosts --hosts 1000 --beside                with keepalived in the same spans
    sudo python -m benchmarks.many_hosts --alone                              the first machine alone, which needs less

Two machines, each a network namespace, with a veth for each 250 virtual hosts. The first one starts, is BACKUP of all
and then MASTER of all; the second one starts as BACKUP. Then CPU of both at rest is measured, as a percentage of a
core. At last the first one dies with its guardian and without a word, so that the other one takes over all.
The longest turn of the loop is given for each phase, by the clock, and of CPU of the loop's thread: the clock also
counts what other programs took away meanwhile. Every process of a machine counts. Needs root and iproute2; a virtual
host needs one open file.
"""

import argparse
import contextlib
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.cost import Pair
from benchmarks.daemon_log import LINES, Log
from benchmarks.figures import Figure, as_json, table
from benchmarks.start import longest_s
from benchmarks.watched_loop import longest, turns
from pycarp.errors import CarpError
from pycarp.lab.lab_network import check_requirements

SPARE_FILES = 600
"""What a machine opens beside one file a host: sockets of forty links, and of the daemon."""

_SPANS = 3
_LOOK_S = 0.1
_SAY_S = 5.0


class Subject:
    """A contestant on both machines, and what it has logged."""

    def __init__(self, pair: Pair, count: int, say: Callable[[str], None]) -> None:
        self.pair = pair
        self._count = count
        self._say = say
        self._logs: dict[str, Log] = {}

    def wait(self, role: str, state: str, *, many: int | None = None) -> float:
        """Return when so many virtual hosts of a machine have become this, all of them by default; CarpError if late.

        Times are seconds of CLOCK_MONOTONIC, a tenth of a second late at most.
        """
        many = self._count if many is None else many
        log = self._logs.setdefault(role, Log(self.pair.folder(role) / "log"))
        began_s = said_s = time.monotonic()
        while (seen := log.count(LINES[self.pair.contestant][state])) < many:
            now_s = time.monotonic()
            if now_s > began_s + longest_s(self._count) or self.pair.has_ended(role):
                said = (self.pair.folder(role) / "log").read_text()[-1000:]
                raise CarpError(f"{self.pair.contestant}: {seen} of {self._count} are {state} on the {role}: {said}")
            if now_s > said_s + _SAY_S:
                self._say(f"{self.pair.contestant}, {role}: {seen:,} of {self._count:,} are {state}")
                said_s = now_s
            time.sleep(_LOOK_S)
        now_s = time.monotonic()
        self._say(f"{self.pair.contestant}, {role}: {many:,} are {state}")
        return now_s

    def longest_turn(self, role: str, from_s: float, to_s: float) -> tuple[float, float]:
        """Return the longest turn of a loop in a span, by the clock and of CPU; nothing of another contestant."""
        return longest(turns(self.pair.folder(role) / "loop"), from_s, to_s)


def measure(
    count: int, seconds: float, contestants: list[str], say: Callable[[str], None], *, is_alone: bool = False
) -> list[Figure]:
    """Return the figures of as many virtual hosts, or of the first machine alone.

    Raises CarpError when they do not get so far.
    """
    roles = ("MASTER",) if is_alone else ("MASTER", "BACKUP")
    allow_files(count)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        subjects = []
        for who in contestants:
            pair = stack.enter_context(Pair(who, count, Path(name), program=_watched))
            subjects.append(Subject(pair, count, say))
            figures += _started(subjects[-1], count, roles)
        say("at rest")
        time.sleep(5 + count / 500)
        figures += _at_rest(subjects, count, seconds, roles, say)
        for subject in subjects:
            figures += _ended(subject, count) if is_alone else _taken_over(subject, count)
    return figures


def _started(subject: Subject, count: int, roles: Sequence[str]) -> Iterator[Figure]:
    """Yield what it takes until the first machine is MASTER and the other one BACKUP of all."""
    pair = subject.pair
    who = pair.contestant
    for role in roles:
        if role == "BACKUP":
            pair.start(role)
        began_s = pair.started_s[role]
        ready_s = subject.wait(role, "BACKUP")
        yield Figure(f"start, {role}", who, count, "s", (ready_s - began_s,))
        yield Figure(f"start, {role}, CPU", who, count, "s", (pair.cpu_s(role),))
        yield from _turn(subject, f"start, {role}", count, role, began_s, ready_s)
        if role == "MASTER":
            ended_s = subject.wait(role, "MASTER")
            yield Figure("all MASTER after the start", who, count, "s", (ended_s - ready_s,))
            yield from _turn(subject, "all MASTER after the start", count, role, ready_s, ended_s)


def _at_rest(
    subjects: list[Subject], count: int, seconds: float, roles: Sequence[str], say: Callable[[str], None]
) -> Iterator[Figure]:
    """Yield what running costs, of all contestants in the same spans."""
    machines = [(subject, role) for subject in subjects for role in roles]
    used: list[list[float]] = [[] for _ in machines]
    from_s = time.monotonic()
    for number in range(_SPANS):
        began_s = time.monotonic()
        before = [subject.pair.cpu_s(role) for subject, role in machines]
        time.sleep(seconds / _SPANS)
        span_s = time.monotonic() - began_s
        for place, (subject, role) in enumerate(machines):
            used[place].append(100 * (subject.pair.cpu_s(role) - before[place]) / span_s)
        say(f"at rest: {number + 1} of {_SPANS} spans, {', '.join(f'{each[-1]:.1f} %' for each in used)}")
    for (subject, role), values in zip(machines, used, strict=True):
        pair = subject.pair
        yield Figure(f"CPU of a core, {role}", pair.contestant, count, "%", tuple(values))
        yield Figure(f"memory, {role}", pair.contestant, count, "MiB", (pair.memory_mib(role),))
        yield from _turn(subject, f"at rest, {role}", count, role, from_s, time.monotonic())


def _taken_over(subject: Subject, count: int) -> Iterator[Figure]:
    """Yield how the second machine takes over from one that has died without a word, and ends."""
    pair = subject.pair
    killed_s = time.monotonic()
    # Those that others have started first: a guardian is there to speak for a daemon that has died.
    for pid in sorted(pair.pids("MASTER"), reverse=True):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    first_s = subject.wait("BACKUP", "MASTER", many=1)
    last_s = subject.wait("BACKUP", "MASTER")
    yield Figure("takeover of all", pair.contestant, count, "s", (last_s - first_s,))
    yield Figure("takeover of all, since the death", pair.contestant, count, "s", (last_s - killed_s,))
    yield from _turn(subject, "takeover of all", count, "BACKUP", killed_s, last_s + 2 * _LOOK_S)
    yield Figure("stop", pair.contestant, count, "s", (pair.stop("BACKUP"),))


def _ended(subject: Subject, count: int) -> Iterator[Figure]:
    yield Figure("stop", subject.pair.contestant, count, "s", (subject.pair.stop("MASTER"),))


def _turn(subject: Subject, when: str, count: int, role: str, from_s: float, to_s: float) -> Iterator[Figure]:
    who = subject.pair.contestant
    if who == "pycarp":
        # What is written four times a second is there by then.
        time.sleep(max(0.0, to_s + 0.6 - time.monotonic()))
        by_clock_ms, cpu_ms = subject.longest_turn(role, from_s, to_s)
        yield Figure(f"longest turn of the loop: {when}", who, count, "ms", (by_clock_ms,))
        yield Figure(f"most CPU of a turn: {when}", who, count, "ms", (cpu_ms,))


def _watched(folder: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "benchmarks.watched_loop", str(folder / "loop"))


def allow_files(count: int) -> None:
    """Allow as many open files as the hosts need; CarpError when that may not be."""
    needed = count + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise CarpError(
            f"{count} virtual hosts need {needed} open files, and {hard} are allowed: ulimit -n {2 * count}"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def main() -> None:
    """Measure each number of virtual hosts, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_hosts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--hosts", type=int, nargs="+", default=[10_000], help="virtual hosts (10000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="at rest, in three spans (60)")
    parser.add_argument("--beside", action="store_true", help="measure keepalived in the same spans")
    parser.add_argument("--alone", action="store_true", help="measure the first machine alone, as MASTER")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value")
    chosen = parser.parse_args()
    contestants = ["pycarp", *(["keepalived"] if chosen.beside else [])]
    began_s = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - began_s:5.0f} s  {words}", file=sys.stderr, flush=True)

    figures: list[Figure] = []
    try:
        check_requirements(*contestants[1:])
        for count in chosen.hosts:
            figures += measure(count, chosen.seconds, contestants, say, is_alone=chosen.alone)
    except CarpError as exc:
        sys.exit(f"benchmarks.many_hosts: {exc}")
    Console(width=None if sys.stdout.isatty() else 140).print(table(figures))
    if chosen.json:
        chosen.json.write_text(as_json(figures))


if __name__ == "__main__":
    main()
