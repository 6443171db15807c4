"""Classic BPF programs that the kernel runs on what a socket receives: ``SO_ATTACH_FILTER`` (``man 7 socket``)."""

import ctypes
import os
import socket
import struct

_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27

Program = tuple[tuple[int, int, int, int], ...]
"""Instructions: code, jump if true, jump if false, operand. Source: ``linux/filter.h``."""

LOAD_WORD, LOAD_HALF, LOAD_OCTET, JUMP_EQUAL, RETURN = 0x20, 0x28, 0x30, 0x15, 0x06
"""Codes: load from a place, compare with the operand, return how much to keep. Source: ``linux/bpf_common.h``."""

ACCEPT = 0x40000
"""More octets than any packet has: the whole of it."""


def attach(sock: socket.socket, program: Program) -> None:
    """Attach a filter to what a socket receives; raises OSError."""
    set_program(sock, socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def set_program(sock: socket.socket, level: int, option: int, program: Program) -> None:
    """Set a socket option whose value is a program; raises OSError."""
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    set_slow_option(sock, level, option, struct.pack("HP", len(program), ctypes.addressof(buffer)))


def set_slow_option(sock: socket.socket, level: int, option: int, value: bytes) -> None:
    """Set a socket option without holding the interpreter's lock, so that other threads go on; raises OSError.

    The kernel may wait until all processors have seen the change, which takes 10 to 20 ms (``synchronize_net``).
    """
    if ctypes.CDLL(None, use_errno=True).setsockopt(sock.fileno(), level, option, value, len(value)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def detach(sock: socket.socket) -> None:
    """Remove the filter of a socket; raises OSError."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
