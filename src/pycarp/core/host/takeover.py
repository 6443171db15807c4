"""The hand-shake of a takeover: a new MASTER waits until no other host can hold the addresses.

A host that becomes MASTER advertises at once, which makes every weaker or silent MASTER yield. It adds the addresses to
its interface later, because two hosts that answer for one address are worse than none for some milliseconds. Kernels do
not wait; dialect ``universal`` does (its ``yield_grace_ns`` is not 0).

Three kinds of hosts may hold the addresses:

- **The old MASTER**, which we preempt, replace by command, or replace because it advertises too slowly. It receives our
  advertisement, drops its addresses, then sends a farewell: a last advertisement that answers our counter
  (``Reply.FAREWELL``). It could not have sent the farewell before, and no duplicated packet of it looks like one. We
  wait for the farewell for ``yield_grace_ns`` at most: a kernel drops at once and sends none.
- **Every other peer that we heard lately and that has not left.** A third host may have taken over from the second one
  while the second one still waits for the first one to drop.
- **A host that takes over in the same moment**, because it heard the same bow-out or the same silence. We listen for
  ``takeover_listen_ns``, which is longer than an advertisement travels. In that time both hosts receive each other's
  claims, and the weaker host yields before it has held the addresses.

Equal claims need more care, because BSDs and pycarp settle them differently. A BSD that hears an equal claim yields,
whoever sent it. A pycarp host, like ucarp, compares the source addresses. Suppose that the advertisements of a BSD and
a pycarp host cross. If the pycarp host has the losing address and yields at once, both hosts yield, and they collide
again after a master-down time. Therefore the host with the losing address does not yield during the hand-shake. It
waits (``TIED``) for up to ``yield_grace_ns``. It advertises once more at the beginning of the wait, because the other
host may have received the first advertisement while still BACKUP. The host with the winning address answers the equal
claim (``Reply.ANSWER``: "I heard you, and stay"), and the waiting host yields to the answer. If no answer comes, the
other host is a BSD and has yielded.

A MASTER that has held the addresses for less than ``TIE_GRACE_NS`` also answers an equal claim, whatever its address:
the other host may be a BSD whose advertisement crossed ours, and a BSD yields. A pycarp host with the winning address
answers in turn, and we yield to its answer. Among any number of pycarp hosts the winning address prevails.

``OUTCOMES`` is the table of these rules. "Wins" and "loses" refer to the dialect's rule on ties, by address.
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
from pycarp.dialects.dialect import Claim, Tie, Verdict
from pycarp.vocabulary import NS_PER_S, Address

TIE_GRACE_NS = NS_PER_S // 10
"""How long after a takeover an equal claim may come from a host that took over in the same moment."""

_LARGEST_ADVSKEW = 254
_LARGEST_ADVBASE = 255


class Heard(Enum):
    """The kinds of advertisements from a MASTER that is not stronger than this one."""

    WEAKER = "a weaker claim"
    EQUAL_WINS = "an equal claim; our address wins"
    EQUAL_LOSES = "an equal claim; our address loses"
    ANSWER_WINS = "an equal claim that answers ours; our address wins"
    ANSWER_LOSES = "an equal claim that answers ours; our address loses"


class Outcome(NamedTuple):
    """The reaction to an advertisement: the next stage (None to yield), whether to answer, and the decision."""

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
"""Complete, and tested to be. A MASTER that has ``HELD`` for less than ``TIE_GRACE_NS`` counts as ``HOLDING``."""


def begin(ctx: Context, *, doubted: Address | None = None) -> Takeover:
    """Return the hand-shake of a host that becomes MASTER now.

    ``doubted`` is a source that may still be MASTER although its bow-out was received: that may be a replayed one.
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
    """Return how a MASTER reacts to an advertisement that is not stronger than its own claim."""
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
    """Wait for another MASTER to drop the addresses, unless this host has requested them already.

    The time counts from the takeover, so that forged packets cannot postpone the hold for ever.
    """
    takeover = master.takeover
    if takeover.is_pending:
        takeover.stage = stage
        takeover.awaited.add(source)
        takeover.hold_at_ns = master.since_ns + ctx.config.dialect.yield_grace_ns


def sender_left(ctx: Context, master: Master, source: Address) -> None:
    """Plan the hold once every awaited MASTER has dropped the addresses, but not before ``takeover_listen_ns``."""
    takeover = master.takeover
    takeover.awaited.discard(source)
    if takeover.is_pending and not takeover.awaited:
        takeover.stage = Stage.LISTENING
        takeover.hold_at_ns = max(ctx.now_ns, master.since_ns + ctx.config.dialect.takeover_listen_ns)
        master.answering.at_ns = None


def weaker_than(claim: Claim) -> Claim | None:
    """Return the strongest claim that is weaker than a winner's, with its demote octet; None if none exists."""
    if claim.advskew < _LARGEST_ADVSKEW:
        return Claim(advbase=claim.advbase, advskew=claim.advskew + 1, demote=claim.demote)
    if claim.advbase < _LARGEST_ADVBASE:
        return Claim(advbase=claim.advbase + 1, advskew=0, demote=claim.demote)
    return None
