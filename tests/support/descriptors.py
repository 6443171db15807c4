"""File descriptors of this process: how many there are, and a limit that leaves only a few."""

import contextlib
import os
import resource
from collections.abc import Iterator
from itertools import count, islice


def open_descriptors() -> set[int]:
    """Return the numbers of the descriptors that are open now."""
    # What the listing itself opens is closed again by the time that it is asked for.
    return {number for number in map(int, os.listdir("/proc/self/fd")) if _is_open(number)}


@contextlib.contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """Let exactly so many more descriptors be opened for a while."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_open = open_descriptors()
    free = [*islice((each for each in count() if each not in is_open), number + 1)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
