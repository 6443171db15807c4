"""A runtime on asyncio: one inbox and one timer in a real loop, with a transport that a test controls."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pycarp.actuators import NullActuator
from pycarp.aio.shell import READING_S, Observers, Shell
from pycarp.core.effects import Step
from pycarp.core.engine import Engine
from pycarp.core.events import DemotionChange, Event, StateChange
from pycarp.core.inputs import (
    ActuationReported,
    DatagramsReceived,
    DemotionSet,
    HostAdded,
    Input,
    LinkChanged,
    StateForced,
    TimePassed,
)
from pycarp.core.state import Reason, State
from pycarp.runtime.runtime import DRAIN_BUDGET, READ_BATCH
from pycarp.testing import VirtualTimeLoop
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import Datagram, HostKey
from tests.support.nodes import LINK, Peer, config, link
from tests.support.transports import ScriptedTransport, received
from tests.support.virtual import in_virtual_time, let_others_run

KEY = HostKey(LINK, 1)


class WatchedEngine(Engine):
    """Keeps its inputs and their times; raises on the input ``breaks_on``."""

    def __init__(self) -> None:
        numbers = itertools.count(1)
        super().__init__(entropy=lambda: next(numbers))
        self.inputs: list[Input] = []
        self.depth = 0
        self.breaks_on: type[Input] | None = None
        self.takes_s = 0.0

    def handle(self, event: Input, now_ns: int) -> Step:
        """Handle an input, and assert that no other one is being handled."""
        self.inputs.append(event)
        if self.takes_s:
            stall(self.takes_s)
        if self.breaks_on is not None and isinstance(event, self.breaks_on):
            raise ZeroDivisionError("a bug of ours")
        assert self.depth == 0
        assert len(self.inputs) < 100_000, "the runtime spins"
        self.depth += 1
        step = super().handle(event, now_ns)
        self.depth -= 1
        return step


@dataclass(slots=True)
class Bench:
    """A shell with a null actuator, and lists in place of its observers."""

    transport: ScriptedTransport = field(default_factory=ScriptedTransport)
    engine: WatchedEngine = field(default_factory=WatchedEngine)
    events: list[Event] = field(default_factory=list)
    stalls: list[float] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    observer: Callable[[Event], None] = field(default=lambda _event: None)
    shell: Shell = field(init=False)

    def __post_init__(self) -> None:
        self.shell = Shell(
            engine=self.engine,
            transport=self.transport,
            actuator=NullActuator(),
            observers=Observers(
                asked=lambda _effect: None,
                renewed=lambda _key: None,
                reported=lambda _report: None,
                published=self._publish,
                stalled=lambda late_ns, _now_ns: self.stalls.append(late_ns / 1e9),
                failed=self.failures.append,
                vacated=lambda _key: asyncio.sleep(0),
            ),
        )

    def begin(self, *, advskew: int = 0, preempt: bool = False) -> None:
        """Add a host on a link that is up: it is BACKUP then."""
        self.shell.submit(LinkChanged(link(1)))
        self.shell.submit(HostAdded(config(advskew=advskew, preempt=preempt)))

    @property
    def state(self) -> State:
        return self.engine.host_snapshot(KEY).state

    def changes(self) -> list[tuple[State, Reason, float]]:
        return [
            (each.new, each.reason, round(each.at_ns / 1e9, 3)) for each in self.events if isinstance(each, StateChange)
        ]

    def _publish(self, event: Event) -> None:
        self.events.append(event)
        self.observer(event)


def peer() -> Peer:
    return Peer(MemoryBus(), config())


def stall(span_s: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.stall(span_s)


# Steps


@in_virtual_time
async def test_an_input_has_been_handled_when_submit_returns() -> None:
    bench = Bench()
    bench.begin()

    assert bench.state is State.BACKUP


@in_virtual_time
async def test_what_an_observer_submits_is_handled_right_after_the_current_step() -> None:
    bench = Bench()

    def force(event: Event) -> None:
        if isinstance(event, StateChange) and event.new is State.BACKUP and event.reason is Reason.READY:
            bench.shell.submit(StateForced(KEY, State.MASTER))

    bench.observer = force
    bench.begin()

    assert [new for new, _, _ in bench.changes()] == [State.INIT, State.BACKUP, State.MASTER]


@in_virtual_time
async def test_the_advertisement_is_on_its_way_before_observers_hear_of_the_takeover() -> None:
    bench = Bench()
    sent: list[int] = []
    bench.observer = lambda _event: sent.append(len(bench.transport.sent))
    bench.begin()
    bench.shell.submit(StateForced(KEY, State.MASTER))

    assert sent[-1] == 1


@in_virtual_time
async def test_endless_submitting_leaves_the_loop_its_turns() -> None:
    bench = Bench()
    bench.begin()
    amounts = itertools.count(1)
    seen_by_others: list[int] = []

    def again(event: Event) -> None:
        amount = next(amounts)
        if isinstance(event, DemotionChange) and amount < 4 * DRAIN_BUDGET:
            bench.shell.submit(DemotionSet(KEY, "test", amount + 1))

    bench.observer = again
    asyncio.get_running_loop().call_soon(lambda: seen_by_others.append(len(bench.engine.inputs)))
    bench.shell.submit(DemotionSet(KEY, "test", 1))
    await asyncio.sleep(0.1)

    assert seen_by_others[0] < 2 * DRAIN_BUDGET
    assert len(bench.engine.inputs) > 4 * DRAIN_BUDGET


@in_virtual_time
async def test_a_wake_reads_no_more_than_a_batch() -> None:
    bench = Bench()
    bench.begin()
    bench.transport.waiting.extend(received(peer().outgoing()) for _ in range(READ_BATCH + 1))

    bench.shell.wake()

    assert bench.transport.drained == [READ_BATCH]


# Time


@in_virtual_time
async def test_forty_links_that_wake_it_in_one_turn_are_read_for_a_while_and_the_rest_later() -> None:
    bench = Bench()
    bench.begin()
    bench.transport.waiting.extend(received(peer().outgoing()) for _ in range(5 * READ_BATCH))
    bench.engine.takes_s = READING_S / 2
    for _ in range(40):
        bench.shell.wake()
    left, was_behind = len(bench.transport.waiting), bench.shell.is_behind
    await let_others_run()

    assert (left, was_behind) == (3 * READ_BATCH, True)
    assert not bench.transport.waiting
    assert not bench.shell.is_behind


@in_virtual_time
async def test_a_backup_that_hears_nobody_is_master_after_three_intervals() -> None:
    bench = Bench()
    bench.begin()
    await asyncio.sleep(2.999)
    assert bench.state is State.BACKUP
    await asyncio.sleep(0.002)

    assert bench.changes()[-1] == (State.MASTER, Reason.MASTER_SILENT, 3.0)


@in_virtual_time
async def test_a_master_advertises_every_interval_without_drift() -> None:
    bench = Bench()
    bench.begin(advskew=7)
    bench.shell.submit(StateForced(KEY, State.MASTER))
    await asyncio.sleep(10_000 * (1 + 7 / 256) + 0.5)

    assert len(bench.transport.sent) == 10_001


@in_virtual_time
async def test_the_clock_of_the_loop_never_stands_still_before_a_deadline() -> None:
    # A moment at which float seconds, truncated to nanoseconds, are one nanosecond too early.
    await asyncio.sleep(5.324129)
    bench = Bench()
    bench.begin()
    await asyncio.sleep(3.001)

    assert bench.state is State.MASTER
    assert bench.engine.inputs.count(TimePassed()) < 10


class HastyLoop(VirtualTimeLoop):
    """Calls everything that is due at a time when only half the span has passed."""

    def call_at(  # type: ignore[override]  # what it passes on is not looked at
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> Any:
        """Call the timers too early."""
        now = self.time()
        return super().call_at(now + (when - now) / 2, callback, *args, context=context)


def test_a_timer_that_fires_early_is_armed_again() -> None:
    async def plan() -> None:
        bench = Bench()
        taken_over = asyncio.Event()
        bench.observer = lambda _event: taken_over.set() if bench.state is State.MASTER else None
        bench.begin()
        await taken_over.wait()

        assert bench.changes()[-1] == (State.MASTER, Reason.MASTER_SILENT, 3.0)
        assert bench.engine.inputs.count(TimePassed()) == 1

    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        runner.run(plan())


@in_virtual_time
async def test_advertisements_that_wait_when_the_timer_fires_are_read_first() -> None:
    bench = Bench()
    bench.begin(advskew=100)
    await asyncio.sleep(1)
    bench.transport.waiting.append(received(peer().outgoing()))
    stall(10)
    await let_others_run()

    assert bench.state is State.BACKUP


@in_virtual_time
async def test_a_crowd_of_waiting_datagrams_does_not_hide_the_master() -> None:
    bench = Bench()
    bench.begin(advskew=100)
    await asyncio.sleep(1)
    stranger = Peer(MemoryBus(), config(vhid=77))
    bench.transport.waiting.extend(received(stranger.outgoing()) for _ in range(10 * READ_BATCH))
    bench.transport.waiting.append(received(peer().outgoing()))
    stall(10)
    await let_others_run()

    assert bench.state is State.BACKUP


@in_virtual_time
async def test_the_deadline_counts_from_the_advertisement_that_was_read_late() -> None:
    bench = Bench()
    bench.begin()
    await asyncio.sleep(1)
    bench.transport.waiting.append(received(peer().outgoing()))
    stall(10)
    await asyncio.sleep(60)

    assert bench.changes()[-1] == (State.MASTER, Reason.MASTER_SILENT, 14.0)


@in_virtual_time
async def test_a_stall_is_told_with_its_length() -> None:
    bench = Bench()
    bench.begin()
    await asyncio.sleep(1)
    stall(10)
    await let_others_run()

    assert bench.stalls == [pytest.approx(8)]


@in_virtual_time
async def test_what_is_still_late_because_of_a_stall_is_no_other_stall() -> None:
    """Hundreds of hosts are due one after the other, each in a turn of its own."""
    bench = Bench()
    bench.begin()
    bench.shell.submit(HostAdded(config(vhid=2, advskew=200)))
    await asyncio.sleep(2)
    bench.observer = lambda _event: stall(0.3)
    stall(10)
    await asyncio.sleep(0.1)
    assert len(bench.stalls) == 1

    bench.observer = lambda _event: None
    await asyncio.sleep(1)
    stall(10)
    await asyncio.sleep(1)
    assert len(bench.stalls) == 2


@in_virtual_time
async def test_a_small_delay_is_not_worth_telling() -> None:
    bench = Bench()
    bench.begin()
    await asyncio.sleep(2.9)
    stall(0.3)
    await let_others_run()

    assert bench.stalls == []


# Failures


@in_virtual_time
async def test_three_send_errors_in_a_row_demote_and_three_successes_forgive() -> None:
    bench = Bench()
    bench.begin()
    bench.shell.submit(StateForced(KEY, State.MASTER))
    bench.transport.error = OSError(105, "No buffer space available")
    await asyncio.sleep(10)
    bench.transport.error = None
    await asyncio.sleep(20)

    totals = [event.total for event in bench.events if isinstance(event, DemotionChange)]
    assert totals == [240, 0]
    assert bench.state is State.MASTER


@in_virtual_time
async def test_successes_are_reported_only_while_an_error_is_on_the_account() -> None:
    bench = Bench()
    bench.begin()
    bench.shell.submit(StateForced(KEY, State.MASTER))
    await asyncio.sleep(10)

    assert {type(each) for each in bench.engine.inputs} == {
        LinkChanged,
        HostAdded,
        StateForced,
        ActuationReported,
        TimePassed,
    }


@in_virtual_time
async def test_a_bug_in_the_engine_is_told_once_and_nothing_is_handled_any_more() -> None:
    bench = Bench()
    bench.begin()
    bench.engine.breaks_on = DatagramsReceived
    bench.transport.waiting.extend(received(peer().outgoing()) for _ in range(3))
    bench.shell.wake()
    handled = len(bench.engine.inputs)

    bench.shell.submit(DemotionSet(KEY, "late", 1))
    await asyncio.sleep(60)

    assert [type(each) for each in bench.failures] == [ZeroDivisionError]
    assert len(bench.engine.inputs) == handled
    assert bench.transport.sent == []


@in_virtual_time
async def test_a_transport_that_raises_anything_but_os_error_is_a_bug() -> None:
    class Broken(ScriptedTransport):
        def send(self, outgoing: object) -> None:
            raise LookupError("no such thing")

    bench = Bench(Broken())
    bench.begin()
    await asyncio.sleep(4)

    assert [type(each) for each in bench.failures] == [LookupError]


@in_virtual_time
async def test_a_transport_that_cannot_be_drained_is_a_bug_and_not_the_silent_end_of_time() -> None:
    class Broken(ScriptedTransport):
        def drain(self, limit: int) -> list[Datagram]:
            raise LookupError("no such thing")

    for wakes in (True, False):
        bench = Bench(Broken())
        bench.begin()
        if wakes:
            bench.shell.wake()
        await asyncio.sleep(4)

        assert [type(each) for each in bench.failures] == [LookupError]


@in_virtual_time
async def test_a_stopped_shell_neither_handles_nor_keeps_time() -> None:
    bench = Bench()
    bench.begin()
    bench.shell.stop()
    bench.shell.submit(StateForced(KEY, State.MASTER))
    await asyncio.sleep(60)

    assert bench.state is State.BACKUP
    assert bench.transport.sent == []
