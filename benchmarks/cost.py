"""What running virtual hosts costs, CPU and memory, beside ucarp in the same run. Needs root, iproute2 and ucarp.

    sudo python benchmarks/cost.py [--hosts 1 10 50] [--seconds 20]

Two machines on a segment of network namespaces: one is MASTER of all virtual hosts, the other BACKUP. CPU is
seconds a minute, memory the proportional set size, both summed over the machine's processes: one for pycarp, one for
each virtual host for ucarp.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pycarp.lab.topology import Segment, check_requirements

OWN = {"a": "10.9.0.1/16", "b": "10.9.0.2/16"}
SETTLE_S = 8.0
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def shared(number: int) -> str:
    """Return the address of a virtual host, counted from 1."""
    return f"10.9.1.{number}"


@contextlib.contextmanager
def pycarp(segment: Segment, machine: str, advskew: int, count: int, folder: Path) -> Iterator[list[int]]:
    """Run one daemon of ``count`` virtual hosts; give its process id."""
    names = [f"carp{number}" for number in range(count)]
    lines = [f'cloned_interfaces="{" ".join(names)}"']
    lines += [
        f'ifconfig_{name}="vhid {number} advskew {advskew} pass testpass {shared(number)}/16"'
        for number, name in enumerate(names, 1)
    ]
    rc_conf = folder / f"{machine}.rc.conf"
    rc_conf.write_text("\n".join(lines) + "\n")
    argv = [sys.executable, "-m", "pycarp", "run", "--rc-conf", str(rc_conf), "--control", str(folder / machine)]
    with running(segment, machine, [argv]) as pids:
        yield pids


@contextlib.contextmanager
def ucarp(segment: Segment, machine: str, advskew: int, count: int, folder: Path) -> Iterator[list[int]]:
    """Run ``count`` ucarps; give their process ids."""
    # One a machine: that of the other machine may be running, and cannot be written then.
    script = folder / f"{machine}.nothing.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    common = ["ucarp", "-i", "fxp0", "-s", OWN[machine].partition("/")[0], "-p", "testpass", "-k", str(advskew)]
    common += ["-u", str(script), "-d", str(script)]
    argvs = [[*common, "-v", str(number), "-a", shared(number)] for number in range(1, count + 1)]
    with running(segment, machine, argvs) as pids:
        yield pids


@contextlib.contextmanager
def running(segment: Segment, machine: str, argvs: list[list[str]]) -> Iterator[list[int]]:
    """Run programs on a machine and end them."""
    quiet = subprocess.DEVNULL
    processes = [segment.popen(machine, argv, stdin=quiet, stdout=quiet, stderr=quiet) for argv in argvs]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def cpu_s(pids: list[int]) -> float:
    """Return the CPU time that processes have used."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS_A_SECOND


def memory_mib(pids: list[int]) -> float:
    """Return the proportional set size of processes."""
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("Pss:")) / 1024


def measure(contestant: str, count: int, seconds: float) -> tuple[str, ...]:
    """Return a row of the table."""
    run = {"pycarp": pycarp, "ucarp": ucarp}[contestant]
    with tempfile.TemporaryDirectory() as name, Segment(f"pycarp-cost{os.getpid()}", OWN) as segment:
        folder = Path(name)
        with run(segment, "a", 0, count, folder) as masters, run(segment, "b", 100, count, folder) as backups:
            time.sleep(SETTLE_S)
            before = cpu_s(masters), cpu_s(backups)
            time.sleep(seconds)
            cpu = [(cpu_s(pids) - then) * 60 / seconds for pids, then in zip((masters, backups), before, strict=True)]
            return str(count), contestant, f"{cpu[0]:.2f}", f"{cpu[1]:.2f}", f"{memory_mib(masters):.0f}"


def main() -> None:
    """Measure the contestants in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 10, 50], help="virtual hosts (default 1 10 50)")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each measurement (default 20)")
    options = parser.parse_args()
    check_requirements("ucarp")
    table = Table("virtual hosts", "daemon", "CPU s a minute, MASTER", "CPU s a minute, BACKUP", "memory MiB, MASTER")
    for count in options.hosts:
        for contestant in ("pycarp", "ucarp"):
            table.add_row(*measure(contestant, count, options.seconds))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
