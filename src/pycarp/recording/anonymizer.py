"""Removes the secrets from the inputs of an engine; the engine takes the same steps without them.

Each pair of host and passphrase has a placeholder key. A packet that verifies with the real key is signed with the
placeholder key, in the layout in which it verified. Any other packet gets a random digest. So no digest of a real key
is written, with which an attacker could guess the passphrase offline. Checksums are computed again, because they depend
on the digest; a wrong one stays wrong. The diagnosis of a packet that is not authentic stays the same.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv6Address
from itertools import chain

import msgspec
from msgspec import structs

from pycarp.auth.digest import DIGEST_LENGTH, Signer
from pycarp.auth.key import Passphrase
from pycarp.core.advertisement_codec import signer_of
from pycarp.core.checkpoint import Checkpoint
from pycarp.core.host_config import HostConfig
from pycarp.core.host_table import HostEntryCheckpoint
from pycarp.core.inputs import DatagramReceived, DatagramsReceived, HostAdded, HostReconfigured, Input
from pycarp.core.peer_diagnosis import counterfeit_of, diagnose_peer
from pycarp.core.statistics import DropReason
from pycarp.recording.placeholder_key import PlaceholderKey
from pycarp.vocabulary import Address, Datagram, HostKey
from pycarp.wire import advertisement as wire
from pycarp.wire.vrrp import redacted, vrrp_of

_REMEMBERED_MAX = 32
"""How many ways of signing are kept for a host; a packet signed in an older one counts as not authentic."""

_HEADER = 6
"""How many octets of a packet too short for an advertisement are written; the rest may be a password of VRRP."""


class _Pair(msgspec.Struct, frozen=True):
    """A signer with the real key, and the one with the placeholder key."""

    real: Signer
    placeholder_key: Signer


class _Suspect(msgspec.Struct):
    """A datagram of the last input, real and anonymized, and the digest that keeps its diagnosis."""

    real: Datagram
    shown: Datagram
    digest: bytes | None = None


class Anonymizer(msgspec.Struct):
    """The placeholder keys of one recording; ``entropy`` returns 64 random bits."""

    entropy: Callable[[], int]
    _keys: dict[tuple[HostKey, Passphrase], PlaceholderKey] = msgspec.field(default_factory=dict)
    _pairs: dict[HostKey, dict[tuple[object, ...], list[_Pair]]] = msgspec.field(default_factory=dict)
    _suspects: list[_Suspect] = msgspec.field(default_factory=list)

    def checkpoint(self, real: Checkpoint) -> Checkpoint:
        """Return a checkpoint with placeholder keys."""
        return structs.replace(real, hosts=tuple(self._host_entry(each) for each in real.hosts))

    def input(self, event: Input) -> Input:
        """Return an input without secrets; ``diagnosed_input`` may replace it after the engine has handled it."""
        self._suspects = []
        match event:
            case DatagramReceived(datagram):
                self._suspects = [self._suspect(datagram)]
                return DatagramReceived(self._suspects[0].shown)
            case DatagramsReceived(datagrams):
                self._suspects = [self._suspect(each) for each in datagrams]
                return DatagramsReceived(tuple(each.shown for each in self._suspects))
            case HostAdded(config):
                return HostAdded(self._config(config))
            case HostReconfigured(config, rolling_ns):
                return HostReconfigured(self._config(config), rolling_ns)
            case _:
                return event

    def diagnosed_input(self) -> DatagramReceived | DatagramsReceived | None:
        """Return the last input with digests that lead to the same diagnosis; None if nothing was diagnosed."""
        if all(each.digest is None for each in self._suspects):
            return None
        shown = tuple(self._diagnosed(each) for each in self._suspects)
        return DatagramReceived(*shown) if len(shown) == 1 else DatagramsReceived(shown)

    def _diagnosed(self, suspect: _Suspect) -> Datagram:
        if suspect.digest is None:
            return suspect.shown
        return suspect.shown._replace(payload=self._with_digest(suspect.real, suspect.digest))

    def diagnose_peer(
        self, config: HostConfig, advert: wire.Advertisement, *, seen_elsewhere: Sequence[Address]
    ) -> tuple[DropReason, str]:
        """Return the diagnosis of the real advertisement with the real key.

        If no digest under the placeholder key has the same diagnosis, return that of the anonymized advertisement.
        """
        suspect = next(each for each in self._suspects if _holds(each.shown.payload, advert))
        heard = wire.decode(suspect.real.payload)
        real = replace(config, passphrase=self._real_of(config))
        found = diagnose_peer(real, heard, seen_elsewhere=seen_elsewhere)
        digest = counterfeit_of(config, heard.counter, found[1], seen_elsewhere=seen_elsewhere)
        if digest is not None:
            stand_in = advert._replace(digest=digest)
            if diagnose_peer(config, stand_in, seen_elsewhere=seen_elsewhere) == found:
                suspect.digest = digest
                return found
        return diagnose_peer(config, advert, seen_elsewhere=seen_elsewhere)

    # Keys

    def _host_entry(self, real: HostEntryCheckpoint) -> HostEntryCheckpoint:
        # The oldest first: the order in which the host had them.
        previous_keys = tuple(
            structs.replace(each, config=self._config(each.config)) for each in real.codec.previous_keys
        )
        host = structs.replace(real.host, config=self._config(real.host.config))
        codec = structs.replace(real.codec, previous_keys=previous_keys)
        return structs.replace(real, codec=codec, host=host)

    def _config(self, real: HostConfig) -> HostConfig:
        what = (real.key, real.passphrase)
        if what not in self._keys:
            self._keys[what] = PlaceholderKey.draw(self.entropy)
        shown = replace(real, passphrase=self._keys[what])
        pairs = self._pairs.setdefault(real.key, {})
        # The latest is the last, also if it was in the table before.
        way = (real.passphrase, real.lladdr, tuple(each.ip for each in real.addresses))
        pairs.pop(way, None)
        pairs[way] = [_Pair(signer_of(real, (each,)), signer_of(shown, (each,))) for each in real.dialect.layouts]
        if len(pairs) > _REMEMBERED_MAX:
            del pairs[next(iter(pairs))]
        return shown

    def _real_of(self, shown: HostConfig) -> Passphrase:
        return next(real for (key, real), each in self._keys.items() if (key, each) == (shown.key, shown.passphrase))

    # Packets

    def _suspect(self, datagram: Datagram) -> _Suspect:
        return _Suspect(datagram, datagram._replace(payload=self._payload(datagram)))

    def _payload(self, datagram: Datagram) -> bytes:
        is_long_enough = len(datagram.payload) >= wire.LENGTH
        if is_long_enough:
            heard = wire.decode(datagram.payload)
            ways = self._pairs.get(HostKey(datagram.link, heard.vhid), {})
            for pair in chain.from_iterable(reversed(ways.values())):
                if pair.real.verify(heard.counter, heard.digest):
                    return self._with_digest(datagram, pair.placeholder_key.sign(heard.counter))
        if vrrp_of(datagram.payload, source=datagram.source, destination=datagram.destination):
            return redacted(datagram.payload, source=datagram.source, destination=datagram.destination)
        if not is_long_enough:
            return datagram.payload[:_HEADER].ljust(len(datagram.payload), b"\x00")
        return self._with_digest(datagram, b"".join(self._random(8) for _ in range(3))[:DIGEST_LENGTH])

    def _with_digest(self, datagram: Datagram, digest: bytes) -> bytes:
        """Return the advertisement with another digest, and zeros after its 36 octets, which nobody reads."""
        summed = _pseudo_header(datagram)
        form = wire.checksum_form(datagram.payload, pseudo_header=summed)
        advert = wire.decode(datagram.payload)._replace(digest=digest)
        payload = wire.encode(advert, pseudo_header=summed if form is wire.ChecksumForm.PSEUDO else b"")
        if form is None:
            payload = next(each for each in self._wrong(payload) if not wire.checksum_form(each, pseudo_header=summed))
        return payload.ljust(len(datagram.payload), b"\x00")

    def _wrong(self, payload: bytes) -> Iterator[bytes]:
        while True:
            yield wire.with_checksum(payload, self._random(2))

    def _random(self, octets: int) -> bytes:
        return self.entropy().to_bytes(8, "big")[:octets]


def _holds(payload: bytes, advert: wire.Advertisement) -> bool:
    return len(payload) >= wire.LENGTH and wire.decode(payload) == advert


def _pseudo_header(datagram: Datagram) -> bytes:
    if isinstance(datagram.source, IPv6Address) and isinstance(datagram.destination, IPv6Address):
        return wire.pseudo_header_of(datagram.source, datagram.destination)
    return b""
