"""The paths of control sockets: that of ``pycarp run``, and one for each ``pycarp ucarp`` of a network namespace."""

import contextlib
import os
from pathlib import Path

from pycarp.errors import ConfigError
from pycarp.system.recovery import state_folder

PATH_OCTETS_MOST = 107
"""The longest path of a unix socket, in octets, without the final zero. Source: ``man 7 unix``."""

_OWN, _OF_INIT = Path("/proc/self/ns/net"), Path("/proc/1/ns/net")


def ucarp_path(interface: str, vhid: int) -> Path:
    """Return the control socket of a ``pycarp ucarp``; its folder may not exist yet."""
    return _folders()[0] / f"ucarp-{interface}-{vhid}{_namespace()}.sock"


def ucarp_paths() -> list[Path]:
    """Return the control sockets of every ``pycarp ucarp`` of this network namespace, those of killed ones included."""
    namespace = _namespace()
    found = sorted(each for folder in _folders() for each in folder.glob(f"ucarp-*{namespace}.sock"))
    return [each for each in found if namespace or ".netns-" not in each.name]


def refuse_too_long(path: Path) -> None:
    """Raise ConfigError for a path that is longer than an address of a socket can be."""
    octets = len(os.fsencode(path))
    if octets > PATH_OCTETS_MOST:
        raise ConfigError(
            f"the control socket {path} has {octets} octets, and the path of a socket is no longer than "
            f"{PATH_OCTETS_MOST} octets; choose a shorter --control"
        )


def _folders() -> list[Path]:
    """Return the folders to search; the first is the one for daemons that this user starts."""
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    users = [Path(own)] if os.geteuid() != 0 and own.startswith("/") else []
    return [*users, state_folder.DEFAULT]


def _namespace() -> str:
    """Return a suffix for this network namespace, as others see the same files; empty for that of process 1."""
    with contextlib.suppress(OSError):
        if (own := _OWN.stat().st_ino) != _OF_INIT.stat().st_ino:
            return f".netns-{own}"
    return ""
