"""The virtual hosts of an engine, and what the engine remembers about each beside its states."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, assert_never

import msgspec
from msgspec.structs import replace

from pycarp.core.advertisement_codec import AdvertisementCodec, CodecCheckpoint
from pycarp.core.calm import Calm
from pycarp.core.copying import captured, copied, restored
from pycarp.core.events import Mismatch
from pycarp.core.host.context import Context, HostCheckpoint
from pycarp.core.host.progress import Progress, progress_of
from pycarp.core.slots import Phases
from pycarp.core.statistics import DropReason
from pycarp.core.trouble import Distrust, ExternalChanges, SendAccount
from pycarp.dialects.dialect import DestinationRule
from pycarp.vocabulary import Address, Datagram, Family, HostKey

REMEMBERED_MAX = 16
"""Sources for which a host remembers a finding or a warning, at most; forged ones must not fill the memory."""


def without_rest() -> None:
    """Do nothing between two hosts of a checkpoint."""


@dataclass(slots=True)
class Rejections:
    """Advertisements for a host that were not authentic: how many, and the finding about each source."""

    in_all: int = 0
    unreported: int = 0
    report_again_at_ns: int = 0
    findings: dict[Address, tuple[DropReason, str]] = field(default_factory=dict)


_CLEAN: Mapping[str, Any] = {
    "sends": SendAccount(),
    "holds": Distrust(),
    "rejections": Rejections(),
    "external_changes": ExternalChanges(),
    "warned_until_ns": {},
}
"""What is copied of an entry, as it is of a host with which nothing has gone wrong; nobody changes these."""


class HostEntryCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one host entry, which shares nothing with it; see ``core/checkpoint.py``."""

    codec: CodecCheckpoint
    host: HostCheckpoint
    sends: SendAccount
    holds: Distrust
    rejections: Rejections
    external_changes: ExternalChanges
    warned_until_ns: dict[tuple[Mismatch, Address], int]

    def complete(self) -> "HostEntryCheckpoint":
        """Return the checkpoint itself."""
        return self


class RepeatedEntryCheckpoint(NamedTuple):
    """The state of a host entry since whose last whole copy it only sent or received repeated advertisements."""

    before: HostEntryCheckpoint
    codec: CodecCheckpoint
    progress: Progress

    def complete(self) -> HostEntryCheckpoint:
        """Return the whole state."""
        return replace(self.before, codec=self.codec, host=self.progress.applied_to(self.before.host))


@dataclass(slots=True)
class HostEntry:
    """One host: its states in ``ctx``, and what the engine remembers about it.

    ``sends`` and ``holds`` say whether it is trusted to send advertisements and to hold its addresses. ``calm`` is the
    expected next advertisement of each family, see ``core/calm.py``. ``trusted_at_ns`` is when the next distrust ends,
    None if no recent failure or external change counts against the host. ``copied`` is its last whole checkpoint, None
    if it has done more than repeat itself since.
    """

    codec: AdvertisementCodec
    ctx: Context
    sends: SendAccount = field(default_factory=SendAccount)
    holds: Distrust = field(default_factory=Distrust)
    rejections: Rejections = field(default_factory=Rejections)
    external_changes: ExternalChanges = field(default_factory=ExternalChanges)
    warned_until_ns: dict[tuple[Mismatch, Address], int] = field(default_factory=dict)
    calm: dict[Family, Calm] = field(default_factory=dict)
    trusted_at_ns: int | None = None
    copied: HostEntryCheckpoint | None = None

    @classmethod
    def from_checkpoint(
        cls, checkpoint: HostEntryCheckpoint, entropy: Callable[[], int], *, slot_ns: int = 0
    ) -> "HostEntry":
        """Return a host that continues from a checkpoint."""
        config = checkpoint.host.config
        codec = AdvertisementCodec(config, entropy, checkpoint.codec)
        demotion = checkpoint.host.demotion
        ctx = Context(config, codec, checkpoint.host.environment, demotion=demotion, slot_ns=slot_ns)
        restored(ctx, checkpoint.host)
        made = cls(codec, ctx)
        for name in _CLEAN:
            setattr(made, name, copied(getattr(checkpoint, name)))
        made.note_trust()
        return made

    def checkpoint(self) -> HostEntryCheckpoint | RepeatedEntryCheckpoint:
        """Return everything that another host needs to continue; ``complete`` returns that as one value."""
        if self.copied is not None:
            return RepeatedEntryCheckpoint(self.copied, self.codec.checkpoint(), progress_of(self.ctx))
        # Nothing has gone wrong with most hosts: they share what says so.
        own = {
            name: clean if (value := getattr(self, name)) == clean else copied(value) for name, clean in _CLEAN.items()
        }
        host = captured(HostCheckpoint, self.ctx)
        self.copied = HostEntryCheckpoint(codec=self.codec.checkpoint(), host=host, **own)
        return self.copied

    def note_trust(self) -> None:
        """Note when the next distrust ends; called after each failure, external change and recovery."""
        times_ns = (self.sends.distrust.until_ns, self.holds.until_ns, self.external_changes.forgiven_at_ns)
        self.trusted_at_ns = min((at_ns for at_ns in times_ns if at_ns is not None), default=None)

    @property
    def deadline_ns(self) -> int | None:
        """The next deadline, of the host's state or of the end of a distrust; None for none."""
        due_ns, trusted_at_ns = self.ctx.state.deadline_ns, self.trusted_at_ns
        if trusted_at_ns is None:
            return due_ns
        return trusted_at_ns if due_ns is None else min(due_ns, trusted_at_ns)

    @property
    def key(self) -> HostKey:
        """The host's key."""
        return self.ctx.key

    @property
    def trouble(self) -> str:
        """The cause under which send errors of this host demote the node."""
        return f"send errors on {self.key}"

    def refusal_of(self, datagram: Datagram) -> DropReason | None:
        """Return why the host does not listen to a datagram for its vhid; None if it does. Source: carp.md 4.2."""
        config, environment = self.ctx.config, self.ctx.environment
        if not (environment.link_is_up and environment.admin_is_up):
            return DropReason.HOST_IN_INIT
        # The common case: to the group, by a host without peers.
        if datagram.destination is config.destinations[datagram.family][0] and datagram.family in config.families:
            return None
        if not self.codec.listens_in(datagram.family):
            return DropReason.OTHER_FAMILY
        if not self.listens_to(datagram):
            return DropReason.OTHER_DESTINATION
        return None

    def listens_to(self, datagram: Datagram) -> bool:
        """Return True if the host listens to the destination of a datagram. Source: carp.md 4.2."""
        config, to = self.ctx.config, datagram.destination
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


class HostCapture:
    """The state of all hosts at one instant, captured host by host: each before it changes, or earlier."""

    def __init__(self, hosts: Mapping[HostKey, HostEntry]) -> None:
        self._hosts: dict[HostKey, HostEntryCheckpoint | RepeatedEntryCheckpoint | None] = dict.fromkeys(hosts)
        self._left = dict(hosts)

    def __len__(self) -> int:
        return len(self._hosts)

    @property
    def is_complete(self) -> bool:
        """Whether every host has been captured."""
        return not self._left

    def take(self, key: HostKey) -> None:
        """Capture a host, unless it has been captured already or came later."""
        entry = self._left.pop(key, None)
        if entry is not None:
            self._hosts[key] = entry.checkpoint()

    def take_some(self, count: int) -> None:
        """Capture up to so many more hosts."""
        for key in list(islice(self._left, count)):
            self.take(key)

    def take_rest(self) -> None:
        """Capture the hosts that are left."""
        self.take_some(len(self._left))

    def hosts(self, rest: Callable[[], object] = without_rest) -> tuple[HostEntryCheckpoint, ...]:
        """Capture the hosts that are left, and return all in the order in which they were added.

        ``rest`` is called after each of them.
        """
        found = []
        for key in self._hosts:
            self.take(key)
            if (one := self._hosts[key]) is not None:
                found.append(one.complete())
            rest()
        return tuple(found)


class HostTable:
    """All hosts, by key and by link, in the order in which they were added.

    The engine changes a host only after it has got it from here in the same step: so nothing that ``capture`` returned
    misses a change. For a repeated advertisement, sent or received, a host is got by ``repeating``, or the engine only
    captures it in ``pending``, the last capture until that is complete.
    """

    def __init__(self, *, slot_ns: int = 0) -> None:
        self._by_key: dict[HostKey, HostEntry] = {}
        self._on_link: dict[str, dict[HostKey, HostEntry]] = {}
        self._phases = Phases(slot_ns)
        self.pending: HostCapture | None = None

    def __iter__(self) -> Iterator[HostEntry]:
        self._complete_capture()
        return iter([_to_change(each) for each in self._by_key.values()])

    def __contains__(self, key: HostKey) -> bool:
        return key in self._by_key

    def get(self, key: HostKey) -> HostEntry | None:
        """Return a host; None if the table does not have it."""
        entry = self.repeating(key)
        return None if entry is None else _to_change(entry)

    def repeating(self, key: HostKey) -> HostEntry | None:
        """Return a host of which only what ``core/host/progress.py`` names is to be changed; None if it is unknown."""
        if self.pending is not None:
            self.pending.take(key)
        return self._by_key.get(key)

    def peek(self, key: HostKey) -> HostEntry | None:
        """Return a host that is not to be changed; None if the table does not have it."""
        return self._by_key.get(key)

    def deadline_of(self, key: HostKey) -> int | None:
        """Return the next deadline of a host; None if it has none, or is unknown."""
        entry = self._by_key.get(key)
        return None if entry is None else entry.deadline_ns

    def peek_all(self) -> tuple[HostEntry, ...]:
        """Return all hosts, none of which is to be changed."""
        return tuple(self._by_key.values())

    def on(self, link: str) -> tuple[HostEntry, ...]:
        """Return the hosts on a link."""
        on_link = self._on_link.get(link, {})
        if self.pending is not None:
            for key in on_link:
                self.pending.take(key)
        return tuple([_to_change(each) for each in on_link.values()])

    def peek_on(self, link: str) -> tuple[HostEntry, ...]:
        """Return the hosts on a link, none of which is to be changed."""
        return tuple(self._on_link.get(link, {}).values())

    def capture(self) -> HostCapture:
        """Begin to capture the present state of all hosts."""
        self._complete_capture()
        self.pending = HostCapture(self._by_key)
        return self.pending

    def capture_some(self, count: int) -> None:
        """Go on with a capture that is not complete; no-op without one."""
        if self.pending is not None:
            self.pending.take_some(count)
            if self.pending.is_complete:
                self.pending = None

    def _complete_capture(self) -> None:
        if self.pending is not None:
            self.capture_some(len(self.pending))

    def has_any_on(self, link: str) -> bool:
        """Return True if a link has hosts; called for every packet."""
        return bool(self._on_link.get(link))

    def add(self, entry: HostEntry) -> None:
        """Add a host, whose key must be new."""
        assert entry.key not in self._by_key, f"{entry.key} was added twice"
        link = entry.key.link
        self._by_key[entry.key] = entry
        self._on_link.setdefault(link, {})[entry.key] = entry
        entry.ctx.phase = self._phases.add(link)

    def remove(self, key: HostKey) -> None:
        """Remove a host, which was got from here before."""
        del self._by_key[key]
        del self._on_link[key.link][key]
        self._phases.remove(key.link)


def _to_change(entry: HostEntry) -> HostEntry:
    entry.copied = None
    return entry
