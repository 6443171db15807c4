"""Explains why a digest does not verify: another spelling of our password, another list of addresses, or unknown.

A wrong digest contains no reason. But tools change passwords in few ways, and address lists usually differ by an
address or two. The diagnosis therefore tries the likely keys and lists, most likely first, at most ``MOST_HMACS`` of
them. Sources of the candidates: carp.md sections 3.2 to 3.5 and 13.

A diagnosis never makes an advertisement acceptable: only ``digest.Signer`` authenticates.
"""

import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import partial
from ipaddress import ip_address
from itertools import chain, combinations, islice, permutations
from typing import NamedTuple

import msgspec

from pycarp.auth.digest import DigestLayout, signed_prefix
from pycarp.auth.key import KEY_LENGTH, Passphrase
from pycarp.vocabulary import Address, MacAddress
from pycarp.wire.advertisement import Advertisement

MOST_HMACS = 300
"""Digests that one diagnosis computes by default, at most: enough for every host of one /24; they take 1.5 ms."""

_SUBSETS_UP_TO = 6
_PERMUTATIONS_UP_TO = 4
_REPLACEMENTS = 16
_IPV4_LENGTH = 4
_OCTETS = tuple(bytes((each,)) for each in range(256))
_LINK_LOCAL = b"\xfe\x80" + bytes(6)
UNKNOWN_WORDS = "another password, or another address list that cannot be guessed"


class DiagnosisKind(Enum):
    """What differs at the sender."""

    PASSWORD_VARIANT = "password-variant"  # noqa: S105  the name of a kind
    ADDRESS_LIST = "address-list"
    LINK_ADDRESS = "link-address"
    """The same secret and list, but a link-layer address in the digest. Source: OpenBSD, carp.md 3.4."""

    UNKNOWN = "unknown"


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What differs at the sender, with a text for people and the list of addresses that it signs, if known.

    ``addresses`` are in the order signed; () means that none is signed, None that the list is unknown.
    """

    kind: DiagnosisKind
    words: str
    addresses: tuple[Address, ...] | None = None


_Octets = tuple[bytes, ...]
"""A list of addresses, each as it is signed."""


class _Guess(NamedTuple):
    key: bytes
    prefix: bytes
    explain: Callable[[], Diagnosis]


def diagnose(
    advertisement: Advertisement,
    *,
    passphrase: Passphrase,
    addresses: Sequence[Address],
    extra: Sequence[Address] = (),
    lladdr: MacAddress | None = None,
    lladdrs: Sequence[MacAddress] = (),
    limit: int = MOST_HMACS,
) -> Diagnosis:
    """Return why the digest of ``advertisement`` does not verify with our passphrase and addresses.

    ``addresses`` are ours in the order of configuration, ``extra`` those that the sender may share as well (seen
    elsewhere). ``lladdr`` is the link-layer address in our digest, ``lladdrs`` those that the sender may use (the
    source MAC of its frame). At most ``limit`` digests are computed. UNKNOWN is the result if none fits.
    """
    guesses = _Guesses(advertisement.vhid, passphrase, addresses, extra=extra, lladdr=lladdr, lladdrs=lladdrs)
    counter = advertisement.counter.to_bytes(8, "big")
    for guess in islice(_distinct(guesses), limit):
        if hmac.compare_digest(hmac.digest(guess.key, guess.prefix + counter, "sha1"), advertisement.digest):
            return guess.explain()
    return Diagnosis(kind=DiagnosisKind.UNKNOWN, words=UNKNOWN_WORDS)


def counterfeit(
    words: str,
    *,
    counter: int,
    vhid: int,
    passphrase: Passphrase,
    addresses: Sequence[Address],
    extra: Sequence[Address] = (),
    lladdr: MacAddress | None = None,
    limit: int = MOST_HMACS,
) -> bytes | None:
    """Return a digest that ``diagnose`` would explain in these words; None if no guess has them."""
    guesses = _Guesses(vhid, passphrase, addresses, extra=extra, lladdr=lladdr, lladdrs=())
    for guess in islice(_distinct(guesses), limit):
        if guess.explain().words == words:
            return hmac.digest(guess.key, guess.prefix + counter.to_bytes(8, "big"), "sha1")
    return None


def _distinct(guesses: Iterable[_Guess]) -> Iterator[_Guess]:
    tried: set[tuple[bytes, bytes]] = set()
    for guess in guesses:
        if guess[:2] not in tried:
            tried.add(guess[:2])
            yield guess


class _Guesses:
    """The keys and signed octets that the sender may have used, most likely first; texts are made only for a match."""

    def __init__(
        self,
        vhid: int,
        passphrase: Passphrase,
        addresses: Sequence[Address],
        *,
        extra: Sequence[Address],
        lladdr: MacAddress | None,
        lladdrs: Sequence[MacAddress],
    ) -> None:
        self._vhid = vhid
        self._key = passphrase.key
        self._lladdr = lladdr
        self._lladdrs = lladdrs
        self._head = signed_prefix(vhid, (), DigestLayout.ORIGINAL, lladdr=lladdr)
        self._ours = self._signed(addresses)
        self._extra = tuple(each for each in self._signed(extra) if each not in self._ours)

    def __iter__(self) -> Iterator[_Guess]:
        yield from self._other_keys()
        yield from self._other_link_addresses()
        yield from self._other_orders()
        for octets in self._other_lists():
            yield _Guess(self._key, self._head + _ascending(octets), partial(self._of_list, octets))

    def _signed(self, addresses: Iterable[Address]) -> _Octets:
        """Return each distinct address as it is signed, in the order given, without those that are never signed."""
        parts = (signed_prefix(self._vhid, (each,), DigestLayout.ORIGINAL, lladdr=self._lladdr) for each in addresses)
        return tuple(dict.fromkeys(part[len(self._head) :] for part in parts if len(part) > len(self._head)))

    def _other_keys(self) -> Iterator[_Guess]:
        lists = (self._ours, _without_link_locals(self._ours), ())
        for key, what in _key_variants(self._key.rstrip(b"\x00")):
            for octets in lists:
                explain = partial(self._of_key, octets, what)
                yield _Guess(key.ljust(KEY_LENGTH, b"\x00"), self._head + _ascending(octets), explain)

    def _other_link_addresses(self) -> Iterator[_Guess]:
        for lladdr in dict.fromkeys((None, *self._lladdrs)):
            if lladdr == self._lladdr:
                continue
            head = signed_prefix(self._vhid, (), DigestLayout.ORIGINAL, lladdr=lladdr)
            for octets in (self._ours, _without_link_locals(self._ours)):
                yield _Guess(self._key, head + _ascending(octets), partial(self._of_link_address, octets, lladdr))

    def _other_lists(self) -> Iterator[_Octets]:
        ours, extra = self._ours, self._extra
        yield ()
        yield _without_link_locals(ours)
        yield from ((each,) for each in ours)
        yield from _fewer(ours)
        others = (*extra, _automatic_link_local(self._vhid))
        yield from ((*ours, other) for other in others)
        yield (*ours, *extra)
        yield from _replaced(ours, others)
        if len(extra) <= _SUBSETS_UP_TO:
            yield from _subsets(extra)
        # The following may be more than the limit admits, so the nearest neighbours come first.
        yield from _replaced(ours, islice(_neighbours(ours), _REPLACEMENTS))
        yield from ((*ours, neighbour) for neighbour in _neighbours(ours))

    def _other_orders(self) -> Iterator[_Guess]:
        ours = self._ours
        for order in permutations(ours) if len(ours) <= _PERMUTATIONS_UP_TO else (ours, ours[::-1]):
            octets = tuple(sorted(order, key=len))  # the order is each family's own, IPv4 is first
            yield _Guess(self._key, self._head + b"".join(octets), partial(_of_order, octets))

    def _of_key(self, octets: _Octets, what: str) -> Diagnosis:
        same = "same address list" if octets == self._ours else f"the address list {_listed(octets)}"
        words = f"{same}, but {what}" if octets else f"no address is signed, and {what}"
        return Diagnosis(kind=DiagnosisKind.PASSWORD_VARIANT, words=words, addresses=_addresses(octets))

    def _of_link_address(self, octets: _Octets, lladdr: MacAddress | None) -> Diagnosis:
        signed = f"the link-layer address {lladdr} is signed too (OpenBSD with lladdr set)"
        words = f"same password and address list, but {signed if lladdr else 'no link-layer address is signed'}"
        return Diagnosis(kind=DiagnosisKind.LINK_ADDRESS, words=words, addresses=_addresses(octets))

    def _of_list(self, octets: _Octets) -> Diagnosis:
        words = _list_words(self._ours, octets)
        return Diagnosis(kind=DiagnosisKind.ADDRESS_LIST, words=words, addresses=_addresses(octets))


def _key_variants(secret: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield the password as tools and files may change it, with an explanation; never the password itself."""
    if secret:
        yield secret[:-1], "the password lost its last character there (NetBSD's ifconfig drops it)"
    for length in (19, 16, 15):
        if len(secret) > length:
            yield secret[:length], f"only the first {length} characters of the password count there"
    for ending, name in ((b"\r", "a carriage return"), (b"\n", "a line feed"), (b"\r\n", "CR LF"), (b" ", "a space")):
        if len(secret) + len(ending) <= KEY_LENGTH:
            yield secret + ending, f"the password has {name} at its end there (from a password file?)"
    if secret.strip() != secret:
        yield secret.strip(), "the password has no white space at its end there"


def _without_link_locals(octets: _Octets) -> _Octets:
    return tuple(each for each in octets if each[:8] != _LINK_LOCAL)


def _ascending(octets: _Octets) -> bytes:
    """Return the addresses as every system of today signs them: IPv4 first, each family ascending."""
    ordered = sorted(octets)
    ordered.sort(key=len)
    return b"".join(ordered)


def _fewer(ours: _Octets) -> Iterator[_Octets]:
    yield tuple(each for each in ours if len(each) == _IPV4_LENGTH)
    yield tuple(each for each in ours if len(each) != _IPV4_LENGTH)
    if len(ours) <= _SUBSETS_UP_TO:
        yield from _subsets(ours)
        return
    for missing in (1, 2):
        yield from combinations(ours, len(ours) - missing)


def _subsets(octets: _Octets) -> Iterator[_Octets]:
    return chain.from_iterable(combinations(octets, size) for size in range(len(octets), 0, -1))


def _replaced(ours: _Octets, others: Iterable[bytes]) -> Iterator[_Octets]:
    for other in others:
        for position in range(len(ours)):
            yield (*ours[:position], other, *ours[position + 1 :])


def _automatic_link_local(vhid: int) -> bytes:
    """Return the link-local that a BSD kernel gives a carp interface by its virtual MAC. Source: carp.md 3.2, 3.3."""
    return _LINK_LOCAL + bytes((0x02, 0x00, 0x5E, 0xFF, 0xFE, 0x00, 0x01, vhid))


def _neighbours(ours: _Octets) -> Iterator[bytes]:
    """Yield the other hosts in the /24 of each IPv4 address, the nearest first."""
    seen = set(ours)
    for distance in range(1, 254):
        for each in ours:
            if len(each) != _IPV4_LENGTH:
                continue
            for host in (each[3] + distance, each[3] - distance):
                if 0 < host < 255 and (neighbour := each[:3] + _OCTETS[host]) not in seen:
                    seen.add(neighbour)
                    yield neighbour


def _of_order(octets: _Octets) -> Diagnosis:
    words = f"same password and addresses, signed in the order {_listed(octets)} instead of ascending (FreeBSD of 2006)"
    return Diagnosis(kind=DiagnosisKind.ADDRESS_LIST, words=words, addresses=_addresses(octets))


def _list_words(ours: _Octets, theirs: _Octets) -> str:
    if not theirs:
        return "same password, but no address is signed (NetBSD does so until its next ioctl)"
    missing = [each for each in ours if each not in theirs]
    added = [each for each in theirs if each not in ours]
    differences = [f"without {_listed(missing)}"] if missing else []
    differences += [f"with {_listed(added)}"] if added else []
    return f"same password, other address list: {' and '.join(differences)}; it signs {_listed(theirs)}"


def _addresses(octets: Iterable[bytes]) -> tuple[Address, ...]:
    return tuple(ip_address(each) for each in octets)


def _listed(octets: Iterable[bytes]) -> str:
    return ", ".join(map(str, _addresses(octets)))
