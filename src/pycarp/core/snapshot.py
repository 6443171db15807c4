"""Immutable views of an engine, for status output and for whoever asks who is master and why."""

from collections.abc import Mapping
from dataclasses import dataclass

from pycarp.core.events import StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.machine import Machine, Peer
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.core.statistics import LinkStatistics, Statistics
from pycarp.dialects.base import Claim
from pycarp.vocabulary import HostKey


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSnapshot:
    """One virtual host at one instant.

    ``rejected`` counts the advertisements for it that were not authentic, ``contested`` how often others changed its
    addresses.

    ``claim`` is what it advertises, or would; ``peer`` is whose advertisement was heard last. ``deadline_ns`` is
    when it will advertise (MASTER) or take over unless somebody speaks (BACKUP).
    """

    config: HostConfig
    state: State
    epoch: int
    claim: Claim
    link_is_up: bool
    admin_is_up: bool
    demotion: tuple[tuple[str, int], ...]
    last_change: StateChange | None
    peer: Peer | None
    deadline_ns: int | None
    rejected: int
    contested: int

    @property
    def key(self) -> HostKey:
        """The host's key."""
        return self.config.key


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSnapshot:
    """All virtual hosts, the switches, the demotion of the node and of interface groups, and the counters by link."""

    hosts: tuple[HostSnapshot, ...]
    settings: Settings
    demotion: int
    group_demotion: Mapping[str, int]
    links: Mapping[str, LinkStatistics]

    @property
    def statistics(self) -> Statistics:
        """The counters of the whole node."""
        return sum((link.counts for link in self.links.values()), Statistics())


def snapshot_of(machine: Machine, causes: tuple[tuple[str, int], ...], rejected: int, contested: int) -> HostSnapshot:
    """Return the view of one machine; ``causes`` are the demotions that bear on it."""
    return HostSnapshot(
        config=machine.config,
        state=machine.state,
        epoch=machine.epoch,
        claim=machine.claim,
        link_is_up=machine.surroundings.link_is_up,
        admin_is_up=machine.surroundings.admin_is_up,
        demotion=causes,
        last_change=machine.last_change,
        peer=machine.peer,
        deadline_ns=machine.turn_at_ns,
        rejected=rejected,
        contested=contested,
    )
