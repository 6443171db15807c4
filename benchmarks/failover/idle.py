"""Whether the fastest setting keeps still while nothing happens: who has the address, watched for a while."""

import tempfile
import time
from pathlib import Path

from benchmarks.failover import trial
from benchmarks.failover.systems import BACKUP, HOSTS, INTERFACE, MASTER, System
from pycarp.lab.lab_network import Segment

_SETTLE_S = 3.0


def takeovers(kind: type[System], seconds: float, *, prefix: str) -> str:
    """Return how often the address came to the BACKUP, and how often it left the MASTER, in words."""
    with tempfile.TemporaryDirectory() as name, Segment(prefix, HOSTS, interface=INTERFACE) as segment:
        folder = Path(name)
        system = kind(segment=segment, folder=folder, is_fast=True)
        system.start(MASTER)
        time.sleep(_SETTLE_S)
        system.start(BACKUP)
        time.sleep(_SETTLE_S)
        files = {machine: folder / f"{machine}.seen" for machine in (MASTER, BACKUP)}
        watchers = [trial.witness(segment, machine, "see", file) for machine, file in files.items()]
        time.sleep(seconds)
        for each in watchers:
            each.terminate()
            each.wait(5)
        came = files[BACKUP].read_text().count("comes")
        left = files[MASTER].read_text().count("goes")
    return f"{came} takeovers by the BACKUP, the address left the MASTER {left} times"
