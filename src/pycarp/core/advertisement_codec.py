"""The codec of one virtual host: it turns claims into signed datagrams, and datagrams into authentic claims.

When the shared addresses or the passphrase change, every host of the vhid must change them, and they cannot do so at
the same instant. After a change the codec therefore signs the previous way for one rolling time, or until a peer signs
the new way. It accepts both ways for two rolling times. Hosts that are changed within one rolling time of each other
therefore never miss an advertisement.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from itertools import pairwise

import msgspec
from msgspec.structs import replace

from pycarp.auth.counter import counter_of
from pycarp.auth.counter_prediction import Chain, CounterPrediction, Freshness
from pycarp.auth.digest import DigestLayout, Signer
from pycarp.auth.reply import Reply
from pycarp.core.host.decision import Peer
from pycarp.core.host_config import HostConfig
from pycarp.dialects.dialect import Claim
from pycarp.vocabulary import ANY_ADDRESS, Address, Family, MacAddress, Outgoing, family_of
from pycarp.wire import advertisement as wire
from pycarp.wire import ethernet

_COUNTER, _DIGEST = slice(8, 16), slice(16, 36)

_SENT_MAX = 32
"""Own advertisements that a reply may refer to: a host that stalled answers an old one."""

_NONE_SENT: deque[int] = deque(maxlen=0)
"""What all hosts have that have sent nothing: an empty queue takes 0.6 KiB."""

_ANSWERABLE_MAX = 4
"""The last own advertisements whose replies pass the packet filter of a flood."""

_UNHEARD_MAX = 4
"""Own advertisements in a row that a peer may have missed before it continues our counter."""


class PreviousKeyCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A ``_PreviousKey`` without its signer, which follows from the settings."""

    config: HostConfig
    speaks_until_ns: int
    heard_until_ns: int
    is_past: bool = False


class CodecCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a codec beside its settings: its counter, its peers' counters, its previous keys, oldest first."""

    counter: int | None
    previous_keys: tuple[PreviousKeyCheckpoint, ...] = ()
    chains: tuple[Chain, ...] = ()
    sent: tuple[int, ...] = ()


@dataclass(slots=True)
class _PreviousKey:
    """Settings and signer from before a change; ``is_past`` says that a peer has signed a newer way.

    The host signs with it before ``speaks_until_ns``, and accepts what it signs before ``heard_until_ns``.
    """

    config: HostConfig
    signer: Signer
    speaks_until_ns: int
    heard_until_ns: int
    is_past: bool = False


class Expected(msgspec.Struct, frozen=True):
    """The digests of the advertisements that may come next, and of those that peers repeat."""

    upcoming: tuple[bytes, ...] = ()
    repeated: tuple[bytes, ...] = ()


class _Draft(msgspec.Struct, frozen=True, kw_only=True):
    """The advertisements of a host but for what changes with the counter, and what they were made of."""

    claim: Claim
    own: Sequence[Address]
    config: HostConfig
    owns: bool
    head: bytes
    families: tuple[tuple[Family, tuple[Outgoing, ...]], ...]


class AdvertisementCodec:
    """Composes and authenticates the advertisements of one host; owns its signer and counter."""

    __slots__ = (
        "_config",
        "_counter",
        "_dialect",
        "_draft",
        "_entropy",
        "_expected",
        "_mac",
        "_prediction",
        "_previous_keys",
        "_sent",
        "_signer",
    )

    def __init__(
        self, config: HostConfig, entropy: Callable[[], int], checkpoint: CodecCheckpoint | None = None
    ) -> None:
        """Start without history, or continue from the ``checkpoint`` of another codec."""
        self._config = config
        self._entropy = entropy
        self._dialect = config.dialect
        self._mac = config.dialect.source_mac(config.vhid)
        self._counter = counter_of(config.dialect.counter, entropy, checkpoint.counter if checkpoint else None)
        self._signer = signer_of(config)
        self._previous_keys = [
            _PreviousKey(each.config, signer_of(each.config), each.speaks_until_ns, each.heard_until_ns, each.is_past)
            for each in (checkpoint.previous_keys if checkpoint else ())
        ]
        self._prediction = CounterPrediction(checkpoint.chains if checkpoint else ())
        self._expected: tuple[object, Expected] = (None, Expected())
        self._draft: _Draft | None = None
        self._sent = deque(checkpoint.sent, maxlen=_SENT_MAX) if checkpoint and checkpoint.sent else _NONE_SENT

    def checkpoint(self) -> CodecCheckpoint:
        """Return what another codec of the same settings needs to continue."""
        return CodecCheckpoint(
            counter=self._counter.remembered,
            previous_keys=tuple(
                PreviousKeyCheckpoint(
                    config=each.config,
                    speaks_until_ns=each.speaks_until_ns,
                    heard_until_ns=each.heard_until_ns,
                    is_past=each.is_past,
                )
                for each in self._previous_keys
            )
            if self._previous_keys
            else (),
            chains=self._prediction.checkpoint(),
            sent=tuple(self._sent),
        )

    def reconfigure(self, config: HostConfig, now_ns: int, *, rolling_ns: int) -> None:
        """Use other settings from now on; if what is signed changes, sign by the previous ones for ``rolling_ns``."""
        before, self._config = self._config, config
        self._draft = None
        if _what_is_signed(config) == _what_is_signed(before):
            return
        if rolling_ns:
            # Oldest first: a second change may come before every host has made the first one.
            self._previous_keys.append(_PreviousKey(before, self._signer, now_ns + rolling_ns, now_ns + 2 * rolling_ns))
        else:
            self._previous_keys.clear()
        self._signer = signer_of(config)

    def awaited(self, now_ns: int) -> tuple[Family, ...]:
        """Return the families in which peers advertise: by the oldest settings that they may still use."""
        self._forget_previous_keys(now_ns)
        ways = [previous_key.config for previous_key in self._previous_keys if not previous_key.is_past]
        return (*ways, self._config)[0].families

    @property
    def is_rolling(self) -> bool:
        """Whether what was signed before a change is still accepted."""
        return bool(self._previous_keys)

    def listens_in(self, family: Family) -> bool:
        """Return True if peers may advertise in a family, by the present settings or by previous ones."""
        return family in self._config.families or any(family in each.config.families for each in self._previous_keys)

    def begin_mastership(self) -> None:
        """Forget the counters of the previous mastership, to which no reply counts any more."""
        self._sent = _NONE_SENT

    def compose(
        self, claim: Claim, own: Sequence[Address], now_ns: int, *, counter: int | None = None, owns: bool = True
    ) -> list[Outgoing]:
        """Return one signed advertisement per family and destination; each family has the next counter.

        ``own`` are the link's addresses that no host shares, in the order of preference. With a ``counter`` every
        family has that one: the advertisements are replies. Only a host that ``owns`` the addresses sends from the
        virtual MAC, because a switch learns its port from that. Source: carp.md section 12.
        """
        if counter is not None:
            (self._begin_sending() if self._sent is _NONE_SENT else self._sent).append(counter)
        return self.composed(claim, own, now_ns, counter, owns=owns)

    def composed(
        self, claim: Claim, own: Sequence[Address], now_ns: int, counter: int | None = None, *, owns: bool
    ) -> list[Outgoing]:
        """Return what ``compose`` does, but remember no ``counter``; None stands for the next one of this host."""
        config, signer = self._present_signing(now_ns) if self._previous_keys else (self._config, self._signer)
        draft = self._draft
        # Compared by identity, because a host keeps the same objects.
        if (
            draft is None
            or draft.claim is not claim
            or draft.own is not own
            or draft.config is not config
            or draft.owns is not owns
        ):
            draft = self._draft = self._drafted(claim, own, config, owns=owns)
        outgoing = []
        sent = self._sent if self._sent is not _NONE_SENT or counter is not None else self._begin_sending()
        for family, unsigned in draft.families:
            if counter is None:
                number = self._counter.next()
                sent.append(number)
            else:
                number = counter
            digest, payload = signer.sign(number), b""
            for each in unsigned:
                if not payload or family is Family.IPV6:
                    pseudo_header = self._pseudo_header(each.source, each.destination) if family is Family.IPV6 else b""
                    payload = wire.signed(draft.head, number, digest, pseudo_header=pseudo_header)
                outgoing.append(replace(each, payload=payload))
        return outgoing

    def _begin_sending(self) -> deque[int]:
        self._sent = deque(maxlen=_SENT_MAX)
        return self._sent

    def _drafted(self, claim: Claim, own: Sequence[Address], config: HostConfig, *, owns: bool) -> "_Draft":
        source_mac = self._mac if owns else None
        destinations = self._config.destinations
        return _Draft(
            claim=claim,
            own=own,
            config=config,
            owns=owns,
            head=wire.head_of(config.vhid, claim.advbase, claim.advskew, claim.demote),
            families=tuple(
                (family, tuple(self._unsigned(family, each, own, source_mac) for each in destinations[family]))
                for family in config.families
            ),
        )

    def compose_clean_up_plan(self, claim: Claim, own: Sequence[Address], now_ns: int) -> tuple[Outgoing, ...]:
        """Return prepared packets for the guardian; they use up no counter."""
        return tuple(self.composed(claim, own, now_ns, self._counter.peek(), owns=False))

    def jittered(self, span_ns: int) -> int:
        """Return ``span_ns`` shortened at random by up to a quarter, so that hosts do not synchronise."""
        return span_ns - self._entropy() % (span_ns // 4)

    def accepts(self, advert: wire.Advertisement, now_ns: int) -> bool:
        """Return True if the digest fits the present settings, or previous ones that still count."""
        if self._signer.verify(advert.counter, advert.digest):
            return True
        return any(
            now_ns < previous_key.heard_until_ns and previous_key.signer.verify(advert.counter, advert.digest)
            for previous_key in self._previous_keys
        )

    def hears_next(self, counter: int, payload: bytes) -> Freshness | None:
        """Accept an advertisement if it is authentic and continues a series of counters; return None for any other.

        None changes nothing; the caller then calls ``accepts`` and ``identify``.
        """
        if self._previous_keys or not self._signer.verify_octets(payload[_COUNTER], payload[_DIGEST]):
            return None
        freshness = self._prediction.follow(counter)
        if freshness is Freshness.UNEXPECTED:
            return None
        self._counter.adopt(counter)
        return freshness

    def identify(self, advert: wire.Advertisement, peers: Iterable[Peer]) -> Freshness | Reply:
        """Return what the counter of an authentic advertisement shows: its freshness, or which reply it is.

        A reply refers to one of our own advertisements; a farewell may also refer to one of another peer. The codec
        adopts every counter that is no reply, and stops signing the previous way once a peer signs a newer way.
        """
        counter = advert.counter
        if self._previous_keys:
            self._adopt_signing(advert)
        freshness = self._prediction.follow(counter)
        if freshness is Freshness.UNEXPECTED:
            reply = self._reply_of(counter, peers) if self._dialect.yield_grace_ns else None
            if reply is not None:
                return reply
            if self._prediction.is_late(counter):
                # Adopted, it would make our next advertisement the same as the last: a peer would take it for a copy.
                return freshness
            self._prediction.begin(counter)
            if self._continues_ours(counter):
                freshness = Freshness.NEXT
        self._counter.adopt(counter)
        return freshness

    def _reply_of(self, counter: int, peers: Iterable[Peer]) -> Reply | None:
        for reply in Reply:
            if reply.answered(counter) in self._sent:
                return reply
        farewell_to = Reply.FAREWELL.answered(counter)
        return Reply.FAREWELL if any(peer.counter == farewell_to for peer in peers) else None

    def _continues_ours(self, counter: int) -> bool:
        """Return True if a peer continues our counter, even if it missed our last ``_UNHEARD_MAX`` advertisements."""
        upcoming = self._counter.upcoming(1)
        return bool(upcoming) and abs(counter - upcoming[0]) <= _UNHEARD_MAX

    def _adopt_signing(self, advert: wire.Advertisement) -> None:
        for older, newer in pairwise([*(previous_key.signer for previous_key in self._previous_keys), self._signer]):
            if newer.verify(advert.counter, advert.digest):
                self._stop_signing_before(older)
                return

    def expected(self, count: int) -> Expected:
        """Return the digests of the next ``count`` advertisements of each peer; computed again only on a change."""
        signers = (self._signer, *(previous_key.signer for previous_key in self._previous_keys))
        replies = tuple(reply.to(number) for number in list(self._sent)[-_ANSWERABLE_MAX:] for reply in Reply)
        upcoming = dict.fromkeys((*self._prediction.upcoming(count), *self._counter.upcoming(count), *replies))
        what = (signers, tuple(upcoming), self._prediction.repeated())
        if what != self._expected[0]:
            self._expected = (what, Expected(_digests(signers, upcoming), _digests(signers, what[2])))
        return self._expected[1]

    def _stop_signing_before(self, last: Signer) -> None:
        for previous_key in self._previous_keys:
            previous_key.speaks_until_ns = 0
            previous_key.is_past = True
            if previous_key.signer is last:
                return

    def is_own_counter(self, advert: wire.Advertisement) -> bool:
        """Return True if an authentic advertisement has our constant counter. Source: OpenBSD, carp.md 4.2."""
        return self._counter.is_own(advert.counter)

    def _present_signing(self, now_ns: int) -> tuple[HostConfig, Signer]:
        """Return the settings and the signer with which the host advertises now."""
        self._forget_previous_keys(now_ns)
        for previous_key in self._previous_keys:
            if now_ns < previous_key.speaks_until_ns:
                return previous_key.config, previous_key.signer
        return self._config, self._signer

    def _forget_previous_keys(self, now_ns: int) -> None:
        if self._previous_keys:
            self._previous_keys = [
                previous_key for previous_key in self._previous_keys if now_ns < previous_key.heard_until_ns
            ]

    def _unsigned(
        self, family: Family, destination: Address, own: Sequence[Address], source_mac: MacAddress | None
    ) -> Outgoing:
        is_to_group = destination.is_multicast
        return Outgoing(
            link=self._config.interface,
            family=family,
            source=source_for(destination, own),
            destination=destination,
            tos=self._dialect.tos,
            identification=self._dialect.identification,
            source_mac=source_mac if is_to_group else None,
            destination_mac=ethernet.BROADCAST if self._config.broadcasts and is_to_group else None,
            payload=b"",
        )

    def _pseudo_header(self, source: Address, destination: Address) -> bytes:
        if self._dialect.v6_checksum is not wire.ChecksumForm.PSEUDO:
            return b""
        if not isinstance(source, IPv6Address) or not isinstance(destination, IPv6Address):
            return b""
        return wire.pseudo_header_of(source, destination)


def source_for(destination: Address, own: Sequence[Address]) -> Address:
    """Return the first own address of the destination's family, or the unspecified one.

    An IPv6 link-local address is no source for a peer that may be behind a router, if there is another.
    """
    family = family_of(destination)
    usable = [each for each in own if each.version == family]
    if not (destination.is_multicast or destination.is_link_local):
        usable.sort(key=lambda each: each.is_link_local)
    return usable[0] if usable else ANY_ADDRESS[family]


def signer_of(config: HostConfig, layouts: tuple[DigestLayout, ...] = ()) -> Signer:
    """Return the signer of a host, with ``layouts`` or those of its dialect."""
    return Signer(
        passphrase=config.passphrase,
        vhid=config.vhid,
        addresses=[each.ip for each in config.addresses],
        layouts=layouts or config.dialect.layouts,
        order=config.dialect.hash_order,
        lladdr=config.lladdr if config.dialect.signs_lladdr else None,
    )


def _digests(signers: Sequence[Signer], counters: Iterable[int]) -> tuple[bytes, ...]:
    return tuple(digest for counter in counters for signer in signers for digest in signer.acceptable(counter))


def _what_is_signed(config: HostConfig) -> tuple[object, ...]:
    return config.passphrase, config.lladdr, [each.ip for each in config.addresses]
