"""The voice and the ear of one virtual host: claims to datagrams, and datagrams to authentic claims."""

from collections.abc import Callable

from pycarp.auth.counter import AdoptingCounter
from pycarp.auth.digest import Signer
from pycarp.core.host_config import HostConfig
from pycarp.dialects.base import Claim
from pycarp.vocabulary import CARP_GROUPS, Address, Family, Outgoing, family_of
from pycarp.wire import advertisement as wire


class Speaker:
    """Composes and authenticates the advertisements of one host; owns its signer and counter."""

    __slots__ = ("_counter", "_dialect", "_families", "_link", "_mac", "_signer", "_vhid")

    def __init__(self, config: HostConfig, entropy: Callable[[], int]) -> None:
        self._link = config.interface
        self._vhid = config.vhid
        self._dialect = config.dialect
        self._mac = config.dialect.source_mac(config.vhid)
        self._counter = AdoptingCounter(entropy)
        self._signer = Signer(
            passphrase=config.secret,
            vhid=config.vhid,
            addresses=[each.ip for each in config.shared],
            layouts=config.dialect.layouts,
        )
        self._families = tuple(dict.fromkeys(sorted(family_of(each) for each in config.shared)))

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of the shared addresses; each gets its own advertisement and its own timer."""
        return self._families

    def compose(self, claim: Claim, sources: dict[Family, Address]) -> list[Outgoing]:
        """Return one signed advertisement a family, each with the next counter."""
        return [
            Outgoing(
                link=self._link,
                family=family,
                source=sources[family],
                destination=CARP_GROUPS[family],
                tos=self._dialect.tos,
                identification=self._dialect.identification,
                source_mac=self._mac,
                payload=wire.encode(self._sign(claim)),
            )
            for family in self._families
        ]

    def accepts(self, advert: wire.Advertisement) -> bool:
        """Say whether the digest is one that a peer of this vhid makes."""
        return self._signer.verify(advert.counter, advert.digest)

    def adopt(self, advert: wire.Advertisement) -> None:
        """Take over the counter of a peer's authentic advertisement."""
        self._counter.adopt(advert.counter)

    def is_echo(self, source: Address, own: Address | None) -> bool:
        """Say whether an authentic advertisement is our own, come back over a looping segment.

        Told by its source alone, so a host without an address (``own`` None) cannot tell. The digest would not do:
        it does not cover the source, and two hosts that have heard the same counter sign their next advertisement
        alike. Source: carp.md 4.4; only dialects that detect loops ask.
        """
        return self._dialect.drops_own_source and source == own

    def _sign(self, claim: Claim) -> wire.Advertisement:
        counter = self._counter.next()
        return wire.Advertisement(
            vhid=self._vhid,
            advbase=claim.advbase,
            advskew=claim.advskew,
            demote=claim.demote,
            counter=counter,
            digest=self._signer.sign(counter),
        )
