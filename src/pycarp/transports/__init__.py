"""Layer 6: datagrams in and out. Backends are chosen at run time, by name or as an object."""

from collections.abc import Callable
from typing import NamedTuple

from pycarp.errors import ConfigError, TransportError
from pycarp.transports import packet, raw
from pycarp.transports.base import Availability, Transport
from pycarp.transports.memory import MemoryBus, MemoryTransport

__all__ = [
    "NAMES",
    "Availability",
    "MemoryBus",
    "MemoryTransport",
    "Transport",
    "available",
    "by_name",
    "choose",
]


class _Backend(NamedTuple):
    refusal: Callable[[], str | None]
    make: Callable[[], Transport]
    note: str = "usable"
    is_automatic: bool = True


def _never() -> str | None:
    return None


def _udp() -> Transport:
    # Imported here because only this transport needs asyncio-dgram and netifaces.
    from pycarp.transports.udp import UdpTransport  # noqa: PLC0415

    return UdpTransport()


_BACKENDS = {
    "packet": _Backend(packet.refusal, packet.packet_transport),
    "packet-real-mac": _Backend(packet.refusal, lambda: packet.packet_transport(source_mac="real")),
    "raw": _Backend(raw.refusal, raw.raw_transport),
    "udp": _Backend(_never, _udp, "usable, but not chosen by auto: all hosts must use it, with peers", False),
}
"""By name, in the order in which ``auto`` tries them."""

NAMES = ("auto", *_BACKENDS)
"""The names that ``by_name`` accepts."""


def available() -> tuple[Availability, ...]:
    """Return every transport, whether this process can use it, and if not, why."""
    sockets = [
        Availability(name, reason is None, reason or backend.note)
        for name, backend, reason in ((name, backend, backend.refusal()) for name, backend in _BACKENDS.items())
    ]
    return (*sockets, Availability("memory", True, "usable; pass MemoryBus().port(NAME) as the transport"))


def choose(name: str) -> str:
    """Return the name of a transport; for ``auto`` the name of the first usable one.

    Raises ConfigError for an unknown name, TransportError with the reason of each transport when none is usable.
    """
    if name not in NAMES:
        raise ConfigError(f"unknown transport {name!r}; known are: {', '.join(NAMES)}")
    if name != "auto":
        return name
    refusals = {each: backend.refusal() for each, backend in _BACKENDS.items() if backend.is_automatic}
    for each, reason in refusals.items():
        if reason is None:
            return each
    names_by_reason: dict[str, list[str]] = {}
    for each, why in refusals.items():
        names_by_reason.setdefault(why or "", []).append(each)
    reasons = "; ".join(f"{', '.join(names)}: {why}" for why, names in names_by_reason.items())
    raise TransportError(f"no transport is usable: {reasons}; udp needs no permission, but peers")


def by_name(name: str) -> Transport:
    """Return a new transport; raises what ``choose`` raises."""
    return _BACKENDS[choose(name)].make()
