"""What this process may do, asked by trying."""

import socket


def refusal_of_socket(family: int, kind: int, protocol: int) -> str | None:
    """Return None when such a socket can be opened, else why not and what to do about it."""
    try:
        socket.socket(family, kind, protocol).close()
    except PermissionError:
        return "no permission: run as root or give the process CAP_NET_RAW and CAP_NET_ADMIN"
    except OSError as exc:
        return exc.strerror or str(exc)
    return None
