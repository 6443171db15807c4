"""Attempts on asyncio: the last intent wins, every attempt is reported, nothing is given up, and nothing hangs."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_interface

import pytest

from pycarp.actuators.actuator import Actuator
from pycarp.aio.shell import ATTEMPT_TIMEOUT_S, Observers, Shell
from pycarp.core.effects import Announce, DropAddresses, Effect, HoldAddresses, Step
from pycarp.core.inputs import Action, ActuationReported, Input, TimePassed
from pycarp.dialects.dialect import ArpForm
from pycarp.runtime.reconciler import ATTEMPTS_MAX, DEFAULT_PACE
from pycarp.vocabulary import NS_PER_S, HostKey, InterfaceAddress
from tests.support.actuators import RecordingActuator
from tests.support.transports import ScriptedTransport
from tests.support.virtual import in_virtual_time, let_others_run, now_s

KEY = HostKey("em0", 1)
ADDRESSES = (ip_interface("192.0.2.10/24"),)
FORM = ArpForm(own_target_mac=False, link_source=False, with_reply=False)
RETRY_MAX_S = DEFAULT_PACE.retry_max_ns / NS_PER_S


class Wishes:
    """Stands in for an engine: returns the effects that a test wants, and keeps the reports."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.reports: list[ActuationReported] = []

    def handle(self, event: Input, _now_ns: int, /) -> Step:
        if isinstance(event, ActuationReported):
            self.reports.append(event)
        effects, self.effects = tuple(self.effects), []
        return Step(effects, None)

    def can_send(self, _key: HostKey, /) -> bool:
        return True


async def at_once() -> None:
    """Return None: no deadline."""


@dataclass(slots=True)
class Bench:
    """A shell with an actuator that keeps a record, and the reports of its attempts."""

    actuator: Actuator = field(default_factory=RecordingActuator)
    timeout_s: float = ATTEMPT_TIMEOUT_S
    vacated: Callable[[], Awaitable[object]] = at_once
    engine: Wishes = field(default_factory=Wishes)
    shell: Shell = field(init=False)

    def __post_init__(self) -> None:
        self.shell = Shell(
            engine=self.engine,
            transport=ScriptedTransport(),
            actuator=self.actuator,
            attempt_timeout_s=self.timeout_s,
            observers=Observers(
                asked=lambda _effect: None,
                renewed=lambda _key: None,
                reported=lambda _report: None,
                published=lambda _event: None,
                stalled=lambda _late_ns, _now_ns: None,
                failed=lambda _bug: None,
                vacated=lambda _key: self.vacated(),
            ),
        )

    def want(self, effect: Effect) -> None:
        self.engine.effects.append(effect)
        self.shell.submit(TimePassed())

    def hold(self, epoch: int) -> None:
        self.want(HoldAddresses(KEY, epoch, ADDRESSES))

    def drop(self, epoch: int) -> None:
        self.want(DropAddresses(KEY, epoch, ADDRESSES))

    def announce(self, epoch: int) -> None:
        self.want(Announce(KEY, epoch, ADDRESSES, FORM))

    async def close(self) -> None:
        await self.shell.release(KEY)
        self.shell.stop()

    @property
    def recorded(self) -> RecordingActuator:
        assert isinstance(self.actuator, RecordingActuator)
        return self.actuator

    @property
    def told(self) -> list[tuple[int, Action, str | None]]:
        return [(report.epoch, report.action, report.error) for report in self.engine.reports]


@in_virtual_time
async def test_an_intent_is_executed_and_reported_under_its_epoch() -> None:
    bench = Bench()
    bench.hold(epoch=3)
    await let_others_run()

    assert bench.recorded.held == set(ADDRESSES)
    assert bench.told == [(3, Action.HOLD, None)]


@in_virtual_time
async def test_taking_an_intent_returns_before_anything_was_asked() -> None:
    bench = Bench()
    bench.hold(epoch=1)

    assert bench.recorded.calls == []
    await bench.close()


@in_virtual_time
async def test_flapping_while_a_call_is_under_way_executes_only_the_last_intent() -> None:
    bench = Bench(RecordingActuator(takes_s=10))
    bench.hold(epoch=1)
    await asyncio.sleep(1)
    for epoch in range(2, 9):
        (bench.drop if epoch % 2 == 0 else bench.hold)(epoch)
    await asyncio.sleep(60)

    assert bench.recorded.actions == [Action.HOLD, Action.DROP]
    assert [epoch for epoch, _, _ in bench.told] == [8]
    assert bench.recorded.held == set()


@in_virtual_time
async def test_an_intent_that_is_satisfied_already_is_reported_under_its_own_epoch() -> None:
    bench = Bench(RecordingActuator(takes_s=10))
    bench.hold(epoch=1)
    await asyncio.sleep(1)
    bench.hold(epoch=2)
    bench.hold(epoch=3)
    await asyncio.sleep(60)

    assert bench.recorded.actions == [Action.HOLD]
    assert bench.told == [(1, Action.HOLD, None), (3, Action.HOLD, None)]


@in_virtual_time
async def test_a_failing_hold_is_reported_and_retried_with_growing_pauses() -> None:
    bench = Bench(RecordingActuator(refused={Action.HOLD}))
    bench.hold(epoch=1)
    await asyncio.sleep(30)
    await bench.close()

    times_s = bench.recorded.times_s(Action.HOLD)
    pauses_s = [round(after - before, 1) for before, after in itertools.pairwise(times_s)]
    assert pauses_s[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, RETRY_MAX_S]
    assert set(bench.told) == {(1, Action.HOLD, "hold refused")}
    assert len(bench.told) == len(times_s)


@in_virtual_time
async def test_a_hold_that_succeeds_in_the_end_is_reported_once_and_not_repeated() -> None:
    bench = Bench(RecordingActuator(refused={Action.HOLD}))
    bench.hold(epoch=1)
    await asyncio.sleep(1)
    bench.recorded.refused.clear()
    await asyncio.sleep(60)

    assert bench.told[-1] == (1, Action.HOLD, None)
    assert [error for _, _, error in bench.told].count(None) == 1


@in_virtual_time
async def test_a_new_intent_does_not_wait_for_the_pause_of_the_old_one() -> None:
    bench = Bench(RecordingActuator(refused={Action.HOLD}))
    bench.hold(epoch=1)
    await asyncio.sleep(20)
    bench.drop(epoch=2)
    dropped_from_s = now_s()
    await asyncio.sleep(1)

    assert bench.recorded.times_s(Action.DROP) == [pytest.approx(dropped_from_s, abs=0.01)]
    assert bench.told[-1] == (2, Action.DROP, None)


@in_virtual_time
async def test_a_hanging_call_times_out_and_is_reported() -> None:
    bench = Bench(RecordingActuator(hanging={Action.HOLD}))
    bench.hold(epoch=1)
    await asyncio.sleep(ATTEMPT_TIMEOUT_S + 0.01)
    await bench.close()

    assert bench.told == [(1, Action.HOLD, "took longer than 15 s")]


@in_virtual_time
async def test_the_time_for_an_attempt_can_be_chosen() -> None:
    bench = Bench(RecordingActuator(hanging={Action.HOLD}), timeout_s=ATTEMPT_TIMEOUT_S + 5)
    bench.hold(epoch=1)
    await asyncio.sleep(ATTEMPT_TIMEOUT_S + 5.01)
    await bench.close()

    assert bench.told == [(1, Action.HOLD, "took longer than 20 s")]


@in_virtual_time
async def test_a_timeout_of_the_system_is_not_mistaken_for_our_own() -> None:
    class Unreachable(RecordingActuator):
        async def hold(
            self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
        ) -> None:
            raise TimeoutError(110, "Connection timed out")

    bench = Bench(Unreachable())
    bench.hold(epoch=1)
    await let_others_run()
    await bench.close()

    assert bench.told == [(1, Action.HOLD, "[Errno 110] Connection timed out")]


@in_virtual_time
async def test_whatever_an_actuator_raises_is_reported_and_retried() -> None:
    class Broken(RecordingActuator):
        async def hold(
            self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
        ) -> None:
            await RecordingActuator.hold(self, key, addresses)
            if len(self.calls) == 1:
                raise KeyError("what was that")

    bench = Bench(Broken())
    bench.hold(epoch=1)
    await asyncio.sleep(1)

    assert bench.told == [(1, Action.HOLD, "KeyError: 'what was that'"), (1, Action.HOLD, None)]


@in_virtual_time
async def test_a_failed_hold_is_followed_by_a_real_drop() -> None:
    bench = Bench()
    bench.drop(epoch=1)
    await let_others_run()
    bench.recorded.refused.add(Action.HOLD)
    bench.hold(epoch=2)
    await let_others_run()
    bench.drop(epoch=3)
    await let_others_run()

    assert bench.recorded.actions == [Action.DROP, Action.HOLD, Action.DROP]


@in_virtual_time
async def test_a_failing_drop_is_retried_for_ever() -> None:
    bench = Bench(RecordingActuator(refused={Action.DROP}))
    bench.drop(epoch=1)
    await asyncio.sleep(6 * 3600)
    failures = len(bench.told)
    bench.recorded.refused.clear()
    await asyncio.sleep(RETRY_MAX_S + 0.01)

    assert failures > 6 * 3600 / RETRY_MAX_S
    assert bench.told[-1] == (1, Action.DROP, None)


@in_virtual_time
async def test_an_announcement_follows_the_hold_of_its_epoch() -> None:
    bench = Bench()
    bench.hold(epoch=1)
    bench.announce(epoch=1)
    await let_others_run()

    assert bench.recorded.actions == [Action.HOLD, Action.ANNOUNCE]


@in_virtual_time
async def test_an_announcement_whose_epoch_has_passed_is_discarded() -> None:
    bench = Bench(RecordingActuator(takes_s=1))
    bench.hold(epoch=1)
    await asyncio.sleep(0.5)
    bench.announce(epoch=1)
    bench.drop(epoch=2)
    bench.hold(epoch=3)
    await asyncio.sleep(60)

    assert Action.ANNOUNCE not in bench.recorded.actions


@in_virtual_time
async def test_a_failed_announcement_is_reported_and_not_repeated() -> None:
    bench = Bench(RecordingActuator(refused={Action.ANNOUNCE}))
    bench.hold(epoch=1)
    bench.announce(epoch=1)
    await asyncio.sleep(60)

    assert bench.told == [(1, Action.HOLD, None), (1, Action.ANNOUNCE, "announce refused")]
    assert bench.recorded.actions == [Action.HOLD, Action.ANNOUNCE]


@in_virtual_time
async def test_a_host_with_nothing_to_do_has_no_task() -> None:
    bench = Bench()
    bench.hold(epoch=1)
    await let_others_run()

    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_releasing_stops_what_is_under_way() -> None:
    bench = Bench(RecordingActuator(hanging={Action.HOLD}))
    bench.hold(epoch=1)
    await asyncio.sleep(1)
    await bench.close()

    assert bench.told == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_releasing_a_host_that_never_worked_does_nothing() -> None:
    await Bench().close()


def hosts(count: int) -> list[HostKey]:
    return [HostKey("em0", vhid) for vhid in range(1, count + 1)]


@in_virtual_time
async def test_only_so_many_holds_of_a_node_are_under_way_at_a_time() -> None:
    bench = Bench(RecordingActuator(takes_s=1))
    for key in hosts(2 * ATTEMPTS_MAX + 2):
        bench.want(HoldAddresses(key, 1, ADDRESSES))
    await asyncio.sleep(60)

    times_s = [round(call.at_s) for call in bench.recorded.calls]
    assert times_s == [0] * ATTEMPTS_MAX + [1] * ATTEMPTS_MAX + [2] * 2
    assert len(bench.told) == 2 * ATTEMPTS_MAX + 2


@in_virtual_time
async def test_waiting_for_a_place_is_no_part_of_the_attempt() -> None:
    bench = Bench(RecordingActuator(takes_s=ATTEMPT_TIMEOUT_S - 1))
    for key in hosts(ATTEMPTS_MAX + 1):
        bench.want(HoldAddresses(key, 1, ADDRESSES))
    await asyncio.sleep(60)

    assert {error for _, _, error in bench.told} == {None}


@in_virtual_time
async def test_releasing_a_host_that_waits_for_a_place_leaves_nothing_behind() -> None:
    bench = Bench(RecordingActuator(hanging={Action.HOLD}))
    *others, last = hosts(ATTEMPTS_MAX + 1)
    for key in (*others, last):
        bench.want(HoldAddresses(key, 1, ADDRESSES))
    await let_others_run()
    await bench.shell.release(last, *others)

    assert bench.told == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_a_drop_waits_until_the_addresses_are_vacated() -> None:
    vacated = asyncio.Event()
    bench = Bench(vacated=vacated.wait)
    bench.drop(epoch=1)
    await let_others_run()
    before = bench.recorded.actions
    vacated.set()
    await let_others_run()

    assert (before, bench.recorded.actions) == ([], [Action.DROP])


@in_virtual_time
async def test_a_drop_that_waits_is_overtaken_by_a_hold() -> None:
    vacated = asyncio.Event()
    bench = Bench(vacated=vacated.wait)
    bench.drop(epoch=1)
    await let_others_run()
    bench.hold(epoch=2)
    vacated.set()
    await let_others_run()

    assert bench.recorded.actions == [Action.HOLD]


@in_virtual_time
async def test_waiting_for_the_addresses_to_be_vacated_is_no_part_of_the_attempt() -> None:
    bench = Bench(vacated=lambda: asyncio.sleep(2 * ATTEMPT_TIMEOUT_S))
    bench.drop(epoch=1)
    await asyncio.sleep(3 * ATTEMPT_TIMEOUT_S)

    assert bench.told == [(1, Action.DROP, None)]


# Hanging and raising


@in_virtual_time
async def test_a_drop_does_not_wait_behind_a_hold_that_hangs() -> None:
    bench = Bench(RecordingActuator(hanging={Action.HOLD}))
    bench.hold(epoch=1)
    await asyncio.sleep(1)
    bench.drop(epoch=2)
    await let_others_run()

    assert bench.told == [(2, Action.DROP, None)]
    assert now_s() == pytest.approx(1)


@in_virtual_time
async def test_a_drop_does_not_wait_behind_an_announcement_that_hangs() -> None:
    bench = Bench(RecordingActuator(hanging={Action.ANNOUNCE}))
    bench.hold(epoch=1)
    bench.announce(epoch=1)
    await let_others_run()
    bench.drop(epoch=2)
    await let_others_run()

    assert bench.told[-1] == (2, Action.DROP, None)


@in_virtual_time
async def test_drops_do_not_wait_behind_holds_of_other_hosts_that_hang() -> None:
    bench = Bench(RecordingActuator(hanging={Action.HOLD}))
    for key in hosts(ATTEMPTS_MAX):
        bench.want(HoldAddresses(key, 1, ADDRESSES))
    await let_others_run()
    bench.want(DropAddresses(HostKey("em0", 200), 1, ADDRESSES))
    await let_others_run()

    assert bench.told == [(1, Action.DROP, None)]


class Deaf(RecordingActuator):
    """An actuator whose holds ignore cancellation."""

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        ends_at_s = now_s() + 30
        while (rest_s := ends_at_s - now_s()) > 0:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(rest_s)
        await RecordingActuator.hold(self, key, addresses)


@in_virtual_time
async def test_a_hold_that_cannot_even_be_cancelled_is_left_alone_and_undone_when_it_ends() -> None:
    bench = Bench(Deaf())
    bench.hold(epoch=1)
    await asyncio.sleep(1)
    bench.drop(epoch=2)
    await asyncio.sleep(1)
    dropped = list(bench.told)
    await asyncio.sleep(60)

    assert dropped == [(2, Action.DROP, None)]
    assert bench.told == dropped
    assert bench.recorded.actions == [Action.DROP, Action.HOLD, Action.DROP]
    assert bench.recorded.held == set()


class Alien(BaseException):
    """An exception of no known class."""


@pytest.mark.parametrize(
    ("bug", "name"), [(asyncio.CancelledError(), "CancelledError"), (Alien("hello"), "Alien: hello")]
)
def test_what_is_no_exception_is_a_failed_attempt_like_any_other(bug: BaseException, name: str) -> None:
    class Broken(RecordingActuator):
        async def hold(
            self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
        ) -> None:
            await RecordingActuator.hold(self, key, addresses)
            if len(self.calls) == 1:
                raise bug

    @in_virtual_time
    async def plan() -> None:
        bench = Bench(Broken())
        bench.hold(epoch=1)
        await asyncio.sleep(1)

        assert bench.told == [(1, Action.HOLD, name), (1, Action.HOLD, None)]

    plan()


# The end


@in_virtual_time
async def test_surrender_drops_what_was_held_and_what_was_being_dropped() -> None:
    previous = ip_interface("192.0.2.11/24")
    bench = Bench()
    bench.want(HoldAddresses(KEY, 1, (*ADDRESSES, previous)))
    await let_others_run()
    bench.recorded.hanging.add(Action.DROP)
    bench.want(HoldAddresses(KEY, 2, ADDRESSES, previous=(previous,)))
    await let_others_run()
    bench.recorded.hanging.clear()
    bench.shell.surrender()
    await bench.shell.surrendered(5)

    assert bench.recorded.held == set()
    assert now_s() == 0


@in_virtual_time
async def test_surrender_tries_again_until_its_time_is_up() -> None:
    bench = Bench(RecordingActuator(refused={Action.DROP}))
    bench.hold(epoch=1)
    await let_others_run()
    bench.shell.surrender()
    await bench.shell.surrendered(5)

    assert now_s() == pytest.approx(5)
    assert len(bench.recorded.times_s(Action.DROP)) > 5
    await bench.close()
