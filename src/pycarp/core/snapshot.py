"""Immutable views of an engine, for status output and to show which host is MASTER and why."""

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from pycarp.core.events import StateChange
from pycarp.core.host.context import Context
from pycarp.core.host.decision import Peer, last_heard, name_of
from pycarp.core.host.reactions import state, turn_at_ns
from pycarp.core.host.states import Backup, Master, Stage
from pycarp.core.host_config import HostConfig
from pycarp.core.restriction import Restriction, Restrictions, strictest
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.core.statistics import LinkStatistics, Statistics
from pycarp.dialects.dialect import Claim
from pycarp.vocabulary import Address, Family, HostKey


class HostSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual host at one instant.

    ``rejected`` counts the advertisements for the host that were not authentic, ``contested`` the external changes of
    its addresses.

    ``claim`` is the claim that it advertises, or would advertise as MASTER. ``peers`` are the last advertisement of
    each source and family, with the decision about it; ``peer`` is the one received last. ``deadline_ns`` is when a
    MASTER will advertise, or a BACKUP take over unless a MASTER advertises, None if it must not; ``master_down_at_ns``
    has the latter for each family. ``stage`` says how far a MASTER has come with holding its addresses. ``cannot_send``
    are the families in which the last advertisement could not be sent. A host that ``goes_last`` recently could not
    hold its addresses or could not send, or is last by one of ``last_causes``: it leaves them to every other host.
    ``restrictions`` are the causes that forbid the host to preempt or to be MASTER: ``wants_preempt`` says whether it
    would preempt without them, ``preempts`` whether it does.
    """

    config: HostConfig
    state: State
    epoch: int
    claim: Claim
    link_is_up: bool
    admin_is_up: bool
    demotion: tuple[tuple[str, int], ...]
    last_change: StateChange | None
    peers: tuple[Peer, ...]
    deadline_ns: int | None
    rejected: int
    contested: int
    preempts: bool = False
    stage: Stage | None = None
    master_down_at_ns: Mapping[Family, int] = msgspec.field(default_factory=dict)
    cannot_send: frozenset[Family | None] = frozenset()
    goes_last: bool = False
    last_causes: frozenset[str] = frozenset()
    restrictions: Restrictions = ()
    link_exists: bool = True
    wants_preempt: bool = False

    @property
    def key(self) -> HostKey:
        """The host's key."""
        return self.config.key

    @property
    def restriction(self) -> Restriction | None:
        """The strictest restriction of all causes, None if nothing restricts the host."""
        return strictest(self.restrictions)

    @property
    def peer(self) -> Peer | None:
        """The peer whose advertisement was received last; None if no peer has advertised."""
        return last_heard({(peer.source, peer.family): peer for peer in self.peers})

    @property
    def master(self) -> Peer | None:
        """The peer that is MASTER according to its advertisements: the strongest that has not left, None if none.

        A peer counts if its last advertisement is at most three of its intervals older than the newest one of any peer.
        Of several addresses of one host it is always the same, IPv4 first.
        """
        there = [peer for peer in self.peers if not peer.has_left]
        last_ns = max((peer.at_ns for peer in there), default=0)
        lately = [peer for peer in there if last_ns - peer.at_ns < 3 * peer.claim.interval_ns]
        heeds_demote = self.config.dialect.preempts_demoted
        return min(lately, key=lambda peer: _rank(peer, heeds_demote=heeds_demote), default=None)

    def name_of(self, source: Address) -> Address:
        """Return the address by which the host of a source is named: IPv4 if it advertises the same claim there."""
        peers = {(peer.source, peer.family): peer for peer in self.peers}
        return next((name_of(peers, peer) for peer in self.peers if peer.source == source), source)


class EngineSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All virtual hosts, the settings, the demotion of the node and of interface groups, and the counters by link."""

    hosts: tuple[HostSnapshot, ...]
    settings: Settings
    demotion: int
    group_demotion: Mapping[str, int]
    links: Mapping[str, LinkStatistics]

    @property
    def statistics(self) -> Statistics:
        """The counters of the whole node."""
        return sum((link.counts for link in self.links.values()), Statistics())


def _rank(peer: Peer, *, heeds_demote: bool) -> tuple[object, ...]:
    demote = peer.claim.demote if heeds_demote else 0
    return demote, peer.claim.interval_ns, peer.source.is_unspecified, peer.family, peer.source.packed


def snapshot_of(
    ctx: Context,
    *,
    demotion: tuple[tuple[str, int], ...],
    last_causes: frozenset[str],
    restrictions: Restrictions,
    rejected: int,
    contested: int,
) -> HostSnapshot:
    """Return the view of one host; the rest is what the engine knows of it beside its states."""
    present = ctx.state
    return HostSnapshot(
        config=ctx.config,
        state=state(ctx),
        epoch=ctx.epoch,
        claim=ctx.claim,
        link_is_up=ctx.environment.link_is_up,
        link_exists=ctx.environment.link_exists,
        admin_is_up=ctx.environment.admin_is_up,
        demotion=demotion,
        last_change=ctx.last_change,
        peers=tuple(replace(peer) for peer in ctx.peers.values()),
        deadline_ns=turn_at_ns(ctx),
        rejected=rejected,
        contested=contested,
        preempts=ctx.wants_preempt and ctx.restriction is None,
        stage=present.takeover.stage if isinstance(present, Master) else None,
        master_down_at_ns=dict(present.master_down_at_ns) if isinstance(present, Backup) else {},
        cannot_send=ctx.environment.cannot_send,
        goes_last=ctx.environment.goes_last,
        last_causes=last_causes,
        restrictions=restrictions,
        wants_preempt=ctx.wants_preempt,
    )
