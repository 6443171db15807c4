"""A trial beside peers that behave as BSD kernels do: pycarp, one or two of them, a client, one event.

The switch learns where the virtual MAC address is from the frames that come from it; a BSD's data leaves from its real
one. A frame of ours at the wrong moment therefore sends the client's to us until the BSD advertises again, and nothing
but the client sees it. What it saw is the result, with the frames that told the switch where to send.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from benchmarks.failover import trial
from benchmarks.failover.answers import Answers, Gap
from benchmarks.failover.systems import INTERFACE, SHARED, descendants
from pycarp.errors import CarpError
from pycarp.lab.lab_network import Segment

OURS, THEIRS, THIRD, CLIENT = "a", "b", "c", "client"
HOSTS = {OURS: "10.9.0.1/24", THEIRS: "10.9.0.2/24", THIRD: "10.9.0.3/24", CLIENT: "10.9.0.9/24"}
SHARED6 = "fd09::50"
UNNOTICED_S = 0.02
"""A gap that is no longer needs no explanation."""

_TIMEOUT_S = 25.0
_SETTLE_S = 1.0
_CALM_S = 0.5
_PRIORITY, _PRIORITY_OF_OURS = -18, -10
"""pycarp's is lower, so that its start, which takes a second of computing, does not keep the peer from answering."""

_NOISE_S = 0.3
"""A gap up to so long around which no frame came that could explain it is this machine's, which had other work."""

_VIRTUAL = "00:00:5e:00:01:01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What is tried: ``prepare`` is over before the client begins to ask, ``act`` is what counts.

    ``beside`` names kernels. The advskews are ours, of the first kernel and of the second one, if there is one;
    ``demote`` is the first one's demotion. ``winner`` is who has the addresses in the end. ``is_planned`` says that
    nobody need notice: a hand-over, a better host that joins, a healed split; else the client waits at most until the
    MASTER counts as dead.
    """

    name: str
    prepare: Callable[["Bench"], None]
    act: Callable[["Bench"], None]
    winner: str
    beside: tuple[str, ...] = ("netbsd", "freebsd", "openbsd")
    advskew: int = 100
    kernel_advskew: int = 0
    third_advskew: int | None = None
    advbase: int = 1
    demote: int = 0
    preempts: bool = True
    kernel_preempts: bool = True
    is_dual_stack: bool = False
    is_unicast: bool = False
    is_planned: bool = True
    lasts_s: float = 4.0


class Frame(NamedTuple):
    """What entered the switch, and where."""

    at_s: float
    port: str
    source: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The client's longest gap; ``frames`` taught the switch about the virtual MAC address around it, if it was long.

    ``owners_s`` is for how long two machines had the address from the event on, ``relieved_by`` which kernels became
    MASTER, ``masters`` who was in the end. ``calm_s`` is the longest gap before anything happened: the noise of this
    machine.
    """

    gap_s: float
    calm_s: float
    owners_s: float
    relieved_by: tuple[str, ...]
    masters: tuple[str, ...]
    frames: tuple[str, ...]


@dataclass(kw_only=True)
class Bench:
    """The machines of a trial, and what can be done to them."""

    segment: Segment
    folder: Path
    event: Event
    kernel: str
    dialect: str
    running: dict[str, "subprocess.Popen[str]"] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.running.values():
            if process.stdin is not None:
                process.stdin.close()

    def start_ours(self) -> None:
        """Start pycarp, and return when it takes part."""
        file = self.folder / "ours.toml"
        file.write_text("\n".join(self._settings()) + "\n")
        where = ["--control", str(self._control), "--state", str(self.folder / "ours.state")]
        self._start(OURS, [sys.executable, "-m", "pycarp", "run", str(file), *where])
        self._wait(self._control.exists, "pycarp to start")

    def start_kernel(self, machine: str = THEIRS, *, is_up: bool = True) -> None:
        """Start a kernel, which is BACKUP first; or is not up yet."""
        event = self.event
        advskew = event.kernel_advskew if machine == THEIRS else event.third_advskew
        options = ["--advbase", str(event.advbase), "--advskew", str(advskew)]
        options += ["--demote", str(event.demote)] if machine == THEIRS else []
        options += [] if is_up else ["--down"]
        options += ["--preempt"] if event.kernel_preempts else []
        options += ["--peer", _address(OURS)] if event.is_unicast else []
        argv = [sys.executable, "-m", "benchmarks.failover.kernel_peer", self.kernel, INTERFACE, _address(machine)]
        self._start(machine, [*argv, *self._shared, *options])
        self._wait(lambda: self.state(machine) != "", "the peer to start")

    def wait_for_master(self, machine: str) -> None:
        """Return when a machine, and no other one, is MASTER."""
        self._wait(lambda: self.masters() == [machine], f"{machine} to become MASTER")

    def wait_until_masters(self, count: int) -> None:
        """Return when so many are MASTER."""
        self._wait(lambda: len(self.masters()) == count, f"{count} to be MASTER")

    def masters(self) -> list[str]:
        """Return who has the address."""
        ours = [OURS] if OURS in self.running and self._has_address() else []
        return ours + [each for each in (THEIRS, THIRD) if self.state(each) == "MASTER"]

    def state(self, machine: str) -> str:
        """Return what a kernel said last."""
        log = self.folder / f"{machine}.log"
        lines = log.read_text().split("\n")[:-1] if log.exists() else []
        return lines[-1].split()[0] if lines else ""

    def mastered(self, machine: str, over_s: float) -> list[tuple[float, float]]:
        """Return from when to when a kernel was MASTER."""
        log = self.folder / f"{machine}.log"
        words = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        times = [float(each[1]) for each in words] + [over_s]
        return [(times[number], times[number + 1]) for number, each in enumerate(words) if each[0] == "MASTER"]

    def tell(self, words: str, machine: str = THEIRS) -> None:
        """Give a kernel a command."""
        pipe = self.running[machine].stdin
        assert pipe is not None
        pipe.write(words + "\n")
        pipe.flush()

    def control(self, *words: str) -> None:
        """Give pycarp a command."""
        self.segment.run(OURS, [sys.executable, "-m", "pycarp", *words, "--control", str(self._control)])

    def outlast_announcements(self) -> None:
        """Wait until pycarp has announced a takeover again: with its second later advertisement."""
        time.sleep(2 * (self.event.advbase + self.event.advskew / 256) + _SETTLE_S / 2)

    def end_ours(self) -> None:
        """Stop pycarp as a service manager does."""
        self.running[OURS].send_signal(signal.SIGTERM)

    def kill_ours(self) -> None:
        """Kill pycarp and its guardian."""
        for pid in (self.running[OURS].pid, *descendants(self.running[OURS].pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def split(self, one: str, others: Iterable[str]) -> None:
        """Let nothing through between one machine and others; clients reach all of them."""
        rules = "".join(
            f"add rule bridge split forward iifname {first} oifname {second} drop; "
            for other in others
            for first, second in ((one, other), (other, one))
        )
        table = "add table bridge split; add chain bridge split forward { type filter hook forward priority 0; }; "
        self.segment.run("switch", ["nft", table + rules])

    def heal(self) -> None:
        """Let everything through again."""
        self.segment.run("switch", ["nft", "flush ruleset"])

    @property
    def _control(self) -> Path:
        return self.folder / "ours.sock"

    @property
    def _shared(self) -> list[str]:
        return [SHARED, SHARED6] if self.event.is_dual_stack else [SHARED]

    def _settings(self) -> list[str]:
        event = self.event
        addresses = [f"{each}/{64 if ':' in each else 24}" for each in self._shared]
        return [
            "[[host]]",
            f'interface = "{INTERFACE}"',
            'name = "carp0"',
            "vhid = 1",
            'password = "testpass"',
            f"addresses = {addresses}",
            f"advbase = {event.advbase}",
            f"advskew = {event.advskew}",
            f"preempt = {str(event.preempts).lower()}",
            f'dialect = "{self.dialect}"',
            *([f'peers = ["{_address(THEIRS)}"]'] if event.is_unicast else []),
        ]

    def _start(self, machine: str, argv: list[str]) -> None:
        with (self.folder / f"{machine}.log").open("w") as log, (self.folder / f"{machine}.errors").open("w") as errors:
            self.running[machine] = self.segment.popen(machine, argv, stdout=log, stderr=errors, stdin=subprocess.PIPE)

    def _has_address(self) -> bool:
        return f" {SHARED}/" in self.segment.run(OURS, ["ip", "-4", "-o", "addr", "show"])

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        ends_s = time.monotonic() + _TIMEOUT_S
        while not is_so():
            if time.monotonic() > ends_s:
                errors = "".join(each.read_text() for each in sorted(self.folder.glob("*.errors")))
                raise CarpError(f"waited {_TIMEOUT_S:g} s in vain for {what}\n{errors}")
            time.sleep(0.02)


def settle() -> None:
    """Let those who have just started hear each other."""
    time.sleep(_SETTLE_S)


def run(
    event: Event, kernel: str, *, dialect: str = "universal", prefix: str, stalled_s: float = trial.STALLED_S
) -> Result | None:
    """Return what came of a trial beside a kernel; None when it is the client, or this machine, that was stalled."""
    with (
        tempfile.TemporaryDirectory() as name,
        Segment(prefix, HOSTS, interface=INTERFACE) as segment,
        Bench(segment=segment, folder=Path(name), event=event, kernel=kernel, dialect=dialect) as bench,
    ):
        folder = bench.folder
        _put_first(trial.witness(segment, OURS, "answer"))
        watcher = _put_first(trial.witness(segment, OURS, "see", folder / "seen"))
        event.prepare(bench)
        switch = _put_first(trial.witness(segment, "switch", "watch", folder / "frames"))
        client = _put_first(trial.witness(segment, CLIENT, "ask", folder / "answers"))
        time.sleep(2 * _CALM_S)
        began_s = time.monotonic()
        event.act(bench)
        time.sleep(event.lasts_s)
        over_s = time.monotonic()
        masters = tuple(bench.masters())
        for each in (client, switch, watcher):
            each.terminate()
            each.wait(5)
        answers = Answers.read(folder / "answers")
        gap = answers.longest_gap(began_s, over_s)
        frames = _teachers(_frames(folder / "frames"), gap) if gap.length_s > UNNOTICED_S else ()
        is_noise = UNNOTICED_S < gap.length_s < _NOISE_S and not frames
        if is_noise or answers.may_be_the_clients(gap, stalled_s):
            return None
        kernels = {each: bench.mastered(each, over_s) for each in (THEIRS, THIRD)}
        return Result(
            gap_s=gap.length_s,
            masters=masters,
            owners_s=_owners_s([trial.owned_spans(folder / "seen", over_s), *kernels.values()], began_s, over_s),
            relieved_by=tuple(
                machine for machine, spans in kernels.items() if any(since_s > began_s for since_s, _to_s in spans)
            ),
            calm_s=answers.longest_gap(began_s - _CALM_S, began_s).length_s,
            frames=frames,
        )


def _put_first(process: "subprocess.Popen[str]", priority: int = _PRIORITY) -> "subprocess.Popen[str]":
    """Let a process come before whatever else this machine does: each of them stands for a machine of its own."""
    os.setpriority(os.PRIO_PROCESS, process.pid, priority)
    return process


def _owners_s(owned: list[list[tuple[float, float]]], from_s: float, to_s: float) -> float:
    """Return for how long two of some machines had the address; three do not count twice as long, but thrice."""
    return sum(trial.overlap([one, other], from_s, to_s) for one, other in combinations(owned, 2))


def _address(machine: str) -> str:
    return HOSTS[machine].partition("/")[0]


def _frames(file: Path) -> list[Frame]:
    words = [line.split(maxsplit=3) for line in file.read_text().splitlines()]
    return [Frame(float(at_s), port, source, what) for at_s, port, source, what in words if port in HOSTS]


def _teachers(frames: list[Frame], gap: Gap) -> tuple[str, ...]:
    """Return what told the switch around a gap where the virtual MAC address is, and what was said beside it.

    Times are from the beginning of the gap on. Of frames alike that follow each other the first one is enough.
    """
    around = [each for each in frames if gap.from_s - 0.03 <= each.at_s <= gap.to_s + 0.005]
    firsts = around[:1] + [each for before, each in pairwise(around) if before[1:] != each[1:]]
    return tuple(
        f"{(each.at_s - gap.from_s) * 1000:+.1f} ms {each.what} of {each.port}"
        f" from {'the virtual MAC' if each.source == _VIRTUAL else 'its own MAC'}"
        for each in firsts
    )
