"""The virtual hosts of an engine, and what it remembers about each beside its machine."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import assert_never

from pycarp.core.events import Mismatch
from pycarp.core.machine import Machine, MachineMemento
from pycarp.core.speaker import Speaker, SpeakerMemento
from pycarp.core.statistics import DropReason
from pycarp.dialects.base import DestinationRule
from pycarp.vocabulary import NS_PER_S, Address, Datagram, Family, HostKey

REMEMBERED_MAX = 16
"""Sources of which a host remembers what is wrong with them; forged ones must not fill the memory."""


@dataclass(slots=True)
class Rejections:
    """Advertisements for a host that were not authentic: how many, and what was found out about their sources."""

    in_all: int = 0
    unreported: int = 0
    report_again_at_ns: int = 0
    findings: dict[Address, tuple[DropReason, str]] = field(default_factory=dict)

    def copy(self) -> "Rejections":
        """Return a copy that does not change with this."""
        return replace(self, findings=dict(self.findings))


CONTEST_NS = 60 * NS_PER_S
"""Changes of the addresses by others within this time count as one contest; after it all is forgiven."""


@dataclass(slots=True)
class Contest:
    """How often others changed the addresses of a host: in all, and lately."""

    in_all: int = 0
    lately_ns: deque[int] = field(default_factory=deque)
    forgiven_at_ns: int | None = None

    def copy(self) -> "Contest":
        """Return a copy that does not change with this."""
        return replace(self, lately_ns=self.lately_ns.copy())

    def fight(self, now_ns: int, limit: int) -> bool:
        """Count one more; say whether there were ``limit`` within the last minute, which 0 never is."""
        self.in_all += 1
        self.lately_ns.append(now_ns)
        while self.lately_ns[0] <= now_ns - CONTEST_NS or len(self.lately_ns) > max(limit, 1):
            self.lately_ns.popleft()
        is_too_often = 0 < limit <= len(self.lately_ns)
        if is_too_often or self.forgiven_at_ns is not None:
            self.forgiven_at_ns = now_ns + CONTEST_NS
        return is_too_often

    def is_forgiven(self, now_ns: int) -> bool:
        """Say, once, that a contest is over."""
        if self.forgiven_at_ns is None or now_ns < self.forgiven_at_ns:
            return False
        self.forgiven_at_ns = None
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentMemento:
    """Everything that is known of one host, shared with nobody; see ``core/memento.py``."""

    speaker: SpeakerMemento
    machine: MachineMemento
    send_failures: int
    send_successes: int
    mute: frozenset[Family | None]
    rejections: Rejections
    contest: Contest
    warned_until_ns: dict[tuple[Mismatch, Address], int]


@dataclass(slots=True)
class Resident:
    """One host."""

    speaker: Speaker
    machine: Machine
    send_failures: int = 0
    send_successes: int = 0
    mute: set[Family | None] = field(default_factory=set)
    rejections: Rejections = field(default_factory=Rejections)
    contest: Contest = field(default_factory=Contest)
    warned_until_ns: dict[tuple[Mismatch, Address], int] = field(default_factory=dict)

    @classmethod
    def from_memento(cls, memento: ResidentMemento, entropy: Callable[[], int]) -> "Resident":
        """Return a host that goes on where another one made its memento."""
        speaker = Speaker(memento.machine.config, entropy, memento.speaker)
        return cls(
            speaker=speaker,
            machine=Machine.from_memento(memento.machine, speaker),
            send_failures=memento.send_failures,
            send_successes=memento.send_successes,
            mute=set(memento.mute),
            rejections=memento.rejections.copy(),
            contest=memento.contest.copy(),
            warned_until_ns=dict(memento.warned_until_ns),
        )

    def memento(self) -> ResidentMemento:
        """Return everything that another host needs to go on from here."""
        return ResidentMemento(
            speaker=self.speaker.memento(),
            machine=self.machine.memento(),
            send_failures=self.send_failures,
            send_successes=self.send_successes,
            mute=frozenset(self.mute),
            rejections=self.rejections.copy(),
            contest=self.contest.copy(),
            warned_until_ns=dict(self.warned_until_ns),
        )

    @property
    def key(self) -> HostKey:
        """The host's key."""
        return self.machine.key

    @property
    def trouble(self) -> str:
        """The cause under which send errors of this host demote the node."""
        return f"send errors on {self.key}"

    def refusal_of(self, datagram: Datagram) -> DropReason | None:
        """Return why the host does not listen to a datagram for its vhid; None if it does. Source: carp.md 4.2."""
        if not self.machine.surroundings.are_ready:
            return DropReason.HOST_IN_INIT
        if not self.speaker.listens_in(datagram.family):
            return DropReason.OTHER_FAMILY
        if not self.listens_to(datagram):
            return DropReason.OTHER_DESTINATION
        return None

    def listens_to(self, datagram: Datagram) -> bool:
        """Say whether the host listens to the destination. Source: carp.md 4.2."""
        config, to = self.machine.config, datagram.destination
        match config.dialect.destination:
            case DestinationRule.ANY:
                return True
            case DestinationRule.GROUP_OR_PEER:
                return to == config.group_of(datagram.family) or to.is_multicast or config.has_peers_in(datagram.family)
            case DestinationRule.KIND:
                return to.is_multicast != config.has_peers_in(datagram.family)
            case DestinationRule.GROUP_ONLY:
                return to == config.group_of(datagram.family)
            case unknown:
                assert_never(unknown)


class Residents:
    """All hosts, by key and by link, in the order in which they were added."""

    def __init__(self) -> None:
        self._by_key: dict[HostKey, Resident] = {}
        self._on_link: dict[str, dict[HostKey, Resident]] = {}

    def __iter__(self) -> Iterator[Resident]:
        return iter(list(self._by_key.values()))

    def __contains__(self, key: HostKey) -> bool:
        return key in self._by_key

    def __getitem__(self, key: HostKey) -> Resident:
        return self._by_key[key]

    def get(self, key: HostKey) -> Resident | None:
        """Return a host, None if it is not, or no longer, here."""
        return self._by_key.get(key)

    def on(self, link: str) -> tuple[Resident, ...]:
        """Return the hosts on a link."""
        return tuple(self._on_link.get(link, {}).values())

    def has_any_on(self, link: str) -> bool:
        """Say whether there are hosts on a link; asked for every packet."""
        return bool(self._on_link.get(link))

    def add(self, resident: Resident) -> None:
        """Add a host, whose key must be new."""
        assert resident.key not in self._by_key, f"{resident.key} was added twice"
        self._by_key[resident.key] = resident
        self._on_link.setdefault(resident.key.link, {})[resident.key] = resident

    def remove(self, key: HostKey) -> None:
        """Remove a host."""
        del self._by_key[key]
        del self._on_link[key.link][key]
