"""What one daemon has on this machine, noted in a file before it is done, so that a later start can undo it.

Each daemon has a file of its own and holds a lock on it that dies with the process. Children that run another program
do not inherit the lock; a process that only forks keeps it alive.
"""

import fcntl
import os
import secrets
import time
from pathlib import Path

from pycarp.errors import ActuatorError
from pycarp.system.addresses import sysctl_files
from pycarp.system.recovery import journal_file, state_folder
from pycarp.system.recovery.journal_file import Header, Verb
from pycarp.system.recovery.resources import Device, Resource, Shared, Sysctl

__all__ = ["Device", "Journal", "Resource", "Shared", "Sysctl"]

_PAUSE_S = 0.02
_LONG_OCTETS = 256 * 1024


class Journal:
    """An open journal; ``begin`` makes one.

    It is written when a host comes or goes, and hardly ever else: all its methods touch files, none waits for long.
    """

    def __init__(self, path: Path, descriptor: int, header: Header) -> None:
        self.path = path
        self._descriptor = descriptor
        self._header = header
        self._present: dict[Resource, None] = {}
        self._length_octets = os.fstat(descriptor).st_size
        self._longest_octets = _LONG_OCTETS

    @classmethod
    def begin(cls, folder: Path, *, timeout_s: float = 5.0) -> "Journal":
        """Return a new journal of the network namespace in which we are; makes the folder.

        Waits ``timeout_s`` seconds at most for somebody who cleans. Raises ConfigError when the folder cannot be used,
        ActuatorError when the wait was in vain or the disk is full.
        """
        try:
            state_folder.make(folder)
            cleaning = _wait_for_cleaner(folder, timeout_s)
            try:
                header = Header(version=journal_file.VERSION, place=journal_file.here(), pid=os.getpid())
                path = folder / f"{header.place.netns}-{header.pid}-{secrets.token_hex(4)}{state_folder.SUFFIX}"
                return cls(path, _made(path, journal_file.header_line(header)), header)
            finally:
                os.close(cleaning)
        except OSError as exc:
            raise state_folder.error(folder, exc) from exc

    @property
    def folder(self) -> Path:
        """The folder in which all daemons have their journals."""
        return self.path.parent

    @property
    def resources(self) -> tuple[Resource, ...]:
        """What is recorded and not struck out, in the order in which it was recorded."""
        return tuple(self._present)

    def record(self, resource: Resource) -> None:
        """Note what is going to be done; well if it is noted already. Raises ActuatorError: then do not do it."""
        if resource not in self._present:
            self._append("record", resource)
            self._present[resource] = None

    def strike(self, resource: Resource) -> None:
        """Strike out what was undone; well if it was not noted. Raises ActuatorError."""
        if resource in self._present:
            self._append("strike", resource)
            del self._present[resource]

    def end(self) -> None:
        """Give the journal up; the file goes with it, unless something is left for a later start to undo."""
        if not self._present:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def before(self, path: str) -> str | None:
        """Return what a switch was before pycarp, if what it is now was set by another pycarp, dead or alive.

        ``path`` is below ``/proc/sys``. None: no other recorded the present value, which therefore is the one before.
        """
        value = sysctl_files.read(path)
        for other in self._others():
            for resource in other.resources:
                if isinstance(resource, Sysctl) and resource.path == path and resource.ours == value:
                    return resource.before
        return None

    def is_shared(self, path: str) -> bool:
        """Say whether another living pycarp of this network namespace wants a switch, too."""
        recorded = (each for other in self._others() if other.is_held for each in other.resources)
        return any(isinstance(each, Sysctl) and each.path == path for each in recorded)

    def impose(self, path: str, ours: str) -> None:
        """Record a switch and set it; well if we did before. Raises ActuatorError, or OSError of the kernel."""
        with state_folder.sysctls_locked(self.folder):
            present = self._switch(path)
            if present is None or present.ours != ours:
                self.record(Sysctl(path, present.before if present else self._first_value(path), ours))
                if present:
                    self.strike(present)
            if sysctl_files.read(path) != ours:
                sysctl_files.write(path, ours)

    def restore(self, path: str) -> None:
        """Give a switch the value that it had, and strike it out; well if we did not set it.

        It stays as it is where somebody else has changed it since, and where another living daemon wants it: the last
        one restores it. Raises ActuatorError, or OSError of the kernel.
        """
        with state_folder.sysctls_locked(self.folder):
            present = self._switch(path)
            if present is None:
                return
            if not self.is_shared(path) and sysctl_files.read(path) == present.ours:
                sysctl_files.write(path, present.before)
            self.strike(present)

    def move(self, path: str, to: str) -> None:
        """Note that a switch has another path now, because its link was renamed. Raises ActuatorError."""
        present = self._switch(path)
        if present is not None:
            self.record(Sysctl(to, present.before, present.ours))
            self.strike(present)

    def _switch(self, path: str) -> Sysctl | None:
        return next((each for each in self._present if isinstance(each, Sysctl) and each.path == path), None)

    def _first_value(self, path: str) -> str:
        before = self.before(path)
        if before is None:
            before = sysctl_files.read(path)
        if before is None:
            raise ActuatorError(f"cannot set {path}: this kernel, or this interface, does not have it")
        return before

    def _others(self) -> list[journal_file.JournalFile]:
        return journal_file.others(self.folder, self.path, self._header.place)

    def _append(self, verb: Verb, resource: Resource) -> None:
        try:
            if self._length_octets > self._longest_octets:
                self._shorten()
            self._length_octets = _append(self._descriptor, journal_file.line(verb, resource), self._length_octets)
        except OSError as exc:
            raise ActuatorError(f"cannot {verb} {resource} in {self.path}: {exc.strerror or exc}") from exc

    def _shorten(self) -> None:
        """Put a file in the place of this one that says the same in fewer lines; at no moment is there none."""
        lines = [journal_file.header_line(self._header)]
        lines += [journal_file.line("record", each) for each in self._present]
        new = self.path.with_suffix(".new")
        new.unlink(missing_ok=True)
        descriptor = _made(new, b"".join(lines))
        new.rename(self.path)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._length_octets = os.fstat(descriptor).st_size
        self._longest_octets = max(_LONG_OCTETS, 2 * self._length_octets)


def _wait_for_cleaner(folder: Path, timeout_s: float) -> int:
    ends_s = time.monotonic() + timeout_s
    while True:
        descriptor = state_folder.try_to_lock_cleaning(folder)
        if descriptor is not None:
            return descriptor
        if time.monotonic() > ends_s:
            raise ActuatorError(state_folder.busy(folder, timeout_s))
        time.sleep(_PAUSE_S)


def _made(path: Path, octets: bytes) -> int:
    """Return the descriptor of a new file that is locked and says this."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, state_folder.FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _append(descriptor, octets, 0)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def _append(descriptor: int, octets: bytes, length_octets: int) -> int:
    """Append all of it, or nothing; return the new length."""
    try:
        written = os.write(descriptor, octets)
        while written < len(octets):
            written += os.write(descriptor, octets[written:])
    except OSError:
        os.ftruncate(descriptor, length_octets)
        raise
    return length_octets + written
