"""Plans the trials of ``pycarp simulate``, runs them, and makes a report of the results."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import msgspec
from rich.text import Text

from pycarp.cli.simulate.faults import Faults
from pycarp.cli.simulate.plot import plain, plot
from pycarp.cli.simulate.simulation_report import (
    S_AN_HOUR,
    AdvbaseRow,
    BrokenRow,
    ExampleRow,
    FailbackRow,
    FastestRow,
    FindingRow,
    GroupRow,
    IsolationRow,
    PromisesRow,
    Report,
    TakeoverRow,
    WatchRow,
    failback_row,
    finding_row,
    group_row,
    hours_of,
    isolation_row,
    machine_row,
    seconds,
    takeover_row,
    watch_row,
)
from pycarp.cli.simulate.worker_pool import WorkerPool
from pycarp.errors import ConfigError
from pycarp.placement.share import SyncGroupConfig
from pycarp.sim.faults import fault_plan_file
from pycarp.sim.faults.advbase_sweep import ADVBASES, AdvbaseVariant, with_advbase
from pycarp.sim.faults.configuration_conflicts import configuration_conflicts
from pycarp.sim.faults.experiments import (
    Condition,
    Expectation,
    FaultTrial,
    InjectedFault,
    PlanTrial,
    Result,
    Trial,
    WatchTrial,
    alike,
    expected,
    masters_at_rest,
)
from pycarp.sim.faults.fault_plan import THE_MASTER, Fault, FaultPlan, Member
from pycarp.sim.faults.placement_trials import (
    FailbackTrial,
    GroupTrial,
    IsolationTrial,
    failback_wait,
    groups_of,
    held_back,
    isolated,
    isolation_wait,
    policies_of,
    preferred,
)
from pycarp.sim.faults.random_plans import random_plan
from pycarp.sim.faults.shrinking import shortest
from pycarp.sim.simulation import simulate
from pycarp.system.files import safe_files
from pycarp.vocabulary import NS_PER_S, HostKey

_PIECE_NS = 900 * NS_PER_S
"""Hours are divided into trials of this length, each with its own seed, so that all processes share them."""

_ALLOWANCE = 2
"""How many times as many advertisements as advbase 1 a fast advbase may send while it is watched."""

_LEAST_SHARE = 0.1
"""The least share of the hours for which a fast advbase is watched."""

_BEFORE_NS = 4 * NS_PER_S
"""How much of the time before the incident an example shows."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the user."""

    seeds: int
    hours: float
    faults: Faults
    seeks_fastest: bool
    keep: Path


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The report, and its plots with colours."""

    report: Report
    example: tuple[Text, ...] = ()
    broken: tuple[Text, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Batch:
    """Trials of one kind, and the results of those that were run."""

    trials: list[Trial]
    results: list[Result] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class _InjectedFaults(_Batch):
    injected: InjectedFault
    condition: Condition
    keys: tuple[HostKey, ...]
    expectation: Expectation | None

    def row(self) -> TakeoverRow | None:
        takeovers = [each.takeover for each in self.results if each.takeover is not None]
        if not takeovers:
            return None
        return takeover_row(
            self.injected,
            takeovers,
            condition=self.condition.name,
            keys=self.keys,
            expectation=self.expectation,
        )


@dataclass(slots=True, kw_only=True)
class _CutLinks(_Batch):
    group: SyncGroupConfig
    cut: HostKey

    def row(self) -> GroupRow | None:
        return group_row(self.group, self.cut, [each.moved for each in self.results]) if self.results else None


@dataclass(slots=True, kw_only=True)
class _Failbacks(_Batch):
    keys: tuple[HostKey, ...]
    member: Member
    expectation: Expectation | None

    def row(self) -> FailbackRow | None:
        returned_ns = [each.returned_ns for each in self.results if each.takeover is not None]
        policies = policies_of(self.member, self.keys[0])
        if not returned_ns:
            return None
        return failback_row(self.keys, self.member.name, policies, self.expectation, returned_ns)


@dataclass(slots=True, kw_only=True)
class _Isolations(_Batch):
    key: HostKey
    what: str
    expectation: Expectation

    def row(self) -> IsolationRow | None:
        results = [each for each in self.results if each.takeover is not None]
        return isolation_row(self.key, self.what, self.expectation, results) if results else None


@dataclass(slots=True, kw_only=True)
class _Watches(_Batch):
    condition: Condition

    def row(self) -> WatchRow | None:
        watches = [each.watch for each in self.results if each.watch is not None]
        return watch_row(self.condition.name, watches) if watches else None


@dataclass(slots=True, kw_only=True)
class _AdvbaseBatches:
    variant: AdvbaseVariant
    injected_faults: _InjectedFaults | None
    watches: list[_Watches]

    def batches(self) -> list[_Batch]:
        return [*([self.injected_faults] if self.injected_faults else []), *self.watches]

    def row(self) -> AdvbaseRow | None:
        takeover = self.injected_faults.row() if self.injected_faults else None
        watched = [row for each in self.watches if (row := each.row()) is not None]
        if len(watched) < len(self.watches):
            return None
        return AdvbaseRow(
            advbase=self.variant.advbase,
            advskew_step=self.variant.step or None,
            worst_s=takeover.worst_s if takeover else None,
            watched=watched,
            broken=sum(result.broken is not None for batch in self.batches() for result in batch.results),
        )


def look_into(members: tuple[Member, ...], wishes: Wishes, pool: WorkerPool) -> Found:
    """Run all trials and report the results; after Ctrl-C, those of the trials that are done."""
    at_rest = masters_at_rest(members)
    injected_faults = list(_faults(members, wishes, at_rest))
    watches = [_watches(members, condition, wishes.hours) for condition in wishes.faults.conditions]
    advbases = list(_advbases(members, wishes)) if wishes.seeks_fastest else []
    plans = _Batch(trials=_plans(members, wishes))
    cut_links, failbacks = list(_cut_links(members, wishes)), list(_failbacks(members, wishes))
    isolations = list(_isolations(members, wishes))
    own: list[_Batch] = [plans, *injected_faults, *watches, *cut_links, *failbacks, *isolations]
    _work([*own, *(batch for variant in advbases for batch in variant.batches())], pool)
    takeovers = [row for row in (each.row() for each in injected_faults) if row is not None]
    watched = [row for row in (each.row() for each in watches) if row is not None]
    results = [result for batch in own for result in batch.results]
    promises, broken = _promises(results, wishes.keep)
    example, plotted = _example(injected_faults)
    report = Report(
        machines=[machine_row(member) for member in members],
        findings=[*map(finding_row, configuration_conflicts(members)), *_restless(at_rest)],
        takeovers=takeovers,
        groups=[row for row in (each.row() for each in cut_links) if row is not None],
        failbacks=[row for row in (each.row() for each in failbacks) if row is not None],
        isolations=[row for row in (each.row() for each in isolations) if row is not None],
        watched=watched,
        fastest=_fastest(advbases) if wishes.seeks_fastest else None,
        promises=promises,
        example=example,
        simulated_h=hours_of(sum(each.simulated_ns for each in results)),
        interrupted=pool.is_interrupted,
    )
    return Found(report=report, example=plotted, broken=broken)


def _work(batches: Sequence[_Batch], pool: WorkerPool) -> None:
    results = iter(pool.work([trial for batch in batches for trial in batch.trials]))
    for batch in batches:
        found = [next(results) for _trial in batch.trials]
        batch.results = [each for each in found if each is not None]


# What is tried


def _faults(
    members: tuple[Member, ...], wishes: Wishes, at_rest: dict[HostKey, tuple[str, ...]]
) -> Iterator[_InjectedFaults]:
    for condition in wishes.faults.surroundings:
        for keys in alike(members):
            for injected in wishes.faults.injected_faults:
                if at_rest[keys[0]]:
                    victim = at_rest[keys[0]][0]
                    yield _inject(members, injected, condition, keys, seeds=wishes.seeds, victim=victim)


def _inject(
    members: tuple[Member, ...],
    injected: InjectedFault,
    condition: Condition,
    keys: tuple[HostKey, ...],
    *,
    seeds: int,
    victim: str,
) -> _InjectedFaults:
    return _InjectedFaults(
        injected=injected,
        condition=condition,
        keys=keys,
        expectation=expected(members, keys[0], victim, injected),
        trials=[
            FaultTrial(members=members, key=keys[0], injected=injected, condition=condition, seed=seed)
            for seed in range(seeds)
        ],
    )


def _cut_links(members: tuple[Member, ...], wishes: Wishes) -> Iterator[_CutLinks]:
    """Yield trials that cut each link of each sync group."""
    for group in groups_of(members):
        for cut in group.hosts:
            trials: list[Trial] = [
                GroupTrial(members=members, group=group, cut=cut, seed=seed) for seed in range(wishes.seeds)
            ]
            yield _CutLinks(group=group, cut=cut, trials=trials)


def _failbacks(members: tuple[Member, ...], wishes: Wishes) -> Iterator[_Failbacks]:
    """Yield trials in which the preferred machine of a host with a failback policy comes back."""
    for key in held_back(members):
        keys = next((group.hosts for group in groups_of(members) if key in group.hosts), (key,))
        trials: list[Trial] = [FailbackTrial(members=members, key=key, seed=seed) for seed in range(wishes.seeds)]
        member, expectation = preferred(members, key), failback_wait(members, key)
        yield _Failbacks(keys=keys, member=member, expectation=expectation, trials=trials)


def _isolations(members: tuple[Member, ...], wishes: Wishes) -> Iterator[_Isolations]:
    """Yield trials in which the MASTER of a host that lets go reaches no witness: it alone, or nobody does."""
    for key in isolated(members):
        wait = isolation_wait(members, key)
        assert wait is not None
        for what, fault in (("cut-off", Fault.PARTITION), ("witnesses", Fault.WITNESS)):
            trials: list[Trial] = [
                IsolationTrial(members=members, key=key, fault=fault, seed=seed) for seed in range(wishes.seeds)
            ]
            yield _Isolations(key=key, what=what, expectation=wait, trials=trials)


def _watches(members: tuple[Member, ...], condition: Condition, hours: float) -> _Watches:
    left_ns = round(hours * S_AN_HOUR * NS_PER_S)
    trials: list[Trial] = []
    while left_ns > 0:
        span_ns = min(left_ns, _PIECE_NS)
        trials.append(WatchTrial(members=members, condition=condition, span_ns=span_ns, seed=len(trials)))
        left_ns -= span_ns
    return _Watches(condition=condition, trials=trials)


def _plans(members: tuple[Member, ...], wishes: Wishes) -> list[Trial]:
    faults = wishes.faults.of_plans
    return [PlanTrial(fault_plan=random_plan(seed, members=members, faults=faults)) for seed in range(wishes.seeds)]


def _advbases(members: tuple[Member, ...], wishes: Wishes) -> Iterator[_AdvbaseBatches]:
    """Yield the trials of every advbase that the dialects allow."""
    for variant in ADVBASES:
        try:
            topology = with_advbase(members, variant)
        except ConfigError:
            continue
        groups, at_rest = alike(topology), masters_at_rest(topology)
        power = InjectedFault(fault=Fault.POWER)
        injected_faults = None
        if groups and at_rest[groups[0][0]]:
            victim = at_rest[groups[0][0]][0]
            condition = wishes.faults.surroundings[0]
            injected_faults = _inject(topology, power, condition, groups[0], seeds=wishes.seeds, victim=victim)
        hours = wishes.hours * _share(variant)
        watches = [_watches(topology, condition, hours) for condition in wishes.faults.of_advbases]
        yield _AdvbaseBatches(variant=variant, injected_faults=injected_faults, watches=watches)


def _share(variant: AdvbaseVariant) -> float:
    """Return the share of the hours for which an advbase is watched; fast ones send too much for all of them."""
    return 1.0 if variant.advbase else min(max(_ALLOWANCE * variant.step / 256, _LEAST_SHARE), 1.0)


# What was found


def _restless(at_rest: dict[HostKey, tuple[str, ...]]) -> Iterator[FindingRow]:
    """Yield a finding for each virtual host with no owner, or several, in a run without faults."""
    for key, names in at_rest.items():
        if len(names) != 1:
            who = "nobody" if not names else " and ".join(names)
            have = "has" if not names else "all have" if len(names) > 2 else "both have"
            text = f"vhid {key.vhid}: with nothing wrong at all, {who} {have} the addresses"
            yield FindingRow(kind="at rest", vhid=key.vhid, machines=list(names), serious=True, text=text)


def _fastest(advbases: Sequence[_AdvbaseBatches]) -> FastestRow:
    rows = [row for each in advbases if (row := each.row()) is not None]
    fastest = next(
        (
            index
            for index, row in enumerate(rows)
            if not row.broken and not any(each.false_takeovers for each in row.watched)
        ),
        None,
    )
    return FastestRow(advbases=rows, fastest=fastest)


def _promises(results: Sequence[Result], keep: Path) -> tuple[PromisesRow, tuple[Text, ...]]:
    bad = [each for each in results if each.broken is not None]
    kept = len(results) - len(bad)
    if not bad:
        return PromisesRow(plans=len(results), kept=kept), ()
    row, plotted = _shortest(bad[0], len(bad), keep)
    return PromisesRow(plans=len(results), kept=kept, broken=row), plotted


def _shortest(result: Result, plans: int, keep: Path) -> tuple[BrokenRow, tuple[Text, ...]]:
    """Return the shortest plan that breaks the same promise, with its plot, and write the plan to a file."""
    assert result.plan is not None
    assert result.broken is not None
    promise = result.broken.promise
    plan = result.plan
    try:
        plan = shortest(plan, result.broken)
    except KeyboardInterrupt:
        pass
    except ModuleNotFoundError:
        click.echo("pycarp: the plan is not shortened; pip install 'pycarp[simulate]' for that", err=True)
    outcome = simulate(plan, narrates=True)
    broken = next(each for each in outcome.violations if each.promise is promise)
    plotted = tuple(plot(outcome))
    row = BrokenRow(
        promise=promise.value,
        at_s=seconds(broken.at_ns),
        machine=broken.node,
        text=broken.words,
        plans=plans,
        file=_kept(plan, keep, description=f"{promise.value}: {broken.node or 'nobody'} {broken.words}"),
        lines=list(outcome.lines),
        plot=plain(plotted),
    )
    return row, plotted


def _kept(plan: FaultPlan, path: Path, *, description: str) -> str | None:
    try:
        safe_files.write(path, fault_plan_file.encode(plan, description=description), mode=safe_files.SHARED)
    except OSError as exc:
        click.echo(f"pycarp: cannot write the plan to {path}: {exc.strerror}; say where with --keep", err=True)
        return None
    return str(path)


def _example(injected_faults: Sequence[_InjectedFaults]) -> tuple[ExampleRow | None, tuple[Text, ...]]:
    """Return a plot of the first trial, with and without colours; None without trials."""
    if not injected_faults:
        return None, ()
    batch = injected_faults[0]
    trial = batch.trials[0]
    assert isinstance(trial, FaultTrial)
    outcome = simulate(trial.plan())
    incident = next(each for each in outcome.plan.incidents if each.node == THE_MASTER)
    until_ns = min(outcome.plan.until_ns, incident.until_ns + 2 * _BEFORE_NS) if incident.span_ns else None
    since_ns = max(incident.at_ns - _BEFORE_NS, 0)
    plotted = tuple(plot(outcome, keys=batch.keys, from_ns=since_ns, to_ns=until_ns))
    title = f"For example: {batch.injected.fault}, {batch.condition.name}, seed {trial.seed}"
    return ExampleRow(title=title, plot=plain(plotted)), plotted
