"""Makes the replies of the control socket from snapshots."""

import asyncio
import datetime
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from pycarp.aio.log_records import explain
from pycarp.core.engine import HANDED_OVER
from pycarp.core.events import StateChange
from pycarp.core.host.decision import Peer as HeardPeer
from pycarp.core.outlook import outlook
from pycarp.core.snapshot import EngineSnapshot, HostSnapshot
from pycarp.core.state import Reason, State
from pycarp.core.statistics import DropReason, LinkStatistics, Statistic
from pycarp.daemon.administration import ADMINISTRATIVE_CAUSES
from pycarp.daemon.control_messages import (
    VERSION,
    Cause,
    Change,
    HostStatus,
    LinkStatus,
    OutlookStatus,
    Peer,
    RestrictionStatus,
    StatusReply,
)
from pycarp.daemon.host_set import Waiting
from pycarp.vocabulary import NS_PER_S, HostKey, InterfaceAddress, LinkFacts, MacMode


def status_reply(
    snapshot: EngineSnapshot,
    *,
    hostname: str,
    uptime_s: float,
    transport: str,
    sysctls: Mapping[str, int],
    place: Callable[[HostSnapshot], "Place"] = lambda _host: Place(),
    warnings: Callable[[HostKey], Sequence[str]] = lambda _key: (),
    facts: Callable[[str], LinkFacts | None] = lambda _link: None,
    waiting: Iterable[Waiting] = (),
    renames: Mapping[str, str] = MappingProxyType({}),
    describe: Callable[[HostKey, HostStatus], None] = lambda _key, _status: None,
) -> StatusReply:
    """Return everything about the hosts of this process; called in its event loop, whose clock is the engine's.

    ``describe`` adds to the status of a host that runs.
    """
    now_ns = int(asyncio.get_running_loop().time() * NS_PER_S)
    running = []
    for host in snapshot.hosts:
        running.append(host_status(host, now_ns, place(host), warnings(host.key), facts(host.key.link)))
        describe(host.key, running[-1])
    return StatusReply(
        version=VERSION,
        hostname=hostname,
        pid=os.getpid(),
        uptime_s=round(uptime_s, 3),
        transport=transport,
        hosts=[*running, *(waiting_status(each) for each in waiting)],
        sysctls=dict(sysctls),
        counters=counters_of(snapshot.statistics),
        links={link: link_status(each) for link, each in snapshot.links.items()},
        groups=dict(snapshot.group_demotion),
        renames=dict(renames),
        at=_ago(0),
    )


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of a host on this machine: their device, whose MAC address it has, what is missing, why."""

    location: str = ""
    mac_mode: MacMode | None = None
    missing: tuple[InterfaceAddress, ...] = ()
    error: str = ""


def host_status(
    host: HostSnapshot,
    now_ns: int,
    place: Place,
    warnings: Sequence[str] = (),
    facts: LinkFacts | None = None,
) -> HostStatus:
    """Return the status of one host; ``now_ns`` is the engine's time, from which ages are counted.

    ``facts`` say what the interface is called now.
    """
    config = host.config
    link = config.interface if facts is None else facts.present_name
    change = None if host.last_change is None else _change_of(host, host.last_change, now_ns)
    if change is not None and host.state is State.INIT:
        change.explanation = _about_deletion(host, link) or change.explanation
    return HostStatus(
        name=config.name if config.name != str(config.key) else str(HostKey(link, config.vhid)),
        interface=link,
        vhid=config.vhid,
        state=host.state.value,
        master=_master(host),
        epoch=host.epoch,
        advbase=config.advbase,
        advskew=config.advskew,
        effective_advbase=host.claim.advbase,
        effective_advskew=host.claim.advskew,
        preempt=host.wants_preempt,
        dialect=config.dialect.name,
        addresses=[str(each) for each in config.addresses],
        peers=[str(each) for each in config.peers],
        groups=list(config.groups),
        link_is_up=host.link_is_up,
        is_up=host.admin_is_up,
        demotion=[Cause(cause, amount, cause in ADMINISTRATIVE_CAUSES) for cause, amount in host.demotion],
        restrictions=[RestrictionStatus(cause=cause, to=each.value) for cause, each in host.restrictions],
        last_change=change,
        peer=None if host.peer is None else _peer(host.peer, now_ns),
        heard=[_peer(each, now_ns) for each in host.peers],
        rejected=host.rejected,
        contested=host.contested,
        location=place.location,
        missing=[str(each) for each in sorted(place.missing, key=lambda each: (each.version, each))],
        address_error=place.error,
        warnings=list(warnings),
        next_s=None if host.deadline_ns is None else _seconds(host.deadline_ns - now_ns),
        stage=None if host.stage is None else host.stage.value,
        mac_mode=None if place.mac_mode is None else place.mac_mode.value,
    )


def waiting_status(waiting: Waiting) -> HostStatus:
    """Return the status of a host that does not run yet: INIT, and why."""
    config = waiting.config
    ago_s = round(time.monotonic() - waiting.since_s, 6)
    init = State.INIT.value
    change = Change(
        old=init,
        new=init,
        reason="waiting",
        explanation=waiting.cause,
        epoch=0,
        at=_ago(ago_s),
        s_ago=ago_s,
        peer=None,
        silent_s=None,
    )
    return HostStatus(
        name=config.name,
        interface=config.interface,
        vhid=config.vhid,
        state=init,
        master=None,
        epoch=0,
        advbase=config.advbase,
        advskew=config.advskew,
        effective_advbase=config.advbase,
        effective_advskew=config.advskew,
        preempt=config.preempt,
        dialect=config.dialect.name,
        addresses=[str(each) for each in config.addresses],
        peers=[str(each) for each in config.peers],
        groups=list(config.groups),
        link_is_up=False,
        is_up=True,
        demotion=[],
        last_change=change,
        peer=None,
        heard=[],
        rejected=0,
        contested=0,
        location="",
        missing=[],
        address_error="",
        next_s=None,
    )


def outlook_status(host: HostSnapshot, now_ns: int) -> list[OutlookStatus]:
    """Return the next possible changes of a host; ``now_ns`` is the engine's time, to which times are relative."""
    return [
        OutlookStatus(
            state=each.state.value,
            reason=each.reason.value,
            condition=each.condition,
            in_s=None if each.at_ns is None else _seconds(each.at_ns - now_ns),
        )
        for each in outlook(host)
    ]


def counters_of(counts: Mapping[Statistic, int]) -> dict[str, int]:
    """Return the sixteen counters under their names, in their order, those that are 0 as well."""
    return {name.value: counts.get(name, 0) for name in Statistic}


def link_status(statistics: LinkStatistics) -> LinkStatus:
    """Return the counts of one link, with the drop reasons that occurred."""
    drops = {reason.name.lower().replace("_", "-"): statistics.drops[reason] for reason in DropReason}
    occurred = {name: count for name, count in drops.items() if count}
    return LinkStatus(counters_of(statistics.counts), occurred, statistics.floods)


def _master(host: HostSnapshot) -> str | None:
    """Return the MASTER that this host knows: itself, or the one that it hears; empty if unknown."""
    if host.state is State.MASTER:
        return "this host"
    return str(host.master.source) if host.state is State.BACKUP and host.master else None


def _about_deletion(host: HostSnapshot, link: str) -> str:
    """Return what a host waits for in INIT because its interface was deleted; empty for any other host."""
    if not host.link_exists:
        return f"interface {link} does not exist; it is waited for"
    was_deleted = host.last_change is not None and host.last_change.reason is Reason.LINK_DELETED
    return f"interface {link} was deleted, is there again, and is down" if was_deleted else ""


def _change_of(host: HostSnapshot, last: StateChange, now_ns: int) -> Change:
    """Return the last change, the peer by its one name.

    Of a host that handed its addresses over it is that: the way back from INIT was the end of it.
    """
    peer = None if last.peer is None else host.name_of(last.peer)
    change = _change(replace(last, peer=peer), now_ns)
    if HANDED_OVER not in dict(host.demotion) or last.reason is not Reason.READY:
        return change
    master = host.master
    explanation = Reason.HANDED_OVER.value + (f" to {master.source}" if master else "")
    return msgspec.structs.replace(change, reason="handed-over", explanation=explanation)


def _change(change: StateChange, now_ns: int) -> Change:
    age_s = _seconds(now_ns - change.at_ns)
    return Change(
        old=change.old.value,
        new=change.new.value,
        reason=change.reason.name.lower().replace("_", "-"),
        explanation=explain(change),
        epoch=change.epoch,
        at=_ago(age_s),
        s_ago=age_s,
        peer=str(change.peer) if change.peer else None,
        silent_s=None if change.silent_ns is None else _seconds(change.silent_ns),
    )


def _ago(seconds: float) -> str:
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    return at.isoformat(timespec="milliseconds")


def _peer(peer: HeardPeer, now_ns: int) -> Peer:
    return Peer(
        source=str(peer.source),
        advbase=peer.claim.advbase,
        advskew=peer.claim.advskew,
        heard_s_ago=_seconds(now_ns - peer.at_ns),
        decision=peer.decision.value,
        has_left=peer.has_left,
    )


def _seconds(span_ns: int) -> float:
    return round(span_ns / NS_PER_S, 6)
