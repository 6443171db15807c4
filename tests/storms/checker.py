"""Says which promises a run has broken, from its record alone."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import combinations, pairwise
from math import inf

from pycarp import Reason, State
from tests.storms import bounds
from tests.storms.record import Change, Host, Promise, Record, Violation
from tests.storms.spans import Span, Spans, complement, intersection, union, without


def judge(record: Record) -> tuple[Violation, ...]:
    """Return every broken promise in the order of time, those that the run itself saw included.

    The first one tells the cause; what follows may be its consequence.
    """
    found = (*record.violations, *_two_owners(record), *_held_by_others(record), *_masters_without(record))
    return tuple(sorted(found, key=lambda each: each.at_s))


# Two owners


def _two_owners(record: Record) -> Iterator[Violation]:
    for address, vhid in record.vhids.items():
        held = {who: _held(record, who, address) for who in range(len(record.plan.advskews))}
        for a, b in combinations([who for who in held if held[who]], 2):
            both = intersection(held[a], held[b], _reachable(record, a), _reachable(record, b))
            for span in both:
                yield from _judge_overlap(record, (a, vhid), (b, vhid), span, address)


def _judge_overlap(record: Record, one: Host, other: Host, span: Span, address: str) -> Iterator[Violation]:
    excused = union(
        bounds.segment_faults(record),
        bounds.unreached(record),
        *(
            fault(record, host[0])
            for host in (one, other)
            for fault in (bounds.standstills, bounds.silences, bounds.stuck_drops)
        ),
        _slow_drop(record, one, other, span),
        _slow_drop(record, other, one, span),
    )
    late = any(begin <= span[0] <= end for begin, end in bounds.delays(record))
    is_tie = any(_at(record, host, span[1] + bounds.CLOCK_S).reason is Reason.TIE_LOST for host in (one, other))
    allowed_s = bounds.CLOCK_S + (bounds.late_s(record, is_tie=is_tie) if late else 0.0)
    rest = without((span,), excused)
    too_long_s = sum(end - begin for begin, end in rest) - allowed_s
    if too_long_s > 0:
        a, b = (_name(host[0]) for host in (one, other))
        yield Violation(
            promise=Promise.TWO_OWNERS,
            kind=_kind(record, one, other, rest[0]),
            at_s=rest[0][0],
            words=f"{a} and {b} held {address} from {span[0]:.6f} to {span[1]:.6f} s: {too_long_s * 1e3:.3f} ms over",
        )


def _slow_drop(record: Record, one: Host, other: Host, span: Span) -> Spans:
    """Return when a host may still hold what another one has taken over: while it drops, beyond the grace."""
    took_over = _last(record, other, span[0], State.MASTER)
    slow_s = bounds.slow_s(record, one[0])
    if not slow_s or took_over is None:
        return ()
    dropping = _leaving(record, one, slow_s + bounds.one_way_s(record.plan))
    if took_over.reason is Reason.MASTER_SILENT:
        grace_s = 0.0
    elif took_over.at_s - _start(record, other, span[0]) < slow_s + bounds.heard_s(record):
        grace_s = bounds.listen_s(record)
    else:
        grace_s = bounds.grace_s(record)
    return intersection(dropping, ((took_over.at_s + grace_s, inf),))


def _kind(record: Record, one: Host, other: Host, span: Span) -> str:
    """Return what both were, the later owner first: conflicts of one cause have it in common."""
    now_s = span[0] + bounds.CLOCK_S
    found = sorted((_at(record, host, now_s) for host in (one, other)), key=lambda each: -each.at_s)
    told = " beside ".join(f"{each.state or 'gone'} ({each.reason})" for each in found)
    length_s = span[1] - span[0]
    return f"{told}, {'below 5 ms' if length_s < 0.005 else 'below 50 ms' if length_s < 0.05 else 'longer'}"


# Who holds what


def _held_by_others(record: Record) -> Iterator[Violation]:
    for address, vhid in record.vhids.items():
        for who in range(len(record.plan.advskews)):
            host = who, vhid
            rest = without(
                _held(record, who, address),
                _was(record, host, State.MASTER),
                _leaving(record, host, bounds.slow_s(record, who) + bounds.CLOCK_S),
                bounds.stuck_drops(record, who),
                record.spans(lambda each: each.do == "stop", "continue_", "kill", "guardian", who=who),
            )
            for begin, end in rest:
                if end - begin > bounds.CLOCK_S:
                    now = _at(record, host, begin)
                    words = f"{_name(who)} {now.state} held {address} from {begin:.6f} to {end:.6f} s"
                    kind = f"{now.state or 'gone'} ({now.reason})"
                    yield Violation(promise=Promise.HELD_BY_OTHERS, kind=kind, at_s=begin, words=words)


def _masters_without(record: Record) -> Iterator[Violation]:
    for address, vhid in list(record.vhids.items())[: len(record.plan.vhids) * len(record.plan.families)]:
        for who in range(len(record.plan.advskews)):
            lacking = without(_was(record, (who, vhid), State.MASTER), _held(record, who, address))
            for begin, end in lacking if lacking else ():
                yield from _judge_lack(record, (who, vhid), (begin, end), address)


def _judge_lack(record: Record, host: Host, span: Span, address: str) -> Iterator[Violation]:
    who, vhid = host
    hangs = any(each.action.do == "hang" and each.action.who == who for each in record.done)
    allowed_s = (bounds.HANGING_S if hangs else bounds.HOLDING_S) + bounds.slow_s(record, who, "hold")
    for other in range(len(record.plan.advskews)):
        if other == who:
            continue
        beside = intersection(
            (span,), _was(record, (other, vhid), State.BACKUP), _able(record, other), _heard(record, who)
        )
        for begin, end in beside:
            if end - begin > allowed_s:
                words = (
                    f"{_name(who)} was MASTER without {address} from {begin:.3f} to {end:.3f} s, {_name(other)} BACKUP"
                )
                kind = "preempt" if record.plan.preempt else "no preempt"
                yield Violation(promise=Promise.MASTER_WITHOUT, kind=kind, at_s=begin, words=words)
                return


def _well(record: Record, who: int) -> Spans:
    """Return when nothing was wrong with a member."""
    trouble = record.spans(lambda each: each.do in ("fail", "hang"), "repair", who=who)
    return intersection(complement(trouble), _heard(record, who))


def _able(record: Record, who: int) -> Spans:
    """Return when a member was well, and no host of it was ever restricted before."""
    return intersection(_well(record, who), complement(record.spans(lambda each: each.do == "restrict", who=who)))


def _heard(record: Record, who: int) -> Spans:
    """Return when a member heard the others and they heard it."""
    wrong = union(bounds.segment_faults(record), bounds.silences(record, who))
    return intersection(complement(wrong), _reachable(record, who), complement(_stops(record, who)))


# Leaves


def _held(record: Record, who: int, address: str) -> Spans:
    return union(
        (each.since_s, record.end_s if each.until_s is None else each.until_s)
        for each in record.history
        if each.member == _name(who) and str(each.address) == address
    )


def _reachable(record: Record, who: int) -> Spans:
    return complement(record.spans(lambda each: each.do == "link_down", "link_up", who=who))


def _stops(record: Record, who: int) -> Spans:
    return record.spans(lambda each: each.do == "stop", "continue_", "kill", "guardian", who=who)


def _was(record: Record, host: Host, state: State) -> Spans:
    changes = record.changes.get(host, [])
    until = [*(each.at_s for each in changes[1:]), record.end_s]
    return union((each.at_s, end) for each, end in zip(changes, until, strict=True) if each.state is state)


def _leaving(record: Record, host: Host, for_s: float) -> Spans:
    """Return a span after each time at which a host ceased to be MASTER."""
    changes = record.changes.get(host, [])
    return union(
        (now.at_s, now.at_s + for_s)
        for before, now in pairwise(changes)
        if before.state is State.MASTER and now.state is not State.MASTER
    )


def _at(record: Record, host: Host, at_s: float) -> Change:
    changes = record.changes.get(host, [])
    index = bisect_right([each.at_s for each in changes], at_s)
    return changes[index - 1] if index else Change(-inf, None, None)


def _last(record: Record, host: Host, at_s: float, state: State) -> Change | None:
    found = [each for each in record.changes.get(host, []) if each.state is state and each.at_s <= at_s]
    return found[-1] if found else None


def _start(record: Record, host: Host, at_s: float) -> float:
    """Return when the present life of a host began, or its link came up last: it has heard nothing before."""
    changes = [each for each in record.changes.get(host, []) if each.at_s <= at_s]
    starts = [now.at_s for before, now in pairwise(changes) if before.state in (None, State.INIT)]
    return starts[-1] if starts else -inf


def _name(who: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[who]
