"""Tells sockets that a killed process left, and removes the control sockets of ``pycarp ucarp`` among them."""

import socket
from pathlib import Path

from pycarp.daemon.lock_file import LockFile


async def remove_dead_sockets(folder: Path, *, is_rehearsal: bool = False) -> list[Path]:
    """Remove the control sockets that killed ``pycarp ucarp`` left, of whatever network namespace; return them.

    Only what the lock beside a socket shows to be nobody's, and on which nobody answers. Raises OSError.
    """
    removed = []
    for path in _sockets_of_ucarp(folder):
        lock = await LockFile.take(path.with_name(f"{path.name}.lock"), timeout_s=0)
        if isinstance(lock, int):
            continue
        try:
            if path.is_socket() and not answers(path):
                removed.append(path)
                if not is_rehearsal:
                    path.unlink(missing_ok=True)
        finally:
            lock.release()
    return removed


def answers(path: Path) -> bool:
    """Return whether a process listens at a socket, also one whose queue is full; never waits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True


def _sockets_of_ucarp(folder: Path) -> list[Path]:
    return sorted(folder.glob("ucarp-*.sock"))
