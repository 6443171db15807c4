"""Finds the network namespaces that are certainly gone, by their numbers.

A namespace lives as long as any process, open file, mount or socket refers to it, and nobody sees all of these: that
none is found proves nothing. But the kernel gives each number to one living namespace, of whatever kind, and to a new
one the lowest number that is free. So a network namespace is gone if a namespace of another kind has its number, or if
a new one gets it. Source: ``proc_alloc_inum`` in Linux, fs/proc/generic.c.
"""

import contextlib
import ctypes
import os
import threading
from collections.abc import Set as AbstractSet
from pathlib import Path

from pycarp.system import privileges

TRIES_MOST = 256
"""How many new namespaces are made, at most; each is an open file until the end."""

_CLONE_NEWUTS = 0x04000000
"""A new namespace with a host name of its own: the cheapest kind."""

_PROC = Path("/proc")


def vanished(numbers: AbstractSet[int]) -> set[int]:
    """Return those of these numbers whose network namespaces are certainly gone.

    Needs CAP_SYS_ADMIN for that; without it, or when too many lower numbers are free, it may return fewer.
    """
    found = _with_another_kind(numbers) if numbers else set()
    left = set(numbers) - found
    if left and privileges.may_make_namespaces():
        # The new namespaces belong to a thread of their own, and end with it and its files.
        thread = threading.Thread(target=_add_free, args=(left, found))
        thread.start()
        thread.join()
    return found


def _with_another_kind(numbers: AbstractSet[int]) -> set[int]:
    """Return the numbers that namespaces of other kinds have, as far as processes show them."""
    found = set()
    for link in _PROC.glob("[0-9]*/ns/*"):
        with contextlib.suppress(OSError, ValueError):
            kind, _colon, number = os.readlink(link).partition(":")
            if kind != "net" and int(number.strip("[]")) in numbers:
                found.add(int(number.strip("[]")))
    return found


def _add_free(numbers: AbstractSet[int], found: set[int]) -> None:
    """Add the numbers that new namespaces get."""
    opened: list[int] = []
    try:
        for _ in range(TRIES_MOST):
            if ctypes.CDLL(None).unshare(_CLONE_NEWUTS) != 0:
                return
            opened.append(os.open("/proc/thread-self/ns/uts", os.O_RDONLY))
            number = os.fstat(opened[-1]).st_ino
            if number in numbers:
                found.add(number)
            if number >= max(numbers):
                return
    except OSError:
        # No more files; what was found is certain.
        return
    finally:
        for each in opened:
            os.close(each)
