"""The clean-up steps: octets and texts that the guardian, which knows nothing of CARP, hands to the kernel."""

import msgspec


class Request(msgspec.Struct, frozen=True):
    """A complete rtnetlink request."""

    octets: bytes


class SysctlWrite(msgspec.Struct, frozen=True):
    """A text, and the file below ``/proc/sys`` to write it to."""

    path: str
    text: str


class PreparedPacket(msgspec.Struct, frozen=True):
    """A packet to send through a new socket of this family, kind and protocol.

    ``options`` are the socket options (level, name, value) to set first; ``address`` is the argument of ``sendto``.
    That of a frame begins with the index of the link, because the name may change before the frame is sent.
    """

    family: int
    kind: int
    protocol: int
    options: tuple[tuple[int, int, bytes], ...]
    address: tuple[str | int | bytes, ...]
    octets: bytes


CleanUpStep = Request | SysctlWrite | PreparedPacket
