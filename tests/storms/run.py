"""Carries a plan out on a cluster of real nodes in virtual time, and records what happens."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any

from pycarp import HandOverError, HostConfig, Restriction, State, StateChange, UsageError, VirtualHost, failback, groups
from pycarp.failback import Damping, FailbackPolicy
from pycarp.placement.share import own_share
from pycarp.testing import Cluster, Deadlock, Member, VirtualTimeLoop
from tests.storms import bounds
from tests.storms.plan import BACKUP, CAUSES, CLOCKS_MAX, MASTER, Action, Plan
from tests.storms.record import Change, Done, Host, Promise, Record, Violation

HANDED_OVER = "handed over"
ROLLING_S = int(bounds.ROLLING_S)
ROLLING_APART_S = 25.0
"""Before another change that is signed begins, the one before must be over: no host knows three ways to sign."""

BACK_OFF_S = 6.0
"""A failed actuation is tried again within this time."""

CALLS_S = 40.0
"""Every call ends within this time, when nothing is wrong any more: timeouts of 15 s and 5 s, and a reserve."""

LIMIT_S = 3600.0

POLICY = FailbackPolicy(
    startup_hold_s=2, failback_delay_s=1, min_dwell_s=3, damping=Damping(half_life_s=2, longest_s=8)
)
"""Shorter than what a run waits for in the end."""

BY_PROGRAM = frozenset(
    {
        *("demote", "restore", "demote_node", "demote_carp", "demote_web", "last", "restrict", "unrestrict"),
        *("force", "down", "up", "bounce", "advskew"),
    }
)
"""What is asked of a node without waiting, and so by its own clock."""


class _Skip(Exception):  # noqa: N818  no error
    """The action makes no sense now."""


class Run:
    """One run of a plan; ``await Run(plan).record()``."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._record = Record(plan=plan)
        self._cluster = Cluster(
            len(plan.advskews),
            advskews=plan.advskews,
            vhids=plan.vhids,
            addresses={vhid: addresses_of(plan, vhid) for vhid in plan.vhids},
            advbase=plan.advbase,
            preempt=plan.preempt,
            groups={1: ("carp", "web")},
            peers=plan.peers,
            clocks=[1 + each / 1000 for each in plan.clocks] or None,
            program=self._observe,
        )
        self._configs: dict[Host, HostConfig] = {}
        self._calls: dict[asyncio.Task[Any], Action] = {}
        self._down: set[Host] = set()
        self._handed_over: set[Host] = set()
        self._restrictions: dict[Host, dict[str, Restriction]] = {}
        self._passphrase = "secret"
        self._is_rolling = False
        self._rolled_at_s = -ROLLING_APART_S
        self._may_time_out = False
        self._followers: dict[int, dict[VirtualHost | str, asyncio.Task[None]]] = {}

    async def record(self) -> Record:
        """Carry the plan out, wait until all is calm, and return what happened."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._complain)
        try:
            await self._live()
        except Deadlock as exc:
            self._violate(Promise.CALL_HANGS, type(exc).__name__, str(exc))
        except Exception as exc:  # noqa: BLE001  whatever it is, it is to be told with its plan
            self._violate(Promise.NODE_FAILED, f"{type(exc).__name__} {_where(exc)}", f"{exc!r}")
        self._look_for_leftovers()
        return self._record

    async def _live(self) -> None:
        async with self._cluster as cluster:
            for member in cluster:
                self._configs |= {(member.index, each.vhid): each for each in member.configs}
            self._note_addresses()
            self._set_conditions()
            for action in self._plan.actions:
                await cluster.advance(max(0.0, action.at_us / 1e6 - cluster.now_s))
                self._carry_out(action)
            await cluster.advance(self._plan.rest_us / 1e6)
            await self._calm_down()
        await asyncio.sleep(BACK_OFF_S)

    # Actions

    def _carry_out(self, action: Action) -> None:
        with contextlib.suppress(_Skip, UsageError):
            action = replace(action, who=self._resolve(action))
            done = Done(self._cluster.now_s, action)
            self._record.done.append(done)
            try:
                self._do(action)
            except (_Skip, UsageError):
                self._record.done.remove(done)
            except Exception as exc:  # noqa: BLE001  a call raised what it should not
                self._violate(Promise.EXCEPTION, f"{action.do} {type(exc).__name__} {_where(exc)}", f"{exc!r}")

    def _do(self, action: Action) -> None:
        carry_out = getattr(self, f"_do_{action.do}")
        if action.do in BY_PROGRAM:
            self._member(action).call(carry_out, action)
        else:
            carry_out(action)

    def _resolve(self, action: Action) -> int:
        if action.who == MASTER:
            return self._first(action.vhid, State.MASTER)
        if action.who == BACKUP:
            return self._first(action.vhid, State.BACKUP)
        return action.who

    def _first(self, vhid: int, state: State) -> int:
        for member in self._running():
            host = member.hosts.get(vhid)
            if host is not None and host.state is state:
                return member.index
        raise _Skip

    def _running(self) -> Iterator[Member]:
        return (each for each in self._cluster if each.is_alive and not each.is_stopped)

    def _member(self, action: Action) -> Member:
        member = self._cluster[action.who]
        if not member.is_alive or member.is_stopped:
            raise _Skip
        return member

    def _host(self, action: Action) -> VirtualHost:
        host = self._member(action).hosts.get(action.vhid)
        if host is None:
            raise _Skip
        return host

    def _do_demote(self, action: Action) -> None:
        self._host(action).demote(action.name, by=action.amount)

    def _do_restore(self, action: Action) -> None:
        self._host(action).restore(action.name)
        if action.name == HANDED_OVER:
            self._handed_over.discard((action.who, action.vhid))

    def _do_last(self, action: Action) -> None:
        self._host(action).demote(action.name, last=True)

    def _do_restrict(self, action: Action) -> None:
        host, restriction = self._host(action), tuple(Restriction)[action.amount]
        self._restrictions.setdefault((action.who, action.vhid), {})[action.name] = restriction
        host.restrict(action.name, restriction)

    def _do_unrestrict(self, action: Action) -> None:
        host = self._host(action)
        self._restrictions.get((action.who, action.vhid), {}).pop(action.name, None)
        host.unrestrict(action.name)

    def _do_demote_node(self, action: Action, group: str | None = None) -> None:
        node = self._member(action).node
        if action.amount:
            node.demote(action.name, by=action.amount, group=group)
        else:
            node.restore(action.name, group=group)

    def _do_demote_carp(self, action: Action) -> None:
        self._do_demote_node(action, "carp")

    def _do_demote_web(self, action: Action) -> None:
        self._do_demote_node(action, "web")

    def _do_force(self, action: Action) -> None:
        self._host(action).force(State(action.name))

    def _do_down(self, action: Action) -> None:
        self._host(action).down()
        self._down.add((action.who, action.vhid))

    def _do_up(self, action: Action) -> None:
        self._host(action).up()
        self._down.discard((action.who, action.vhid))

    def _do_bounce(self, action: Action) -> None:
        for _ in range(action.amount):
            self._do_down(action)
            self._do_up(action)

    def _do_hand_over(self, action: Action) -> None:
        host = self._host(action)
        self._call(action, self._hand_over(host, action), self._cluster[action.who])

    async def _hand_over(self, host: VirtualHost, action: Action) -> None:
        with contextlib.suppress(HandOverError):
            await host.hand_over(timeout_s=action.amount / 1000)
            self._handed_over.add((action.who, action.vhid))

    def _do_cancel(self, _action: Action) -> None:
        calls = [call for call, action in self._calls.items() if action.do in ("hand_over", "remove", "add")]
        if not calls:
            raise _Skip
        for each in calls:
            each.cancel()

    def _do_advskew(self, action: Action) -> None:
        self._host(action).reconfigure(advskew=action.amount)
        self._configs[action.who, action.vhid] = replace(self._configs[action.who, action.vhid], advskew=action.amount)

    def _do_roll(self, action: Action) -> None:
        is_signed = action.name in ("addresses", "passphrase")
        if self._is_rolling or (is_signed and self._cluster.now_s - self._rolled_at_s < ROLLING_APART_S):
            raise _Skip
        if action.name == "advbase" and not self._plan.advbase:
            raise _Skip
        self._is_rolling = True
        if is_signed:
            self._rolled_at_s = self._cluster.now_s
        if action.name == "passphrase":
            self._passphrase = "other" if self._passphrase == "secret" else "secret"
        for host, config in self._configs.items():
            self._configs[host] = replace(config, **self._rolled(action.name, config))
        self._note_addresses()
        self._call(action, self._roll(action, is_signed=is_signed))

    def _rolled(self, name: str, config: HostConfig) -> dict[str, Any]:
        match name:
            case "addresses":
                usual = addresses_of(self._plan, config.vhid)
                one_more = (
                    f"192.0.2.{20 + config.vhid}/24" if 4 in self._plan.families else f"fd00::{20 + config.vhid}/64"
                )
                return {"addresses": (*usual, one_more) if len(config.addresses) == len(usual) else usual}
            case "passphrase":
                return {"passphrase": self._passphrase}
            case "advbase":
                return {"advbase": 3 - config.advbase}
            case _:
                return {"preempt": not config.preempt}

    async def _roll(self, action: Action, *, is_signed: bool) -> None:
        began_s = self._cluster.now_s
        try:
            # Who is stopped comes last: the others must not wait longer than both ways of signing are accepted.
            for member in sorted(self._cluster, key=lambda each: each.is_alive and each.is_stopped):
                while member.is_alive and member.is_stopped:  # noqa: ASYNC110  a member tells nobody that it goes on
                    await asyncio.sleep(0.01)
                for vhid, host in dict(member.hosts if member.is_alive else {}).items():
                    config = self._configs[member.index, vhid]
                    change = {action.name: getattr(config, action.name)}
                    member.call(host.reconfigure, **change, rolling_s=ROLLING_S if is_signed else 0)
                await asyncio.sleep(action.amount / 1000)
        finally:
            self._is_rolling = False
            if is_signed:
                self._record.rolls.append((began_s, self._cluster.now_s))

    @property
    def _is_mixed(self) -> bool:
        """True while some may still sign as before: who starts with other settings would not hear them."""
        return self._is_rolling or self._cluster.now_s - self._rolled_at_s < ROLLING_S + 1

    def _do_remove(self, action: Action) -> None:
        member, host = self._member(action), self._host(action)
        self._call(action, member.node.remove(host), member)

    def _do_add(self, action: Action) -> None:
        member = self._member(action)
        is_under_way = any(
            each.do in ("add", "remove") and (each.who, each.vhid) == (action.who, action.vhid)
            for each in self._calls.values()
        )
        if action.vhid in member.hosts or is_under_way or self._is_mixed:
            raise _Skip
        self._call(action, self._add(member, action.vhid), member)

    async def _add(self, member: Member, vhid: int) -> None:
        self._watch(member, await member.node.add(self._configs[member.index, vhid]))
        self._follow(member)
        self._down.discard((member.index, vhid))
        self._handed_over.discard((member.index, vhid))

    def _do_leave(self, action: Action) -> None:
        member = self._member(action)
        if any(each.do == "leave" and each.who == action.who for each in self._calls.values()):
            raise _Skip
        self._call(action, self._cluster.leave(member))

    def _do_start(self, action: Action) -> None:
        member = self._cluster[action.who]
        is_starting = any(each.do == "start" and each.who == action.who for each in self._calls.values())
        if member.is_alive or self._is_mixed or is_starting:
            raise _Skip
        mine = {(member.index, vhid) for vhid in self._plan.vhids}
        member.configs = tuple(self._configs[each] for each in sorted(mine))
        self._down -= mine
        self._handed_over -= mine
        self._call(action, self._cluster.restart(member))

    def _do_take_away(self, action: Action) -> None:
        self._cluster[action.who].actuator.take_away(addresses_of(self._plan, action.vhid)[0])

    def _do_slow(self, action: Action) -> None:
        self._cluster[action.who].actuator.slow(action.name, takes_s=action.amount / 1000)

    def _do_fail(self, action: Action) -> None:
        self._cluster[action.who].actuator.fail(action.name, after=action.amount)
        self._may_time_out |= action.name == "drop"

    def _do_hang(self, action: Action) -> None:
        self._cluster[action.who].actuator.hang(action.name)
        self._may_time_out |= action.name in ("drop", "hold")

    def _do_repair(self, action: Action) -> None:
        self._cluster[action.who].actuator.repair()

    def _do_link_down(self, action: Action) -> None:
        self._cluster.link_down(action.who)

    def _do_link_up(self, action: Action) -> None:
        self._cluster.link_up(action.who)

    def _do_loss(self, action: Action) -> None:
        self._cluster.loss(action.amount / 1000, seed=self._plan.seed)

    def _do_partition(self, action: Action) -> None:
        self._cluster.partition(action.others)

    def _do_delay(self, action: Action) -> None:
        self._cluster.delay(action.amount / 1e6)

    def _do_heal(self, _action: Action) -> None:
        self._cluster.heal()
        self._set_conditions()

    def _do_kill(self, action: Action, *, guardian: bool = False) -> None:
        self._cluster.kill(action.who, guardian=guardian)
        for call in [call for call, each in self._calls.items() if each.who == action.who and each.do != "roll"]:
            del self._calls[call]
        for vhid in self._plan.vhids:
            self._note((action.who, vhid), None)

    def _do_guardian(self, action: Action) -> None:
        self._do_kill(action, guardian=True)

    def _do_stop(self, action: Action) -> None:
        self._member(action)
        self._cluster.stop(action.who)
        self._may_time_out = True

    def _do_continue_(self, action: Action) -> None:
        if not self._cluster[action.who].is_stopped:
            raise _Skip
        self._cluster.continue_(action.who)

    def _do_fail_sends(self, action: Action) -> None:
        self._cluster.fail_sends(action.who, action.amount or None)

    def _do_repair_sends(self, action: Action) -> None:
        self._cluster.repair_sends(action.who)

    def _set_conditions(self) -> None:
        """Let the segment be as the plan says that it is when nothing is wrong."""
        self._cluster.delay(self._plan.delay_us / 1e6)
        self._cluster.jitter(self._plan.jitter_us / 1e6, seed=self._plan.seed)
        self._cluster.duplicate(self._plan.duplicates / 1000, seed=self._plan.seed)

    # Calls that take their time

    def _call(self, action: Action, call: Coroutine[Any, Any, Any], member: Member | None = None) -> None:
        task = asyncio.create_task(call) if member is None else member.run(call)
        self._calls[task] = action
        task.add_done_callback(self._returned)

    def _returned(self, task: "asyncio.Task[Any]") -> None:
        action = self._calls.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if action is None or error is None or isinstance(error, UsageError):
            return
        if isinstance(error, TimeoutError) and action.do in ("remove", "leave") and self._may_time_out:
            return
        self._violate(Promise.EXCEPTION, f"{action.do} {type(error).__name__} {_where(error)}", f"{error!r}")

    # Observing

    async def _observe(self, member: Member) -> None:
        for host in member.hosts.values():
            self._watch(member, host)
        self._followers.pop(member.index, None)
        self._follow(member)
        await asyncio.Event().wait()

    def _follow(self, member: Member) -> None:
        """Let the hosts of a member follow what the plan says; again when there is another host."""
        followers = self._followers.setdefault(member.index, {})
        if self._plan.failback:
            for host in member.hosts.values():
                if host not in followers:
                    followers[host] = member.run(failback.follow(host, POLICY))
        if self._plan.group:
            before = followers.pop("group", None)
            if before is not None:
                before.cancel()
            if len(member.hosts) > 1:
                # Every machine names them in the same order, also where one came back later.
                members = (host for _vhid, host in sorted(member.hosts.items()))
                followers["group"] = member.run(groups.follow("storm", *members))

    def _watch(self, member: Member, host: VirtualHost) -> None:
        where = member.index, host.key.vhid
        self._restrictions.pop(where, None)
        life = member.node
        self._note(where, host.state)

        def note(change: StateChange) -> None:
            if member.is_alive and member.node is life:
                self._note(where, change.new, change)
                if change.new is State.MASTER and Restriction.BACKUP_ONLY in self._restrictions.get(where, {}).values():
                    self._violate(Promise.RESTRICTED, f"{change.reason}", f"{member.name} became MASTER")

        host.on_change(note)

    def _note(self, where: Host, state: State | None, change: StateChange | None = None) -> None:
        now_s = self._cluster.now_s
        self._record.changes.setdefault(where, []).append(Change(now_s, state, change.reason if change else None))

    def _note_addresses(self) -> None:
        for config in self._configs.values():
            self._record.vhids |= {str(each): config.vhid for each in config.addresses}
        longest = max(each.advbase for each in self._configs.values()) + 1.0
        self._record.intervals_s = max(self._record.intervals_s, longest)

    # The end

    async def _calm_down(self) -> None:
        """Put everything right, wait until every call has returned and nothing changes, and look at the end."""
        cluster = self._cluster
        cluster.heal()
        self._set_conditions()
        for member in cluster:
            cluster.repair_sends(member)
            member.actuator.repair()
            if member.is_alive:
                if member.is_stopped:
                    cluster.continue_(member)
                cluster.link_up(member)
        self._record.calm_at_s = cluster.now_s
        await self._wait_for_calls()
        for member in cluster:
            if member.is_alive:
                cluster.link_up(member)
                member.call(self._lift, member)
        await cluster.advance(BACK_OFF_S)
        try:
            await cluster.settle()
        except AssertionError as exc:
            self._violate(Promise.UNSETTLED, "changes for ever", str(exc).splitlines()[0])
        for vhid in self._plan.vhids:
            self._judge_end(vhid)
        await self._judge_preferences()
        if self._plan.group:
            self._judge_group()

    def _lift(self, member: Member) -> None:
        for vhid, host in member.hosts.items():
            self._restrictions.pop((member.index, vhid), None)
            for cause in CAUSES:
                with contextlib.suppress(UsageError):
                    host.unrestrict(cause)

    async def _wait_for_calls(self) -> None:
        if not self._calls:
            return
        self._grant(CALLS_S)
        _, pending = await asyncio.wait(set(self._calls), timeout=CALLS_S)
        for each in pending:
            self._violate(Promise.CALL_HANGS, self._calls[each].do, f"{self._calls[each]}")

    def _grant(self, span_s: float) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.grant(span_s)

    def _hosts_of(self, vhid: int) -> dict[int, VirtualHost]:
        """Return the hosts of a vhid that live and are up, by the number of their member."""
        hosts = {
            member.index: member.hosts[vhid]
            for member in self._cluster
            if member.is_alive and vhid in member.hosts and (member.index, vhid) not in self._down
        }
        return {index: host for index, host in hosts.items() if not _has_departed(host)}

    def _judge_end(self, vhid: int) -> None:
        hosts = self._hosts_of(vhid)
        masters = [index for index, host in hosts.items() if host.state is State.MASTER]
        if len(masters) != bool(hosts):
            states = " ".join(f"{self._cluster[index].name}={host.state}" for index, host in hosts.items())
            self._violate(Promise.ONE_MASTER, f"{len(masters)}", f"vhid {vhid}: {states}")
        for index, host in hosts.items():
            self._judge_host(index, host, is_master=masters == [index])

    def _judge_group(self) -> None:
        """Look for parts of the group on several machines although all of it could be on one.

        A machine from which a host was removed has no group that it could keep together.
        """
        hosts = {member.name: tuple(member.hosts.values()) for member in self._cluster if member.is_alive}
        if any(len(each) < len(self._plan.vhids) or any(map(_has_departed, each)) for each in hosts.values()):
            return
        able = [name for name, each in hosts.items() if all(own_share(host.snapshot()).is_able for host in each)]
        masters = {vhid: [each.name for each in self._cluster.masters(vhid)] for vhid in self._plan.vhids}
        if able and len({tuple(names) for names in masters.values()}) > 1:
            self._violate(Promise.GROUP_APART, "able", f"{masters}; able: {' '.join(able)}")

    async def _judge_preferences(self) -> None:
        """Look for hosts that should be MASTER; one that was trusted again just now gets an interval to preempt."""
        first = {vhid: self._passed_over(vhid) for vhid in self._plan.vhids}
        if not any(first.values()):
            return
        await self._cluster.advance(self._record.intervals_s * (1 + CLOCKS_MAX / 1000))
        for vhid, hosts in first.items():
            if still := hosts & self._passed_over(vhid):
                names = " ".join(self._cluster[index].name for index in sorted(still))
                self._violate(Promise.PREFERRED, "another claims less", f"vhid {vhid}: {names}")

    def _passed_over(self, vhid: int) -> set[int]:
        """Return who preempts, is able to, and announces faster than the MASTER."""
        hosts = self._hosts_of(vhid)
        masters = [index for index, host in hosts.items() if host.state is State.MASTER]
        if len(masters) != 1 or not all(host.config.preempt for host in hosts.values()):
            return set()
        views = {index: host.snapshot() for index, host in hosts.items()}
        # A host that could not serve its addresses lately, or handed them over, leaves them to the others.
        able = {index for index, view in views.items() if view.preempts and not view.goes_last}
        limit_ns = views[masters[0]].claim.interval_ns
        return {index for index in able if views[index].claim.interval_ns < limit_ns}

    def _judge_host(self, index: int, host: VirtualHost, *, is_master: bool) -> None:
        held = set(self._cluster[index].addresses)
        shared = set(host.config.addresses)
        name = self._cluster[index].name
        if is_master and not shared <= held:
            self._violate(Promise.ONE_MASTER, "lacks addresses", f"{name} lacks {sorted(map(str, shared - held))}")
        causes = dict(host.snapshot().demotion)
        if HANDED_OVER in causes and (index, host.key.vhid) not in self._handed_over:
            self._violate(Promise.DEMOTION_LEFT, HANDED_OVER, f"{name}: {causes}")
        for cause in causes:
            if ("is down" in cause and not cause.startswith("group ")) or (is_master and cause == "addresses not held"):
                self._violate(Promise.DEMOTION_LEFT, cause, f"{name}: {causes}")

    def _look_for_leftovers(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        self._record.end_s = loop.time()
        self._record.history = self._cluster.history
        self._record.transcript = self._cluster.transcript
        for task in asyncio.all_tasks() - {asyncio.current_task()} - self._calls.keys():
            self._violate(Promise.LEFT_OVER, "task", f"{task!r}")
        for timer in loop.scheduled:
            self._violate(Promise.LEFT_OVER, "timer", f"{timer!r}")

    def _complain(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        kind = f"in the loop: {type(error).__name__} {_where(error)}"
        self._violate(Promise.EXCEPTION, kind, f"{context.get('message')}: {error!r}")

    def _violate(self, promise: Promise, kind: str, words: str) -> None:
        at_s = self._cluster.now_s
        self._record.violations.append(Violation(promise=promise, kind=kind, at_s=at_s, words=words))


def addresses_of(plan: Plan, vhid: int) -> tuple[str, ...]:
    """Return the shared addresses of a vhid, as long as nobody changes them."""
    both = {4: f"192.0.2.{9 + vhid}/24", 6: f"fd00::{9 + vhid}/64"}
    return tuple(both[family] for family in plan.families)


def _has_departed(host: VirtualHost) -> bool:
    """True for a host whose removal took too long to be waited for, but is over now."""
    try:
        host.snapshot()
    except UsageError:
        return True
    return False


def _where(error: BaseException | None) -> str:
    """Return the function that raised, for telling kinds of errors apart."""
    trace = error.__traceback__ if error else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_qualname if trace is not None else ""


def record(plan: Plan) -> Record:
    """Run a plan in a loop of its own and return what happened."""
    found: list[Record] = []

    async def main() -> None:
        found.append(await Run(plan).record())

    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(limit_s=LIMIT_S)) as runner:
        runner.run(main())
    return found[0]
