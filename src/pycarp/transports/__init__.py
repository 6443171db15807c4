"""Layer 6: datagrams in and out. Transports are chosen at run time, by name or as an object."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

from pycarp import registry
from pycarp.errors import TransportError
from pycarp.transports import packet
from pycarp.transports.transport import (
    AddressFollowing,
    Availability,
    GroupJoining,
    PacketFiltering,
    PacketPreparing,
    SettingAside,
    SourceChoosing,
    Transport,
)

if TYPE_CHECKING:
    from pycarp.transports.memory import MemoryBus, MemoryTransport

__all__ = [
    "NAMES",
    "AddressFollowing",
    "Availability",
    "GroupJoining",
    "MemoryBus",
    "MemoryTransport",
    "PacketFiltering",
    "PacketPreparing",
    "SettingAside",
    "SourceChoosing",
    "Transport",
    "available",
    "by_name",
    "choose",
    "names",
]


class _Backend(NamedTuple):
    refusal: Callable[[], str | None]
    make: Callable[[], Transport]
    note: str = "usable"
    is_automatic: bool = True


def _never() -> str | None:
    return None


def __getattr__(name: str) -> object:
    """Import the transport of tests when it is asked for."""
    if name not in ("MemoryBus", "MemoryTransport"):
        raise AttributeError(f"module 'pycarp.transports' has no attribute {name!r}")
    from pycarp.transports import memory  # noqa: PLC0415

    return getattr(memory, name)


def _raw_refusal() -> str | None:
    from pycarp.transports import raw  # noqa: PLC0415

    return raw.refusal()


def _raw() -> Transport:
    from pycarp.transports import raw  # noqa: PLC0415

    return raw.raw_transport()


def _udp() -> Transport:
    # Imported here because only this transport needs asyncio-dgram.
    from pycarp.transports.udp import UdpTransport  # noqa: PLC0415

    return UdpTransport()


_BACKENDS = {
    "packet": _Backend(packet.refusal, packet.packet_transport),
    "packet-real-mac": _Backend(packet.refusal, lambda: packet.packet_transport(source_mac="real")),
    "raw": _Backend(_raw_refusal, _raw),
    "udp": _Backend(_never, _udp, "usable, but not chosen by auto: all hosts must use it, with peers", False),
}
"""By name, in the order in which ``auto`` tries them."""

NAMES = ("auto", *_BACKENDS)
"""The names of pycarp's own; ``names`` has those of other distributions, too."""


def names() -> tuple[str, ...]:
    """Return every name that ``by_name`` accepts."""
    return (*NAMES, *registry.registered("transport"))


def available() -> tuple[Availability, ...]:
    """Return every transport, whether this process can use it, and if not, why."""
    sockets = [
        Availability(name, reason is None, reason or backend.note)
        for name, backend, reason in ((name, backend, backend.refusal()) for name, backend in _BACKENDS.items())
    ]
    others = [
        Availability(name, True, "registered by another package")
        for name in registry.registered("transport")
        if name not in NAMES
    ]
    return (*sockets, *others, Availability("memory", True, "usable; pass MemoryBus().port(NAME) as the transport"))


def choose(name: str) -> str:
    """Return the name of a transport; for ``auto`` the name of the first usable one.

    Raises ConfigError for an unknown name, TransportError with the reason of each transport when none is usable.
    """
    if name not in NAMES:
        registry.load("transport", name, NAMES)
    if name != "auto":
        return name
    names_by_reason: dict[str, list[str]] = {}
    # No more are tried than need be: to try one is work for the kernel.
    for each, backend in _BACKENDS.items():
        if backend.is_automatic:
            reason = backend.refusal()
            if reason is None:
                return each
            names_by_reason.setdefault(reason, []).append(each)
    reasons = "; ".join(f"{', '.join(names)}: {why}" for why, names in names_by_reason.items())
    raise TransportError(f"no transport is usable: {reasons}; udp needs no permission, but peers")


def by_name(name: str) -> Transport:
    """Return a new transport; raises what ``choose`` raises."""
    chosen = choose(name)
    make = _BACKENDS[chosen].make if chosen in _BACKENDS else registry.load("transport", chosen, NAMES)
    return cast("Transport", make())
