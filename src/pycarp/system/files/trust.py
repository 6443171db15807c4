"""Which processes of this machine to trust, by what the kernel knows of them, never by their own claims."""

import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from pycarp.system.capabilities import CAP_NET_ADMIN

_PEER_CREDENTIALS = struct.Struct("iII")
_SO_PEERGROUPS = 59
_GROUPS_OCTETS = 1024  # as many as Python asks for


class Peer(NamedTuple):
    """The process at the other end of a unix socket; ``pid`` is 0 when it is in another pid namespace."""

    pid: int
    uid: int
    gid: int

    @classmethod
    def of(cls, sock: socket.socket) -> "Peer":
        """Return the process that has connected, or the one that listens; raises OSError."""
        return cls(*_PEER_CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))

    @property
    def is_trustworthy(self) -> bool:
        """True for root, for our own user, and for a process that has CAP_NET_ADMIN in our user namespace.

        The last is a daemon that runs as a user of its own. CAP_NET_ADMIN in another user namespace does not count.
        """
        return self.uid in (0, os.geteuid()) or (self.pid > 0 and _may_change_addresses(self.pid))


def groups_of(sock: socket.socket) -> frozenset[int]:
    """Return the groups of the process that has connected, with its primary group; at most 256 count."""
    peer = Peer.of(sock)
    try:
        octets = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_OCTETS)
    except OSError:
        octets = b""
    return frozenset(number for (number,) in struct.iter_unpack("I", octets)) | {peer.gid}


def _may_change_addresses(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        is_in_our_user_namespace = Path(f"/proc/{pid}/uid_map").read_text() == Path("/proc/self/uid_map").read_text()
    except OSError:
        return False
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return is_in_our_user_namespace and bool(int(effective, 16) >> CAP_NET_ADMIN & 1)
