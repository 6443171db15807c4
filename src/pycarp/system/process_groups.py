"""The process groups of the programs that this process runs, written where its guardian reads them after its death.

Hooks, checks and scripts are children of the daemon. A daemon that is killed cannot end them, and its guardian, which
does, cannot be told in time by messages. So their numbers stand in memory that both share. A program that was started
in the very moment of the death, and has no number there yet, is missed.
"""

import mmap
import os
from functools import cache

SLOTS = 4096
"""How many groups are remembered at most, of eight octets each; those beyond are not ended."""


class ProcessGroups:
    """Numbers of process groups in shared memory: eight aligned octets each, written at once; 0 is a free slot.

    Raises OSError where the system has no such memory.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("pycarp-groups")
        try:
            os.ftruncate(self.descriptor, SLOTS * 8)
            self._numbers = memoryview(mmap.mmap(self.descriptor, 0)).cast("q")
        except OSError:
            os.close(self.descriptor)
            raise
        self._slots: dict[int, int] = {}
        self._free: list[int] = []

    @property
    def numbers(self) -> tuple[int, ...]:
        """The groups that are remembered."""
        return tuple(number for number in self._numbers if number)

    def add(self, group: int) -> None:
        """Remember a group."""
        slot = self._free.pop() if self._free else len(self._slots)
        if slot < SLOTS:
            self._slots[group] = slot
            self._numbers[slot] = group

    def discard(self, group: int) -> None:
        """Forget a group; no-op if it is not remembered."""
        slot = self._slots.pop(group, None)
        if slot is not None:
            self._numbers[slot] = 0
            self._free.append(slot)


@cache
def of_this_process() -> ProcessGroups:
    """Return the groups of this process, the same object each time; raises OSError as ``ProcessGroups``."""
    return ProcessGroups()
