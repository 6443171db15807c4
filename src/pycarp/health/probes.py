"""Probes that look in one step: each function returns a coroutine function for ``Check``."""

import os
from pathlib import Path

from pycarp.health.blocking import BlockingCall
from pycarp.health.destination import Destination
from pycarp.health.health_check import Answer, Finding, Probe, Request


def tcp(address: str, port: int) -> Probe:
    """Return a probe that passes if a TCP connection to an address or name is accepted, and fails if it is not."""
    peer, destination = f"[{address}]:{port}" if ":" in address else f"{address}:{port}", Destination(address, port)

    async def look() -> Finding:
        try:
            _reader, writer = await destination.connect()
        except OSError as exc:
            return Finding(Answer.FAIL, f"no connection to {peer}: {reason_of(exc)}")
        # Nothing was sent or received, so there is nothing to wait for.
        writer.transport.abort()
        return Finding(Answer.OK, f"{peer} accepts connections")

    return Request(look, f"no connection to {peer}")


def file_exists(path: str | Path) -> Probe:
    """Return a probe that passes while a file or folder exists; it is unknown if that cannot be seen."""
    # In a thread, because it takes as long as the server of a network file system is dead.
    asking = BlockingCall(Path(path).stat)

    async def look() -> Finding:
        try:
            await asking.result()
        except (FileNotFoundError, NotADirectoryError):
            return Finding(Answer.FAIL, f"{path} does not exist")
        except OSError as exc:
            return Finding(Answer.UNKNOWN, f"cannot see {path}: {reason_of(exc)}")
        return Finding(Answer.OK, f"{path} exists")

    return look


def reason_of(exc: OSError) -> str:
    """Return why a system call failed, in the words of the system without number and arguments."""
    return os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc.strerror or str(exc)
