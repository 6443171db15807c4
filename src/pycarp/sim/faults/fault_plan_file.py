"""Reads and writes fault plans as JSON, which people can read and pycarp can simulate again.

A file has no passphrases, only a number for each: hosts with the same passphrase have the same number, and still hear
each other.
"""

from ipaddress import ip_interface

import msgspec
import msgspec.structs

from pycarp import dialects
from pycarp.auth.key import Passphrase
from pycarp.core.host_config import HostConfig
from pycarp.core.settings import Settings
from pycarp.errors import ConfigError
from pycarp.placement.damping import Damping
from pycarp.placement.isolation import Isolation
from pycarp.placement.policy import AUTO, FailbackPolicy
from pycarp.placement.share import SyncGroupConfig
from pycarp.sim.fabric import DEFAULT_DELAY_NS
from pycarp.sim.faults.fault_plan import Fault, FaultPlan, Incident, Member
from pycarp.vocabulary import NS_PER_S, HostKey


class _Damping(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    half_life_s: float
    suppress: int
    reuse: int
    longest_s: float


class _Failback(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    startup_hold_s: float = 0.0
    failback_delay_s: float = 0.0
    min_dwell_s: float = 0.0
    failback: str = AUTO
    damping: _Damping | None = None


class _Group(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str
    hosts: list[tuple[str, int]]


class _Isolation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    link: str
    every_s: float
    timeout_s: float
    rise: int
    fall: int
    host: tuple[str, int] | None = None


class _Host(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    interface: str
    vhid: int
    addresses: list[str]
    secret: int = 1
    name: str = ""
    advbase: int = 1
    advskew: int = 0
    preempt: bool = False
    dialect: str = "universal"
    peers: list[str] = []
    dead_ratio: int = 3
    failback: _Failback | None = None


class _Member(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    own: dict[str, list[str]]
    hosts: list[_Host]
    preempts: bool = False
    groups: list[_Group] = []
    isolations: list[_Isolation] = []


class _Incident(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    at_s: float
    fault: Fault
    node: str = ""
    other: str = ""
    span_s: float = 0.0
    amount: float = 0.0
    link: str = ""


class _FaultPlan(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    seed: int
    until_s: float
    members: list[_Member]
    incidents: list[_Incident] = []
    description: str = ""
    apart_s: float = 0.0
    delay_s: float = DEFAULT_DELAY_NS / NS_PER_S


def encode(plan: FaultPlan, *, description: str = "") -> bytes:
    """Return a plan as JSON; ``description`` is for people."""
    secrets: dict[Passphrase, int] = {}
    kept = _FaultPlan(
        description=description,
        seed=plan.seed,
        until_s=_seconds(plan.until_ns),
        apart_s=_seconds(plan.apart_ns),
        delay_s=_seconds(plan.delay_ns),
        members=[_kept_member(member, secrets) for member in plan.members],
        incidents=[
            _Incident(
                at_s=_seconds(each.at_ns),
                fault=each.fault,
                node=each.node,
                other=each.other,
                span_s=_seconds(each.span_ns),
                amount=each.amount,
                link=each.link,
            )
            for each in plan.incidents
        ],
    )
    return msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n"


def decode(octets: bytes, *, file: str) -> FaultPlan:
    """Return the plan in a file; ConfigError if it is none, with the name of the file."""
    try:
        kept = msgspec.json.decode(octets, type=_FaultPlan)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{file}: no plan of a simulation: {exc}") from exc
    try:
        return _plan(kept)
    except (ConfigError, ValueError) as exc:
        raise ConfigError(f"{file}: {exc}") from exc


def _kept_member(member: Member, secrets: dict[Passphrase, int]) -> _Member:
    return _Member(
        name=member.name,
        own={link: [str(each) for each in addresses] for link, addresses in member.own.items()},
        preempts=member.settings.preempt,
        hosts=[
            _Host(
                interface=host.interface,
                vhid=host.vhid,
                addresses=[str(each) for each in host.addresses],
                secret=secrets.setdefault(host.passphrase, len(secrets) + 1),
                name="" if host.name == str(host.key) else host.name,
                advbase=host.advbase,
                advskew=host.advskew,
                preempt=host.preempt,
                dialect=host.dialect.name,
                peers=[str(each) for each in host.peers],
                dead_ratio=host.dead_ratio,
                failback=_kept_failback(member.failbacks.get(host.key)),
            )
            for host in member.hosts
        ],
        groups=[
            _Group(name=group.name, hosts=[(key.link, key.vhid) for key in group.hosts]) for group in member.groups
        ],
        isolations=[_kept_isolation(each) for each in member.isolations],
    )


def _kept_failback(policy: FailbackPolicy | None) -> _Failback | None:
    if policy is None:
        return None
    damping = policy.damping
    return _Failback(
        startup_hold_s=policy.startup_hold_s,
        failback_delay_s=policy.failback_delay_s,
        min_dwell_s=policy.min_dwell_s,
        failback=policy.failback,
        damping=None if damping is None else msgspec.convert(msgspec.structs.asdict(damping), _Damping),
    )


def _kept_isolation(isolation: Isolation) -> _Isolation:
    return _Isolation(
        name=isolation.name,
        link=isolation.link,
        every_s=isolation.every_s,
        timeout_s=isolation.timeout_s,
        rise=isolation.rise,
        fall=isolation.fall,
        host=None if isolation.host is None else (isolation.host.link, isolation.host.vhid),
    )


def _isolation(kept: _Isolation, member: _Member) -> Isolation:
    key = None if kept.host is None else HostKey(*kept.host)
    if key is not None and key not in [(host.interface, host.vhid) for host in member.hosts]:
        raise ConfigError(f"isolation {kept.name!r} of {member.name!r}: there is no host {key}")
    if kept.link not in member.own:
        raise ConfigError(f"isolation {kept.name!r} of {member.name!r}: there is no link {kept.link!r}")
    if not (kept.every_s > 0 and kept.timeout_s > 0 and kept.rise > 0 and kept.fall > 0):
        raise ConfigError(f"isolation {kept.name!r} of {member.name!r}: every value is to be above 0")
    return Isolation(
        name=kept.name,
        host=key,
        link=kept.link,
        every_s=kept.every_s,
        timeout_s=kept.timeout_s,
        rise=kept.rise,
        fall=kept.fall,
    )


def _plan(kept: _FaultPlan) -> FaultPlan:
    members = tuple(_member(member) for member in kept.members)
    names = {"", "*", *(member.name for member in members)}
    for each in kept.incidents:
        for name in (each.node, each.other):
            if name not in names:
                raise ConfigError(f"{each.fault} of {name!r}: there is no such member")
        if each.link and not any(each.link in member.own for member in members):
            raise ConfigError(f"{each.fault} of {each.link!r}: no member has such a link")
    return FaultPlan(
        seed=kept.seed,
        members=members,
        incidents=tuple(
            Incident(
                at_ns=_nanoseconds(each.at_s),
                fault=each.fault,
                node=each.node,
                other=each.other,
                span_ns=_nanoseconds(each.span_s),
                amount=each.amount,
                link=each.link,
            )
            for each in kept.incidents
        ),
        until_ns=_nanoseconds(kept.until_s),
        apart_ns=_nanoseconds(kept.apart_s),
        delay_ns=_nanoseconds(kept.delay_s),
    )


def _member(kept: _Member) -> Member:
    return Member(
        name=kept.name,
        own={link: tuple(ip_interface(each) for each in addresses) for link, addresses in kept.own.items()},
        settings=Settings(preempt=kept.preempts),
        hosts=tuple(_host(host) for host in kept.hosts),
        failbacks={
            HostKey(host.interface, host.vhid): _policy(host.failback)
            for host in kept.hosts
            if host.failback is not None
        },
        groups=tuple(_group(group, kept) for group in kept.groups),
        isolations=tuple(_isolation(each, kept) for each in kept.isolations),
    )


def _policy(kept: _Failback) -> FailbackPolicy:
    return FailbackPolicy(
        startup_hold_s=kept.startup_hold_s,
        failback_delay_s=kept.failback_delay_s,
        min_dwell_s=kept.min_dwell_s,
        failback=kept.failback,
        damping=None if kept.damping is None else Damping(**msgspec.to_builtins(kept.damping)),
    )


def _group(kept: _Group, member: _Member) -> SyncGroupConfig:
    keys = tuple(HostKey(link, vhid) for link, vhid in kept.hosts)
    for key in keys:
        if key not in [(host.interface, host.vhid) for host in member.hosts]:
            raise ConfigError(f"group {kept.name!r} of {member.name!r}: there is no host {key}")
    if len(set(keys)) < max(len(keys), 2):
        raise ConfigError(f"group {kept.name!r} of {member.name!r} has {len(keys)} hosts; name two or more, each once")
    return SyncGroupConfig(name=kept.name, hosts=keys)


def _host(kept: _Host) -> HostConfig:
    return HostConfig(
        interface=kept.interface,
        vhid=kept.vhid,
        passphrase=f"stand-in {kept.secret}",
        addresses=kept.addresses,
        name=kept.name,
        advbase=kept.advbase,
        advskew=kept.advskew,
        preempt=kept.preempt,
        dialect=dialects.by_name(kept.dialect),
        peers=kept.peers,
        dead_ratio=kept.dead_ratio,
    )


def _seconds(span_ns: int) -> float:
    return span_ns / NS_PER_S


def _nanoseconds(span_s: float) -> int:
    return round(span_s * NS_PER_S)
