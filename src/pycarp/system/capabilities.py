"""The permissions of this process, and the abilities of its kernel."""

import os
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path

NO_PERMISSION = "no permission: run as root or give the process CAP_NET_RAW and CAP_NET_ADMIN"
CAP_NET_ADMIN = 12
_ADDRESS_PROTOCOLS_SINCE = (5, 18)


def refusal_of_socket(
    family: int, kind: int, protocol: int, *, close: Callable[[socket.socket], object] = socket.socket.close
) -> str | None:
    """Return None when such a socket can be opened, else the reason and the way out; it is closed with ``close``."""
    try:
        close(socket.socket(family, kind, protocol))
    except PermissionError:
        return NO_PERMISSION
    except OSError as exc:
        return exc.strerror or str(exc)
    return None


def may_change_addresses() -> bool:
    """Return True if this Linux process has CAP_NET_ADMIN. Source: ``CapEff`` in ``man 5 proc``."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return bool(int(status["CapEff"], 16) >> CAP_NET_ADMIN & 1)


@cache
def knows_address_protocols() -> bool:
    """Return True if this kernel knows who added an address. Source: IFA_PROTO in ``linux/if_addr.h``, since 5.18."""
    major, minor, *_rest = os.uname().release.split(".")
    return (int(major), int(minor.partition("-")[0])) >= _ADDRESS_PROTOCOLS_SINCE
