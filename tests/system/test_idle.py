"""The processor time of an idle daemon: of each of its processes, kernel time included."""

import os
import time
from pathlib import Path

import pytest

from tests.support.daemons import SHARED, Pycarp, children, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

SPAN_S = 3.0
MOST_OF_A_PROCESSOR = 0.1
"""An idle process takes 0.01; a loop that spins takes 1."""

MOST_WAKE_UPS = {"MASTER": 24, "BACKUP": 12}
"""In the span, of a daemon, its threads and its guardian: 15 and 5 are seen."""

STARTED_S = 8.0
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    return [pid, *(each for child in children(pid) for each in family(child))]


def cpu_s(pid: int) -> float:
    """Return the processor time of a process in seconds. Source: ``man 5 proc``, fields 14 and 15 of ``stat``."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def wake_ups(daemon: Pycarp) -> int:
    """Return how often the threads of a daemon and its guardian have waited so far."""
    statuses = [each for pid in family(daemon.process.pid) for each in Path(f"/proc/{pid}/task").glob("*/status")]
    lines = [line for each in statuses for line in each.read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def cost(*daemons: Pycarp) -> dict[int, float]:
    """Return the share of a processor that each process takes while nothing happens."""
    pids = [pid for daemon in daemons for pid in family(daemon.process.pid)]
    before = {pid: cpu_s(pid) for pid in pids}
    time.sleep(SPAN_S)
    return {pid: (cpu_s(pid) - before[pid]) / SPAN_S for pid in pids}


@pytest.mark.parametrize(("mac_mode", "transport"), [("virtual", "packet"), ("interface", "raw")])
def test_a_master_and_a_backup_cost_next_to_nothing(tmp_path: Path, mac_mode: str, transport: str) -> None:
    """This also holds after events: the address was removed by hand, and a link was gone for a moment."""
    require("ip", "bridge")
    options = ("--mac-mode", mac_mode, "--transport", transport)
    with (
        new_segment(a="192.168.1.3/24", b="192.168.1.5/24") as segment,
        Pycarp(segment, "a", tmp_path, options=options) as a,
        Pycarp(segment, "b", tmp_path, advskew=100, options=options, after=a) as b,
    ):
        wait_until(lambda: a.is_in("MASTER") and a.has_address() and b.is_in("BACKUP"), STARTED_S)
        device = "carp0" if mac_mode == "virtual" else "fxp0"
        segment.run("a", ["ip", "addr", "del", f"{SHARED}/24", "dev", device])
        wait_until(a.has_address, 2)
        segment.unplug("b")
        segment.plug("b")
        wait_until(lambda: b.is_in("BACKUP"), 5)
        # What the unplugging led to is written down two seconds later.
        time.sleep(2.5)

        before = wake_ups(a), wake_ups(b)
        costs = cost(a, b)
        woken = {"MASTER": wake_ups(a) - before[0], "BACKUP": wake_ups(b) - before[1]}

    assert len(costs) >= 4, "a daemon and its guardian each"
    assert max(costs.values()) < MOST_OF_A_PROCESSOR, costs
    assert all(woken[role] <= most for role, most in MOST_WAKE_UPS.items()), woken
