"""The format of a journal: a header, then one line of JSON for each resource that is recorded or struck out.

The last line may be incomplete if its writer died while writing; the action it describes was not done yet. Any other
line that cannot be read is damage.
"""

import fcntl
import os
import socket
from pathlib import Path
from typing import Literal

import msgspec

from pycarp.system.recovery import state_folder
from pycarp.system.recovery.resources import Device, Resource, Route, Shared, Sysctl

VERSION = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NETWORK_NAMESPACE = "/proc/thread-self/ns/net"
_SO_NETNS_COOKIE = 71
_KINDS: dict[str, type[Resource]] = {"device": Device, "sysctl": Sysctl, "shared": Shared, "route": Route}

Verb = Literal["record", "strike"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The place that a journal describes: a boot of this machine and a network namespace.

    ``netns`` is the inode number of the namespace, which the kernel reuses; ``cookie`` is never reused, and 0 before
    Linux 5.14.
    """

    boot_id: str
    netns: int
    cookie: int


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a journal."""

    version: int
    place: Place
    pid: int


class _Line(msgspec.Struct, frozen=True):
    verb: Verb
    kind: Literal["device", "sysctl", "shared", "route"]
    what: dict[str, str]


class JournalFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a journal; ``is_held`` is True while its owner lives.

    ``header`` is None when the owner died while writing it, before it changed anything. ``damage`` names the first line
    that cannot be read.
    """

    path: Path
    header: Header | None
    resources: tuple[Resource, ...]
    is_held: bool
    damage: str | None = None


def here() -> Place:
    """Return the boot and the network namespace of the current thread."""
    return Place(boot_id=_BOOT_ID.read_text().strip(), netns=os.stat(_NETWORK_NAMESPACE).st_ino, cookie=_cookie())


def header_line(header: Header) -> bytes:
    """Return the first line of a journal."""
    return msgspec.json.encode(header) + b"\n"


def line(verb: Verb, resource: Resource) -> bytes:
    """Return the line that records a resource or strikes it out."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(resource, cls))
    return msgspec.json.encode({"verb": verb, "kind": kind, "what": msgspec.to_builtins(resource)}) + b"\n"


def read(path: Path) -> JournalFile | None:
    """Return a journal; None when it is gone, or of an untrusted user. Raises OSError when it cannot be read."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            is_held = _is_held(descriptor)
            status = os.fstat(descriptor)
            if not state_folder.is_trustworthy(status, path.parent):
                return None
            # Its owner may have replaced it by a shorter file after we opened it and before we tried the lock.
            if is_held or status.st_nlink:
                return _parsed(path, file.read(), is_held=is_held)


def others(folder: Path, own: Path | None, place: Place) -> list[JournalFile]:
    """Return the journals of a place except ``own``; those of dead daemons are included."""
    paths = (each for each in state_folder.journals(folder) if each.name.startswith(f"{place.netns}-"))
    found = [read(each) for each in paths if each != own]
    return [each for each in found if each is not None and each.header is not None and each.header.place == place]


def _is_held(descriptor: int) -> bool:
    """Return True if the owner holds the lock; the attempt is shared, so two readers do not disturb each other."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _parsed(path: Path, octets: bytes, *, is_held: bool) -> JournalFile:
    # The part after the last line feed is incomplete.
    first, *rest = octets.split(b"\n")[:-1] or [b""]
    if not first:
        return JournalFile(path=path, header=None, resources=(), is_held=is_held)
    try:
        header = msgspec.json.decode(first, type=Header)
    except msgspec.MsgspecError as exc:
        return JournalFile(path=path, header=None, resources=(), is_held=is_held, damage=f"line 1: {exc}")
    if header.version != VERSION:
        damage = f"it is of version {header.version}, and only {VERSION} is known here"
        return JournalFile(path=path, header=header, resources=(), is_held=is_held, damage=damage)
    resources, problem = _replayed(rest)
    return JournalFile(path=path, header=header, resources=resources, is_held=is_held, damage=problem)


def _replayed(lines: list[bytes]) -> tuple[tuple[Resource, ...], str | None]:
    present: dict[Resource, None] = {}
    problem = None
    for number, octets in enumerate(lines, 2):
        try:
            entry = msgspec.json.decode(octets, type=_Line)
            resource = msgspec.convert(entry.what, _KINDS[entry.kind])
        except msgspec.MsgspecError as exc:
            problem = problem or f"line {number}: {exc}"
            continue
        if entry.verb == "record":
            present[resource] = None
        else:
            present.pop(resource, None)
    return tuple(present), problem


def _cookie() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")
        except OSError:
            return 0
