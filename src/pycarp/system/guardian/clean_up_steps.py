"""What a process that knows nothing of CARP can carry out in our stead: octets that are ready for the kernel."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """A complete rtnetlink request, to be sent as it is."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class SysctlWrite:
    """Text to be written to a file below ``/proc/sys``."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class PreparedPacket:
    """Octets to be sent through a new socket of this family, kind and protocol.

    ``options`` are level, name and value, each to be set before; ``address`` is what ``sendto`` takes.
    """

    family: int
    kind: int
    protocol: int
    options: tuple[tuple[int, int, bytes], ...]
    address: tuple[str | int | bytes, ...]
    octets: bytes


CleanUpStep = Request | SysctlWrite | PreparedPacket
