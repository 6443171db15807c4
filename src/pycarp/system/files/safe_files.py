"""Writes files as root in folders where other users may write, too: no symbolic link of another user is followed.

A path is walked folder by folder. Each folder is held open while the next one is looked up, so nobody can exchange one
in between. Links of root and of this user are followed.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

PRIVATE, SHARED = 0o600, 0o666

_LINKS_MOST = 40
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def absolute(path: Path) -> Path:
    """Return the absolute path; symbolic links in it are not resolved."""
    return Path.cwd() / path


def resolved(path: Path) -> Path:
    """Return the absolute path without symbolic links; raises PermissionError when one belongs to another user."""
    found = _followed(path)
    with contextlib.suppress(FileNotFoundError), folder_of(found) as folder:
        return Path(os.readlink(f"/proc/self/fd/{folder}")) / found.name
    return found


@contextlib.contextmanager
def folder_of(path: Path) -> Iterator[int]:
    """Open the folder of a file, for use as ``dir_fd``; the file's name there is ``path.name``.

    Raises OSError; PermissionError for a symbolic link of another user on the way.
    """
    descriptor = _walked(absolute(path).parent, path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write(path: Path, octets: bytes, *, mode: int = PRIVATE) -> None:
    """Write a file atomically: the old file stays unchanged until the new one is complete.

    ``mode`` is limited by the umask. A link of root or of this user is followed. Raises OSError; PermissionError for a
    link of another user, FileExistsError if ``path`` is not a plain file.
    """
    path = _followed(path)
    with folder_of(path) as folder:
        refuse_special(path, folder)
        name = f".{path.name}.{secrets.token_hex(4)}.new"
        descriptor = os.open(name, _NEW, mode, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(octets)
            os.replace(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
            raise


def create(path: Path, folder: int) -> int:
    """Make a private file in an open folder; return its descriptor. Raises OSError when the name is taken."""
    return os.open(path.name, _NEW, PRIVATE, dir_fd=folder)


def refuse_special(path: Path, folder: int) -> None:
    """Raise FileExistsError when a name in an open folder is that of a link, a device or another special file."""
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise FileExistsError(errno.EEXIST, "is there and no plain file", str(path))


def _followed(path: Path) -> Path:
    """Return the absolute path of the file to which a path leads, links of its last part resolved."""
    found = absolute(path)
    with contextlib.suppress(FileNotFoundError):
        return _end_of_links(found, path)
    return found


def _end_of_links(found: Path, path: Path) -> Path:
    for links in range(_LINKS_MOST + 2):
        with folder_of(found) as folder:
            try:
                status = os.stat(found.name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return found
            if not stat.S_ISLNK(status.st_mode):
                return found
            found = found.parent / _target(found.name, folder, status, path, links)
    return found


def _walked(folder: Path, path: Path) -> int:
    """Open a folder by its absolute path, part by part; return its descriptor."""
    waiting = deque(folder.parts[1:])
    links = 0
    descriptor = os.open("/", _FOLDER)
    try:
        while waiting:
            name = waiting.popleft()
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                target = _target(name, descriptor, status, path, links)
                waiting.extendleft(reversed([each for each in target.split("/") if each]))
                following = os.open("/", _FOLDER) if target.startswith("/") else os.dup(descriptor)
            else:
                following = os.open(name, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = following
    except OSError as exc:
        os.close(descriptor)
        if exc.filename is not None and exc.filename != str(path):
            raise type(exc)(exc.errno, exc.strerror, str(path)) from exc
        raise
    return descriptor


def _target(name: str, folder: int, status: os.stat_result, path: Path, links: int) -> str:
    if links > _LINKS_MOST:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if status.st_uid not in (0, os.geteuid()):
        why = f"{name!r} in it is a symbolic link of another user (uid {status.st_uid}), which is not followed"
        raise PermissionError(errno.EACCES, why, str(path))
    return os.readlink(name, dir_fd=folder)
