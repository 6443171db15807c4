"""Everything that can happen to an engine; all are facts of the past."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pycarp.auth.reply import Reply
from pycarp.core.demotion import Scope
from pycarp.core.host_config import HostConfig
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.dialects.base import Claim
from pycarp.vocabulary import Address, Datagram, Family, HostKey, LinkFacts


class Action(StrEnum):
    """What an actuator was asked to do."""

    HOLD = "hold"
    DROP = "drop"
    ANNOUNCE = "announce"


@dataclass(frozen=True, slots=True)
class DatagramReceived:
    """A transport read a datagram of protocol 112."""

    datagram: Datagram


@dataclass(frozen=True, slots=True)
class DatagramsReceived:
    """A transport read several at once, in this order."""

    datagrams: tuple[Datagram, ...]


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The deadline of the last step has come, or simply some time has."""


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """A network device came, went, or changed its carrier, MAC or addresses."""

    facts: LinkFacts


@dataclass(frozen=True, slots=True)
class HostAdded:
    """A virtual host was configured; its key must be new."""

    config: HostConfig


@dataclass(frozen=True, slots=True)
class HostReconfigured:
    """The settings of a virtual host changed; interface, vhid and dialect must be as before.

    If the addresses or the passphrase are others, what the former ones sign is accepted for another twice
    ``rolling_ns``, and signed for once that long, unless a peer is heard to use the new ones.
    """

    config: HostConfig
    rolling_ns: int = 0


@dataclass(frozen=True, slots=True)
class HostRemoved:
    """A virtual host is to leave; a ``Departed`` event tells when it has."""

    key: HostKey


@dataclass(frozen=True, slots=True)
class AdminChanged:
    """The administrator set a virtual host up or down."""

    key: HostKey
    is_up: bool


@dataclass(frozen=True, slots=True)
class DemotionSet:
    """The amount of a named cause changed; 0 takes it back."""

    scope: Scope
    cause: str
    amount: int


@dataclass(frozen=True, slots=True)
class StateForced:
    """The administrator wants MASTER or BACKUP; ignored in INIT, as kernels do."""

    key: HostKey
    state: State


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The switches of the node (``net.inet.carp.*``) were set."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class TransmitReported:
    """A send failed (``error`` says how) or, while an error is on the account, succeeded.

    ``family`` is that of the advertisement; None where families do not differ in that.
    """

    key: HostKey
    error: str | None
    family: Family | None = None


@dataclass(frozen=True, slots=True)
class ActuationReported:
    """An attempt to hold or drop addresses ended; ``epoch`` is the one of the effect that asked for it."""

    key: HostKey
    epoch: int
    action: Action
    error: str | None


@dataclass(frozen=True, slots=True)
class HandOverAsked:
    """The administrator wants the next host to be MASTER; ignored unless this one is.

    The host stays demoted, so that it does not take the addresses back, until the cause is taken back.
    """

    key: HostKey


@dataclass(frozen=True, slots=True)
class AddressesDisturbed:
    """Somebody else added or removed addresses of a virtual host, or changed what carries them.

    ``what`` is a sentence: ``192.0.2.1/24 was removed from carp0``.
    """

    key: HostKey
    what: str


@dataclass(frozen=True, slots=True)
class PacketsRead:
    """So many packets were read on each open link since it was opened; see ``core/flood.py``.

    Given after a reading, for transports that can filter: always while a link is flooded, else now and then.
    """

    counts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class PacketFilterFailed:
    """The kernel refused the packet filter of a link; the former one stays in place."""

    link: str


Input = (
    DatagramReceived
    | DatagramsReceived
    | TimePassed
    | LinkChanged
    | HostAdded
    | HostReconfigured
    | HostRemoved
    | AdminChanged
    | DemotionSet
    | StateForced
    | SettingsChanged
    | TransmitReported
    | ActuationReported
    | HandOverAsked
    | AddressesDisturbed
    | PacketsRead
    | PacketFilterFailed
)

# What a single host is given: the inputs above that name it, and these three, which the engine derives.


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the engine knows on behalf of a host.

    ``own`` are the link's addresses that no host shares, in the order of preference for a source. ``cannot_send`` are
    the families in which the last advertisement could not be sent; None among them if families do not differ in that.
    ``wants_send_reports`` is set as long as it matters that an advertisement could be sent. A host that ``goes_last``
    could not hold its addresses lately, or could not send: it leaves them to every other host. One that
    ``has_handed_over`` preempts nobody until an administrator restores it.
    """

    link_is_up: bool
    own: tuple[Address, ...] = ()
    admin_is_up: bool = True
    node_preempts: bool = False
    cannot_send: frozenset[Family | None] = frozenset()
    wants_send_reports: bool = False
    goes_last: bool = False
    has_handed_over: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether the host may take part. Source: carp.md 5.3."""
        return self.link_is_up and self.admin_is_up


class AdvertisementReceived(NamedTuple):
    """An authentic advertisement of a peer.

    ``counter`` is its number; ``reply`` says that it answers one of our own, and how. It ``is_expected`` if its number
    follows on from those heard before, so that nobody replayed it from an old recording. It ``is_copy`` if the network
    delivered the same datagram a moment ago.
    """

    claim: Claim
    source: Address
    family: Family
    counter: int = 0
    reply: Reply | None = None
    is_expected: bool = True
    is_copy: bool = False


@dataclass(frozen=True, slots=True)
class EnvironmentChanged:
    """Link, administrator, own addresses, the node's switches, or what can be sent changed."""

    environment: Environment


@dataclass(frozen=True, slots=True)
class DemotionChanged:
    """The total demotion of the host changed."""

    total: int


HostInput = (
    TimePassed
    | EnvironmentChanged
    | DemotionChanged
    | HostReconfigured
    | StateForced
    | ActuationReported
    | HandOverAsked
    | AddressesDisturbed
    | TransmitReported
    | HostRemoved
)
