"""Removes the control sockets that killed ``pycarp ucarp`` left."""

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
            if path.is_socket() and not _answers(path):
                removed.append(path)
                if not is_rehearsal:
                    path.unlink(missing_ok=True)
        finally:
            lock.release()
    return removed


def _sockets_of_ucarp(folder: Path) -> list[Path]:
    return sorted(folder.glob("ucarp-*.sock"))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True
