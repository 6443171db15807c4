"""Everything the core can ask for; all are imperatives, performed in the order given."""

from dataclasses import dataclass
from typing import NamedTuple

from pycarp.core.events import Event
from pycarp.core.flood import PacketFilter
from pycarp.core.lease_timings import LeaseTimings
from pycarp.dialects.base import ArpForm
from pycarp.vocabulary import HostKey, Interface, Outgoing


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send this advertisement now; a failure is reported, a success only if ``wants_report``."""

    key: HostKey
    outgoing: Outgoing
    wants_report: bool = False


@dataclass(frozen=True, slots=True)
class HoldAddresses:
    """Make the addresses answer on this host, and the ``former`` ones, which are shared no longer, not.

    ``anew`` says that what was achieved before may have been undone by others. ``lease timings`` is what is to happen
    when this process cannot drop them any more.
    """

    key: HostKey
    epoch: int
    addresses: tuple[Interface, ...]
    previous: tuple[Interface, ...] = ()
    force: bool = False
    lease_timings: LeaseTimings | None = None


@dataclass(frozen=True, slots=True)
class DropAddresses:
    """Make sure that none of the addresses answers on this host; ``anew`` as with ``HoldAddresses``."""

    key: HostKey
    epoch: int
    addresses: tuple[Interface, ...]
    force: bool = False


@dataclass(frozen=True, slots=True)
class RenewAddresses:
    """Tell the kernel and the guardian that this MASTER lives; void if this step could not send."""

    key: HostKey
    addresses: tuple[Interface, ...]
    lifetime_s: int | None


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the segment who owns the addresses (gratuitous ARP); void once the epoch has passed."""

    key: HostKey
    epoch: int
    addresses: tuple[Interface, ...]
    form: ArpForm


@dataclass(frozen=True, slots=True)
class SetPacketFilter:
    """Have the kernel pass only what the filter says on a link; None for everything again."""

    link: str
    packet_filter: PacketFilter | None


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell observers."""

    event: Event


Effect = Transmit | HoldAddresses | DropAddresses | RenewAddresses | Announce | SetPacketFilter | Publish


class Step(NamedTuple):
    """The answer to one input: what to do, in this order, and when to come back at the latest."""

    effects: tuple[Effect, ...]
    deadline_ns: int | None
