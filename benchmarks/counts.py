"""What the interpreter does for virtual hosts, counted: bytecodes, calls and wake-ups a second, MASTER and BACKUP.

    sudo python -m benchmarks.counts [--hosts 1 255] [--functions 40]

CPU time depends on who else uses the processor's cache; the same commit has measured 2.3 and 9.1 times keepalived. What
is counted here is the same on a busy machine, but for what the machine makes late.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import counted_daemon
from benchmarks.cost import Pair
from benchmarks.figures import Figure

SECONDS = 10.0
ROLES = ("MASTER", "BACKUP")
_WRITTEN_S = 20.0
_FILE = "counts"


def measure(count: int, seconds: float = SECONDS) -> list[Figure]:
    """Return what is done in a second, of both roles."""
    return [
        Figure(f"{what} a second, {role}", "pycarp", count, "", (counted[what] / counted["seconds"],))
        for role, counted in counts_of(count, seconds).items()
        for what in ("bytecodes", "calls", "C calls", "wake-ups")
    ]


def counts_of(count: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Return what ``counted_daemon`` writes, by role."""
    with tempfile.TemporaryDirectory() as name, Pair("pycarp", count, Path(name), program=_counted) as pair:
        pair.wait()
        time.sleep(5 + count / 50)
        files = {role: pair.folder(role) / _FILE for role in ROLES}
        for number in (counted_daemon.BEGIN, counted_daemon.END):
            for file in files.values():
                os.kill(int(file.with_suffix(".pid").read_text()), number)
            time.sleep(seconds)
        ends_s = time.monotonic() + _WRITTEN_S
        while not all(file.exists() for file in files.values()) and time.monotonic() < ends_s:
            time.sleep(0.1)
        return {role: msgspec.json.decode(file.read_bytes()) for role, file in files.items()}


def _counted(folder: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.counted_daemon", str(folder / _FILE)]


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 255], help="virtual hosts (1 255)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"that are counted ({SECONDS:g})")
    parser.add_argument("--functions", type=int, default=0, help="list so many functions of each role")
    chosen = parser.parse_args()
    for count in chosen.hosts:
        for role, counted in counts_of(count, chosen.seconds).items():
            seconds = counted.pop("seconds")
            functions = counted.pop("functions")
            print(f"{count:>5} {role}:", *(f"{number / seconds:,.1f} {what}" for what, number in counted.items()))
            for function, (bytecodes, calls) in list(functions.items())[: chosen.functions]:
                print(f"{bytecodes / seconds:>12,.1f} in {calls / seconds:>8,.1f} of {function}")


if __name__ == "__main__":
    main()
