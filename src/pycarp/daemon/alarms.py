"""Named alarms: what is wrong with a host now, with the likely cause and the command that shows more.

An alarm is on while its cause lasts, or for a while after an event that is published now and then only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pycarp.core.events import (
    AddressesChangedByOthers,
    AdvertisementRejected,
    ConflictWon,
    Event,
    LoopStalled,
    PeerMismatch,
)
from pycarp.core.host.decision import Decision
from pycarp.core.host.states import Stage
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import State
from pycarp.daemon.control_messages import Alarm
from pycarp.vocabulary import NS_PER_S, HostKey

_REJECTED_S = 90
"""Rejections are published once a minute."""

_MISMATCH_S = 2 * 3600
"""Conflicts of configurations are published once an hour."""

_CONTESTED_S = 60
_STALLED_S = 600
_UNHEARD_AFTER_S = 5.0
_HOLDS_WITHIN_S = 1.0
"""How long a MASTER may take until it holds its addresses."""

_SHARE_OF_MASTER_DOWN = 10
"""A stall of this share of the master-down time is an alarm; one of the whole time is a failover."""

CAUSES = (AddressesChangedByOthers, AdvertisementRejected, ConflictWon, LoopStalled, PeerMismatch)
"""The events that ``Alarms.take`` accepts."""

_ANOTHER_MASTER = frozenset({Decision.STAYS_MASTER, Decision.TIE_WON, Decision.TIE_OPEN})


@dataclass(slots=True)
class _Lasting:
    alarm: Alarm
    until_s: float


@dataclass(slots=True)
class _OfHost:
    lasting: dict[str, _Lasting] = field(default_factory=dict)
    conflict_since_s: float | None = None


class Alarms:
    """Collects the events of all hosts, and returns the alarms of one; ``now_s`` returns the engine's seconds."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._hosts: dict[HostKey, _OfHost] = {}

    def take(self, event: Event, host: HostSnapshot) -> None:
        """Remember an event that is the cause of an alarm."""
        match event:
            case AdvertisementRejected(source=source, finding=finding):
                text = f"advertisements from {source} are not authentic: {finding}"
                command = f"pycarp decode -i {host.config.interface}, and compare password and addresses of both hosts"
                self._note(event.key, Alarm(name="not-authentic", text=text, command=command), _REJECTED_S)
            case PeerMismatch(source=source, mismatch=mismatch):
                name = mismatch.name.lower().replace("_", "-")
                self._note(event.key, Alarm(name=name, text=f"{source} {mismatch.value}", command=""), _MISMATCH_S)
            case AddressesChangedByOthers(what=what):
                command = "pycarp doctor, which names the programs that manage the interface"
                self._note(event.key, Alarm(name="contested", text=what, command=command), _CONTESTED_S)
            case LoopStalled(late_ns=late_ns) if late_ns * _SHARE_OF_MASTER_DOWN > host.config.master_down_ns:
                text = f"this process was not scheduled for {late_ns * 1000 // NS_PER_S} ms"
                command = "look for what takes the processor or the memory: top, vmstat 1"
                self._note(event.key, Alarm(name="stalled", text=text, command=command), _STALLED_S)
            case ConflictWon():
                self._hosts.setdefault(event.key, _OfHost()).conflict_since_s = self._now_s()
            case _:
                pass

    def forget(self, key: HostKey) -> None:
        """Forget a host that has departed."""
        self._hosts.pop(key, None)

    def of(self, host: HostSnapshot, missing: tuple[str, ...] = ()) -> list[Alarm]:
        """Return the alarms of a host now; ``missing`` are addresses that it should have and does not."""
        found = list(self._of_rivals(host))
        held_by_s = 0.0 if host.last_change is None else host.last_change.at_ns / NS_PER_S + _HOLDS_WITHIN_S
        if host.state is State.MASTER and host.stage is not Stage.HELD and self._now_s() > held_by_s:
            text = f"MASTER for {self._now_s() - held_by_s + _HOLDS_WITHIN_S:.1f} s and without its addresses"
            command = "pycarp status, for a hook that runs before the hold"
            found.append(Alarm(name="without-addresses", text=text, command=command))
        elif missing:
            text, command = f"without {', '.join(missing)}", "pycarp events, for who removed them"
            found.append(Alarm(name="without-addresses", text=text, command=command))
        lasting = self._hosts.get(host.key, _OfHost()).lasting
        return found + [each.alarm for each in lasting.values() if each.until_s > self._now_s()]

    def _of_rivals(self, host: HostSnapshot) -> Iterator[Alarm]:
        """Yield an alarm for each other host that advertises as MASTER while this one is."""
        if host.state is not State.MASTER:
            return
        now_s = self._now_s()
        since_s = self._hosts.get(host.key, _OfHost()).conflict_since_s
        for peer in host.peers:
            silent_s = now_s - peer.at_ns / NS_PER_S
            is_rival = peer.decision in _ANOTHER_MASTER and not peer.has_left
            if not is_rival or silent_s > 3 * peer.claim.interval_ns / NS_PER_S:
                continue
            if since_s is not None and now_s - since_s > _UNHEARD_AFTER_S:
                # If it heard this host, whose claim is stronger, it would yield.
                text = f"{peer.source} stays MASTER as well: what this host sends does not arrive there"
                command = "pycarp doctor on both hosts; a firewall, or a switch that snoops without a querier"
                yield Alarm(name="unheard", text=text, command=command)
            else:
                yield Alarm(name="two-masters", text=f"{peer.source} is MASTER as well", command="pycarp why HOST")

    def _note(self, key: HostKey, alarm: Alarm, for_s: float) -> None:
        self._hosts.setdefault(key, _OfHost()).lasting[alarm.name] = _Lasting(alarm, self._now_s() + for_s)
