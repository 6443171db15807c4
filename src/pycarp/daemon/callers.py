"""Who may do what on the control socket: by what the kernel says of the caller."""

import os
import pwd
import socket
from dataclasses import dataclass

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
"""Whose members may look without ``--control-group``, where there is such a group."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A process that has connected, and whether it may change things, or only look."""

    uid: int
    is_administrator: bool
    is_reader: bool

    @classmethod
    def of(cls, sock: socket.socket, readers: int | None) -> "Caller":
        """Return who has connected; ``readers`` is the number of the group that may look."""
        if not hasattr(socket, "SO_PEERCRED"):
            # Then the mode of the socket alone says who may connect.
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
    """Return whether a request changes nothing, makes the daemon read nothing, and asks for nothing that is secret."""
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
