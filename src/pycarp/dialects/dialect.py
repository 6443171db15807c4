"""A dialect: one frozen value whose fields are the questions on which real systems disagree.

The core receives a ``Dialect`` and never compares its name. A new dialect is one more file beside this one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

import msgspec

from pycarp.auth.counter import CounterMode
from pycarp.auth.digest import DigestLayout, HashOrder
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW, Address, Family, MacAddress
from pycarp.wire.advertisement import ChecksumForm

_BOW_OUT = 255
LAST_ADVBASE = 255
_LAST_DEMOTE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an advertisement claims: how often its sender advertises, and how far it is demoted.

    advbase is whole seconds (0-255), advskew counts 1/256 s (0-255), demote is OpenBSD's octet (0-255).
    """

    advbase: int
    advskew: int
    demote: int = 0
    interval_ns: int = field(init=False, repr=False, compare=False)
    """The advertisement interval; the smaller one wins. 0/0 means 1/256 s, as OpenBSD reads it (carp.md 5.2)."""
    is_bow_out: bool = field(init=False, repr=False, compare=False)
    """Whether it says that its sender leaves: 255/255, whatever the demote octet (carp.md 5.3, 15)."""

    def __post_init__(self) -> None:
        interval_ns = self.advbase * NS_PER_S + self.advskew * NS_PER_SKEW or NS_PER_SKEW
        object.__setattr__(self, "interval_ns", interval_ns)
        object.__setattr__(self, "is_bow_out", self.advbase == self.advskew == _BOW_OUT)

    @property
    def is_last(self) -> bool:
        """Whether its sender leaves the addresses to any other host, see ``last_claim``."""
        return self.advbase == LAST_ADVBASE and self.demote == _LAST_DEMOTE and not self.is_bow_out


def last_claim(claim: Claim) -> Claim:
    """Return the claim of a MASTER that leaves the addresses to any other host, and holds them until one takes over.

    With advbase 255 it claims an interval of more than 255 s. Every BACKUP takes over from a MASTER that slow, whether
    or not it preempts (carp.md 5.1). OpenBSD takes over because of the demote octet (carp.md 5.1, 6.4). The advskew
    keeps several such hosts in order.
    """
    return Claim(advbase=LAST_ADVBASE, advskew=min(claim.advskew, 254), demote=_LAST_DEMOTE)


@lru_cache(maxsize=4096)
def claim_of(advbase: int, advskew: int, demote: int) -> Claim:
    """Return a claim, the same object for the same numbers: peers repeat theirs every second."""
    return Claim(advbase=advbase, advskew=advskew, demote=demote)


class Verdict(Enum):
    """How our claim stands against a peer's."""

    STRONGER = "stronger"
    WEAKER = "weaker"
    TIE = "tie"


class Tie(msgspec.Struct, frozen=True, kw_only=True):
    """The source addresses by which a dialect settles a tie, when a MASTER hears a claim equal to its own."""

    our_source: Address
    their_source: Address


class ErrorBudget(msgspec.Struct, frozen=True, kw_only=True):
    """After ``failures`` send errors in a row a host demotes its node, after ``successes`` in a row this ends.

    ``times_hosts`` multiplies the failures by the number of virtual hosts on the link.
    """

    failures: int
    successes: int
    demotion: int
    times_hosts: bool = False


class TtlRule(Enum):
    """When an advertisement must have a TTL or hop limit of 255."""

    ALWAYS = "always"
    NOT_WITH_PEERS = "unless a peer is configured"
    """Not if the host has a peer in the packet's family, whatever the source and destination."""

    NOT_FROM_PEERS = "unless from a peer"
    """Not if one of the host's peers sent it, whatever the destination: the peer may be behind routers."""


class DestinationRule(Enum):
    """Which destination addresses a host listens to."""

    ANY = "any"
    """The group and our own addresses, whatever is configured."""

    GROUP_OR_PEER = "group, or our own if peers are configured"
    KIND = "our own if peers are configured, else the group"
    GROUP_ONLY = "exactly the group"


class Farewell(Enum):
    """When a MASTER that yields to another sends one more ordinary advertisement."""

    NONE = "no"
    BEFORE = "before it yields"
    DROPPED = "when it has dropped"
    """As the reply to the MASTER to which it yields, see ``core/host/takeover.py``."""


class AddressMac(Enum):
    """Which MAC address answers for the shared addresses."""

    VIRTUAL = "virtual"
    REAL = "real"


class ArpForm(msgspec.Struct, frozen=True, kw_only=True):
    """How a takeover is announced.

    The target MAC of a gratuitous ARP is zero or the owner's; its Ethernet source is the owner's MAC or, with
    ``link_source``, the link's own; request alone or reply as well. The owner is the MAC address that answers.
    """

    own_target_mac: bool
    link_source: bool
    with_reply: bool


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds for the configuration of a dialect's hosts; None means no bound.

    ``peers`` is how many unicast peers a host may have in each of ``peer_families``. ``has_own_group`` says whether the
    multicast group can be chosen, ``has_dead_ratio`` whether the 3 of the master-down time can.
    """

    advbase_min: int = 1
    advskew_max: int = 254
    addresses: int | None = None
    families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)
    key_octets: int = 19
    peers: int | None = None
    peer_families: tuple[Family, ...] = ()
    has_own_group: bool = False
    has_dead_ratio: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Dialect:
    """One way to speak CARP. Every field cites its source where a dialect sets it.

    The numbers behind the fields are those of the knobs in ``docs/reference/dialects.md``.
    """

    name: str
    """For people and configuration files; code never compares it."""

    # Signing

    hash_order: HashOrder
    """In which order the shared addresses are signed (1)."""

    layouts: tuple[DigestLayout, ...]
    """The layouts that a host accepts (3); it signs with the first (2)."""

    signs_lladdr: bool
    """Whether a link-layer address that an administrator set is signed (4)."""

    limits: Limits
    """Numbers, families, key length, unicast (5, 6, 16, 25)."""

    counter: CounterMode
    """How the counter changes, and whether receiving our own means a loop (7)."""

    v6_checksum: ChecksumForm | None
    """What the checksum of an IPv6 advertisement covers; receivers accept either. None: the dialect has no IPv6 (8)."""

    # Election

    claim: Callable[[int, int, int], Claim]
    """(advbase, advskew, total demotion) -> the claim to advertise and to compare, with the demote octet (9, 10)."""

    compare: Callable[[Claim, Claim], Verdict]
    """(ours, theirs); a total preorder (11, 12)."""

    keeps_on_tie: Callable[[Tie], bool]
    """Whether a MASTER stays one when it hears an equal claim (11)."""

    preempts_demoted: bool
    """Whether a BACKUP takes over from a MASTER with a greater demote octet, even without preempt (12)."""

    advertises_recovery: bool
    """Whether a MASTER advertises at once when a demotion ends; it always does when one begins."""

    master_down_ns: Callable[[int, int, int], int]
    """(advbase, advskew, dead ratio) -> how long a BACKUP waits for the next advertisement (13)."""

    tolerated_ns: Callable[[int, int, int], int]
    """(advbase, advskew, dead ratio) -> the longest interval of a MASTER; a BACKUP takes over from a slower one."""

    bow_out: Claim | None
    """The claim of the last advertisement of a MASTER that leaves: 255/255; None: it leaves silently (14)."""

    farewell: Farewell
    """When a MASTER that yields sends one more ordinary advertisement (14)."""

    # Sending and listening

    source_mac: Callable[[int], MacAddress]
    """vhid -> the Ethernet source of advertisements to a group; those to a peer have the link's own (15)."""

    ttl: TtlRule
    """When a TTL other than 255 is refused (17)."""

    destination: DestinationRule
    """Which destination addresses are listened to (18)."""

    tos: int
    """The type of service or traffic class of advertisements (19)."""

    identification: int | None
    """IP identification of advertisements; None: any number (20)."""

    drops_own_source: bool
    """Whether an advertisement from our own address counts as looped and is dropped. Source: carp.md 4.4."""

    vrrp3: bool
    """Whether its systems also speak VRRPv3, so that they do not count version 3 as a bad packet (27)."""

    # Takeover

    address_mac: AddressMac
    """Which MAC address answers for the shared addresses on its systems (21)."""

    arp: ArpForm
    """How a takeover is announced (22)."""

    arp_again: ArpForm | None = None
    """How the announcement is repeated, when another host may have taken over meanwhile; None: in the same form."""

    announce_again_after: int | None
    """With which later advertisement the announcement of a takeover is repeated; None for never (23)."""

    reasserts: bool
    """Whether a MASTER announces its addresses again when it hears a weaker one (23)."""

    answers_weaker: bool
    """Whether a MASTER advertises at once when it hears a weaker one, so that the other yields without delay."""

    yield_grace_ns: int
    """How long a new MASTER waits for the old one to drop the addresses, before it holds them itself."""

    takeover_listen_ns: int
    """How long a new MASTER listens before it holds the addresses: all that heard a bow-out take over at once."""

    defers_to_better_master: bool
    """Whether a BACKUP ignores a weaker MASTER while it hears a better one."""

    announce_every_s: int
    """How often a MASTER announces its addresses while nothing happens; 0 for never."""

    drops_at_start: bool
    """Whether a host drops the addresses when it starts, in case a predecessor left them (26)."""

    # Trouble

    unknown_link_is_up: bool
    """Whether a link that is up but does not say whether it carries counts as up (24)."""

    needs_allow: bool
    """Whether ``net.inet.carp.allow`` 0 sends its hosts to INIT; otherwise they only ignore advertisements (28)."""

    send_errors: ErrorBudget
    link_down_demotion: int
    """What a virtual host on a link that is down adds to the demotion of its node. Source: carp.md section 6."""

    def __hash__(self) -> int:
        # Forty fields would take longer than what is kept for a dialect saves; hardly two have one name.
        return hash(self.name)

    def __repr__(self) -> str:
        # Each configuration shows its dialect, whose forty fields would hide all else.
        return f"<dialect {self.name}>"
