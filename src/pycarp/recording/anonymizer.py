"""Takes the secrets out of what an engine is told, so that it does the same without them.

Each host and passphrase has a throw-away key. What verifies with the real one is signed anew with that, in the layout
in which it verified; what does not gets random octets for a digest, so that no digest of anybody's real key is written:
each would let the password be guessed at leisure. Checksums are made anew because they tell of the digest they cover;
wrong ones stay wrong. What was found out about a digest that is not authentic is found out about its stand-in again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from itertools import chain

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
"""Ways of signing of a host that are remembered: what is signed in an older one counts as not authentic."""

_HEADER = 6
"""Octets that are shown of what is too short for an advertisement; behind them may be a password of broken VRRP."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A way of signing, and what stands for it."""

    real: Signer
    placeholder_key: Signer


@dataclass(slots=True)
class _Suspect:
    """A datagram heard last, as it was and as it is shown, and the digest that its diagnosis asks for."""

    real: Datagram
    shown: Datagram
    digest: bytes | None = None


@dataclass(slots=True)
class Anonymizer:
    """What stands for what, in one recording; ``entropy`` returns 64 random bits."""

    entropy: Callable[[], int]
    _keys: dict[tuple[HostKey, Passphrase], PlaceholderKey] = field(default_factory=dict)
    _pairs: dict[HostKey, dict[tuple[object, ...], list[_Pair]]] = field(default_factory=dict)
    _suspects: list[_Suspect] = field(default_factory=list)

    def checkpoint(self, real: Checkpoint) -> Checkpoint:
        """Return a checkpoint in anonymizer."""
        return replace(real, hosts=tuple(self._host_entry(each) for each in real.hosts))

    def input(self, event: Input) -> Input:
        """Return an input in anonymizer; ``heard_anew`` may know it better once an engine has been told of it."""
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

    def heard_anew(self) -> DatagramReceived | DatagramsReceived | None:
        """Return the last input with the digests that lead to what was found out about it; None if nothing was."""
        if all(each.digest is None for each in self._suspects):
            return None
        shown = tuple(self._shown_anew(each) for each in self._suspects)
        return DatagramReceived(*shown) if len(shown) == 1 else DatagramsReceived(shown)

    def _shown_anew(self, suspect: _Suspect) -> Datagram:
        if suspect.digest is None:
            return suspect.shown
        return suspect.shown._replace(payload=self._signed_anew(suspect.real, suspect.digest))

    def diagnose_peer(
        self, config: HostConfig, advert: wire.Advertisement, *, seen_elsewhere: Sequence[Address]
    ) -> tuple[DropReason, str]:
        """Return what there is to find out about the real advertisement, with the real key.

        Where nothing can stand for it, it stays unexplained.
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
        # The oldest first, as if they had come one after the other.
        previous_keys = tuple(replace(each, config=self._config(each.config)) for each in real.codec.previous_keys)
        host = replace(real.host, config=self._config(real.host.config))
        return replace(real, codec=replace(real.codec, previous_keys=previous_keys), host=host)

    def _config(self, real: HostConfig) -> HostConfig:
        what = (real.key, real.secret)
        if what not in self._keys:
            self._keys[what] = PlaceholderKey.draw(self.entropy)
        shown = replace(real, passphrase=self._keys[what])
        pairs = self._pairs.setdefault(real.key, {})
        # The latest comes last, also when it was there before.
        way = (real.secret, real.lladdr, tuple(each.ip for each in real.shared))
        pairs.pop(way, None)
        pairs[way] = [_Pair(signer_of(real, (each,)), signer_of(shown, (each,))) for each in real.dialect.layouts]
        if len(pairs) > _REMEMBERED_MAX:
            del pairs[next(iter(pairs))]
        return shown

    def _real_of(self, shown: HostConfig) -> Passphrase:
        return next(real for (key, real), each in self._keys.items() if (key, each) == (shown.key, shown.secret))

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
                    return self._signed_anew(datagram, pair.placeholder_key.sign(heard.counter))
        if vrrp_of(datagram.payload, source=datagram.source, destination=datagram.destination):
            return redacted(datagram.payload, source=datagram.source, destination=datagram.destination)
        if not is_long_enough:
            return datagram.payload[:_HEADER].ljust(len(datagram.payload), b"\x00")
        return self._signed_anew(datagram, b"".join(self._random(8) for _ in range(3))[:DIGEST_LENGTH])

    def _signed_anew(self, datagram: Datagram, digest: bytes) -> bytes:
        """Return the advertisement with another digest; nobody reads what is behind the 36 octets, so it is zeros."""
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
