"""The events that observers of a virtual host receive.

``at_ns`` is the engine's monotonic time. ``seq`` counts the events of one host from 1; it is 0 until the host's log
has accepted the event.
"""

from enum import Enum

import msgspec

from pycarp.core.host.decision import Decision
from pycarp.core.host_config import HostConfig
from pycarp.core.restriction import Restriction, Restrictions
from pycarp.core.state import Reason, State
from pycarp.core.statistics import DropReason
from pycarp.dialects.dialect import Claim
from pycarp.vocabulary import Address, HostKey


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of all events: the key of the host, the time, and the sequence number."""

    key: HostKey
    at_ns: int
    seq: int = 0


class StateChange(Event, frozen=True, kw_only=True):
    """A transition and why it happened.

    ``epoch`` grows with every transition. ``peer`` is the source of the advertisement that caused the change, or of the
    last one received; ``silent_ns`` is how long ago that was. Both are None if no advertisement was ever received.
    """

    old: State
    new: State
    reason: Reason
    epoch: int
    peer: Address | None = None
    silent_ns: int | None = None


class DemotionChange(Event, frozen=True, kw_only=True):
    """The sum of all causes that demote the host is now ``total``."""

    total: int
    causes: tuple[tuple[str, int], ...]


class RestrictionChange(Event, frozen=True, kw_only=True):
    """The causes that restrict the host changed; ``restriction`` is the strictest, None if none is left."""

    restriction: Restriction | None
    causes: Restrictions


class SettingsChange(Event, frozen=True, kw_only=True):
    """The host was reconfigured; for ``rolling_ns`` it signs by its previous settings, if what is signed changed."""

    config: HostConfig
    rolling_ns: int


class ActuationFailed(Event, frozen=True, kw_only=True):
    """An attempt to hold, drop or announce addresses failed; the runtime tries again."""

    action: str
    error: str


class AddressesHeld(Event, frozen=True, kw_only=True):
    """The addresses are held, for the first time in the mastership that began with the change of this ``epoch``."""

    epoch: int


class AdvertisementRejected(Event, frozen=True, kw_only=True):
    """Advertisements for our vhid carry a digest that is not ours: another password, or other addresses.

    Published at once, then at most once a minute. ``count`` is how many were received since the last report; ``reason``
    and ``finding`` explain the last one, as far as that is possible.
    """

    source: Address
    count: int
    reason: DropReason
    finding: str


class Mismatch(Enum):
    """A conflict between our configuration and that of another host on the segment; the value is the text for users."""

    EQUAL_CLAIM = "advertises exactly as often as we do, so that chance decides; give every host an advskew of its own"
    CHECKSUM_FORM = "sums its IPv6 advertisements differently and will drop ours; use its dialect, or IPv4 only"
    DEMOTE_OCTET = "demotes itself in OpenBSD's octet, which our dialect does not heed; use dialect openbsd"
    OWN_ADDRESS = "is our own address: the segment brings our packets back, or another host has that address too"
    SAME_VRID = (
        "speaks VRRP with a virtual router id equal to our vhid, so with the same MAC address; change one of them"
    )


class PeerMismatch(Event, frozen=True, kw_only=True):
    """A configuration conflict that an administrator should look at; published at most once per hour, peer and kind."""

    source: Address
    mismatch: Mismatch


class MasterHeard(Event, frozen=True, kw_only=True):
    """A BACKUP follows another MASTER than before; published at most once a second."""

    source: Address
    claim: Claim


class DecisionChange(Event, frozen=True, kw_only=True):
    """The decision about the advertisements of a peer changed, and no transition shows it.

    Published at most once per second and peer; a snapshot has the decision about each peer at any time.
    """

    source: Address
    claim: Claim
    decision: Decision


class ConflictWon(Event, frozen=True, kw_only=True):
    """Another host advertised as MASTER too, with a weaker claim; this one stays MASTER and announces its addresses.

    Published once, and again only after a master-down time without such an advertisement.
    """

    source: Address
    claim: Claim


class AddressesChangedByOthers(Event, frozen=True, kw_only=True):
    """Another program changed the addresses of this host, for the ``count``-th time; the runtime restores them."""

    what: str
    count: int


class Departed(Event, frozen=True, kw_only=True):
    """The host has left: it dropped its addresses and, if it was MASTER, bowed out."""


class LoopStalled(Event, frozen=True, kw_only=True):
    """The process was not scheduled for so long that timers were late; it read the waiting packets before it acted."""

    late_ns: int


class FloodChange(Event, frozen=True, kw_only=True):
    """A flood began or ended on the host's link: more packets arrive than can be read; ``rate`` is packets per second.

    During a flood the node reads the expected advertisements of known peers, and one in ``every`` of all packets.
    """

    is_on: bool
    rate: int
    every: int


class EventsMissed(Event, frozen=True, kw_only=True):
    """An observer was too slow: ``count`` events were dropped from its queue."""

    count: int
