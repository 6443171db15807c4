"""Where control sockets are: that of ``pycarp run``, and one for each ``pycarp ucarp`` of a network namespace."""

import contextlib
import os
import socket
from pathlib import Path

from pycarp.daemon.lock_file import LockFile
from pycarp.system.recovery import state_folder

_OWN, _OF_INIT = Path("/proc/self/ns/net"), Path("/proc/1/ns/net")


def ucarp_path(interface: str, vhid: int) -> Path:
    """Return the control socket of a ``pycarp ucarp``; its folder may not exist yet."""
    return _folders()[0] / f"ucarp-{interface}-{vhid}{_namespace()}.sock"


def ucarp_paths() -> list[Path]:
    """Return the control sockets of every ``pycarp ucarp`` of this network namespace, those of killed ones included."""
    namespace = _namespace()
    found = sorted(each for folder in _folders() for each in folder.glob(f"ucarp-*{namespace}.sock"))
    return [each for each in found if namespace or ".netns-" not in each.name]


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


def _folders() -> list[Path]:
    """Return where to look, that for what this user starts first."""
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    users = [Path(own)] if os.geteuid() != 0 and own.startswith("/") else []
    return [*users, state_folder.DEFAULT]


def _namespace() -> str:
    """Return what tells this network namespace from others that see the same files: nothing for that of process 1."""
    with contextlib.suppress(OSError):
        if (own := _OWN.stat().st_ino) != _OF_INIT.stat().st_ino:
            return f".netns-{own}"
    return ""
