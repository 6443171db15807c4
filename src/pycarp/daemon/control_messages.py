"""The messages of the control socket: one line of JSON is a request, one the reply. Typed, strict, versioned."""

from typing import TypeAlias

import msgspec

from pycarp.errors import ControlError

VERSION = 1
LINE_LIMIT = 16 << 20


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

    def __repr__(self) -> str:
        """Return it without the password."""
        said = {name: getattr(self, name) for name in self.__struct_fields__ if name != "passphrase"}
        changed = ", ".join(f"{name}={value!r}" for name, value in said.items() if value not in (None, [], False, 0))
        return f"IfconfigRequest({changed}{', passphrase=***' if self.passphrase is not None else ''})"

    @property
    def changes_settings(self) -> bool:
        """True if the request changes a setting that all hosts of the vhid must share."""
        return bool(self.add or self.remove) or (self.advbase, self.advskew, self.passphrase) != (None, None, None)


class GroupRequest(msgspec.Struct, tag="group", forbid_unknown_fields=True):
    """Add to the demotion of an interface group; 0 returns it unchanged."""

    group: str
    by: int = 0


class HandoverRequest(msgspec.Struct, tag="handover", forbid_unknown_fields=True, kw_only=True):
    """Hand the addresses of a host over to the next one, or (``is_back``) end the demotion of a hand-over."""

    host: str
    timeout_s: float
    is_back: bool = False


class EventsRequest(msgspec.Struct, tag="events", forbid_unknown_fields=True, kw_only=True):
    """Ask for the events of a host, or all, after a number; None for those to come. Answered by a stream.

    Of those that are kept only the ``last`` so many, None for all. It ends with ``EventsEnd`` unless it should
    ``follow``; then that comes now and then while nothing happens.
    """

    host: str | None = None
    after: int | None = None
    follow: bool = False
    last: int | None = None


class WhyRequest(msgspec.Struct, tag="why", forbid_unknown_fields=True):
    """Ask why a host is in its state, and what can happen next."""

    host: str


class FlightRequest(msgspec.Struct, tag="flight", forbid_unknown_fields=True):
    """Ask for what the flight recorder has of the time up to ``at``, in seconds since 1970. Answered by a stream."""

    at: float


class DrainRequest(msgspec.Struct, tag="drain", forbid_unknown_fields=True, kw_only=True):
    """Leave the addresses of a host, or of all, to others, and stay the last of all; for ``for_s`` seconds, or always.

    Refused when nobody takes over within ``timeout_s``, unless it ``is_forced``.
    """

    host: str | None = None
    reason: str = ""
    for_s: float | None = None
    survives_reboot: bool = False
    is_forced: bool = False
    timeout_s: float = 5.0


class UndrainRequest(msgspec.Struct, tag="undrain", forbid_unknown_fields=True):
    """End the drain of a host, or of all."""

    host: str | None = None


class DemoteRequest(msgspec.Struct, tag="demote", forbid_unknown_fields=True, kw_only=True):
    """Demote a host, or all, for a cause: ``by`` so much, or to the last place; for ``for_s`` seconds, or always."""

    host: str | None = None
    cause: str
    by: int | None = None
    for_s: float | None = None


class FailbackRequest(msgspec.Struct, tag="failback", forbid_unknown_fields=True):
    """Allow a host to preempt once, whatever its failback policy says."""

    host: str


class RestoreRequest(msgspec.Struct, tag="restore", forbid_unknown_fields=True, kw_only=True):
    """End a demotion of a host, or of all, by its cause."""

    host: str | None = None
    cause: str


class SysctlRequest(msgspec.Struct, tag="sysctl", forbid_unknown_fields=True):
    """Read a sysctl, or set it if there is a value."""

    name: str
    value: int | None = None


class PlanRequest(msgspec.Struct, tag="plan", forbid_unknown_fields=True):
    """Ask what a reload would change; of ``text`` in the place of the daemon's own file, if there is one."""

    text: str | None = None
    file: str | None = None
    rolling_s: float = 0

    def __repr__(self) -> str:
        """Return it without the text, in which passwords may be."""
        return f"PlanRequest(file={self.file!r}, rolling_s={self.rolling_s!r})"


class ReloadRequest(msgspec.Struct, tag="reload", forbid_unknown_fields=True):
    """Read the configuration again; for ``rolling_s`` see ``VirtualHost.reconfigure``.

    ``is_forced`` means that hosts which the configuration has no longer may end.
    """

    rolling_s: float = 0
    is_forced: bool = False


class DriftRequest(msgspec.Struct, tag="drift", forbid_unknown_fields=True):
    """Ask for the settings that were changed while the daemon ran, with passwords: for administrators only."""


class MastershipRequest(msgspec.Struct, tag="mastership", forbid_unknown_fields=True):
    """Ask for the next mastership of a host; the caller hangs up once what it runs meanwhile has ended.

    ``clean_up_s`` is how long that may take after the loss, in seconds; the daemon shortens it to what is safe.
    ``command`` and ``pid`` are for the status and the log: what is run, and the process that runs it. The answer is a
    stream: MastershipAwaited, MastershipBegun, MastershipRenewed at each sign of life, MastershipEnded.
    """

    host: str
    clean_up_s: float = 1.0
    command: str = ""
    pid: int = 0


class Cause(msgspec.Struct):
    """One entry of the demotion ledger: ``is_wanted`` by an administrator, for ``ends_in_s`` seconds or always."""

    cause: str
    amount: int
    is_wanted: bool = False
    ends_in_s: float | None = None


class Peer(msgspec.Struct, kw_only=True):
    """Another host, by an address of its advertisements; ``decision`` is what followed from the last one, in words.

    One that ``has_left`` bowed out, or yielded and said so.
    """

    source: str
    advbase: int
    advskew: int
    heard_s_ago: float
    decision: str
    has_left: bool


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


class Alarm(msgspec.Struct, kw_only=True):
    """A problem: its name for scripts, a description, and what to do or type next, empty if unknown."""

    name: str
    text: str
    command: str


class CheckStatus(msgspec.Struct, kw_only=True):
    """A health check: whether it ``passes``, and the ``answer`` of its last run: ok, fail or unknown, None before it.

    ``detail`` says why that was no good one. While the check fails, its host is demoted ``by`` so much, or with None is
    the last of all; if it ``releases``, the host is not MASTER at all. ``s_ago`` is when ``passes`` changed, None if it
    never did.
    """

    name: str
    passes: bool
    answer: str | None
    detail: str
    by: int | None
    s_ago: float | None
    releases: bool = False


class HookStatus(msgspec.Struct, kw_only=True):
    """A hook: the changes ``on`` which it is called, the one of its last call that ended, and what failed then."""

    name: str
    on: list[str]
    is_running: bool
    last_on: str | None
    error: str


class CommandStatus(msgspec.Struct, kw_only=True):
    """A command that another process runs while the host is MASTER: its ``name``, the process, and if it runs now."""

    name: str
    pid: int
    is_running: bool


class RestrictionStatus(msgspec.Struct, kw_only=True):
    """Why a host must not take over: ``to`` is no-preempt or backup-only; None for one that does not end by time."""

    cause: str
    to: str
    ends_in_s: float | None = None


class HostStatus(msgspec.Struct, kw_only=True):
    """One virtual host.

    ``effective_*`` is what it advertises, demotion included; ``master`` is who holds the addresses,
    ``location`` what they are on here, ``mac_mode`` whose MAC address answers for them: virtual or interface, None if
    that is not known. ``contested`` counts how often others changed them. ``warnings`` are what an
    operator should look at, as it was logged. ``peer`` is whose advertisement was heard last, ``heard`` the last one of
    everybody and family. ``missing`` are addresses that a MASTER should have and has not, ``address_error`` is why
    they could not be held or dropped the last time that was tried. ``checks`` and ``hooks`` are its own and those of
    every host. ``preempt`` is whether it preempts, by its own setting or that of the node, unless ``restrictions``
    forbid it or it has handed its addresses over. ``stage`` is how far a MASTER has come with holding its addresses, in
    words.
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
    heard: list[Peer]
    next_s: float | None
    rejected: int
    contested: int
    location: str
    missing: list[str]
    address_error: str
    warnings: list[str] = msgspec.field(default_factory=list)
    checks: list[CheckStatus] = msgspec.field(default_factory=list)
    hooks: list[HookStatus] = msgspec.field(default_factory=list)
    is_drained: bool = False
    restrictions: list[RestrictionStatus] = msgspec.field(default_factory=list)
    sync_group: str | None = None
    alarms: list[Alarm] = msgspec.field(default_factory=list)
    commands: list[CommandStatus] = msgspec.field(default_factory=list)
    stage: str | None = None
    mac_mode: str | None = None


class LinkStatus(msgspec.Struct):
    """The counts of one link: the counters of ``carpstats``, and dropped packets by reason."""

    counters: dict[str, int]
    drops: dict[str, int]
    floods: int = 0


class StatusReply(msgspec.Struct, tag="status", kw_only=True):
    """Everything; ``renames`` leads from the file's names of interfaces to those of this machine (``--map``).

    ``at`` is when the daemon said so, wall-clock time in ISO 8601; ``age_s`` is how old that is for who gets it.
    """

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
    renames: dict[str, str] = msgspec.field(default_factory=dict)
    at: str = ""
    age_s: float = 0.0


class GroupReply(msgspec.Struct, tag="group"):
    """The old and new demotion of an interface group, the names of its hosts, and a warning, empty if there is none."""

    group: str
    before: int
    demotion: int
    hosts: list[str]
    warning: str = ""


class SysctlReply(msgspec.Struct, tag="sysctl", kw_only=True):
    """The old and new value of the sysctl, and a warning, empty if there is none."""

    name: str
    before: int
    value: int
    warning: str = ""


class HandoverReply(msgspec.Struct, tag="handover", kw_only=True):
    """The new MASTER, and how long the hand-over took in seconds; an empty name when a hand-over was taken back."""

    host: str
    master: str | None = None
    took_s: float = 0


class EventRecord(msgspec.Struct, tag="event", kw_only=True):
    """Something that happened, as the log says it; ``at`` is wall-clock time in ISO 8601.

    ``about`` has host, vhid, interface, state, reason, peer and epoch, as far as they apply.
    """

    seq: int
    at: str
    level: str
    text: str
    about: dict[str, str | int]


class EventsEnd(msgspec.Struct, tag="events-end", kw_only=True):
    """There are no further events for now; ``seq`` is the number of the last one."""

    seq: int


class OutlookStatus(msgspec.Struct, kw_only=True):
    """A change that is possible: to which state, for which reason, on which condition.

    ``in_s`` is when, if nothing else happens; None for as soon as the condition holds.
    """

    state: str
    reason: str
    condition: str
    in_s: float | None


class WhyReply(msgspec.Struct, tag="why", kw_only=True):
    """The status of a host, and what can happen next, the earliest first."""

    host: HostStatus
    outlook: list[OutlookStatus]


class FlightLines(msgspec.Struct, tag="flight-lines"):
    """Lines of a recording, in their order; it has no secrets."""

    lines: list[str]


class FlightEnd(msgspec.Struct, tag="flight-end"):
    """The end of a recording; without lines, ``dump`` is a file of the flight recorder that has the time, if any."""

    dump: str | None = None


class DrainedHost(msgspec.Struct, kw_only=True):
    """A drained host: whether it was MASTER, who is now, and whether a neighbour answers for all of its addresses.

    ``master`` is None if nobody is known, ``answers`` if that was not asked or could not be found out.
    """

    host: str
    was_master: bool
    master: str | None
    answers: bool | None


class DrainReply(msgspec.Struct, tag="drain", kw_only=True):
    """The hosts that are drained, how long it took until others were MASTER, and what an operator should know."""

    hosts: list[DrainedHost]
    took_s: float
    warning: str = ""


Value: TypeAlias = int | bool | str | list[str] | None
"""A setting; None for a password."""


class SettingChange(msgspec.Struct, kw_only=True):
    """The present and the future value of a setting."""

    setting: str
    old: Value
    new: Value


class PlannedChange(msgspec.Struct, kw_only=True):
    """One thing that a reload changes: ``name`` is that of a host or of a switch.

    ``kind`` is added, removed, changed (in place), restarted (the host leaves and comes back), moved (likewise, to
    another interface or vhid), sysctl, http, check or hook. ``about_s`` is about how long nobody answers for the
    addresses unless another host takes over at once: 0 without an interruption, None where only another host can take
    over.
    """

    name: str
    kind: str
    what: str
    cost: str
    settings: list[SettingChange]
    leaves_master: bool
    about_s: float | None


class Drift(msgspec.Struct, kw_only=True):
    """One thing that was changed while the daemon ran: ``file`` is what was read last, ``running`` what holds.

    ``reload`` is what a reload does to it, in words; ``can_be_saved`` says whether TOML has a word for it.
    """

    name: str
    setting: str
    file: Value
    running: Value
    reload: str
    can_be_saved: bool


class PlanReply(msgspec.Struct, tag="plan", kw_only=True):
    """What a reload would change, or has changed; what was changed live; what will not work, or disturbs others."""

    changes: list[PlannedChange]
    drift: list[Drift]
    warnings: list[str]


class HostDrift(msgspec.Struct, kw_only=True):
    """Settings of one host that were changed while it ran; None for those that were not.

    ``interfaces`` are the names that the file may have for its interface.
    """

    name: str
    interfaces: list[str]
    vhid: int
    advbase: int | None = None
    advskew: int | None = None
    addresses: list[str] | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Return it without the password."""
        return f"HostDrift({self.name!r}, advbase={self.advbase}, advskew={self.advskew}, addresses={self.addresses})"


class DriftReply(msgspec.Struct, tag="drift", kw_only=True):
    """What was changed live and a file can say: ``file`` is the daemon's own, ``sysctls`` have short names.

    ``grammar`` is the one that the daemon reads files in, empty where each tells its own.

    ``left_out`` is what no file can say, in words.
    """

    file: str
    grammar: str
    hosts: list[HostDrift]
    sysctls: dict[str, int]
    left_out: list[str]


class MastershipAwaited(msgspec.Struct, tag="mastership-awaited"):
    """The host exists, and the daemon waits for its next mastership."""

    host: str
    state: str


class MastershipRenewed(msgspec.Struct, tag="mastership-renewed", kw_only=True):
    """The host has given a sign of life, so that no peer acts before ``ends_at_ns``.

    Without a later sign, the caller begins to clean up at ``cleans_up_at_ns`` and has ended at ``ends_at_ns``; both
    are times of CLOCK_MONOTONIC in nanoseconds.
    """

    cleans_up_at_ns: int
    ends_at_ns: int


class MastershipBegun(MastershipRenewed, tag="mastership-begun", kw_only=True):
    """The mastership has begun; ``token`` is its fencing token."""

    host: str
    vhid: int
    interface: str
    addresses: list[str]
    epoch: int
    token: int


class MastershipEnded(msgspec.Struct, tag="mastership-ended", kw_only=True):
    """The mastership is lost, for this ``reason``; the caller has ended at ``ends_at_ns`` of CLOCK_MONOTONIC."""

    reason: str
    ends_at_ns: int


class DoneReply(msgspec.Struct, tag="done"):
    """The request was carried out; ``warning`` is empty if there is none."""

    warning: str = ""


class RefusedReply(msgspec.Struct, tag="refused"):
    """The request was refused, and why; ``is_usage`` tells a wrong request from one that failed."""

    message: str
    is_usage: bool = False


MaintenanceRequest: TypeAlias = DrainRequest | UndrainRequest | DemoteRequest | RestoreRequest | FailbackRequest

Request: TypeAlias = (
    StatusRequest
    | IfconfigRequest
    | GroupRequest
    | HandoverRequest
    | EventsRequest
    | WhyRequest
    | FlightRequest
    | DrainRequest
    | UndrainRequest
    | DemoteRequest
    | RestoreRequest
    | FailbackRequest
    | SysctlRequest
    | PlanRequest
    | ReloadRequest
    | DriftRequest
    | MastershipRequest
)
MastershipReply: TypeAlias = MastershipAwaited | MastershipBegun | MastershipRenewed | MastershipEnded
Reply: TypeAlias = (
    StatusReply
    | GroupReply
    | HandoverReply
    | DrainReply
    | EventRecord
    | EventsEnd
    | WhyReply
    | FlightLines
    | FlightEnd
    | SysctlReply
    | PlanReply
    | DriftReply
    | DoneReply
    | RefusedReply
    | MastershipReply
)

_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_replies: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """Return a message as one JSON line."""
    return msgspec.json.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Return the request in a line; raises ControlError for a malformed one."""
    try:
        return _requests.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ControlError(f"not a request: {exc}") from exc


def decode_reply(line: bytes) -> Reply:
    """Return the reply in a line; raises ControlError for one of another version."""
    try:
        return _replies.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ControlError(f"the daemon's answer is not understood: {exc}") from exc
