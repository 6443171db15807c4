"""Asks the running daemons for the names of their hosts: quickly, or not at all."""

import glob
import json
import os
import re
import socket
from collections.abc import Iterator

_TIMEOUT_S = 0.2
_MOST_OCTETS = 16 << 20
_REQUEST = b'{"type":"status"}\n'
_SYSTEM = "/run/pycarp"
_NAME = re.compile(r"[\w@.:+-]+")
"""What a name may consist of to be offered: it goes to a terminal, and into a command line."""


def running_hosts(control: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names of hosts with their states; of the daemon at a control socket, or of all that are found."""
    for path in [control] if control else control_paths():
        for host in _hosts_of(path):
            name, state = str(host.get("name")), str(host.get("state"))
            if _NAME.fullmatch(name):
                yield name, state


def control_paths() -> list[str]:
    """Return the control sockets that commands ask: a test compares with ``pycarp.daemon``."""
    if named := os.environ.get("PYCARP_CONTROL"):
        return [named]
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    users = [own] if os.geteuid() != 0 and own.startswith("/") else []
    found = [f"{folder}/pycarp.sock" for folder in (*users, _SYSTEM)]
    suffix = namespace()
    for folder in (*users, _SYSTEM):
        found += sorted(
            each
            for each in glob.glob(f"{folder}/ucarp-*{suffix}.sock")
            if suffix or ".netns-" not in os.path.basename(each)
        )
    return found


def _hosts_of(path: str) -> list[dict[str, object]]:
    """Return what a daemon says of its hosts; nothing if it does not answer at once."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_TIMEOUT_S)
            sock.connect(path)
            sock.sendall(_REQUEST)
            with sock.makefile("rb") as stream:
                reply = json.loads(stream.readline(_MOST_OCTETS))
        return [each for each in reply.get("hosts", []) if isinstance(each, dict)]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


def namespace() -> str:
    """Return what tells the sockets of this network namespace from others: nothing for that of process 1."""
    try:
        own = os.stat("/proc/self/ns/net").st_ino
        return "" if own == os.stat("/proc/1/ns/net").st_ino else f".netns-{own}"
    except OSError:
        return ""
