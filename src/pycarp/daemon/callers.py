"""Decides what a caller of the control socket may do, by the credentials that the kernel reports (SO_PEERCRED)."""

import os
import pwd
import socket

import msgspec

from pycarp.daemon.control_messages import (
    EventsRequest,
    GroupRequest,
    Request,
    StatusRequest,
    SysctlRequest,
    WhyRequest,
)
from pycarp.errors import ControlError
from pycarp.system.files.trust import Peer, groups_of

SERVICE_GROUP = "pycarp"
"""The group whose members may read without ``--control-group``, if the group exists."""


class Caller(msgspec.Struct, frozen=True):
    """A process that has connected, and whether it may change things or only read."""

    uid: int
    is_administrator: bool
    is_reader: bool

    @classmethod
    def of(cls, sock: socket.socket, readers: int | None) -> "Caller":
        """Return the process that has connected; ``readers`` is the number of the group that may read."""
        if not hasattr(socket, "SO_PEERCRED"):
            # Without credentials, the mode of the socket alone decides who may connect.
            return cls(os.geteuid(), is_administrator=True, is_reader=True)
        uid = Peer.of(sock).uid
        is_administrator = uid in (0, os.geteuid())
        return cls(uid, is_administrator, is_administrator or (readers is not None and readers in groups_of(sock)))

    def refuse_unless_allowed(self, request: Request) -> None:
        """Raise ControlError for a request that the caller may not make."""
        if self.is_administrator or (self.is_reader and only_looks(request)):
            return
        rights = "may only look" if self.is_reader else "may not ask: it is not in the group of --control-group"
        raise ControlError(f"user {_name(self.uid)} {rights}; root and user {_name(os.geteuid())} may change things")


def only_looks(request: Request) -> bool:
    """Return True for a request that changes nothing, makes the daemon read no file, and returns no secret."""
    match request:
        case StatusRequest() | WhyRequest() | EventsRequest() | SysctlRequest(value=None) | GroupRequest(by=0):
            return True
        case _:
            return False


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
