"""What goes over the control socket: one JSON line asks, one answers. Typed, strict, versioned."""

from typing import TypeAlias

import msgspec

from pycarp.errors import ControlError

VERSION = 1
LINE_LIMIT = 1 << 20


class StatusRequest(msgspec.Struct, tag="status", forbid_unknown_fields=True):
    """Ask for everything."""


class IfconfigRequest(msgspec.Struct, tag="ifconfig", forbid_unknown_fields=True, kw_only=True):
    """Change one host; ``host`` is its name, or ``vhid@interface``. None leaves a setting as it is.

    ``add`` and ``remove`` are shared addresses; for ``rolling_s`` see ``VirtualHost.reconfigure``. The last address is
    removed, and the host with it, only if it ``is_forced``.
    """

    host: str
    is_up: bool | None = None
    state: str | None = None
    advbase: int | None = None
    advskew: int | None = None
    add: list[str] = msgspec.field(default_factory=list)
    remove: list[str] = msgspec.field(default_factory=list)
    passphrase: str | None = None
    rolling_s: float = 0
    is_forced: bool = False

    @property
    def changes_settings(self) -> bool:
        """Whether anything is asked for that hosts agree on."""
        return bool(self.add or self.remove) or (self.advbase, self.advskew, self.passphrase) != (None, None, None)


class GroupRequest(msgspec.Struct, tag="group", forbid_unknown_fields=True):
    """Add to the demotion of an interface group, or ask for it with 0."""

    group: str
    by: int = 0


class HandoverRequest(msgspec.Struct, tag="handover", forbid_unknown_fields=True, kw_only=True):
    """Leave the addresses of a host to the next one, or (``is_back``) be ready to take them back."""

    host: str
    timeout_s: float
    is_back: bool = False


class SysctlRequest(msgspec.Struct, tag="sysctl", forbid_unknown_fields=True):
    """Read a switch, or set it if there is a value."""

    name: str
    value: int | None = None


class PlanRequest(msgspec.Struct, tag="plan", forbid_unknown_fields=True):
    """Ask what a reload would change; of ``text`` in the place of the daemon's own file, if there is one."""

    text: str | None = None
    file: str | None = None
    rolling_s: float = 0


class ReloadRequest(msgspec.Struct, tag="reload", forbid_unknown_fields=True):
    """Read the configuration again; for ``rolling_s`` see ``VirtualHost.reconfigure``."""

    rolling_s: float = 0


class Cause(msgspec.Struct):
    """One entry of the demotion ledger."""

    cause: str
    amount: int


class Peer(msgspec.Struct, kw_only=True):
    """Whose advertisement was heard last."""

    source: str
    advbase: int
    advskew: int
    heard_s_ago: float


class Change(msgspec.Struct, kw_only=True):
    """The last state change; ``at`` is wall-clock time in ISO 8601."""

    old: str
    new: str
    reason: str
    explanation: str
    epoch: int
    at: str
    s_ago: float
    peer: str | None
    silent_s: float | None


class HostStatus(msgspec.Struct, kw_only=True):
    """One virtual host.

    ``effective_*`` is what it advertises, demotion included; ``master`` is who holds the addresses,
    ``whereabouts`` what they are on here. ``contested`` counts how often others changed them. ``warnings`` are what an
    operator should look at, as it was logged.
    """

    name: str
    interface: str
    vhid: int
    state: str
    master: str | None
    epoch: int
    advbase: int
    advskew: int
    effective_advbase: int
    effective_advskew: int
    preempt: bool
    dialect: str
    addresses: list[str]
    peers: list[str]
    groups: list[str]
    link_is_up: bool
    is_up: bool
    demotion: list[Cause]
    last_change: Change | None
    peer: Peer | None
    next_s: float | None
    rejected: int
    contested: int
    whereabouts: str
    warnings: list[str] = msgspec.field(default_factory=list)


class LinkStatus(msgspec.Struct):
    """What was counted on one link: the counters of ``carpstats``, and why packets were dropped."""

    counters: dict[str, int]
    drops: dict[str, int]
    floods: int = 0


class StatusReply(msgspec.Struct, tag="status", kw_only=True):
    """Everything."""

    version: int
    hostname: str
    pid: int
    uptime_s: float
    transport: str
    hosts: list[HostStatus]
    sysctls: dict[str, int]
    counters: dict[str, int]
    links: dict[str, LinkStatus]
    groups: dict[str, int]


class GroupReply(msgspec.Struct, tag="group"):
    """The demotion of an interface group as it was and as it is, the names of its hosts, and what is odd about it."""

    group: str
    before: int
    demotion: int
    hosts: list[str]
    warning: str = ""


class SysctlReply(msgspec.Struct, tag="sysctl", kw_only=True):
    """The switch as it was and as it is, and what is odd about the value."""

    name: str
    before: int
    value: int
    warning: str = ""


class HandoverReply(msgspec.Struct, tag="handover", kw_only=True):
    """Who is MASTER now and how long that took; nobody's name when a hand-over was taken back."""

    host: str
    master: str | None = None
    took_s: float = 0


class PlanReply(msgspec.Struct, tag="plan"):
    """What would change, or was changed, a line each; none without a change."""

    changes: list[str]


class DoneReply(msgspec.Struct, tag="done"):
    """It has been done."""


class RefusedReply(msgspec.Struct, tag="refused"):
    """It has not, and why; ``is_usage`` tells a wrong request from one that failed."""

    message: str
    is_usage: bool = False


Request: TypeAlias = (
    StatusRequest | IfconfigRequest | GroupRequest | HandoverRequest | SysctlRequest | PlanRequest | ReloadRequest
)
Reply: TypeAlias = StatusReply | GroupReply | HandoverReply | SysctlReply | PlanReply | DoneReply | RefusedReply

_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_replies: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """Return a message as one JSON line."""
    return msgspec.json.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Return the request in a line; ControlError says what is wrong with it."""
    try:
        return _requests.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ControlError(f"not a request: {exc}") from exc


def decode_reply(line: bytes) -> Reply:
    """Return the reply in a line; ControlError when a daemon of another version speaks otherwise."""
    try:
        return _replies.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ControlError(f"the daemon's answer is not understood: {exc}") from exc
