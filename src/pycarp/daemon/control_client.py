"""Asks a running daemon."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pycarp.daemon.control_messages import LINE_LIMIT, RefusedReply, Reply, Request, decode_reply, encode
from pycarp.errors import CarpError, ControlError, UsageError
from pycarp.system.files.trust import Peer
from pycarp.system.recovery import state_folder

TIMEOUT_S = 5.0
NAME = "pycarp.sock"
_PAUSE_S = 0.01
_CHUNK_OCTETS = 1 << 16

R = TypeVar("R", bound=Reply)


def default_path() -> Path:
    """Return where the daemon of this machine answers, or one that this user has started.

    It is always below a folder for the running system in which nobody else can make files: ``$RUNTIME_DIRECTORY`` of
    systemd, ``/run/pycarp``, or ``$XDG_RUNTIME_DIR`` of a user.
    """
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given.startswith("/"):
        return Path(given) / NAME
    system = state_folder.DEFAULT / NAME
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.geteuid() == 0 or not own.startswith("/"):
        return system
    users = Path(own) / NAME
    return system if system.exists() and not users.exists() else users


def request(path: Path, message: Request, answer: type[R], *, timeout_s: float = TIMEOUT_S) -> R:
    """Send a request and return the reply of the expected type.

    Raises ControlError when nobody answers (the state is unknown then) or the daemon could not do it, UsageError when
    it was asked for something wrong.
    """
    return answer_in(_exchange(path, encode(message), timeout_s), path, answer)


def answer_in(line: bytes, path: Path, answer: type[R]) -> R:
    """Return the reply of the expected type in a line; raises as ``request`` does."""
    if not line:
        raise ControlError(f"the pycarp at {path} hung up without an answer; its log may say why")
    reply = decode_reply(line)
    if isinstance(reply, RefusedReply):
        raise error_of(reply)
    if not isinstance(reply, answer):
        raise ControlError(f"the daemon answered with {type(reply).__name__}")
    return reply


def error_of(refusal: RefusedReply) -> CarpError:
    """Return the error for a refusal: UsageError for a wrong request, else ControlError."""
    return UsageError(refusal.message) if refusal.is_usage else ControlError(refusal.message)


def open_stream(path: Path, message: Request, *, timeout_s: float = TIMEOUT_S) -> "Lines":
    """Send a request that is answered by a stream, and return its lines; raises ControlError when nobody answers."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with explaining(path, timeout_s):
            sock.settimeout(timeout_s)
            _connect(sock, path, timeout_s)
            refuse_stranger(sock, path)
            # As in a request: a daemon that reads no more may have sent the reason before.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(encode(message))
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return Lines(sock, path)


class Lines:
    """The lines of a stream, as they arrive; it can be polled as a file."""

    def __init__(self, sock: socket.socket, path: Path) -> None:
        self._sock = sock
        self._path = path
        self._received = bytearray()

    def fileno(self) -> int:
        """Return the descriptor, which is readable when a line may have arrived."""
        return self._sock.fileno()

    def next(self) -> Reply | None:
        """Return the next line, None if it has not arrived; ControlError when there is none any more."""
        while (end := self._received.find(b"\n")) < 0:
            try:
                chunk = self._sock.recv(_CHUNK_OCTETS)
            except BlockingIOError:
                return None
            except OSError:
                chunk = b""
            if not chunk or len(self._received) > LINE_LIMIT:
                raise ControlError(f"the pycarp at {self._path} has hung up")
            self._received += chunk
        line = bytes(self._received[: end + 1])
        del self._received[: end + 1]
        return decode_reply(line)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


def _exchange(path: Path, line: bytes, timeout_s: float) -> bytes:
    with explaining(path, timeout_s), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        _connect(sock, path, timeout_s)
        refuse_stranger(sock, path)
        # A daemon that reads no more may have sent the reason before.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(line)
        with sock.makefile("rb") as stream:
            return stream.readline(LINE_LIMIT)


@contextlib.contextmanager
def explaining(path: Path, timeout_s: float) -> Iterator[None]:
    """Raise ControlError with the way out for an OSError."""
    try:
        yield
    except TimeoutError as exc:
        raise ControlError(
            f"the pycarp at {path} does not answer within {timeout_s:g} s; its state is unknown"
        ) from exc
    except PermissionError as exc:
        raise ControlError(
            f"may not ask the pycarp at {path} ({exc.strerror}): be root, its user, or a member of its --control-group"
        ) from exc
    except OSError as exc:
        why = exc.strerror or str(exc)
        raise ControlError(
            f"no pycarp answers at {path} ({why}); its state is unknown. "
            "Is 'pycarp run' running, and with this --control?"
        ) from exc


def _connect(sock: socket.socket, path: Path, timeout_s: float) -> None:
    """Connect; waits while the daemon's queue of connections is full. Raises OSError."""
    ends_s = time.monotonic() + timeout_s
    while True:
        try:
            return sock.connect(str(path))
        except BlockingIOError:
            if time.monotonic() > ends_s:
                raise TimeoutError from None
            time.sleep(_PAUSE_S)


def refuse_stranger(sock: socket.socket, path: Path) -> None:
    """Raise ControlError if the listener may be a program of another user, which must not get a password."""
    if not hasattr(socket, "SO_PEERCRED"):
        return
    peer = Peer.of(sock)
    if not peer.is_trustworthy:
        raise ControlError(
            f"at {path} a process of uid {peer.uid} answers (pid {peer.pid}), who is neither root, nor you, nor may "
            "change addresses: it was asked nothing"
        )
