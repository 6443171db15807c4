"""Everything the core can ask for; all are imperatives, performed in the order given.

They are structs of msgspec: a MASTER makes some for each advertisement, and a frozen dataclass takes ten times as long.
Change one by ``msgspec.structs.replace``.
"""

from typing import NamedTuple

import msgspec

from pycarp.core.events import Event
from pycarp.core.flood import PacketFilter
from pycarp.core.lease_timings import LeaseTimings
from pycarp.dialects.dialect import ArpForm
from pycarp.vocabulary import HostKey, InterfaceAddress, Outgoing


class Transmit(msgspec.Struct, frozen=True, gc=False):
    """Send this advertisement now; a failure is reported, a success only if ``wants_report``."""

    key: HostKey
    outgoing: Outgoing
    wants_report: bool = False


class HoldAddresses(msgspec.Struct, frozen=True, gc=False):
    """Add ``addresses`` to this machine and remove the ``previous`` ones, which are no longer shared.

    ``force`` says that another program may have undone an earlier hold, so the actuator must check every address.
    ``lease_timings`` says when the kernel and the guardian drop the addresses if this process cannot.
    """

    key: HostKey
    epoch: int
    addresses: tuple[InterfaceAddress, ...]
    previous: tuple[InterfaceAddress, ...] = ()
    force: bool = False
    lease_timings: LeaseTimings | None = None


class DropAddresses(msgspec.Struct, frozen=True, gc=False):
    """Remove the addresses from this machine, where they are present; ``force`` as with ``HoldAddresses``."""

    key: HostKey
    epoch: int
    addresses: tuple[InterfaceAddress, ...]
    force: bool = False


class RenewAddresses(msgspec.Struct, frozen=True, gc=False):
    """Renew the lease in the kernel and at the guardian; ignored if the same step could not send an advertisement."""

    key: HostKey
    addresses: tuple[InterfaceAddress, ...]
    lifetime_s: int | None


class Announce(msgspec.Struct, frozen=True, gc=False):
    """Send gratuitous ARP or unsolicited neighbour advertisements; ignored once a later epoch has begun."""

    key: HostKey
    epoch: int
    addresses: tuple[InterfaceAddress, ...]
    form: ArpForm


class SetPacketFilter(msgspec.Struct, frozen=True, gc=False):
    """Install a packet filter in the kernel for one link; None removes it."""

    link: str
    packet_filter: PacketFilter | None


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Publish an event to the observers of its host."""

    event: Event


Effect = Transmit | HoldAddresses | DropAddresses | RenewAddresses | Announce | SetPacketFilter | Publish


class Step(NamedTuple):
    """The answer to one input: the effects in the order to perform them, and the time of the next deadline.

    ``deadline_ns`` is None while the engine waits for no time.
    """

    effects: tuple[Effect, ...]
    deadline_ns: int | None
