"""The journal's protocol, and a journal that writes no file: it only keeps the old values of sysctls in memory."""

import contextlib
from typing import Protocol

from pycarp.system.addresses import sysctl_files
from pycarp.system.recovery.resources import Resource


class Records(Protocol):
    """The methods of a journal. Only the thread of the addresses calls them, one at a time."""

    def record(self, resource: Resource) -> None:
        """Record a resource before it is made; no-op if it is recorded."""

    def strike(self, resource: Resource) -> None:
        """Strike out a resource that is gone; no-op if it is not recorded."""

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Write what is recorded and struck out in the context at its end, all or nothing; raises ActuatorError then.

        So make in the context nothing that is recorded there. For sysctls it must not be used.
        """

    def impose(self, path: str, ours: str) -> None:
        """Record a sysctl, by its path below ``/proc/sys``, and set it; no-op if it is recorded and set."""

    def restore(self, path: str) -> None:
        """Give a sysctl its old value back, unless someone else has changed it; no-op if it was not imposed."""

    def move(self, path: str, to: str) -> None:
        """Record the new path of a sysctl whose link was renamed; no-op if it was not imposed."""


class NullJournal:
    """Keeps the old values of sysctls in memory, and records nothing else."""

    def __init__(self) -> None:
        self._sysctls: dict[str, tuple[str, str]] = {}

    def record(self, resource: Resource) -> None:
        """Do nothing."""

    def strike(self, resource: Resource) -> None:
        """Do nothing: nothing is recorded."""

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that does nothing."""
        return contextlib.nullcontext()

    def impose(self, path: str, ours: str) -> None:
        """Set a sysctl, and keep its old value; raises OSError of the kernel."""
        before = sysctl_files.read(path)
        if before is None:
            raise FileNotFoundError(2, "this kernel, or this interface, does not have it", path)
        if before != ours:
            sysctl_files.write(path, ours)
            self._sysctls.setdefault(path, (before, ours))

    def restore(self, path: str) -> None:
        """Give a sysctl its old value back; raises OSError of the kernel."""
        before, ours = self._sysctls.get(path, (None, None))
        if before is not None and sysctl_files.read(path) == ours:
            sysctl_files.write(path, before)
        self._sysctls.pop(path, None)

    def move(self, path: str, to: str) -> None:
        """Keep the old value under the new path."""
        if path in self._sysctls:
            self._sysctls[to] = self._sysctls.pop(path)
