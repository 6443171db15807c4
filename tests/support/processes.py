"""What tests ask about processes."""

import os
import time
from pathlib import Path


def has_ended(pid: int) -> bool:
    """Whether a process runs no more; an orphan stays a zombie for as long as the system's init pleases."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def own_children() -> list[int]:
    """Return the processes that the main thread of this one has started."""
    return [int(each) for each in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def wait_for_end(pid: int, *, within_s: float = 5) -> None:
    """Return when a process runs no more."""
    ends_s = time.monotonic() + within_s
    while not has_ended(pid):
        assert time.monotonic() < ends_s, f"process {pid} runs on"
        time.sleep(0.01)
