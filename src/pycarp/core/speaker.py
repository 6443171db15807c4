"""The voice and the ear of one virtual host: claims to datagrams, and datagrams to authentic claims."""

from collections.abc import Callable
from ipaddress import IPv6Address

from pycarp.auth.counter import counter_of
from pycarp.auth.digest import Signer
from pycarp.core.host_config import HostConfig
from pycarp.dialects.base import Claim
from pycarp.vocabulary import Address, Family, Outgoing
from pycarp.wire import advertisement as wire
from pycarp.wire import ethernet


class Speaker:
    """Composes and authenticates the advertisements of one host; owns its signer and counter."""

    __slots__ = ("_config", "_counter", "_dialect", "_mac", "_signer")

    def __init__(self, config: HostConfig, entropy: Callable[[], int]) -> None:
        self._config = config
        self._dialect = config.dialect
        self._mac = config.dialect.source_mac(config.vhid)
        self._counter = counter_of(config.dialect.counter, entropy)
        self._signer = Signer(
            passphrase=config.secret,
            vhid=config.vhid,
            addresses=[each.ip for each in config.shared],
            layouts=config.dialect.layouts,
            order=config.dialect.hash_order,
            lladdr=config.lladdr if config.dialect.signs_lladdr else None,
        )

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of the shared addresses; each gets its own advertisement and its own timer."""
        return self._config.families

    def compose(self, claim: Claim, sources: dict[Family, Address]) -> list[Outgoing]:
        """Return one signed advertisement a family and destination; each family has the next counter."""
        return [
            self._address(advert, family, sources[family], destination)
            for family in self._config.families
            for advert in [self._sign(claim)]
            for destination in self._config.destinations(family)
        ]

    def _address(self, advert: wire.Advertisement, family: Family, source: Address, destination: Address) -> Outgoing:
        to_group = destination.is_multicast
        return Outgoing(
            link=self._config.interface,
            family=family,
            source=source,
            destination=destination,
            tos=self._dialect.tos,
            identification=self._dialect.identification,
            source_mac=self._mac if to_group else None,
            destination_mac=ethernet.BROADCAST if to_group and self._config.broadcasts else None,
            payload=wire.encode(advert, pseudo_header=self._pseudo_header(source, destination)),
        )

    def _pseudo_header(self, source: Address, destination: Address) -> bytes:
        if self._dialect.v6_checksum is not wire.ChecksumForm.PSEUDO:
            return b""
        if not isinstance(source, IPv6Address) or not isinstance(destination, IPv6Address):
            return b""
        return wire.pseudo_header_of(source, destination)

    def accepts(self, advert: wire.Advertisement) -> bool:
        """Say whether the digest is one that a peer of this vhid makes."""
        return self._signer.verify(advert.counter, advert.digest)

    def adopt(self, advert: wire.Advertisement) -> None:
        """Take over the counter of a peer's authentic advertisement."""
        self._counter.adopt(advert.counter)

    def is_echo(self, advert: wire.Advertisement, source: Address, own: Address | None) -> bool:
        """Say whether an authentic advertisement is our own, come back over a looping segment.

        Told by a constant counter, or by its source alone, so a host without an address (``own`` None) cannot tell. The
        digest would not do: it does not cover the source, and two hosts that have heard the same counter sign their
        next advertisement alike. Source: carp.md 4.2 and 4.4; only dialects that detect loops ask.
        """
        return self._counter.is_own(advert.counter) or (self._dialect.drops_own_source and source == own)

    def _sign(self, claim: Claim) -> wire.Advertisement:
        counter = self._counter.next()
        return wire.Advertisement(
            vhid=self._config.vhid,
            advbase=claim.advbase,
            advskew=claim.advskew,
            demote=claim.demote,
            counter=counter,
            digest=self._signer.sign(counter),
        )
