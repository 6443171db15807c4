"""Searches the shortest plan in which a promise is still broken.

A few small numbers describe each simpler plan, and 0 is the simplest choice for each. hypothesis searches the smallest
numbers that still break the promise. It is imported only for a search.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from pycarp.sim.faults.fault_plan import FaultPlan, Incident, Member
from pycarp.sim.faults.random_plans import lengthened
from pycarp.sim.outcome import Violation
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S

MOST_SIMULATIONS = 400
"""The most simulations of one search."""

MOST_STEPS = 400_000
"""The most steps of all simulations of one search, about 20 s; long plans are shrunk less."""

_CHOICES = 99
_ROUND_NS = (NS_PER_S, NS_PER_S // 10, NS_PER_S // 100)
"""The units to which times are rounded, the largest first; these are the smallest choices."""

_PAUSES_NS = (5 * NS_PER_S, 20 * NS_PER_S)
"""The lengths to which the time before an incident is cut; these are tried first."""

_Choices = Sequence[int]


@dataclass(slots=True)
class _Search:
    """Simulates candidates while the budget lasts; ``best`` is the simplest plan so far that is still wrong."""

    is_wrong: Callable[[FaultPlan], bool]
    left: int
    best: FaultPlan

    def ask(self, plan: FaultPlan) -> bool:
        if self.left <= 0 or not plan.members:
            return False
        self.left -= 1
        return self.is_wrong(plan)


def shortest(plan: FaultPlan, broken: Violation, *, most: int = MOST_SIMULATIONS) -> FaultPlan:
    """Return a plan that breaks the same promise with fewer incidents and machines, at rounder and earlier times.

    The plan itself is returned when nothing simpler breaks the promise, or nothing is found in ``most`` simulations;
    in fewer if they take long. Raises ModuleNotFoundError without hypothesis, which is in the extra ``simulate``.
    """
    left = MOST_STEPS

    def is_wrong(candidate: FaultPlan) -> bool:
        nonlocal left
        if left <= 0:
            return False
        outcome = simulate(candidate)
        left -= outcome.steps
        return any(each.promise is broken.promise for each in outcome.violations)

    cut = replace(
        plan,
        incidents=tuple(each for each in plan.incidents if each.at_ns <= broken.at_ns),
        until_ns=min(plan.until_ns, broken.at_ns + NS_PER_S),
    )
    return simplest(cut if is_wrong(cut) else plan, is_wrong, most=most)


def simplest(plan: FaultPlan, is_wrong: Callable[[FaultPlan], bool], *, most: int = MOST_SIMULATIONS) -> FaultPlan:
    """Return the simplest plan that is still wrong; calls ``is_wrong`` at most ``most`` times."""
    search = _Search(is_wrong, most, plan)
    for number_of, build in ((_parts, _with_parts), (_times, _with_times), (_parts, _with_parts)):
        size = number_of(search.best)
        if size:
            _shrink(search, size, build)
    return search.best


def _shrink(search: _Search, size: int, build: Callable[[FaultPlan, _Choices], FaultPlan]) -> None:
    """Search the smallest choices with which the plan is still wrong, and set ``search.best``."""
    from hypothesis import HealthCheck, Phase, find, settings  # noqa: PLC0415  it takes long to import
    from hypothesis import strategies as st  # noqa: PLC0415
    from hypothesis.errors import NoSuchExample  # noqa: PLC0415

    whole = search.best
    answers: dict[tuple[int, ...], bool] = {}

    def is_wrong(choices: _Choices) -> bool:
        # hypothesis must get the same answer again, also after the budget is spent.
        asked = tuple(choices)
        if asked not in answers:
            answers[asked] = search.ask(build(whole, choices))
        return answers[asked]

    options = settings(
        database=None,
        deadline=None,
        max_examples=max(search.left // 8, 1),
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    try:
        choices = find(st.lists(st.integers(0, _CHOICES), min_size=size, max_size=size), is_wrong, settings=options)
    except NoSuchExample:
        return
    search.best = build(whole, choices)


# Fewer incidents and machines


def _parts(plan: FaultPlan) -> int:
    return len(plan.incidents) + len(plan.members)


def _with_parts(plan: FaultPlan, choices: _Choices) -> FaultPlan:
    """Return the plan with the incidents and machines whose choice is not 0, and all machines of those incidents."""
    kept = [each for each, choice in zip(plan.incidents, choices, strict=False) if choice]
    named = {name for each in kept for name in (each.node, each.other)}
    members = [
        member
        for member, choice in zip(plan.members, choices[len(plan.incidents) :], strict=True)
        if choice or member.name in named
    ]
    return _with(plan, kept, members)


# Shorter and rounder times


def _times(plan: FaultPlan) -> int:
    return 2 * len(plan.incidents)


def _with_times(plan: FaultPlan, choices: _Choices) -> FaultPlan:
    """Return the plan with rounder times and shorter pauses; large choices leave them unchanged."""
    moved: list[Incident] = []
    at_ns = before_ns = 0
    for number, each in enumerate(plan.incidents):
        at_ns += _pause(each.at_ns - before_ns, choices[2 * number])
        before_ns = each.at_ns
        moved.append(replace(each, at_ns=at_ns, span_ns=_rounded(each.span_ns, choices[2 * number + 1])))
    saved_ns = before_ns - at_ns
    return _with(replace(plan, until_ns=plan.until_ns - saved_ns), moved, plan.members)


def _pause(pause_ns: int, choice: int) -> int:
    if choice < len(_PAUSES_NS):
        return min(pause_ns, _PAUSES_NS[choice])
    return _rounded(pause_ns, choice - len(_PAUSES_NS))


def _rounded(time_ns: int, choice: int) -> int:
    if choice >= len(_ROUND_NS) or not time_ns:
        return time_ns
    unit_ns = _ROUND_NS[choice]
    return max(round(time_ns / unit_ns), 1) * unit_ns


def _with(plan: FaultPlan, incidents: Sequence[Incident], members: Sequence[Member]) -> FaultPlan:
    """Return the plan with other incidents and machines; it lasts as long as its checks need, never longer."""
    if not members:
        return replace(plan, members=())
    changed = lengthened(replace(plan, incidents=tuple(incidents), members=tuple(members)))
    return replace(changed, until_ns=min(changed.until_ns, plan.until_ns))
