"""What tests ask about processes that are not their children."""

from pathlib import Path


def has_ended(pid: int) -> bool:
    """Whether a process runs no more; an orphan stays a zombie for as long as the system's init pleases."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
