"""The journal of one daemon: it records each change to this machine before the change, for a later start to undo it.

Each daemon has a file of its own and holds a lock on it; the lock ends with the process. Children that execute another
program do not inherit the lock; a child that is only forked keeps it.
"""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from pycarp.errors import ActuatorError
from pycarp.system.addresses import sysctl_files
from pycarp.system.files import file_locks
from pycarp.system.recovery import journal_file, state_folder
from pycarp.system.recovery.journal_file import Header, Verb
from pycarp.system.recovery.resources import Device, Resource, Route, Shared, Sysctl

__all__ = ["Device", "Journal", "Resource", "Route", "Shared", "Sysctl"]

_PAUSE_S = 0.02
_LONG_OCTETS = 256 * 1024


class Journal:
    """An open journal; ``begin`` makes one.

    It is written when a host is added or removed, and hardly ever otherwise. All methods block on files, none for long.
    """

    def __init__(self, path: Path, descriptor: int, header: Header) -> None:
        self.path = path
        self._descriptor = descriptor
        self._header = header
        self._present: dict[Resource, None] = {}
        self._gathered: list[bytes] | None = None
        self._length_octets = os.fstat(descriptor).st_size
        self._longest_octets = _LONG_OCTETS

    @classmethod
    def begin(cls, folder: Path, *, timeout_s: float = 5.0) -> "Journal":
        """Return a new journal for the network namespace of this thread; makes the folder if it is absent.

        Waits at most ``timeout_s`` seconds for a process that is cleaning. Raises ConfigError when the folder cannot be
        used, ActuatorError when that process takes too long or the disk is full.
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
        """The resources that are recorded and not struck out, in the order of recording."""
        return tuple(self._present)

    def record(self, resource: Resource) -> None:
        """Record a resource before it is made; no-op if it is recorded. Raises ActuatorError: then do not make it."""
        if resource not in self._present:
            self._append("record", resource)
            self._present[resource] = None

    def strike(self, resource: Resource) -> None:
        """Strike out a resource that is gone; no-op if it is not recorded. Raises ActuatorError."""
        if resource in self._present:
            self._append("strike", resource)
            del self._present[resource]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write what is recorded and struck out in the context at its end with one call, all or nothing.

        Hundreds of hosts begin or end at once. Raises ActuatorError at the end of the context.
        """
        before = dict(self._present)
        gathered: list[bytes] = []
        self._gathered = gathered
        try:
            yield
        finally:
            self._gathered = None
            try:
                self._write(b"".join(gathered))
            except OSError as exc:
                self._present = before
                raise ActuatorError(f"cannot write to {self.path}: {exc.strerror or exc}") from exc

    def end(self) -> None:
        """Close the journal; remove its file, unless it still records a resource that a later start must undo."""
        if not self._present:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def before(self, path: str) -> str | None:
        """Return the value that a sysctl had before another pycarp, dead or alive, set the present one.

        ``path`` is below ``/proc/sys``. None if no other journal recorded the present value.
        """
        value = sysctl_files.read(path)
        for other in self._others():
            for resource in other.resources:
                if isinstance(resource, Sysctl) and resource.path == path and resource.ours == value:
                    return resource.before
        return None

    def is_shared(self, path: str) -> bool:
        """Return True if another living pycarp of this network namespace has recorded this sysctl."""
        recorded = (each for other in self._others() if other.is_held for each in other.resources)
        return any(isinstance(each, Sysctl) and each.path == path for each in recorded)

    def impose(self, path: str, ours: str) -> None:
        """Record a sysctl and set it; no-op if both are done. Raises ActuatorError, or OSError of the kernel."""
        with state_folder.sysctls_locked(self.folder):
            present = self._sysctl(path)
            if present is None or present.ours != ours:
                self.record(Sysctl(path, present.before if present else self._first_value(path), ours))
                if present:
                    self.strike(present)
            if sysctl_files.read(path) != ours:
                sysctl_files.write(path, ours)

    def restore(self, path: str) -> None:
        """Give a sysctl its old value back, and strike it out; no-op if this journal does not record it.

        The value is kept if someone else has changed it since, or if another living daemon needs it: the last daemon
        restores it. Raises ActuatorError, or OSError of the kernel.
        """
        with state_folder.sysctls_locked(self.folder):
            present = self._sysctl(path)
            if present is None:
                return
            if not self.is_shared(path) and sysctl_files.read(path) == present.ours:
                sysctl_files.write(path, present.before)
            self.strike(present)

    def move(self, path: str, to: str) -> None:
        """Record the new path of a sysctl whose link was renamed. Raises ActuatorError."""
        present = self._sysctl(path)
        if present is not None:
            self.record(Sysctl(to, present.before, present.ours))
            self.strike(present)

    def _sysctl(self, path: str) -> Sysctl | None:
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
        line = journal_file.line(verb, resource)
        if self._gathered is not None:
            self._gathered.append(line)
            return
        try:
            self._write(line)
        except OSError as exc:
            raise ActuatorError(f"cannot {verb} {resource} in {self.path}: {exc.strerror or exc}") from exc

    def _write(self, octets: bytes) -> None:
        if self._length_octets > self._longest_octets:
            self._shorten()
        self._length_octets = _append(self._descriptor, octets, self._length_octets)

    def _shorten(self) -> None:
        """Replace the file atomically by one with the present resources only."""
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
    """Make and lock a file with these octets; return its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, file_locks.FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _append(descriptor, octets, 0)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def _append(descriptor: int, octets: bytes, length_octets: int) -> int:
    """Append all octets or none; return the new length of the file."""
    try:
        written = os.write(descriptor, octets)
        while written < len(octets):
            written += os.write(descriptor, octets[written:])
    except OSError:
        os.ftruncate(descriptor, length_octets)
        raise
    return length_octets + written
