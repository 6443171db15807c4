"""What the interpreter does for virtual hosts, counted: bytecodes and calls an advertisement, and wake-ups a second.

    sudo python -m benchmarks.counts [--hosts 1 255] [--functions 40]

CPU time depends on who else uses the processor's cache: the same commit has measured 2.3 and 9.1 times keepalived. What
is counted here is the same on a busy machine, but for what the machine makes late, which only adds to it: so the least
of some spans counts.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import counted_daemon
from benchmarks.cost import Pair
from benchmarks.figures import COUNT, RATE, Figure
from pycarp.errors import CarpError
from pycarp.lab.lab_network import check_requirements

SPAN_S, SPANS = 4.0, 3
ROLES = ("MASTER", "BACKUP")
COUNTED = ("bytecodes", "calls", "C calls")
_SHOWN = (*COUNTED, "wake-ups", "advertisements")
_LEAST_SHARE = 0.8
_FILE = "counts"
_WRITTEN_S = 20.0


def measure(count: int, seconds: float = SPAN_S, spans: int = SPANS) -> list[Figure]:
    """Return what each advertisement that is sent or heard takes, and the wake-ups a second, of both roles.

    A span in which the machine stood still, so that less was sent or heard than should be, says nothing.
    """
    found = list(counts_of(count, seconds, spans))
    figures = []
    for role in ROLES:
        wanted = _LEAST_SHARE * count * seconds
        counted = [each[role] for each in found if each[role]["advertisements"] >= wanted]
        if not counted:
            print(f"{role}: not counted, because the machine stood still", file=sys.stderr)
            continue
        for what in COUNTED:
            shares = tuple(each[what] / max(each["advertisements"], 1) for each in counted)
            figures.append(Figure(f"{what} an advertisement, {role}", "pycarp", count, COUNT, shares))
        wake_ups = tuple(each["wake-ups"] / each["seconds"] for each in counted)
        figures.append(Figure(f"wake-ups of the loop, {role}", "pycarp", count, RATE, wake_ups))
    return figures


def counts_of(count: int, seconds: float, spans: int) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield what ``counted_daemon`` writes, by role, for one span after the other."""
    with tempfile.TemporaryDirectory() as name, Pair("pycarp", count, Path(name), program=_counted) as pair:
        pair.wait()
        time.sleep(4 + count / 50)
        files = {role: pair.folder(role) / _FILE for role in ROLES}
        for _ in range(spans):
            for number in (counted_daemon.BEGIN, counted_daemon.END):
                for file in files.values():
                    os.kill(int(file.with_suffix(".pid").read_text()), number)
                time.sleep(seconds if number == counted_daemon.BEGIN else 0)
            yield {role: _written(file) for role, file in files.items()}


def _written(file: Path) -> dict[str, Any]:
    ends_s = time.monotonic() + _WRITTEN_S
    while not file.exists():
        if time.monotonic() > ends_s:
            raise CarpError(f"{file.name} was not written within {_WRITTEN_S:g} s")
        time.sleep(0.1)
    found: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    file.unlink()
    return found


def _counted(folder: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.counted_daemon", str(folder / _FILE)]


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 255], help="virtual hosts (1 255)")
    parser.add_argument("--seconds", type=float, default=10, help="that are counted (10)")
    parser.add_argument("--functions", type=int, default=0, help="list so many functions of each role")
    chosen = parser.parse_args()
    check_requirements()
    for count in chosen.hosts:
        for by_role in counts_of(count, chosen.seconds, 1):
            for role, counted in by_role.items():
                seconds = counted["seconds"]
                print(
                    f"{count:>5} {role}:",
                    *(f"{counted[what] / seconds:,.1f} {what}" for what in _SHOWN),
                )
                for function, (bytecodes, calls) in list(counted["functions"].items())[: chosen.functions]:
                    print(f"{bytecodes / seconds:>12,.1f} in {calls / seconds:>8,.1f} of {function}")


if __name__ == "__main__":
    main()
