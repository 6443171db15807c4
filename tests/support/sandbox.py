"""A program that forbids sockets of one address family, as RestrictAddressFamilies= does, and becomes another.

``python -m tests.support.sandbox FAMILY PROGRAM [ARGUMENT]...``. Source: seccomp(2), bpf(2) for the instructions.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

SOCKET_CALLS = {"x86_64": 41, "aarch64": 198}
"""The number of socket(2) by machine; elsewhere nothing can be forbidden."""

_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_AT, _FAMILY_AT = 0, 16
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def forbid(family: int) -> None:
    """Let socket(2) fail with EAFNOSUPPORT for a family, in this process and all that it becomes or starts."""
    instructions = [
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_IF_EQUAL, 0, 3, SOCKET_CALLS[platform.machine()]),
        (_LOAD, 0, 0, _FAMILY_AT),
        (_JUMP_IF_EQUAL, 0, 1, family),
        (_RETURN, 0, 0, _ERROR | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]
    octets = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
    program = _Program(len(instructions), ctypes.addressof(octets))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
