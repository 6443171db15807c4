"""What this process may do, and what its kernel can tell."""

import os
import socket
from functools import cache
from pathlib import Path

NO_PERMISSION = "no permission: run as root or give the process CAP_NET_RAW and CAP_NET_ADMIN"
CAP_NET_ADMIN = 12
_TELLS_PROTOCOLS = (5, 18)


def refusal_of_socket(family: int, kind: int, protocol: int) -> str | None:
    """Return None when such a socket can be opened, else why not and what to do about it."""
    try:
        socket.socket(family, kind, protocol).close()
    except PermissionError:
        return NO_PERMISSION
    except OSError as exc:
        return exc.strerror or str(exc)
    return None


def may_change_addresses() -> bool:
    """Say whether this Linux process has CAP_NET_ADMIN. Source: ``CapEff`` in ``man 5 proc``."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return bool(int(status["CapEff"], 16) >> CAP_NET_ADMIN & 1)


@cache
def tells_address_protocols() -> bool:
    """Say whether this kernel tells who has put an address on a link. Source: IFA_PROTO in ``linux/if_addr.h``."""
    major, minor, *_rest = os.uname().release.split(".")
    return (int(major), int(minor.partition("-")[0])) >= _TELLS_PROTOCOLS
