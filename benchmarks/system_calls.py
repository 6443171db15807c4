"""How many system calls an advertisement takes, of every process of a MASTER and of a BACKUP; needs strace."""

import re
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.cost import Pair
from benchmarks.figures import Figure
from benchmarks.hearing import LINK, MASTER
from benchmarks.start import HOSTS_PER_LINK
from benchmarks.wire import tapped

_TOTAL = re.compile(r"^100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", re.MULTILINE)


def measure(count: int, seconds: float, contestants: list[str]) -> list[Figure]:
    """Return the calls for each advertisement that a MASTER sends and a BACKUP hears, in one span each."""
    figures = []
    for contestant in contestants:
        with tempfile.TemporaryDirectory() as name, Pair(contestant, count, Path(name)) as pair:
            pair.wait()
            time.sleep(5 + count / 50)
            for role in ("MASTER", "BACKUP"):
                # Before there is a tap, which is a process of the BACKUP's namespace as well.
                pids = pair.pids(role)
                with tapped(pair.namespace("BACKUP"), LINK) as tap:
                    calls = _calls(pids, seconds)
                # Under strace, and on a busy machine, fewer are sent than should be.
                sent = sum(map(len, tap.of(MASTER).values())) * count / min(count, HOSTS_PER_LINK)
                figures.append(Figure(f"system calls, {role}", contestant, count, "calls", (calls / max(sent, 1),)))
    return figures


def _calls(pids: list[int], seconds: float) -> int:
    with tempfile.NamedTemporaryFile("r") as summary:
        argv = ["strace", "-f", "-c", "-o", summary.name, *(word for pid in pids for word in ("-p", str(pid)))]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
            time.sleep(seconds)
            process.terminate()
        return total(summary.read())


def total(summary: str) -> int:
    """Return how many calls a summary of ``strace -c`` has; 0 when it saw none."""
    found = _TOTAL.search(summary)
    return int(found[1]) if found else 0
