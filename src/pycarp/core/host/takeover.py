"""The hand-shake with which a new MASTER makes sure that nobody else holds the addresses.

A host that becomes MASTER advertises at once, whatever follows: that makes every weaker or silent MASTER yield. When it
may put the addresses on its interface is another question, because two hosts that answer for one address are worse than
none for some milliseconds. Kernels do not ask it; dialect ``universal`` does (its ``yield_grace_ns`` is not 0).

Who else may hold the addresses?

- **A MASTER that we relieve** (by preempting, by command, because it advertises too slowly). It hears us, drops, and
  then says so: its last advertisement answers our counter (``Reply.FAREWELL``), which nobody could
  have sent before, and which no second or duplicated packet of the old MASTER is mistaken for. We wait for it, at
  most ``yield_grace_ns``: a kernel drops at once and says nothing.
- **Every other peer heard lately that has not said that it left.** A third host may have relieved the second one while
  that is still waiting for the first one to drop.
- **A host that takes over in the same moment**, because it heard the same bow-out or the same silence. We listen for
  ``takeover_listen_ns``, longer than an advertisement travels. The stronger claim is heard in that time, and the
  weaker host yields without ever having held anything.

Equal claims need more care, because the two kinds of peers settle them differently. A BSD that hears an equal claim
yields, whoever sent it. A pycarp host, like ucarp, compares the source addresses. If both advertisements cross and
the host with the losing address yields at once, then beside a BSD both yield, and after a master-down time they
collide again. So during the hand-shake the host with the losing address does not yield. It waits (``TIED``) for up to
``yield_grace_ns``, and advertises once more when it begins to wait: the other one may have heard the first
advertisement before it was MASTER itself. The host with the winning address answers the equal claim
(``Reply.ANSWER``: "I heard you, and stay"), and that ends the tie: the waiting host yields. If no answer comes, the
other one was a BSD and has yielded.

A MASTER that holds the addresses for less than ``TIE_GRACE_NS`` answers an equal claim as well, whatever its address:
the other one may be a BSD whose advertisement crossed ours, and yields. If it is a pycarp host with the winning
address, it answers in turn, and we yield to that. Among pycarp hosts the winning address always prevails, with any
number of them.

``OUTCOMES`` is the table of all this. "Wins" and "loses" are the dialect's rule on ties, by address.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from pycarp.auth.reply import Reply
from pycarp.core.advertisement_codec import source_for
from pycarp.core.host.context import Context
from pycarp.core.host.decision import Decision, live_masters
from pycarp.core.host.states import Master, Stage, Takeover
from pycarp.core.inputs import AdvertisementReceived
from pycarp.dialects.base import Claim, Tie, Verdict
from pycarp.vocabulary import NS_PER_S, Address

TIE_GRACE_NS = NS_PER_S // 10
"""How long after a takeover an equal claim comes from a host that took over just now."""

_LARGEST_ADVSKEW = 254
_LARGEST_ADVBASE = 255


class Heard(Enum):
    """What a MASTER hears of another one that is no stronger than itself."""

    WEAKER = "a weaker claim"
    EQUAL_WINS = "an equal claim; our address wins"
    EQUAL_LOSES = "an equal claim; our address loses"
    ANSWER_WINS = "an equal claim that answers ours; our address wins"
    ANSWER_LOSES = "an equal claim that answers ours; our address loses"


class Outcome(NamedTuple):
    """What follows: the next stage (None to yield), whether to answer, and the decision."""

    stage: Stage | None
    answers: bool
    decision: Decision


_TIE_LOST = Outcome(None, False, Decision.TIE_LOST)

OUTCOMES: Mapping[tuple[Stage, Heard], Outcome] = {
    (Stage.LISTENING, Heard.WEAKER): Outcome(Stage.AWAITING, True, Decision.STAYS_MASTER),
    (Stage.LISTENING, Heard.EQUAL_WINS): Outcome(Stage.AWAITING, True, Decision.TIE_WON),
    (Stage.LISTENING, Heard.EQUAL_LOSES): Outcome(Stage.TIED, False, Decision.TIE_OPEN),
    (Stage.LISTENING, Heard.ANSWER_WINS): Outcome(Stage.AWAITING, True, Decision.TIE_WON),
    (Stage.LISTENING, Heard.ANSWER_LOSES): _TIE_LOST,
    (Stage.AWAITING, Heard.WEAKER): Outcome(Stage.AWAITING, True, Decision.STAYS_MASTER),
    (Stage.AWAITING, Heard.EQUAL_WINS): Outcome(Stage.AWAITING, True, Decision.TIE_WON),
    (Stage.AWAITING, Heard.EQUAL_LOSES): Outcome(Stage.TIED, False, Decision.TIE_OPEN),
    (Stage.AWAITING, Heard.ANSWER_WINS): Outcome(Stage.AWAITING, True, Decision.TIE_WON),
    (Stage.AWAITING, Heard.ANSWER_LOSES): _TIE_LOST,
    (Stage.TIED, Heard.WEAKER): Outcome(Stage.TIED, True, Decision.STAYS_MASTER),
    (Stage.TIED, Heard.EQUAL_WINS): Outcome(Stage.TIED, True, Decision.TIE_WON),
    # A duplicate, or the advertisement of the other family: neither is an answer.
    (Stage.TIED, Heard.EQUAL_LOSES): Outcome(Stage.TIED, False, Decision.TIE_OPEN),
    (Stage.TIED, Heard.ANSWER_WINS): Outcome(Stage.TIED, True, Decision.TIE_WON),
    (Stage.TIED, Heard.ANSWER_LOSES): _TIE_LOST,
    (Stage.HOLDING, Heard.WEAKER): Outcome(Stage.HOLDING, True, Decision.STAYS_MASTER),
    (Stage.HOLDING, Heard.EQUAL_WINS): Outcome(Stage.HOLDING, True, Decision.TIE_WON),
    (Stage.HOLDING, Heard.EQUAL_LOSES): Outcome(Stage.HOLDING, True, Decision.TIE_WON),
    (Stage.HOLDING, Heard.ANSWER_WINS): Outcome(Stage.HOLDING, True, Decision.TIE_WON),
    (Stage.HOLDING, Heard.ANSWER_LOSES): _TIE_LOST,
    (Stage.HELD, Heard.WEAKER): Outcome(Stage.HELD, True, Decision.STAYS_MASTER),
    (Stage.HELD, Heard.EQUAL_WINS): Outcome(Stage.HELD, True, Decision.TIE_WON),
    (Stage.HELD, Heard.EQUAL_LOSES): _TIE_LOST,
    (Stage.HELD, Heard.ANSWER_WINS): Outcome(Stage.HELD, True, Decision.TIE_WON),
    (Stage.HELD, Heard.ANSWER_LOSES): _TIE_LOST,
}
"""Total, and tested to be. A MASTER younger than ``TIE_GRACE_NS`` that holds the addresses counts as ``HOLDING``."""


def begin(ctx: Context, *, doubted: Address | None = None) -> Takeover:
    """Return the hand-shake of a host that becomes MASTER now.

    ``doubted`` is a source that may still be MASTER although it said that it left.
    """
    dialect, now_ns = ctx.config.dialect, ctx.now_ns
    if not dialect.yield_grace_ns:
        return Takeover()
    awaited = {peer.source for peer in live_masters(ctx.peers, now_ns, ctx.config.master_down_ns)}
    if doubted is not None:
        awaited.add(doubted)
    if awaited:
        return Takeover(Stage.AWAITING, now_ns + dialect.yield_grace_ns, awaited)
    return Takeover(Stage.LISTENING, now_ns + dialect.takeover_listen_ns)


def outcome_of(ctx: Context, master: Master, event: AdvertisementReceived, verdict: Verdict) -> Outcome:
    """Return what follows for a MASTER from an advertisement that is not stronger than its own."""
    wins = verdict is not Verdict.TIE or ctx.config.dialect.keeps_on_tie(
        Tie(our_source=source_for(event.source, ctx.environment.own), their_source=event.source)
    )
    if not ctx.config.dialect.yield_grace_ns:
        kept = Decision.TIE_WON if verdict is Verdict.TIE else Decision.STAYS_MASTER
        return Outcome(Stage.HELD, ctx.config.dialect.answers_weaker, kept) if wins else _TIE_LOST
    heard = Heard.WEAKER
    if verdict is Verdict.TIE:
        is_answer = event.reply is Reply.ANSWER
        winning, losing = (
            (Heard.ANSWER_WINS, Heard.ANSWER_LOSES) if is_answer else (Heard.EQUAL_WINS, Heard.EQUAL_LOSES)
        )
        heard = winning if wins else losing
    stage = master.takeover.stage
    if stage is Stage.HELD and ctx.now_ns - master.since_ns < TIE_GRACE_NS:
        stage = Stage.HOLDING
    return OUTCOMES[stage, heard]


def await_drop(ctx: Context, master: Master, source: Address, stage: Stage) -> None:
    """Give another MASTER the time to drop the addresses, if they are not asked for yet.

    The time counts from the takeover, so that strangers cannot put it off for ever.
    """
    takeover = master.takeover
    if takeover.is_pending:
        takeover.stage = stage
        takeover.awaited.add(source)
        takeover.hold_at_ns = master.since_ns + ctx.config.dialect.yield_grace_ns


def sender_left(ctx: Context, master: Master, source: Address) -> None:
    """Hold the addresses once every other MASTER has dropped them, but not before the others were listened for."""
    takeover = master.takeover
    takeover.awaited.discard(source)
    if takeover.is_pending and not takeover.awaited:
        takeover.stage = Stage.LISTENING
        takeover.hold_at_ns = max(ctx.now_ns, master.since_ns + ctx.config.dialect.takeover_listen_ns)
        master.answering.at_ns = None


def weaker_than(claim: Claim) -> Claim | None:
    """Return the strongest claim that is weaker than a winner's, with its demote octet; None if there is none."""
    if claim.advskew < _LARGEST_ADVSKEW:
        return Claim(advbase=claim.advbase, advskew=claim.advskew + 1, demote=claim.demote)
    if claim.advbase < _LARGEST_ADVBASE:
        return Claim(advbase=claim.advbase + 1, advskew=0, demote=claim.demote)
    return None
