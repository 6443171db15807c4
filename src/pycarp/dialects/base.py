"""What a dialect is: one frozen value whose fields are the questions on which real systems disagree.

The core receives a ``Dialect`` and never compares its name. Adding one means one file beside this one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from pycarp.auth.digest import DigestLayout
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW, Address, MacAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an advertisement asserts: how often its sender speaks and how demoted it feels.

    advbase is whole seconds (0-255), advskew counts 1/256 s (0-255), demote is OpenBSD's octet (0-255).
    """

    advbase: int
    advskew: int
    demote: int = 0

    @property
    def interval_ns(self) -> int:
        """The advertisement interval; the smaller one wins."""
        return self.advbase * NS_PER_S + self.advskew * NS_PER_SKEW


class Verdict(Enum):
    """How our claim stands against a peer's."""

    STRONGER = "stronger"
    WEAKER = "weaker"
    TIE = "tie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """The circumstances in which a MASTER hears a claim equal to its own."""

    our_source: Address
    their_source: Address
    reign_ns: int
    """How long we have been MASTER."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """After ``failures`` send errors in a row a host is demoted, after ``successes`` in a row forgiven."""

    failures: int
    successes: int
    demotion: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpForm:
    """How a gratuitous ARP is written: target MAC zero or the owner's; request alone or reply as well."""

    own_target_mac: bool
    with_reply: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Ranges in which the dialect's hosts can be configured; ``addresses`` None means any number."""

    advskew_max: int
    addresses: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One way to speak CARP. Every field cites its source where a dialect sets it."""

    name: str
    """For people and configuration files; code never compares it."""

    layouts: tuple[DigestLayout, ...]
    """Signs with the first, accepts any."""

    claim: Callable[[int, int, int], Claim]
    """(advbase, advskew, total demotion) -> what is advertised, and what is compared with."""

    compare: Callable[[Claim, Claim], Verdict]
    """(ours, theirs); a total preorder."""

    keeps_on_tie: Callable[[Tie], bool]
    """Whether a MASTER stays one when it hears an equal claim."""

    master_down_ns: Callable[[int, int], int]
    """(advbase, advskew) -> how long a BACKUP waits for the next advertisement."""

    tolerated_ns: Callable[[int, int], int]
    """(advbase, advskew) -> a MASTER announcing a longer interval than this is taken over from at once."""

    bows_out: bool
    """Whether a MASTER that leaves says so with a 255/255 advertisement."""

    farewell: bool
    """Whether a MASTER sends one more ordinary advertisement before it yields."""

    announce_again_after: int | None
    """Repeat the announcement of a takeover with the n-th later advertisement; None for never."""

    reasserts: bool
    """Whether a MASTER announces its addresses again when it hears a weaker one."""

    drops_own_source: bool
    """Whether an advertisement from our own address is a looped one, to be ignored."""

    send_errors: ErrorBudget
    source_mac: Callable[[int], MacAddress]
    """vhid -> Ethernet source of advertisements."""

    tos: int
    identification: int | None
    """IP identification of advertisements; None: any number."""

    arp: ArpForm
    limits: Limits
