"""Reads and writes sysctls below ``/proc/sys``, for ``net/`` in the network namespace of the thread."""

import os

_ROOT = "/proc/sys/"
_LONGEST_OCTETS = 4096


_TO_NAME = str.maketrans("/.", "./")


def name_of(path: str) -> str:
    """Return the name that ``sysctl`` understands: ``net.ipv4.conf.eth0/7.arp_ignore`` of the link ``eth0.7``."""
    return path.translate(_TO_NAME)


def read(path: str) -> str | None:
    """Return the value of a sysctl; None when it does not exist, such as after its link was deleted."""
    try:
        descriptor = os.open(_ROOT + path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.read(descriptor, _LONGEST_OCTETS).decode().strip()
    finally:
        os.close(descriptor)


def write(path: str, text: str) -> None:
    """Set a sysctl of the network; raises OSError, and ValueError for a path not below ``/proc/sys/net``.

    Without a file object or a context manager, which would dominate the time: each virtual host has ten sysctls.
    """
    if not path.startswith("net/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not a path below /proc/sys that begins with net/")
    descriptor = os.open(_ROOT + path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
