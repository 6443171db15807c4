"""Files written by root, in folders where others may write as well: no symbolic link of somebody else is followed.

A path is walked folder by folder, each held open while the next one is looked up, so that nobody can exchange one in
between. Links of root and of this user are followed.
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
    """Return a path that means the same in another working folder; its symbolic links stay in it."""
    return Path.cwd() / path


def resolved(path: Path) -> Path:
    """Return the absolute path without symbolic links; PermissionError when one of them belongs to somebody else."""
    found = _followed(path)
    with contextlib.suppress(FileNotFoundError), folder_of(found) as folder:
        return Path(os.readlink(f"/proc/self/fd/{folder}")) / found.name
    return found


@contextlib.contextmanager
def folder_of(path: Path) -> Iterator[int]:
    """Open the folder in which a file is, for ``dir_fd``; its name there is ``path.name``.

    Raises OSError, PermissionError for a symbolic link of somebody else in the way.
    """
    descriptor = _walked(absolute(path).parent, path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write(path: Path, octets: bytes, *, mode: int = PRIVATE) -> None:
    """Write a whole file: the former one stays until the new one is complete, and is not written to.

    ``mode`` is cut by the umask. A link of root or of this user is followed. Raises OSError; PermissionError for a link
    of somebody else, FileExistsError for what is no plain file.
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
    """Return the descriptor of a new private file in an open folder; OSError when there is one of that name."""
    return os.open(path.name, _NEW, PRIVATE, dir_fd=folder)


def refuse_special(path: Path, folder: int) -> None:
    """Raise FileExistsError when a name in an open folder is that of a link, a device or anything but a plain file."""
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise FileExistsError(errno.EEXIST, "is there and no plain file", str(path))


def _followed(path: Path) -> Path:
    """Return where the links lead that a path may be."""
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
    """Return the descriptor of a folder given by its absolute path."""
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
