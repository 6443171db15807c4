"""The inputs of an engine; each is a past fact."""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from pycarp.auth.reply import Reply
from pycarp.core.demotion import Scope
from pycarp.core.host_config import HostConfig
from pycarp.core.restriction import Restriction
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.dialects.dialect import Claim
from pycarp.vocabulary import Address, Datagram, Family, HostKey, LinkFacts


class Action(StrEnum):
    """What an actuator was asked to do."""

    HOLD = "hold"
    DROP = "drop"
    ANNOUNCE = "announce"


class DatagramReceived(msgspec.Struct, frozen=True):
    """A transport read a datagram of protocol 112."""

    datagram: Datagram


class DatagramsReceived(msgspec.Struct, frozen=True):
    """A transport read several at once, in this order."""

    datagrams: tuple[Datagram, ...]


class TimePassed(msgspec.Struct, frozen=True):
    """Time has passed: the deadline of the last step, or any other span.

    While more datagrams wait than can be read at once (``has_unread``), only MASTERs act that hold addresses: what a
    BACKUP takes for silence may be an advertisement that it has not read yet.
    """

    has_unread: bool = False


class LinkChanged(msgspec.Struct, frozen=True):
    """A network device came, went, or changed its carrier, MAC or addresses."""

    facts: LinkFacts


class HostAdded(msgspec.Struct, frozen=True):
    """A virtual host was configured; its key must be new."""

    config: HostConfig


class HostReconfigured(msgspec.Struct, frozen=True):
    """The settings of a virtual host changed; interface, vhid and dialect must be as before.

    If the addresses or the passphrase changed, the host signs by the previous settings for ``rolling_ns``, or until a
    peer signs by the new ones. It accepts what the previous settings sign for twice ``rolling_ns``.
    """

    config: HostConfig
    rolling_ns: int = 0


class HostRemoved(msgspec.Struct, frozen=True):
    """A virtual host must leave; it publishes ``Departed`` when it has left."""

    key: HostKey


class AdminChanged(msgspec.Struct, frozen=True):
    """The administrator set a virtual host up or down."""

    key: HostKey
    is_up: bool


class DemotionSet(msgspec.Struct, frozen=True):
    """The amount of a named cause changed; 0 removes the cause.

    A cause that ``is_last`` also makes its hosts the last of all: they leave the addresses to any host that is there.
    """

    scope: Scope
    cause: str
    amount: int
    is_last: bool = False


class RestrictionSet(msgspec.Struct, frozen=True):
    """The restriction of a named cause changed; None removes the cause. The strictest of all causes is in force."""

    scope: Scope
    cause: str
    restriction: Restriction | None


class StateForced(msgspec.Struct, frozen=True):
    """The administrator, or the sync group of the host, wants MASTER or BACKUP; ignored in INIT, as kernels do.

    MASTER is ignored while a restriction says ``BACKUP_ONLY``.
    """

    key: HostKey
    state: State
    is_for_group: bool = False


class SettingsChanged(msgspec.Struct, frozen=True):
    """The sysctls of the node (``net.inet.carp.*``) were set."""

    settings: Settings


class TransmitReported(msgspec.Struct, frozen=True):
    """A send failed, and ``error`` says why; or it succeeded while an earlier error still counts.

    ``family`` is that of the advertisement; None if the transport does not distinguish families.
    """

    key: HostKey
    error: str | None
    family: Family | None = None


class ActuationReported(msgspec.Struct, frozen=True):
    """An attempt to hold or drop addresses ended; ``epoch`` is the one of the effect that asked for it."""

    key: HostKey
    epoch: int
    action: Action
    error: str | None


class HandOverAsked(msgspec.Struct, frozen=True):
    """The administrator wants the next host to be MASTER; ignored unless this one is.

    The host stays demoted and does not preempt until an administrator removes the cause.
    """

    key: HostKey


class AddressesDisturbed(msgspec.Struct, frozen=True):
    """Another program added or removed addresses of a virtual host, or changed the device that carries them.

    ``what`` is a sentence: ``192.0.2.1/24 was removed from carp0``.
    """

    key: HostKey
    what: str


class PacketsRead(msgspec.Struct, frozen=True):
    """The number of packets read on each open link since it was opened; see ``core/flood.py``.

    Only transports that can filter count packets. The runtime passes the counts after every reading while a link is
    flooded, otherwise after some packets or seconds.
    """

    counts: tuple[tuple[str, int], ...]


class PacketFilterFailed(msgspec.Struct, frozen=True):
    """The kernel refused the packet filter of a link; the previous one stays in place."""

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
    | RestrictionSet
    | StateForced
    | SettingsChanged
    | TransmitReported
    | ActuationReported
    | HandOverAsked
    | AddressesDisturbed
    | PacketsRead
    | PacketFilterFailed
)

# The inputs of a single host: those above that name it, and the following, which the engine derives.


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The facts outside a host that its states depend on.

    ``link_exists`` is False for a link that was deleted; it is down as well. ``own`` are the link's addresses that no
    host shares, in the order of preference for a source. ``cannot_send`` are the families in which the last
    advertisement could not be sent; None stands for any family. A host that ``wants_send_reports`` needs successes to
    end an earlier send error. A host that ``goes_last`` recently could not hold its addresses or could not send, or is
    last by a cause of demotion: it leaves them to every other host. One that ``is_last`` also says so as MASTER, and
    any other host takes over. One that ``has_handed_over`` preempts nobody until an administrator restores it.
    """

    link_is_up: bool
    link_exists: bool = True
    own: tuple[Address, ...] = ()
    admin_is_up: bool = True
    node_preempts: bool = False
    cannot_send: frozenset[Family | None] = frozenset()
    wants_send_reports: bool = False
    goes_last: bool = False
    has_handed_over: bool = False
    is_last: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether the host may take part. Source: carp.md 5.3."""
        return self.link_is_up and self.admin_is_up


class AdvertisementReceived(NamedTuple):
    """An authentic advertisement of a peer.

    ``reply`` says that it answers one of our own, and how. It ``is_expected`` if its ``counter`` follows those received
    before, so that it is not replayed from an old capture. It ``is_copy`` if the network delivered the same datagram a
    moment ago. It arrived ``waited_ns`` before it is handled.
    """

    claim: Claim
    source: Address
    family: Family
    counter: int = 0
    reply: Reply | None = None
    is_expected: bool = True
    is_copy: bool = False
    waited_ns: int = 0


class EnvironmentChanged(msgspec.Struct, frozen=True):
    """A field of the environment changed."""

    environment: Environment


class DemotionChanged(msgspec.Struct, frozen=True):
    """The total demotion of the host changed."""

    total: int


class RestrictionChanged(msgspec.Struct, frozen=True):
    """The strictest restriction of the host changed; None for none."""

    restriction: Restriction | None


HostInput = (
    TimePassed
    | EnvironmentChanged
    | DemotionChanged
    | RestrictionChanged
    | HostReconfigured
    | StateForced
    | ActuationReported
    | HandOverAsked
    | AddressesDisturbed
    | TransmitReported
    | HostRemoved
)
