"""Everything that an observer can learn about a virtual host.

``at_ns`` is the engine's monotonic time. ``seq`` counts the events of one host from 1; it is 0 until the host's log
has taken the event in.
"""

from dataclasses import dataclass
from enum import Enum

from pycarp.core.host.decision import Decision
from pycarp.core.host_config import HostConfig
from pycarp.core.state import Reason, State
from pycarp.core.statistics import DropReason
from pycarp.dialects.base import Claim
from pycarp.vocabulary import Address, HostKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events have: whose, when, and the how-manieth."""

    key: HostKey
    at_ns: int
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange(Event):
    """A transition and why it happened.

    ``epoch`` numbers the stays of the host in its states. ``peer`` is the source of the advertisement that caused
    the change, or of the last one heard; ``silent_ns`` is how long ago that was, None when nobody was ever heard.
    """

    old: State
    new: State
    reason: Reason
    epoch: int
    peer: Address | None = None
    silent_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemotionChange(Event):
    """The sum of all causes that demote the host is now ``total``."""

    total: int
    causes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChange(Event):
    """The settings of the host are others now; ``rolling_ns`` is how long it signs as before, if that changed."""

    config: HostConfig
    rolling_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActuationFailed(Event):
    """Holding or dropping addresses failed; it is tried again."""

    action: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvertisementRejected(Event):
    """Advertisements for our vhid carry a digest that is not ours: another password, or other addresses.

    Reported once, then at most once a minute; ``count`` says how many there were since the last report, ``reason`` and
    ``finding`` what was found out about the last one, as far as it can be told.
    """

    source: Address
    count: int
    reason: DropReason
    finding: str


class Mismatch(Enum):
    """What does not fit between us and somebody on the segment, though nothing is broken; in words."""

    EQUAL_CLAIM = "advertises exactly as often as we do, so that chance decides; give every host an advskew of its own"
    CHECKSUM_FORM = "sums its IPv6 advertisements differently and will drop ours; use its dialect, or IPv4 only"
    DEMOTE_OCTET = "demotes itself in OpenBSD's octet, which our dialect does not heed; use dialect openbsd"
    OWN_ADDRESS = "is our own address: the segment brings our packets back, or another host has that address too"
    SAME_VRID = (
        "speaks VRRP with a virtual router id equal to our vhid, so with the same MAC address; change one of them"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerMismatch(Event):
    """Something that an administrator should look at; reported once a peer and kind, then at most once an hour."""

    source: Address
    mismatch: Mismatch


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterHeard(Event):
    """A BACKUP knows who is MASTER: told when that is another than before, and at most once a second."""

    source: Address
    claim: Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionChange(Event):
    """Another decision than before about the advertisements of a peer, where no transition says as much.

    Published at most once a second and peer; a snapshot has the decision about each peer at any time.
    """

    source: Address
    claim: Claim
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictWon(Event):
    """Another host was MASTER as well, its claim is weaker, and this one stays and says so again.

    Told once, then again when no such advertisement was heard for a master-down time.
    """

    source: Address
    claim: Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressesChangedByOthers(Event):
    """Somebody else changed the addresses of this host, for the ``count``-th time; the runtime restores them."""

    what: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Departed(Event):
    """The host is gone: addresses dropped, and bowed out if it was MASTER."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStalled(Event):
    """The process was not scheduled for so long that timers were late; it listened before it acted."""

    late_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodChange(Event):
    """A flood began or ended on the host's link: more packets arrive than can be read; ``rate`` is packets a second.

    During a flood one packet in ``every`` is read, and all that follow on from advertisements heard before.
    """

    is_on: bool
    rate: int
    every: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsMissed(Event):
    """An observer was too slow: ``count`` events were dropped from its queue."""

    count: int
