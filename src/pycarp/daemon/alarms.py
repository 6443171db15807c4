"""Named alarms: what is wrong with a host now, with the likely cause and the command that shows more.

An alarm is on while its cause lasts, or for a while after an event that is published now and then only.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from pycarp.auth.diagnosis import UNKNOWN_WORDS
from pycarp.core.events import (
    AddressesChangedByOthers,
    AdvertisementRejected,
    ConflictWon,
    Event,
    LoopStalled,
    Mismatch,
    PeerMismatch,
)
from pycarp.core.host.decision import Decision, Peer
from pycarp.core.host.states import Stage
from pycarp.core.host_config import HostConfig
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import Reason, State
from pycarp.core.statistics import DropReason, Statistic
from pycarp.daemon.control_messages import Alarm
from pycarp.vocabulary import NS_PER_S, Family, HostKey

_REJECTED_S = 90
"""Rejections are published once a minute."""

_MISMATCH_S = 2 * 3600
"""Conflicts of configurations are published once an hour."""

_CONTESTED_S = 60
_STALLED_S = 600
_UNABLE_S = 600
_UNHEARD_AFTER_S = 5.0
_HOLDS_WITHIN_S = 1.0
"""How long a MASTER may take until it holds its addresses."""

_DAMAGE = {
    Statistic.BAD_TTL: DropReason.TTL.words,
    Statistic.BAD_CHECKSUM: DropReason.CHECKSUM.words,
}
"""The counters of packets that were changed on the way, in words."""

_DAMAGED_S = 20.0

_SHARE_OF_MASTER_DOWN = 10
"""A stall of this share of the master-down time is an alarm; one of the whole time is a failover."""

CAUSES = (AddressesChangedByOthers, AdvertisementRejected, ConflictWon, LoopStalled, PeerMismatch)
"""The events that ``Alarms.take`` accepts."""

UNHEARD_MASTER, DUPLICATE_ADDRESS = "unheard-master", "duplicate-address"
"""The alarms about who answers for the addresses: another MASTER that is not heard, and a machine that is none."""

_ANOTHER_MASTER = frozenset({Decision.STAYS_MASTER, Decision.TIE_WON, Decision.TIE_OPEN})


_SETTLED_EPOCH = 3
"""A host with more transitions than the first ones has heard its peers for a while."""


def _command_against(mismatch: Mismatch, host: HostSnapshot, source: object, link: str) -> str:
    """Return what to type against a conflict of configurations."""
    match mismatch:
        case Mismatch.EQUAL_CLAIM:
            name = host.config.name
            return f"pycarp ifconfig {name} advskew 100   # on one of the two hosts, and in its configuration"
        case Mismatch.OWN_ADDRESS:
            return f"pycarp who {source} -i {link}   # an answer: two machines have it; none: a loop of the switch"
        case Mismatch.SAME_VRID:
            return f"pycarp scan {link}   # names the ids that are free"
        case Mismatch.CHECKSUM_FORM | Mismatch.DEMOTE_OCTET:
            return f"pycarp scan {link}   # names the dialects that fit each host"


class _Lasting(msgspec.Struct):
    alarm: Alarm
    until_s: float


class _OfHost(msgspec.Struct):
    lasting: dict[str, _Lasting] = msgspec.field(default_factory=dict)
    conflict_since_s: float | None = None
    answered: tuple[Alarm, ...] = ()


class Alarms:
    """Collects the events of all hosts, and returns the alarms of one.

    ``now_s`` returns the engine's seconds, ``present_name`` what an interface is called now.
    """

    def __init__(self, now_s: Callable[[], float], *, present_name: Callable[[str], str] = str) -> None:
        self._now_s = now_s
        self._present_name = present_name
        self._hosts: dict[HostKey, _OfHost] = {}
        self._damage = ""
        self._damaged_until_s = 0.0

    def dropped(self, counts: Mapping[str, int]) -> None:
        """Take how many packets were dropped since the last time, by the names of the counters."""
        found = [words for counter, words in _DAMAGE.items() if counts.get(counter)]
        if found:
            self._damage, self._damaged_until_s = " and ".join(found), self._now_s() + _DAMAGED_S

    def take_stall(self, event: LoopStalled, config: HostConfig) -> None:
        """Remember a stall, of which each of thousands of hosts has an event: at once, without looking at the host."""
        if event.late_ns * _SHARE_OF_MASTER_DOWN > config.master_down_ns:
            text = f"this process was not scheduled for {event.late_ns * 1000 // NS_PER_S} ms"
            command = "vmstat 1 5; top -b -n 1 | head -n 20   # what takes the processor, or the memory"
            self._note(event.key, Alarm(name="stalled", text=text, command=command), _STALLED_S)

    def take(self, event: Event, host: HostSnapshot) -> None:
        """Remember an event that is the cause of an alarm."""
        link = self._present_name(host.config.interface)
        match event:
            case AdvertisementRejected(source=source, finding=finding):
                text = f"advertisements from {source} are not authentic: {finding}"
                if finding == UNKNOWN_WORDS:
                    text += f", or another group of hosts that uses vhid {host.config.vhid} as well"
                command = f"pycarp doctor -i {link}   # and compare password and addresses of both hosts"
                self._note(event.key, Alarm(name="not-authentic", text=text, command=command), _REJECTED_S)
            case PeerMismatch(source=source, mismatch=mismatch):
                name = mismatch.name.lower().replace("_", "-")
                command = _command_against(mismatch, host, source, link)
                self._note(event.key, Alarm(name=name, text=f"{source} {mismatch.value}", command=command), _MISMATCH_S)
            case AddressesChangedByOthers(what=what) if not host.cannot_send:
                # Otherwise it was the guardian: who cannot advertise must not answer.
                command = f"pycarp doctor -i {link}   # names the programs that manage the interface"
                self._note(event.key, Alarm(name="contested", text=what, command=command), _CONTESTED_S)
            case LoopStalled():
                self.take_stall(event, host.config)
            case ConflictWon():
                self._hosts.setdefault(event.key, _OfHost()).conflict_since_s = self._now_s()
            case _:
                pass

    def forget(self, key: HostKey) -> None:
        """Forget a host that has departed."""
        self._hosts.pop(key, None)

    def answered(self, key: HostKey, alarms: Sequence[Alarm]) -> None:
        """Replace what is wrong with who answers for the addresses of a host."""
        if alarms or key in self._hosts:
            self._hosts.setdefault(key, _OfHost()).answered = tuple(alarms)

    def of(self, host: HostSnapshot, missing: tuple[str, ...] = ()) -> list[Alarm]:
        """Return the alarms of a host now; ``missing`` are addresses that it should have and does not."""
        link = self._present_name(host.config.interface)
        found = [*self._of_rivals(host, link), *_of_sending(host, link, self._now_s()), *self._of_families(host, link)]
        held_by_s = 0.0 if host.last_change is None else host.last_change.at_ns / NS_PER_S + _HOLDS_WITHIN_S
        if host.state is State.MASTER and host.stage is not Stage.HELD and self._now_s() > held_by_s:
            text = f"MASTER for {self._now_s() - held_by_s + _HOLDS_WITHIN_S:.1f} s and without its addresses"
            command = f"pycarp status {host.config.name}   # for a hook that runs before the hold"
            found.append(Alarm(name="without-addresses", text=text, command=command))
        elif missing:
            text, command = f"without {', '.join(missing)}", f"pycarp events {host.config.name}   # who removed them"
            found.append(Alarm(name="without-addresses", text=text, command=command))
        known = self._hosts.get(host.key, _OfHost())
        lasting = {name: each.alarm for name, each in known.lasting.items() if each.until_s > self._now_s()}
        # A segment that brings our own packets back brings our own answers back, too.
        answered: Sequence[Alarm] = () if "own-address" in lasting else known.answered
        if host.state is not State.MASTER:
            answered = [each for each in answered if each.name != UNHEARD_MASTER]
        elif self._now_s() < self._damaged_until_s:
            answered = [_with_damage(each, self._damage, link) for each in answered]
        return [*found, *answered, *lasting.values()]

    def _of_rivals(self, host: HostSnapshot, link: str) -> Iterator[Alarm]:
        """Yield an alarm for each other host that advertises as MASTER while this one is."""
        if host.state is not State.MASTER:
            return
        now_s = self._now_s()
        name = host.config.name
        since_s = self._hosts.get(host.key, _OfHost()).conflict_since_s
        for peer in host.peers:
            if peer.decision not in _ANOTHER_MASTER or not is_alive(peer, now_s):
                continue
            if since_s is not None and now_s - since_s > _UNHEARD_AFTER_S:
                # If it heard this host, whose claim is stronger, it would yield.
                text = (
                    f"{peer.source} stays MASTER as well: what this host sends does not arrive there, because of a "
                    "firewall, of a switch that snoops without a querier, or because it stands still"
                )
                command = f"pycarp doctor -i {link}   # on both hosts"
                yield Alarm(name="unheard", text=text, command=command)
            else:
                yield Alarm(name="two-masters", text=f"{peer.source} is MASTER as well", command=f"pycarp why {name}")

    def _of_families(self, host: HostSnapshot, link: str) -> Iterator[Alarm]:
        """Yield an alarm for a family in which no peer is heard, while a MASTER is heard in the other one."""
        now_s = self._now_s()
        alive = {peer.family: peer for peer in host.peers if is_alive(peer, now_s)}
        silent = [family for family in host.config.families if family not in alive]
        if host.state is State.INIT or not alive or not silent or host.last_change is None:
            return
        peer = next(iter(alive.values()))
        has_waited = now_s - host.last_change.at_ns / NS_PER_S > 2 * peer.claim.interval_ns / NS_PER_S
        if not has_waited and host.epoch <= _SETTLED_EPOCH:
            return
        for family in silent:
            text = f"{peer.source} is heard over {_name(peer.family)}, and nobody over {_name(family)}: " + (
                "a firewall, or a switch that snoops, drops them"
                if family is Family.IPV6
                else "a firewall drops them, or the group is another one"
            )
            yield Alarm(name="one-family", text=text, command=f"pycarp doctor -i {link}   # on both")

    def _note(self, key: HostKey, alarm: Alarm, for_s: float) -> None:
        self._hosts.setdefault(key, _OfHost()).lasting[alarm.name] = _Lasting(alarm, self._now_s() + for_s)


def _with_damage(alarm: Alarm, damage: str, link: str) -> Alarm:
    """Return the alarm that a MASTER is not heard with why; any other alarm as it is."""
    if alarm.name != UNHEARD_MASTER:
        return alarm
    text = f"{alarm.text}, because it drops what arrives: {damage}"
    return replace(alarm, text=text, command=f"pycarp scan {link}   # shows what is changed on the way")


def _of_sending(host: HostSnapshot, link: str, now_s: float) -> Iterator[Alarm]:
    """Yield an alarm if the last advertisement could not be sent; a BACKUP sends none, and may be able to again."""
    change = host.last_change
    if not host.cannot_send or host.state is State.INIT or change is None:
        return
    if host.state is State.BACKUP and (
        change.reason is not Reason.CANNOT_SEND or now_s - change.at_ns / NS_PER_S > _UNABLE_S
    ):
        return
    families = [_name(each) for each in sorted(host.cannot_send, key=str) if each is not None]
    where = f" over {' and '.join(families)}" if families else ""
    text = f"the kernel refuses what this host sends{where}: a firewall, or the device of {link}"
    yield Alarm(name="cannot-send", text=text, command=f"pycarp doctor -i {link}")


def is_alive(peer: Peer, now_s: float) -> bool:
    """Return whether a peer advertises as MASTER: within three of its intervals, and it has not left."""
    return not peer.has_left and now_s - peer.at_ns / NS_PER_S <= 3 * peer.claim.interval_ns / NS_PER_S


def _name(family: Family) -> str:
    return f"IPv{family.value}"
