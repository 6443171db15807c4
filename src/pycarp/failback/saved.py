"""What outlives a process: a small file for each host, so that a restart does not forget a failure."""

import logging
from pathlib import Path

import msgspec

from pycarp.placement.failback_state import Saved
from pycarp.system.files import bounded_read, safe_files

_log = logging.getLogger("pycarp.failback")

_LIMIT = 1 << 16


def read(path: Path) -> Saved | None:
    """Return what an earlier process wrote; None, with a warning, if the file cannot be read."""
    try:
        saved = msgspec.json.decode(bounded_read.read_at_most(path, _LIMIT), type=Saved)
        if saved.at.tzinfo is None or (saved.failed_at is not None and saved.failed_at.tzinfo is None):
            raise msgspec.ValidationError("a time has no time zone")
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        _log.warning("%s cannot be read, so earlier failures are forgotten: %s", path, exc)
        return None
    return saved


def write(path: Path, saved: Saved) -> None:
    """Write the file atomically; raises OSError."""
    safe_files.write(path, msgspec.json.encode(saved))
