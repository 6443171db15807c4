"""Turns errors of the operating system into messages that name the way out."""

import errno
import fcntl
import os

from pycarp.errors import CarpError, ConfigError
from pycarp.system.files.open_errors import may_pass

_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE)
_HINTS = {
    errno.EAFNOSUPPORT: "a sandbox must allow AF_UNIX, AF_NETLINK, AF_PACKET, AF_INET and AF_INET6, "
    "in systemd by RestrictAddressFamilies=",
    errno.EMFILE: "raise the limit: ulimit -n, or LimitNOFILE= in systemd",
    errno.ENFILE: "the whole machine has too many: sysctl fs.file-max",
    errno.EPERM: "a sandbox forbids it, or a capability is missing",
}


def file_error(said: str, exc: OSError) -> CarpError:
    """Return the error for a named file that cannot be used.

    That is a mistake in what was asked (exit status 2), unless its cause may pass, such as a full disk (1).
    """
    kind = CarpError if may_pass(exc) else ConfigError
    return kind(f"{said}: {exc.strerror or exc}")


def is_about_output(exc: OSError) -> bool:
    """Return True if the error is about standard output; errors about a file name the file."""
    is_closed = exc.errno == errno.EBADF and fcntl.fcntl(1, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    return (is_closed or exc.errno in _NOT_WRITTEN) and exc.filename is None


def refusal(exc: OSError) -> str:
    """Return a sentence about the error, with its file and the way out if these are known."""
    said = exc.strerror or str(exc)
    about = f"{exc.filename}: {said}" if exc.filename is not None else said
    hint = _HINTS.get(exc.errno or 0)
    return f"the operating system refuses what is needed: {about}" + (f"; {hint}" if hint else "")
