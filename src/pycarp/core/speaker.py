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

    __slots__ = ("_counter", "_dialect", "_families", "_last_digests", "_link", "_mac", "_signer", "_vhid")

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
        self._last_digests: tuple[bytes, ...] = ()

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of the shared addresses; each gets its own advertisement and its own timer."""
        return self._families

    def compose(self, claim: Claim, sources: dict[Family, Address]) -> list[Outgoing]:
        """Return one signed advertisement a family, each with the next counter."""
        adverts = [self._sign(claim) for _ in self._families]
        self._last_digests = tuple(each.digest for each in adverts)
        return [
            Outgoing(
                link=self._link,
                family=family,
                source=sources[family],
                destination=CARP_GROUPS[family],
                tos=self._dialect.tos,
                identification=self._dialect.identification,
                source_mac=self._mac,
                payload=wire.encode(advert),
            )
            for family, advert in zip(self._families, adverts, strict=True)
        ]

    def accepts(self, advert: wire.Advertisement) -> bool:
        """Say whether the digest is one that a peer of this vhid makes; adopt the counter if so."""
        if not self._signer.verify(advert.counter, advert.digest):
            return False
        if advert.digest not in self._last_digests:
            self._counter.adopt(advert.counter)
        return True

    def is_echo(self, advert: wire.Advertisement, source: Address, own: Address | None) -> bool:
        """Say whether an authentic advertisement is our own, come back over a looping segment.

        Either it is the very packet we sent last, or it comes from our own address (``own`` None: we have none). Source:
        carp.md 4.4; only dialects that detect loops ask.
        """
        return self._dialect.drops_own_source and (advert.digest in self._last_digests or source == own)

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
