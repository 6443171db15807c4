"""One log, followed in three ways; no transition is lost, even by a slow follower."""

import asyncio
import functools

import pytest

from pycarp.aio.callback_queue import QUEUE_LIMIT
from pycarp.aio.subscriptions import KEPT_EVENTS, EventLog
from pycarp.core.events import DemotionChange, Departed, Event, EventsMissed, StateChange
from pycarp.core.state import Reason, State
from pycarp.errors import UsageError
from pycarp.vocabulary import HostKey
from tests.support.virtual import Complaints, in_virtual_time, let_others_run, now_s

KEY = HostKey("em0", 1)


def anything(_change: StateChange) -> bool:
    return True


class Publisher:
    """A log, and methods that publish transitions in it."""

    def __init__(self) -> None:
        self.log = EventLog(KEY)
        self._state = State.INIT
        self._epoch = 0

    def enter(self, *states: State) -> None:
        """Publish a transition to each state, all in the same turn of the loop."""
        for new in states:
            self._epoch += 1
            change = StateChange(key=KEY, at_ns=0, old=self._state, new=new, reason=Reason.FORCED, epoch=self._epoch)
            self._state = new
            self.log.publish(change)

    def demote(self, total: int) -> None:
        """Publish an event that is not a transition."""
        self.log.publish(DemotionChange(key=KEY, at_ns=0, total=total, causes=()))

    def depart(self) -> None:
        """Publish the departure of the host."""
        self.log.publish(Departed(key=KEY, at_ns=0))


SIX = (State.MASTER, State.BACKUP) * 3


def states(events: list[Event]) -> list[State]:
    return [event.new for event in events if isinstance(event, StateChange)]


# Waiting


@in_virtual_time
async def test_wait_for_returns_at_once_in_the_state_that_is() -> None:
    plan = Publisher()
    plan.enter(State.BACKUP)

    change = await plan.log.wait_for(State.BACKUP)

    assert (change.seq, change.new) == (1, State.BACKUP)


@in_virtual_time
async def test_wait_for_resolves_with_the_change_that_made_it_true_even_if_that_is_over() -> None:
    plan = Publisher()
    plan.enter(State.BACKUP)
    waiter = asyncio.create_task(plan.log.wait_for(State.MASTER))
    await let_others_run()

    plan.enter(*SIX)
    change = await waiter

    assert change.seq == 2
    assert change.new is State.MASTER
    assert plan.log.last_change is not None
    assert plan.log.last_change.new is State.BACKUP


@in_virtual_time
async def test_a_loop_of_next_change_sees_six_transitions_of_one_turn_in_order() -> None:
    plan = Publisher()
    seen: list[StateChange] = []

    async def follow() -> None:
        after = 0
        while len(seen) < len(SIX):
            change = await plan.log.next_change(after)
            after = change.seq
            seen.append(change)
            await asyncio.sleep(1)

    follower = asyncio.create_task(follow())
    await let_others_run()
    plan.enter(*SIX)
    await follower

    assert [change.new for change in seen] == list(SIX)
    assert [change.seq for change in seen] == [1, 2, 3, 4, 5, 6]


@in_virtual_time
async def test_next_change_passes_over_events_that_are_no_transitions() -> None:
    plan = Publisher()
    plan.demote(1)
    plan.enter(State.BACKUP)
    waiter = asyncio.create_task(plan.log.next_change(2))
    await let_others_run()
    plan.demote(2)
    plan.enter(State.MASTER)

    assert (await plan.log.next_change(0)).seq == 2
    assert (await waiter).seq == 4


@in_virtual_time
async def test_next_change_says_so_when_events_are_no_longer_kept() -> None:
    plan = Publisher()
    plan.enter(*[State.MASTER, State.BACKUP] * KEPT_EVENTS)

    with pytest.raises(UsageError, match=f"events after 1 are no longer kept; the oldest is {KEPT_EVENTS + 1}"):
        await plan.log.next_change(1)


@in_virtual_time
async def test_a_cancelled_wait_leaves_the_other_waiters_alone() -> None:
    plan = Publisher()
    impatient = asyncio.create_task(plan.log.wait_for(State.MASTER))
    patient = asyncio.create_task(plan.log.wait_for(State.MASTER))
    await let_others_run()
    impatient.cancel()
    await let_others_run()

    plan.enter(State.MASTER)

    assert (await patient).new is State.MASTER


@in_virtual_time
async def test_waits_that_time_out_or_are_cancelled_leave_nothing_behind() -> None:
    plan = Publisher()
    plan.enter(State.BACKUP)
    for wait in (plan.log.wait_for(State.MASTER), plan.log.next_change(1), plan.log.departure()):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await wait

    assert plan.log.waiting == 0


@in_virtual_time
async def test_who_waits_when_the_host_departs_gets_a_usage_error() -> None:
    plan = Publisher()
    waiter = asyncio.create_task(plan.log.wait_for(State.MASTER))
    await let_others_run()

    plan.depart()

    with pytest.raises(UsageError, match="1@em0 has departed"):
        await waiter


@in_virtual_time
async def test_who_begins_to_wait_after_the_departure_gets_a_usage_error() -> None:
    plan = Publisher()
    plan.depart()

    with pytest.raises(UsageError, match="has departed"):
        await plan.log.next_change(plan.log.seq)


@in_virtual_time
async def test_departure_returns_when_the_host_departs_and_at_once_afterwards() -> None:
    plan = Publisher()
    waiter = asyncio.create_task(plan.log.departure())
    await let_others_run()
    assert not waiter.done()

    plan.depart()
    await waiter
    await plan.log.departure()


# Iterating


@in_virtual_time
async def test_a_slow_iterator_sees_six_transitions_of_one_turn_in_order() -> None:
    plan = Publisher()
    async with plan.log.subscribe() as events:
        plan.enter(*SIX)
        seen = []
        for _ in SIX:
            seen.append(await anext(events))
            await asyncio.sleep(1)

    assert states(seen) == list(SIX)
    assert [event.seq for event in seen] == [1, 2, 3, 4, 5, 6]


@in_virtual_time
async def test_the_first_item_is_the_change_that_led_to_the_current_state() -> None:
    plan = Publisher()
    plan.enter(State.BACKUP, State.MASTER)
    plan.demote(240)

    async with plan.log.subscribe() as events:
        first = await anext(events)

    assert isinstance(first, StateChange)
    assert (first.seq, first.new) == (2, State.MASTER)


@in_virtual_time
async def test_nothing_is_lost_between_entering_and_iterating() -> None:
    plan = Publisher()
    async with plan.log.subscribe() as events:
        plan.enter(State.BACKUP)
        await asyncio.sleep(1)
        plan.demote(1)
        plan.depart()

        seen = [type(event) async for event in events]

    assert seen == [StateChange, DemotionChange, Departed]


@in_virtual_time
async def test_iteration_ends_with_the_host() -> None:
    plan = Publisher()
    async with plan.log.subscribe() as events:
        seen: list[Event] = []

        async def read() -> None:
            seen.extend([event async for event in events])

        reader = asyncio.create_task(read())
        await let_others_run()
        plan.depart()
        await reader

        assert [type(event) for event in seen] == [Departed]


@in_virtual_time
async def test_a_subscription_after_the_departure_tells_the_last_change_and_ends() -> None:
    plan = Publisher()
    plan.enter(State.BACKUP, State.INIT)
    plan.depart()

    async with plan.log.subscribe() as events:
        seen = [event async for event in events]

    assert states(seen) == [State.INIT]


@in_virtual_time
async def test_an_overflow_shows_as_events_missed_where_events_are_missing() -> None:
    plan = Publisher()
    async with plan.log.subscribe() as events:
        for total in range(QUEUE_LIMIT + 3):
            plan.demote(total)
        for _ in range(3):
            await anext(events)
        plan.enter(State.MASTER)
        plan.depart()

        seen = [event async for event in events]

    assert isinstance(seen[-3], EventsMissed)
    assert seen[-3].count == 3
    assert isinstance(seen[-2], StateChange)
    assert isinstance(seen[-1], Departed)


@in_virtual_time
async def test_an_overflow_shows_even_when_no_event_follows() -> None:
    plan = Publisher()
    async with plan.log.subscribe() as events:
        for total in range(QUEUE_LIMIT + 3):
            plan.demote(total)
        for _ in range(QUEUE_LIMIT):
            await anext(events)

        async with asyncio.timeout(1):
            last = await anext(events)

    assert isinstance(last, EventsMissed)
    assert last.count == 3


@in_virtual_time
async def test_a_departure_that_is_missed_shows_as_events_missed_before_the_end() -> None:
    plan = Publisher()
    async with plan.log.subscribe() as events:
        for total in range(QUEUE_LIMIT):
            plan.demote(total)
        plan.depart()

        seen = [event async for event in events]

    assert len(seen) == QUEUE_LIMIT + 1
    assert isinstance(seen[-1], EventsMissed)


@in_virtual_time
async def test_a_cancelled_subscription_gives_what_is_queued_and_ends() -> None:
    plan = Publisher()
    async with plan.log.subscribe() as events:
        plan.enter(State.BACKUP, State.MASTER)
        events.cancel()
        plan.enter(State.BACKUP)

        seen = [event async for event in events]

    assert states(seen) == [State.BACKUP, State.MASTER]


# Being called


@in_virtual_time
async def test_a_plain_callback_sees_six_transitions_within_the_turn() -> None:
    plan = Publisher()
    seen: list[StateChange] = []
    plan.log.add_callback(seen.append, anything)

    plan.enter(*SIX)

    assert states(list(seen)) == list(SIX)


@in_virtual_time
async def test_a_coroutine_callback_sees_six_transitions_in_order_and_never_overlaps() -> None:
    plan = Publisher()
    seen: list[str] = []

    async def slowly(change: StateChange) -> None:
        seen.append(f"{change.seq} begins")
        await asyncio.sleep(1)
        seen.append(f"{change.seq} ends")

    plan.log.add_callback(slowly, anything)
    plan.enter(*SIX)
    await plan.log.close(60)

    assert seen == [f"{seq} {what}" for seq in range(1, 7) for what in ("begins", "ends")]


@in_virtual_time
async def test_a_callback_for_one_state_hears_of_no_other() -> None:
    plan = Publisher()
    plain: list[State] = []
    spun: list[State] = []

    async def spin(change: StateChange) -> None:
        spun.append(change.new)

    plan.log.add_callback(lambda change: plain.append(change.new), lambda change: change.new is State.MASTER)
    plan.log.add_callback(spin, lambda change: change.new is State.BACKUP)
    plan.enter(*SIX)
    await plan.log.close(1)

    assert plain == [State.MASTER] * 3
    assert spun == [State.BACKUP] * 3


@in_virtual_time
async def test_a_partial_of_a_coroutine_function_is_a_coroutine_callback() -> None:
    plan = Publisher()
    seen: list[tuple[str, State]] = []

    async def remember(name: str, change: StateChange) -> None:
        seen.append((name, change.new))

    plan.log.add_callback(functools.partial(remember, "web"), anything)
    plan.enter(State.MASTER)
    await plan.log.close(1)

    assert seen == [("web", State.MASTER)]


@in_virtual_time
async def test_a_raising_callback_reaches_the_exception_handler_and_disturbs_nobody() -> None:
    plan = Publisher()
    complaints = Complaints()
    seen: list[State] = []

    def fail(_change: StateChange) -> None:
        raise LookupError("plain")

    async def fail_later(_change: StateChange) -> None:
        raise LookupError("coroutine")

    plan.log.add_callback(fail, anything)
    plan.log.add_callback(fail_later, anything)
    plan.log.add_callback(lambda change: seen.append(change.new), anything)
    plan.enter(State.BACKUP, State.MASTER)
    await plan.log.close(1)

    assert seen == [State.BACKUP, State.MASTER]
    assert [str(each) for each in complaints.exceptions] == ["plain", "plain", "coroutine", "coroutine"]


@in_virtual_time
async def test_a_removed_callback_is_not_called_any_more() -> None:
    plan = Publisher()
    seen: list[State] = []

    def remember(change: StateChange) -> None:
        seen.append(change.new)

    plan.log.add_callback(remember, anything)
    plan.enter(State.BACKUP)
    plan.log.remove_callback(remember)
    plan.enter(State.MASTER)

    assert seen == [State.BACKUP]


@in_virtual_time
async def test_a_method_can_be_removed_as_well() -> None:
    class Observer:
        def __init__(self) -> None:
            self.seen: list[State] = []

        def hear(self, change: StateChange) -> None:
            self.seen.append(change.new)

    plan = Publisher()
    observer = Observer()
    plan.log.add_callback(observer.hear, anything)
    plan.log.remove_callback(observer.hear)
    plan.enter(State.BACKUP)

    assert observer.seen == []


@in_virtual_time
async def test_a_removed_coroutine_callback_is_cancelled() -> None:
    plan = Publisher()
    seen: list[str] = []

    async def hang(_change: StateChange) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            seen.append("cancelled")

    plan.log.add_callback(hang, anything)
    plan.enter(State.BACKUP)
    await let_others_run()
    plan.log.remove_callback(hang)
    await let_others_run()

    assert seen == ["cancelled"]


@in_virtual_time
async def test_a_callback_may_remove_itself() -> None:
    plan = Publisher()
    seen: list[State] = []

    def once(change: StateChange) -> None:
        seen.append(change.new)
        plan.log.remove_callback(once)

    plan.log.add_callback(once, anything)
    plan.log.add_callback(lambda change: seen.append(change.new), anything)
    plan.enter(State.BACKUP, State.MASTER)

    assert seen == [State.BACKUP, State.BACKUP, State.MASTER]


@in_virtual_time
async def test_a_callback_for_a_host_that_has_departed_is_a_usage_error() -> None:
    plan = Publisher()
    plan.depart()

    async def never(_change: StateChange) -> None:
        raise AssertionError

    with pytest.raises(UsageError, match="has departed"):
        plan.log.add_callback(never, anything)


@in_virtual_time
async def test_closing_lets_coroutine_callbacks_finish_what_they_were_given() -> None:
    plan = Publisher()
    seen: list[State] = []

    async def slowly(change: StateChange) -> None:
        await asyncio.sleep(1)
        seen.append(change.new)

    plan.log.add_callback(slowly, anything)
    plan.enter(State.BACKUP, State.MASTER)
    await plan.log.close(5)

    assert seen == [State.BACKUP, State.MASTER]
    assert now_s() == pytest.approx(2, abs=0.01)


@in_virtual_time
async def test_closing_waits_no_longer_than_it_was_told_however_many_callbacks_hang() -> None:
    plan = Publisher()

    async def hang(_change: StateChange) -> None:
        await asyncio.Event().wait()

    for _ in range(3):
        plan.log.add_callback(hang, anything)
    plan.enter(State.BACKUP)
    await plan.log.close(5)

    assert now_s() == pytest.approx(5, abs=0.01)


@in_virtual_time
async def test_callbacks_that_hang_are_cancelled_after_the_departure_though_nobody_closes_the_log() -> None:
    plan = Publisher()
    cancelled_at_s: list[float] = []

    async def hang(_change: StateChange) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled_at_s.append(now_s())

    plan.log.add_callback(hang, anything)
    plan.enter(State.BACKUP)
    plan.depart()
    await asyncio.sleep(60)

    assert cancelled_at_s == [pytest.approx(5, abs=0.01)]


@in_virtual_time
async def test_a_coroutine_callback_may_close_the_log_without_waiting_for_itself() -> None:
    plan = Publisher()
    closed_at_s: list[float] = []

    async def close(_change: StateChange) -> None:
        await plan.log.close(5)
        closed_at_s.append(now_s())

    plan.log.add_callback(close, anything)
    plan.enter(State.BACKUP)
    await asyncio.sleep(60)

    assert closed_at_s == [pytest.approx(0, abs=0.01)]


@in_virtual_time
async def test_a_coroutine_callback_that_falls_behind_is_reported() -> None:
    plan = Publisher()
    complaints = Complaints()

    async def hang(_change: StateChange) -> None:
        await asyncio.Event().wait()

    plan.log.add_callback(hang, anything)
    plan.enter(*[State.MASTER, State.BACKUP] * (QUEUE_LIMIT // 2 + 1))
    await plan.log.close(1)

    assert [type(each) for each in complaints.exceptions] == [asyncio.QueueFull, asyncio.QueueFull]
