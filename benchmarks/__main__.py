"""What pycarp costs beside keepalived, ucarp and scapy, in one run. Needs root, iproute2, keepalived and ucarp.

    nox -s bench                     half an hour
    nox -s bench -- quick            under three minutes
    python -m benchmarks quick --only cost --json FILE
    python -m benchmarks quick --compare FILE     fails when a ratio, or what is counted, is worse than in FILE
    python -m benchmarks quick --plots FOLDER     draws the pictures; benchmarks.plots draws them from JSON again
    python -m benchmarks --only endurance         ten minutes at 40 ms an advertisement, idle, and ten busy

Prints medians, least and most, and how many times as much as the others pycarp needs.
"""

import argparse
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from benchmarks import cost, counts, floors, hearing, packets, plots, start, system_calls
from benchmarks.bytecode import environment
from benchmarks.figures import Figure, as_json, ratios, table, worse
from pycarp.errors import CarpError
from pycarp.lab.lab_network import check_requirements

AREAS = ("imports", "floors", "packets", "start", "cost", "counts")
SLOW_AREAS = ("calls", "hearing")
"""What only the full benchmark measures, unless it is asked for."""

ASKED_FOR = ("endurance",)


class Scale(NamedTuple):
    """How much is measured."""

    hosts: tuple[int, ...]
    seconds: float
    rounds: int
    endurance_s: float = 600.0


SCALES = {"quick": Scale((1, 50, 255), 6.0, 3), "full": Scale((1, 50, 255, 1000), 60.0, 9)}


def of_imports(scale: Scale, _peers: Sequence[str]) -> Iterator[Figure]:
    """Yield the CPU time of an interpreter that imports, and of short commands, compiled before as when installed."""
    commands = {
        "import pycarp": ["-c", "import pycarp"],
        "pycarp --version": ["-m", "pycarp", "--version"],
        "pycarp status --help": ["-m", "pycarp", "status", "--help"],
        "pycarp run --help": ["-m", "pycarp", "run", "--help"],
    }
    for name, words in commands.items():
        values = tuple(_cpu_ms([sys.executable, *words]) for _ in range(scale.rounds))
        yield Figure(name, "pycarp", 0, "ms", values)


def of_packets(scale: Scale, _peers: Sequence[str]) -> Iterator[Figure]:
    """Yield the time that a packet takes, in turns."""
    calls = packets.contestants()
    rounds = [{name: 1e6 / packets.rate(call, 0.3) for name, call in calls.items()} for _ in range(scale.rounds)]
    for name in calls:
        who, _, what = name.partition(": ")
        yield Figure(what, who, 1, "µs", tuple(each[name] for each in rounds))


def of_start(scale: Scale, peers: Sequence[str]) -> Iterator[Figure]:
    """Yield how long it takes until all are BACKUP, and to stop."""
    for count in scale.hosts:
        for who in ("pycarp", *(each for each in peers if each == "keepalived")):
            found = [start.measure(who, count, "virtual", has_masters=False) for _ in range(max(1, scale.rounds // 3))]
            yield Figure("start", who, count, "s", tuple(each.start_s for each in found))
            yield Figure("start, CPU", who, count, "s", tuple(each.cpu_s for each in found))
            yield Figure("stop", who, count, "s", tuple(each.stop_s for each in found))


def of_cost(scale: Scale, peers: Sequence[str]) -> Iterator[Figure]:
    """Yield what running costs."""
    for count in scale.hosts:
        yield from cost.measure(count, scale.seconds, ["pycarp", *peers])


def of_counts(scale: Scale, _peers: Sequence[str]) -> Iterator[Figure]:
    """Yield how much the interpreter does in a second, whatever else the machine does."""
    yield from counts.measure(_many(scale))


def of_floors(scale: Scale, _peers: Sequence[str]) -> Iterator[Figure]:
    """Yield what a frame and a wake-up cost Python at least."""
    yield from floors.measure(scale.rounds)


def of_calls(scale: Scale, peers: Sequence[str]) -> Iterator[Figure]:
    """Yield the system calls of an advertisement, if there is strace."""
    if shutil.which("strace") is None:
        print("strace is not installed, and system calls are not measured", file=sys.stderr)
        return
    yield from system_calls.measure(_many(scale), scale.seconds, ["pycarp", *_beside(peers)])


def of_hearing(scale: Scale, peers: Sequence[str]) -> Iterator[Figure]:
    """Yield how soon bow-outs and demotions are heard, and how late advertisements are."""
    yield from hearing.delays(_many(scale))
    yield from hearing.lateness(_many(scale), scale.seconds, ["pycarp", *_beside(peers)])


def of_endurance(scale: Scale, peers: Sequence[str]) -> Iterator[Figure]:
    """Yield the takeovers of which a healthy MASTER is the victim."""
    yield from hearing.endurance(scale.endurance_s, ["pycarp", *_beside(peers)])


def _many(scale: Scale) -> int:
    """Return the number of hosts for what is measured with one number alone."""
    return max((each for each in scale.hosts if each <= 255), default=255)


def _beside(peers: Sequence[str]) -> list[str]:
    return [each for each in peers if each == "keepalived"]


def _cpu_ms(argv: list[str]) -> float:
    subprocess.run(argv, check=True, capture_output=True, env=environment())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, capture_output=True, env=environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    """Measure what is asked for; print it, and compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scale", nargs="?", choices=SCALES, default="full", help="how much is measured (full)")
    parser.add_argument(
        "--only", action="append", choices=[*AREAS, *SLOW_AREAS, *ASKED_FOR], help="an area; may be repeated"
    )
    parser.add_argument("--hosts", type=int, nargs="+", help="virtual hosts")
    parser.add_argument("--endurance-seconds", type=float, default=600, help="of each half of endurance (600)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw pictures of it, as SVG")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="fail when something is worse than in FILE")
    parser.add_argument("--factor", type=float, default=2.0, help="a ratio so many times as large is worse (2)")
    parser.add_argument(
        "--count-factor", type=float, default=1.25, help="a count so many times as large is worse (1.25)"
    )
    chosen = parser.parse_args()
    check_requirements()
    scale = SCALES[chosen.scale]
    if chosen.hosts:
        scale = scale._replace(hosts=tuple(chosen.hosts))
    scale = scale._replace(endurance_s=chosen.endurance_seconds)
    peers = [each for each in ("keepalived", "ucarp") if shutil.which(each)]
    for missing in {"keepalived", "ucarp"} - set(peers):
        print(f"{missing} is not installed, and not measured", file=sys.stderr)
    areas = {
        "imports": of_imports,
        "floors": of_floors,
        "packets": of_packets,
        "start": of_start,
        "cost": of_cost,
        "counts": of_counts,
        "calls": of_calls,
        "hearing": of_hearing,
        "endurance": of_endurance,
    }
    figures: list[Figure] = []
    for name in chosen.only or (AREAS if chosen.scale == "quick" else (*AREAS, *SLOW_AREAS)):
        try:
            figures += areas[name](scale, peers)
        except (CarpError, subprocess.TimeoutExpired) as exc:
            sys.exit(f"{name}: {exc}")
    figures += ratios(figures)
    Console(width=None if sys.stdout.isatty() else 120).print(table(figures))
    if chosen.json:
        chosen.json.write_text(as_json(figures))
    if chosen.plots:
        plots.draw(figures, chosen.plots, print)
    if chosen.compare and (faults := worse(figures, chosen.compare.read_text(), chosen.factor, chosen.count_factor)):
        sys.exit("worse than committed:\n" + "\n".join(faults))


if __name__ == "__main__":
    main()
