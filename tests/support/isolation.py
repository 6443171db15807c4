"""Gives a process of ``pytest -n`` a network namespace and a /run of its own, so that any test may run in any of them.

Daemons lock hosts by names in their network namespace and keep sockets and notes in /run; ``ip netns`` keeps names
there. Two processes that share these would refuse and remove what belongs to the other.
"""

import ctypes
import os
import subprocess

_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_AS_IP_NETNS_DOES = (
    ("mount", "--make-rprivate", "/"),
    ("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"),
    # What /sys/class/net shows is that of the namespace in which it was mounted.
    ("mount", "-t", "sysfs", "sysfs", "/sys"),
    ("ip", "link", "set", "lo", "up"),
)
_FOLDERS = ("/run/lock", "/run/netns")


def isolate() -> None:
    """Move the calling thread, and what it starts from now on, to namespaces of its own. OSError if that is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    # os.unshare came with Python 3.12.
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot unshare namespaces: {os.strerror(number)}")
    for command in _AS_IP_NETNS_DOES:
        subprocess.run(command, check=True)
    for folder in _FOLDERS:
        os.makedirs(folder, exist_ok=True)
