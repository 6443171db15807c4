"""The digest of an advertisement: HMAC-SHA1 over version, type, vhid, the shared addresses and the counter.

Neither advskew, advbase, the demote octet nor the IP header are covered. Source: carp.md section 3.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from hmac import compare_digest
from ipaddress import IPv6Address

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from pycarp.auth.key import Passphrase
from pycarp.vocabulary import Address, Family, MacAddress, family_of

DIGEST_LENGTH = 20
_VERSION_AND_TYPE = b"\x02\x01"
_FAMILY_LENGTH = {Family.IPV4: 4, Family.IPV6: 16}


class HashOrder(Enum):
    """In which order the shared addresses of a family are signed."""

    SORTED = "sorted"
    """Ascending as unsigned numbers. Source: every system of today."""

    CONFIGURED = "configured"
    """As configured. Source: FreeBSD of 2006, carp.md 3.2."""


class DigestLayout(Enum):
    """Which of the shared addresses are signed."""

    ORIGINAL = "orig"
    """All of them. Source: every system."""

    WITHOUT_LINK_LOCAL = "nov6ll"
    """All but IPv6 link-locals. Source: OpenBSD sends this one and accepts both."""


def signed_prefix(
    vhid: int,
    addresses: Iterable[Address],
    layout: DigestLayout,
    *,
    order: HashOrder = HashOrder.SORTED,
    lladdr: MacAddress | None = None,
) -> bytes:
    """Return what is hashed before the counter.

    IPv4 comes first, each family in ``order``. Equal addresses count once, all-zeros and all-ones addresses never. The
    second 16 bits of link-locals are zeroed, because BSD kernels keep the interface there. ``lladdr`` is the
    interface's MAC if an administrator changed it (OpenBSD only). Source: carp.md 3.1, 3.2, 3.4.
    """
    mac = lladdr.octets if lladdr else b""
    return _VERSION_AND_TYPE + mac + bytes((vhid,)) + b"".join(_signed_addresses(addresses, layout, order))


class Signer:
    """Signs and verifies the advertisements of one virtual host; holds prepared contexts and copies them."""

    __slots__ = ("_accepted", "_own")

    def __init__(
        self,
        *,
        passphrase: Passphrase,
        vhid: int,
        addresses: Sequence[Address],
        layouts: tuple[DigestLayout, ...],
        order: HashOrder = HashOrder.SORTED,
        lladdr: MacAddress | None = None,
    ) -> None:
        """Prepare one context per distinct layout; the first of ``layouts`` signs, any of them verifies."""
        prefixes = dict.fromkeys(
            signed_prefix(vhid, addresses, layout, order=order, lladdr=lladdr) for layout in layouts
        )
        self._accepted = tuple(_context(passphrase, prefix) for prefix in prefixes)
        self._own = self._accepted[0]

    def sign(self, counter: int) -> bytes:
        """Return the 20-octet digest for a 64-bit counter."""
        copy = self._own.copy()
        copy.update(counter.to_bytes(8, "big"))
        return copy.finalize()

    def acceptable(self, counter: int) -> tuple[bytes, ...]:
        """Return every digest that ``verify`` accepts for a counter."""
        return tuple(_finish(context, counter) for context in self._accepted)

    def verify(self, counter: int, digest: bytes) -> bool:
        """Return True if one of the accepted layouts gives this digest, compared in constant time for each."""
        return self.verify_octets(counter.to_bytes(8, "big"), digest)

    def verify_octets(self, counter: bytes, digest: bytes) -> bool:
        """Return what ``verify`` does, for a counter as on the wire."""
        for context in self._accepted:
            copy = context.copy()
            copy.update(counter)
            if compare_digest(copy.finalize(), digest):
                return True
        return False


def _context(passphrase: Passphrase, prefix: bytes) -> HMAC:
    context = HMAC(passphrase.key, hashes.SHA1())  # noqa: S303  CARP is HMAC-SHA1; there is no other
    context.update(prefix)
    return context


def _finish(context: HMAC, counter: int) -> bytes:
    copy = context.copy()
    copy.update(counter.to_bytes(8, "big"))
    return copy.finalize()


def _signed_addresses(addresses: Iterable[Address], layout: DigestLayout, order: HashOrder) -> list[bytes]:
    # Dictionaries keep each address once, and the order of configuration.
    packed: dict[Family, dict[bytes, None]] = {Family.IPV4: {}, Family.IPV6: {}}
    for address in addresses:
        if layout is DigestLayout.WITHOUT_LINK_LOCAL and address.version == 6 and address.is_link_local:
            continue
        packed[family_of(address)].setdefault(_scopeless(address))
    return [
        octets
        for family, length in _FAMILY_LENGTH.items()
        for octets in (sorted(packed[family]) if order is HashOrder.SORTED else packed[family])
        if octets not in (bytes(length), b"\xff" * length)
    ]


def _scopeless(address: Address) -> bytes:
    octets = address.packed
    if isinstance(address, IPv6Address) and address.is_link_local:
        return octets[:2] + b"\x00\x00" + octets[4:]
    return octets
