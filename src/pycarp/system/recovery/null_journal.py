"""What stands in for a journal where nothing is to be written: the old values of switches are remembered only."""

from typing import Protocol

from pycarp.system.addresses import sysctl_files
from pycarp.system.recovery.resources import Resource


class Records(Protocol):
    """What is asked of a journal. It is called in the thread of the addresses, by one at a time."""

    def record(self, resource: Resource) -> None:
        """Note what is going to be done; well if it is noted already."""

    def strike(self, resource: Resource) -> None:
        """Strike out what was undone; well if it was not noted."""

    def impose(self, path: str, ours: str) -> None:
        """Record a switch below ``/proc/sys`` and set it; well if we did before."""

    def restore(self, path: str) -> None:
        """Give a switch the value that it had, unless it is no longer ours; well if we did not set it."""

    def move(self, path: str, to: str) -> None:
        """Note that a switch has another path now, because its link was renamed; no-op if we did not set it."""


class NullJournal:
    """Forgets everything with its process."""

    def __init__(self) -> None:
        self._sysctls: dict[str, tuple[str, str]] = {}

    def record(self, resource: Resource) -> None:
        """Nothing is noted."""

    def strike(self, resource: Resource) -> None:
        """Nothing was noted."""

    def impose(self, path: str, ours: str) -> None:
        """Set a switch; raises OSError of the kernel."""
        before = sysctl_files.read(path)
        if before is None:
            raise FileNotFoundError(2, "this kernel, or this interface, does not have it", path)
        if before != ours:
            sysctl_files.write(path, ours)
            self._sysctls.setdefault(path, (before, ours))

    def restore(self, path: str) -> None:
        """Give a switch its old value; raises OSError of the kernel."""
        before, ours = self._sysctls.get(path, (None, None))
        if before is not None and sysctl_files.read(path) == ours:
            sysctl_files.write(path, before)
        self._sysctls.pop(path, None)

    def move(self, path: str, to: str) -> None:
        """Remember it under its path of now."""
        if path in self._sysctls:
            self._sysctls[to] = self._sysctls.pop(path)
