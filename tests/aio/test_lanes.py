"""The reconciler of one host: the last intent wins, every attempt is reported, nothing is given up."""

import asyncio
import itertools
from dataclasses import dataclass, field
from ipaddress import ip_interface

import pytest

from pycarp.actuators.base import Actuator
from pycarp.aio.lanes import ATTEMPT_TIMEOUT_S, RETRY_MAX_S, Lane
from pycarp.core.effects import Announce, DropAddresses, HoldAddresses
from pycarp.core.inputs import Action, ActuationReported
from pycarp.dialects.base import ArpForm
from pycarp.vocabulary import HostKey, Interface
from tests.support.actuators import RecordingActuator
from tests.support.virtual import in_virtual_time, let_others_run, now_s

KEY = HostKey("em0", 1)
ADDRESSES = (ip_interface("192.0.2.10/24"),)
FORM = ArpForm(own_target_mac=False, link_source=False, with_reply=False)


@dataclass(slots=True)
class Bench:
    """A lane with an actuator that keeps a record, and the reports that came of it."""

    actuator: RecordingActuator = field(default_factory=RecordingActuator)
    reports: list[ActuationReported] = field(default_factory=list)
    lane: Lane = field(init=False)

    def __post_init__(self) -> None:
        self.lane = lane(self.actuator, self.reports)

    def hold(self, epoch: int) -> None:
        self.lane.take(HoldAddresses(KEY, epoch, ADDRESSES))

    def drop(self, epoch: int) -> None:
        self.lane.take(DropAddresses(KEY, epoch, ADDRESSES))

    def announce(self, epoch: int) -> None:
        self.lane.take(Announce(KEY, epoch, ADDRESSES, FORM))

    @property
    def told(self) -> list[tuple[int, Action, str | None]]:
        return [(report.epoch, report.action, report.error) for report in self.reports]


def lane(actuator: Actuator, reports: list[ActuationReported], gate: asyncio.Semaphore | None = None) -> Lane:
    return Lane(KEY, actuator, reports.append, gate or asyncio.Semaphore(32))


@in_virtual_time
async def test_an_intent_is_executed_and_reported_under_its_epoch() -> None:
    bench = Bench()
    bench.hold(epoch=3)
    await let_others_run()

    assert bench.actuator.held == set(ADDRESSES)
    assert bench.told == [(3, Action.HOLD, None)]


@in_virtual_time
async def test_taking_an_intent_returns_before_anything_was_asked() -> None:
    bench = Bench()
    bench.hold(epoch=1)

    assert bench.actuator.calls == []
    await bench.lane.close()


@in_virtual_time
async def test_flapping_while_a_call_is_under_way_executes_only_the_last_intent() -> None:
    bench = Bench(RecordingActuator(takes_s=10))
    bench.hold(epoch=1)
    await asyncio.sleep(1)
    for epoch in range(2, 9):
        (bench.drop if epoch % 2 == 0 else bench.hold)(epoch)
    await asyncio.sleep(60)

    assert bench.actuator.actions == [Action.HOLD, Action.DROP]
    assert [epoch for epoch, _, _ in bench.told] == [8]
    assert bench.actuator.held == set()


@in_virtual_time
async def test_an_intent_that_is_satisfied_already_is_reported_under_its_own_epoch() -> None:
    bench = Bench(RecordingActuator(takes_s=10))
    bench.hold(epoch=1)
    await asyncio.sleep(1)
    bench.hold(epoch=3)
    await asyncio.sleep(60)

    assert bench.actuator.actions == [Action.HOLD]
    assert bench.told == [(1, Action.HOLD, None), (3, Action.HOLD, None)]


@in_virtual_time
async def test_a_failing_hold_is_reported_and_retried_with_growing_pauses() -> None:
    bench = Bench(RecordingActuator(refused={Action.HOLD}))
    bench.hold(epoch=1)
    await asyncio.sleep(30)
    await bench.lane.close()

    times_s = bench.actuator.times_s(Action.HOLD)
    pauses_s = [round(after - before, 1) for before, after in itertools.pairwise(times_s)]
    assert pauses_s[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, RETRY_MAX_S]
    assert set(bench.told) == {(1, Action.HOLD, "hold refused")}
    assert len(bench.told) == len(times_s)


@in_virtual_time
async def test_a_hold_that_succeeds_in_the_end_is_reported_once_and_not_repeated() -> None:
    bench = Bench(RecordingActuator(refused={Action.HOLD}))
    bench.hold(epoch=1)
    await asyncio.sleep(1)
    bench.actuator.refused.clear()
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

    assert bench.actuator.times_s(Action.DROP) == [pytest.approx(dropped_from_s, abs=0.01)]
    assert bench.told[-1] == (2, Action.DROP, None)


@in_virtual_time
async def test_a_hanging_call_times_out_and_is_reported() -> None:
    bench = Bench(RecordingActuator(hanging={Action.HOLD}))
    bench.hold(epoch=1)
    await asyncio.sleep(ATTEMPT_TIMEOUT_S + 0.01)
    await bench.lane.close()

    assert bench.told == [(1, Action.HOLD, "took longer than 15 s")]


@in_virtual_time
async def test_the_time_for_an_attempt_can_be_chosen() -> None:
    reports: list[ActuationReported] = []
    patient = Lane(
        KEY,
        RecordingActuator(hanging={Action.HOLD}),
        reports.append,
        asyncio.Semaphore(1),
        timeout_s=ATTEMPT_TIMEOUT_S + 5,
    )
    patient.take(HoldAddresses(KEY, 1, ADDRESSES))
    await asyncio.sleep(ATTEMPT_TIMEOUT_S + 5.01)
    await patient.close()

    assert [report.error for report in reports] == ["took longer than 20 s"]


@in_virtual_time
async def test_a_timeout_of_the_system_is_not_mistaken_for_our_own() -> None:
    class Unreachable(RecordingActuator):
        async def hold(self, key: HostKey, addresses: tuple[Interface, ...], *, lifetime_s: int | None = None) -> None:
            raise TimeoutError(110, "Connection timed out")

    bench = Bench(Unreachable())
    bench.hold(epoch=1)
    await let_others_run()
    await bench.lane.close()

    assert bench.told == [(1, Action.HOLD, "[Errno 110] Connection timed out")]


@in_virtual_time
async def test_whatever_an_actuator_raises_is_reported_and_retried() -> None:
    class Broken(RecordingActuator):
        async def hold(self, key: HostKey, addresses: tuple[Interface, ...], *, lifetime_s: int | None = None) -> None:
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
    bench.actuator.refused.add(Action.HOLD)
    bench.hold(epoch=2)
    await let_others_run()
    bench.drop(epoch=3)
    await let_others_run()

    assert bench.actuator.actions == [Action.DROP, Action.HOLD, Action.DROP]


@in_virtual_time
async def test_a_failing_drop_is_retried_for_ever() -> None:
    bench = Bench(RecordingActuator(refused={Action.DROP}))
    bench.drop(epoch=1)
    await asyncio.sleep(6 * 3600)
    failures = len(bench.told)
    bench.actuator.refused.clear()
    await asyncio.sleep(RETRY_MAX_S + 0.01)

    assert failures > 6 * 3600 / RETRY_MAX_S
    assert bench.told[-1] == (1, Action.DROP, None)


@in_virtual_time
async def test_an_announcement_follows_the_hold_of_its_epoch() -> None:
    bench = Bench()
    bench.hold(epoch=1)
    bench.announce(epoch=1)
    await let_others_run()

    assert bench.actuator.actions == [Action.HOLD, Action.ANNOUNCE]


@in_virtual_time
async def test_an_announcement_whose_epoch_has_passed_is_discarded() -> None:
    bench = Bench(RecordingActuator(takes_s=1))
    bench.hold(epoch=1)
    await asyncio.sleep(0.5)
    bench.announce(epoch=1)
    bench.drop(epoch=2)
    bench.hold(epoch=3)
    await asyncio.sleep(60)

    assert Action.ANNOUNCE not in bench.actuator.actions


@in_virtual_time
async def test_a_failed_announcement_is_reported_and_not_repeated() -> None:
    bench = Bench(RecordingActuator(refused={Action.ANNOUNCE}))
    bench.hold(epoch=1)
    bench.announce(epoch=1)
    await asyncio.sleep(60)

    assert bench.told == [(1, Action.HOLD, None), (1, Action.ANNOUNCE, "announce refused")]
    assert bench.actuator.actions == [Action.HOLD, Action.ANNOUNCE]


@in_virtual_time
async def test_a_lane_with_nothing_to_do_has_no_task() -> None:
    bench = Bench()
    bench.hold(epoch=1)
    await let_others_run()

    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_closing_stops_what_is_under_way() -> None:
    bench = Bench(RecordingActuator(hanging={Action.HOLD}))
    bench.hold(epoch=1)
    await asyncio.sleep(1)
    await bench.lane.close()

    assert bench.told == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_closing_a_lane_that_never_worked_does_nothing() -> None:
    await Bench().lane.close()


@in_virtual_time
async def test_the_gate_bounds_how_many_lanes_work_at_a_time() -> None:
    actuator = RecordingActuator(takes_s=1)
    gate = asyncio.Semaphore(2)
    reports: list[ActuationReported] = []
    lanes = [lane(actuator, reports, gate) for _ in range(6)]
    for each in lanes:
        each.take(HoldAddresses(KEY, 1, ADDRESSES))
    await asyncio.sleep(60)

    assert [round(call.at_s) for call in actuator.calls] == [0, 0, 1, 1, 2, 2]
    assert len(reports) == 6


@in_virtual_time
async def test_waiting_at_the_gate_is_no_part_of_the_attempt() -> None:
    gate = asyncio.Semaphore(0)
    reports: list[ActuationReported] = []
    waiting = lane(RecordingActuator(), reports, gate)
    waiting.take(HoldAddresses(KEY, 1, ADDRESSES))
    await asyncio.sleep(10 * ATTEMPT_TIMEOUT_S)
    gate.release()
    await let_others_run()

    assert [report.error for report in reports] == [None]


@in_virtual_time
async def test_closing_a_lane_that_waits_at_the_gate_leaves_nothing_behind() -> None:
    reports: list[ActuationReported] = []
    waiting = lane(RecordingActuator(), reports, asyncio.Semaphore(0))
    waiting.take(HoldAddresses(KEY, 1, ADDRESSES))
    await let_others_run()
    await waiting.close()

    assert reports == []


@in_virtual_time
async def test_a_drop_waits_until_the_addresses_are_vacated() -> None:
    vacated = asyncio.Event()
    actuator = RecordingActuator()
    polite = Lane(KEY, actuator, lambda _report: None, asyncio.Semaphore(32), vacated=vacated.wait)
    polite.take(DropAddresses(KEY, 1, ADDRESSES))
    await let_others_run()
    before = actuator.actions
    vacated.set()
    await let_others_run()

    assert (before, actuator.actions) == ([], [Action.DROP])


@in_virtual_time
async def test_a_drop_that_waits_is_overtaken_by_a_hold() -> None:
    vacated = asyncio.Event()
    actuator = RecordingActuator()
    polite = Lane(KEY, actuator, lambda _report: None, asyncio.Semaphore(32), vacated=vacated.wait)
    polite.take(DropAddresses(KEY, 1, ADDRESSES))
    await let_others_run()
    polite.take(HoldAddresses(KEY, 2, ADDRESSES))
    vacated.set()
    await let_others_run()

    assert actuator.actions == [Action.HOLD]
