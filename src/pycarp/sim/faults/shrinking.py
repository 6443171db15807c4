"""The shortest plan in which a promise is still broken.

hypothesis does the searching: a plan is told by a few small numbers, nought being the simplest choice each time, and
hypothesis knows how to make numbers small. It is imported only when something has to be shrunk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pycarp.sim.faults.fault_plan import FaultPlan, Incident, Member
from pycarp.sim.faults.random_plans import lengthened
from pycarp.sim.outcome import Violation
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S

MOST_SIMULATIONS = 400
"""How often a plan is simulated at most, so that shrinking ends in time."""

MOST_STEPS = 400_000
"""What all these simulations may take, about 20 s; long plans are shrunk less."""

_CHOICES = 99
_ROUND_NS = (NS_PER_S, NS_PER_S // 10, NS_PER_S // 100)
"""To what times are rounded, the roundest first; each is tried as one of the smallest choices."""

_PAUSES_NS = (5 * NS_PER_S, 20 * NS_PER_S)
"""To what the time before an incident is cut, tried before all others."""

_Choices = Sequence[int]


@dataclass(slots=True)
class _Search:
    """Asks about candidates while the budget lasts; ``best`` is the simplest plan so far that is still wrong."""

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
    in fewer if they take long.
    """
    left = MOST_STEPS

    def is_wrong(told: FaultPlan) -> bool:
        nonlocal left
        if left <= 0:
            return False
        outcome = simulate(told)
        left -= outcome.steps
        return any(each.promise is broken.promise for each in outcome.violations)

    cut = replace(
        plan,
        incidents=tuple(each for each in plan.incidents if each.at_ns <= broken.at_ns),
        until_ns=min(plan.until_ns, broken.at_ns + NS_PER_S),
    )
    return simplest(cut if is_wrong(cut) else plan, is_wrong, most=most)


def simplest(plan: FaultPlan, is_wrong: Callable[[FaultPlan], bool], *, most: int = MOST_SIMULATIONS) -> FaultPlan:
    """Return the simplest plan that is still wrong; ``is_wrong`` is asked ``most`` times at most."""
    search = _Search(is_wrong, most, plan)
    for number_of, build in ((_parts, _with_parts), (_times, _with_times), (_parts, _with_parts)):
        size = number_of(search.best)
        if size:
            _shrink(search, size, build)
    return search.best


def _shrink(search: _Search, size: int, build: Callable[[FaultPlan, _Choices], FaultPlan]) -> None:
    """Let hypothesis look for the smallest choices with which the plan stays wrong."""
    from hypothesis import HealthCheck, Phase, find, settings  # noqa: PLC0415  it takes long to import
    from hypothesis import strategies as st  # noqa: PLC0415
    from hypothesis.errors import NoSuchExample  # noqa: PLC0415

    whole = search.best
    answers: dict[tuple[int, ...], bool] = {}

    def is_wrong(choices: _Choices) -> bool:
        # Asked again, also after the budget is spent, hypothesis must get the same answer.
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
    """Return the plan with the incidents and machines whose choice is not nought; those of an incident stay."""
    kept = [each for each, choice in zip(plan.incidents, choices, strict=False) if choice]
    named = {name for each in kept for name in (each.node, each.other)}
    members = [
        member
        for member, choice in zip(plan.members, choices[len(plan.incidents) :], strict=True)
        if choice or member.name in named
    ]
    return _retold(plan, kept, members)


# Shorter and rounder times


def _times(plan: FaultPlan) -> int:
    return 2 * len(plan.incidents)


def _with_times(plan: FaultPlan, choices: _Choices) -> FaultPlan:
    """Return the plan with times as round, and pauses as short, as the choices say; large ones leave them."""
    told: list[Incident] = []
    at_ns = before_ns = 0
    for number, each in enumerate(plan.incidents):
        at_ns += _pause(each.at_ns - before_ns, choices[2 * number])
        before_ns = each.at_ns
        told.append(replace(each, at_ns=at_ns, span_ns=_rounded(each.span_ns, choices[2 * number + 1])))
    saved_ns = before_ns - at_ns
    return _retold(replace(plan, until_ns=plan.until_ns - saved_ns), told, plan.members)


def _pause(pause_ns: int, choice: int) -> int:
    if choice < len(_PAUSES_NS):
        return min(pause_ns, _PAUSES_NS[choice])
    return _rounded(pause_ns, choice - len(_PAUSES_NS))


def _rounded(time_ns: int, choice: int) -> int:
    if choice >= len(_ROUND_NS) or not time_ns:
        return time_ns
    unit_ns = _ROUND_NS[choice]
    return max(round(time_ns / unit_ns), 1) * unit_ns


def _retold(plan: FaultPlan, incidents: Sequence[Incident], members: Sequence[Member]) -> FaultPlan:
    """Return a plan of other incidents that goes on for as long as is needed, no longer than before."""
    if not members:
        return replace(plan, members=())
    retold = lengthened(replace(plan, incidents=tuple(incidents), members=tuple(members)))
    return replace(retold, until_ns=min(retold.until_ns, plan.until_ns))
