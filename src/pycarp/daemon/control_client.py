"""Asks a running daemon."""

import os
import socket
from pathlib import Path
from typing import TypeVar

from pycarp.daemon.control_messages import LINE_LIMIT, RefusedReply, Reply, Request, decode_reply, encode
from pycarp.errors import ControlError, UsageError

TIMEOUT_S = 5.0

R = TypeVar("R", bound=Reply)


def default_path() -> Path:
    """Return where a daemon of this user answers, unless told otherwise."""
    if os.geteuid() == 0:
        return Path("/run/pycarp.sock")
    return Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp")) / "pycarp.sock"  # noqa: S108  mode 0600 from birth


def request(path: Path, message: Request, answer: type[R], *, timeout_s: float = TIMEOUT_S) -> R:
    """Send a request and return the reply of the expected type.

    Raises ControlError when nobody answers (the state is unknown then) or the daemon could not do it, UsageError when
    it was asked for something wrong.
    """
    reply = decode_reply(_exchange(path, encode(message), timeout_s))
    if isinstance(reply, RefusedReply):
        raise UsageError(reply.message) if reply.is_usage else ControlError(reply.message)
    if not isinstance(reply, answer):
        raise ControlError(f"the daemon answered with {type(reply).__name__}")
    return reply


def _exchange(path: Path, line: bytes, timeout_s: float) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_s)
            sock.connect(str(path))
            sock.sendall(line)
            with sock.makefile("rb") as stream:
                return stream.readline(LINE_LIMIT)
    except TimeoutError as exc:
        raise ControlError(
            f"the pycarp at {path} does not answer within {timeout_s:g} s; its state is unknown"
        ) from exc
    except OSError as exc:
        why = exc.strerror or str(exc)
        raise ControlError(
            f"no pycarp answers at {path} ({why}); its state is unknown. "
            "Is 'pycarp run' running, and with this --control?"
        ) from exc
