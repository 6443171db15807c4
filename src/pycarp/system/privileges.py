"""Drops privileges: changes the user, and gives up every capability but ``CAP_NET_ADMIN`` and ``CAP_NET_RAW``.

Capabilities belong to a thread, so ``reduce`` is called before any other thread is started. Threads and programs that
are started later inherit the rest. Source: ``man 7 capabilities``, ``man 2 prctl``.
"""

import contextlib
import ctypes
import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pycarp.errors import UsageError

KEPT = {12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW"}
"""The capabilities to change addresses and to send raw packets. Source: ``linux/capability.h``."""

_BECOMING_MASK = 1 << 6 | 1 << 7  # CAP_SETGID, CAP_SETUID
_SYS_ADMIN_MASK = 1 << 21
_KEPT_MASK = sum(1 << number for number in KEPT)
_CAPABILITIES_MOST = 64
_PR_SET_KEEPCAPS, _PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 8, 23, 24, 38, 47
_AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 2, 4
_VERSION_3 = 0x20080522
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_LEAST_LIKELY_OOM_VICTIM = b"-1000"


class User(msgspec.Struct, frozen=True):
    """A user of this machine, with all groups."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def named(cls, name: str) -> "User":
        """Return the user of a name or a number; raises UsageError when there is none."""
        try:
            entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
        except (KeyError, OverflowError):
            raise UsageError(f"there is no user {name!r} on this machine; make it, or name another --user") from None
        groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, groups)

    @classmethod
    def present(cls) -> "User":
        """Return the effective user of this process."""
        uid = os.geteuid()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = str(uid)
        return cls(name, uid, os.getegid(), tuple(os.getgroups()))


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def reduce(user: User) -> list[str]:
    """Become a user with the two capabilities, irrevocably; return a sentence for each thing not given up.

    Programs that are started later keep the two capabilities. Raises OSError when the user cannot be changed.
    """
    problems = _shrink_bounding_set()
    if set(user.groups) != set(os.getgroups()) and may_become_others():
        os.setgroups(user.groups)
    if user.uid != os.geteuid():
        _prctl(_PR_SET_KEEPCAPS, 1)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        _prctl(_PR_SET_KEEPCAPS, 0)
    kept = _capabilities()[1] & _KEPT_MASK
    _set_capabilities(effective=kept, permitted=kept, inheritable=kept)
    _raise_ambient(kept)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return problems


def may_become_others() -> bool:
    """Return True if this process has the capabilities to become another user; root in a sandbox may lack them."""
    return _capabilities()[0] & _BECOMING_MASK == _BECOMING_MASK


def may_make_namespaces() -> bool:
    """Return whether this thread has CAP_SYS_ADMIN."""
    return bool(_capabilities()[0] & _SYS_ADMIN_MASK)


def closed_folder(path: Path) -> Path | None:
    """Return the first folder on the way to a file that this user may not enter, None if all are open."""
    folders = reversed(path.absolute().parents)
    return next((each for each in folders if each.is_dir() and not os.access(each, os.X_OK, effective_ids=True)), None)


@contextlib.contextmanager
def rehearsed(user: User) -> Iterator[None]:
    """Access files as ``user`` with the two capabilities would, while the context lasts; for root alone."""
    effective, permitted, inheritable = _capabilities()
    groups, gid, uid = os.getgroups(), os.getegid(), os.geteuid()
    is_another = user.uid != uid
    try:
        if is_another:
            os.setgroups(user.groups)
            os.setegid(user.gid)
            os.seteuid(user.uid)
        left = _capabilities()[0] & _KEPT_MASK
        _set_capabilities(effective=left, permitted=permitted, inheritable=inheritable)
        yield
    finally:
        if is_another:
            os.seteuid(uid)
        _set_capabilities(effective=effective, permitted=permitted, inheritable=inheritable)
        if is_another:
            os.setegid(gid)
            os.setgroups(groups)


@contextlib.contextmanager
def guardian_may_be_protected() -> Iterator[None]:
    """Allow this process and its later children to lock memory and to avoid the OOM killer, as far as permitted.

    Give up the privileges within the context; the permission outlives it. Without ``CAP_SYS_RESOURCE`` it changes
    nothing.
    """
    import resource  # noqa: PLC0415  (some systems lack it)

    for limit in (resource.RLIMIT_MEMLOCK, resource.RLIMIT_RTPRIO):
        wanted = (resource.RLIM_INFINITY,) * 2 if limit == resource.RLIMIT_MEMLOCK else (1, 1)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, wanted)
    try:
        descriptor = os.open(_OOM_SCORE, os.O_RDWR)
    except OSError:
        yield
        return
    try:
        before = os.read(descriptor, 16)
        # The last value written with CAP_SYS_RESOURCE is the least that may be written without it.
        with contextlib.suppress(OSError):
            os.write(descriptor, _LEAST_LIKELY_OOM_VICTIM)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.write(descriptor, before.strip())
    finally:
        os.close(descriptor)


def in_words() -> str:
    """Return one line: the user of this process, and which of the two capabilities it has."""
    user = User.present()
    permitted = _capabilities()[1]
    names = [name for number, name in KEPT.items() if permitted >> number & 1]
    return f"user {user.name} (uid {user.uid}) with {' and '.join(names) or 'no capability'} only"


def group_id(name: str) -> int | None:
    """Return the number of a group; None when there is no such group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _shrink_bounding_set() -> list[str]:
    for number in range(_CAPABILITIES_MOST):
        if number in KEPT or _libc().prctl(_PR_CAPBSET_READ, number, 0, 0, 0) != 1:
            continue
        if _libc().prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            return [f"cannot shrink the bounding set of capabilities: {os.strerror(ctypes.get_errno())}"]
    return []


def _raise_ambient(mask: int) -> None:
    _libc().prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in KEPT:
        if mask >> number & 1:
            _libc().prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, number, 0, 0)


def _capabilities() -> tuple[int, int, int]:
    """Return the effective, permitted and inheritable capabilities of this thread, as bits."""
    data = (_Data * 2)()
    _check(_libc().capget(ctypes.byref(_Header(_VERSION_3, 0)), data))
    return tuple(
        getattr(data[0], name) | getattr(data[1], name) << 32 for name in ("effective", "permitted", "inheritable")
    )


def _set_capabilities(*, effective: int, permitted: int, inheritable: int) -> None:
    masks = (effective, permitted, inheritable)
    data = (_Data * 2)(_Data(*(each & 0xFFFFFFFF for each in masks)), _Data(*(each >> 32 for each in masks)))
    _check(_libc().capset(ctypes.byref(_Header(_VERSION_3, 0)), data))


def _prctl(option: int, value: int) -> None:
    _check(_libc().prctl(option, value, 0, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
