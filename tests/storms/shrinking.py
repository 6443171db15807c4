"""Makes a plan that breaks a promise as small as it still breaks it: fewer actions, fewer members, plainer settings."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.storms.checker import judge
from tests.storms.plan import Action, Plan
from tests.storms.run import record

RUNS_MAX = 400
_ROUND_US = (1_000_000, 100_000, 10_000, 1_000, 100)

Wrong = Callable[[Plan], bool]


def shrink(plan: Plan, label: str, *, runs: int = RUNS_MAX) -> Plan:
    """Return the smallest plan found that breaks the same promise in the same way."""
    left = runs

    def is_wrong(candidate: Plan) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and any(each.label == label for each in judge(record(candidate)))

    resolved = record(plan).resolved()
    return smallest(resolved if is_wrong(resolved) else plan, is_wrong)


def smallest(plan: Plan, is_wrong: Wrong) -> Plan:
    """Return the smallest plan found that is still wrong."""
    best = plan
    while True:
        before = best
        best = _with_fewer_actions(best, is_wrong)
        for simplified in _simplifications(best):
            candidate = simplified(best)
            if candidate != best and is_wrong(candidate):
                best = candidate
        best = _with_fewer_members(best, is_wrong)
        best = _with_round_times(best, is_wrong)
        if best == before:
            return best


def _with_fewer_actions(plan: Plan, is_wrong: Wrong) -> Plan:
    """Drop halves, quarters, ... and single actions."""
    size = max(len(plan.actions) // 2, 1)
    while True:
        at = len(plan.actions)
        while at > 0:
            at -= size
            fewer = replace(plan, actions=plan.actions[: max(at, 0)] + plan.actions[max(at, 0) + size :])
            if len(fewer.actions) < len(plan.actions) and is_wrong(fewer):
                plan = fewer
        if size == 1:
            return plan
        size //= 2


def _simplifications(plan: Plan) -> Iterator[Callable[[Plan], Plan]]:
    yield lambda each: replace(each, duplicates=0)
    yield lambda each: replace(each, jitter_us=0)
    yield lambda each: replace(each, jitter_us=0, delay_us=50)
    yield lambda each: replace(each, delay_us=50)
    yield lambda each: replace(each, clocks=())
    yield lambda each: replace(each, peers=False)
    yield lambda each: replace(each, preempt=False)
    yield lambda each: replace(each, advbase=1)
    for vhid in plan.vhids:
        if vhid != 1:
            yield lambda each: replace(each, vhids=(1,), actions=tuple(replace(a, vhid=1) for a in each.actions))
            yield lambda each: replace(each, vhids=(1,), actions=tuple(a for a in each.actions if a.vhid == 1))
    yield lambda each: replace(each, families=(4,))
    for number in range(len(plan.advskews)):
        for rounded in (0 if plan.advbase else 1, 50, 100):
            yield lambda each, number=number, rounded=rounded: _with_skew(each, number, rounded)  # type: ignore[misc]


def _with_skew(plan: Plan, number: int, skew: int) -> Plan:
    if plan.advskews[number] in (0, 1, 50, 100):
        return plan
    return replace(plan, advskews=(*plan.advskews[:number], skew, *plan.advskews[number + 1 :]))


def _with_fewer_members(plan: Plan, is_wrong: Wrong) -> Plan:
    for number in reversed(range(len(plan.advskews))):
        if len(plan.advskews) == 1:
            break
        fewer = _without_member(plan, number)
        if is_wrong(fewer):
            plan = fewer
    return plan


def _without_member(plan: Plan, number: int) -> Plan:
    def renumbered(who: int) -> int:
        return who - (who > number)

    actions = tuple(
        replace(
            each, who=renumbered(each.who), others=tuple(renumbered(other) for other in each.others if other != number)
        )
        for each in plan.actions
        if each.who != number or _is_for_all(each)
    )
    advskews = plan.advskews[:number] + plan.advskews[number + 1 :]
    return replace(plan, advskews=advskews, clocks=plan.clocks[:number] + plan.clocks[number + 1 :], actions=actions)


def _is_for_all(action: Action) -> bool:
    return action.do in ("heal", "loss", "delay", "partition", "roll", "cancel")


def _with_round_times(plan: Plan, is_wrong: Wrong) -> Plan:
    """Round the times of all actions, or of those from some action on."""
    for number in range(len(plan.actions)):
        for unit in _ROUND_US:
            at_us = plan.actions[number].at_us
            rounded_us = at_us // unit * unit
            if at_us == rounded_us:
                break
            before_us = plan.actions[number - 1].at_us if number else 0
            if rounded_us < before_us:
                continue
            moved = replace(plan.actions[number], at_us=rounded_us)
            candidate = replace(plan, actions=(*plan.actions[:number], moved, *plan.actions[number + 1 :]))
            if is_wrong(candidate):
                plan = candidate
                break
    return plan
