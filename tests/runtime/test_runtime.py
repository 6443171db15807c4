"""The runtime feeds an engine and obeys it, in the order that matters. Everything around it is a list."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import NoReturn

import pytest

from pycarp.core.effects import (
    DropAddresses,
    Effect,
    HoldAddresses,
    Publish,
    RenewAddresses,
    SetPacketFilter,
    Step,
    Transmit,
)
from pycarp.core.events import DemotionChange, Departed, Event
from pycarp.core.flood import PacketFilter
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    DatagramReceived,
    DatagramsReceived,
    DemotionSet,
    Input,
    PacketFilterFailed,
    PacketsRead,
    TimePassed,
    TransmitReported,
)
from pycarp.core.lease_timings import LeaseTimings
from pycarp.runtime import Attempt, Pace, Runtime
from pycarp.runtime.runtime import (
    COUNTED_NS,
    COUNTED_PACKETS,
    DRAIN_BUDGET,
    READ_BATCH,
    READ_BEFORE_EXPIRY,
    STALL_NS,
    WORTH_ARMING_NS,
)
from pycarp.vocabulary import CARP_TTL, Datagram, Family, HostKey, Outgoing
from tests.support.ports import ScriptedDoor, ScriptedPorts

KEY, OTHER = HostKey("em0", 1), HostKey("em0", 2)
A, B = ip_interface("192.0.2.10/24"), ip_interface("192.0.2.11/24")
LEASE_TIMINGS = LeaseTimings(lifetime_s=2, timeout_ns=1_750_000_000, renewal_interval_ns=700_000_000, margin_ns=None)
EVENT = DemotionChange(key=KEY, at_ns=0, total=1, causes=())
GO = DemotionSet(None, "test", 1)


def datagram(number: int = 0) -> Datagram:
    return Datagram("em0", Family.IPV4, IPv4Address("192.0.2.9"), IPv4Address("224.0.0.18"), CARP_TTL, bytes([number]))


def outgoing(destination: str = "224.0.0.18") -> Outgoing:
    family = Family.IPV6 if ":" in destination else Family.IPV4
    own, to = (
        (IPv6Address("fe80::1"), IPv6Address(destination))
        if family is Family.IPV6
        else (IPv4Address("192.0.2.1"), IPv4Address(destination))
    )
    return Outgoing(
        link="em0",
        family=family,
        source=own,
        destination=to,
        tos=0,
        identification=None,
        source_mac=None,
        payload=b"",
    )


def send(destination: str = "224.0.0.18", *, key: HostKey = KEY, wants_report: bool = False) -> Transmit:
    return Transmit(key, outgoing(destination), wants_report)


def hold(epoch: int, *, key: HostKey = KEY) -> HoldAddresses:
    return HoldAddresses(key, epoch, (A,), lease_timings=LEASE_TIMINGS)


def drop(epoch: int, *, key: HostKey = KEY) -> DropAddresses:
    return DropAddresses(key, epoch, (A,))


@dataclass(slots=True)
class Bench:
    """A runtime with an engine that answers the input ``GO`` with ``effects``, once."""

    effects: tuple[Effect, ...] = ()
    door: ScriptedDoor = field(default_factory=ScriptedDoor)
    ports: ScriptedPorts = field(default_factory=ScriptedPorts)
    pace: Pace = field(default_factory=Pace)
    runtime: Runtime = field(init=False)

    def __post_init__(self) -> None:
        self.door.answers = self._answer
        self.runtime = Runtime(self.door, self.ports, pace=self.pace)

    def _answer(self, event: Input) -> tuple[Effect, ...]:
        return self.effects if event == GO else ()

    def do(self, *effects: Effect) -> None:
        """Submit an input to which the engine answers with these effects."""
        self.effects = effects
        self.runtime.submit(GO)

    def make(self, error: str | None = None) -> Attempt:
        """Make the attempt that was started last."""
        attempt = self.ports.attempts[-1]
        assert self.runtime.begin(attempt)
        self.runtime.attempt_ended(attempt, error)
        return attempt

    def fire(self, at_ns: int) -> None:
        self.ports.clock_ns = at_ns
        self.runtime.timer_fired()

    def reports(self) -> list[Input]:
        return [each for each in self.door.inputs if isinstance(each, ActuationReported | TransmitReported)]


# Order


def test_sends_and_slow_work_come_first_and_events_last() -> None:
    bench = Bench()
    bench.do(Publish(EVENT), send(), hold(1))

    assert [type(each) for each in bench.ports.log] == [Outgoing, str, Attempt, DemotionChange]


def test_what_an_observer_submits_is_handled_after_the_current_step() -> None:
    bench = Bench()
    bench.ports.observer = lambda _event: bench.runtime.submit(TimePassed())
    bench.do(Publish(EVENT), Publish(EVENT))

    assert bench.door.inputs == [GO, TimePassed(), TimePassed()]


def test_after_so_many_steps_others_have_a_turn() -> None:
    bench = Bench()
    bench.effects = (Publish(EVENT),)

    def again(_event: Event) -> None:
        if len(bench.door.inputs) <= DRAIN_BUDGET:
            bench.runtime.submit(GO)

    bench.ports.observer = again
    bench.runtime.submit(GO)
    made = len(bench.door.inputs)
    bench.runtime.resume()

    assert (made, bench.ports.laters, len(bench.door.inputs)) == (DRAIN_BUDGET, 1, DRAIN_BUDGET + 1)


class Out(SystemExit):
    """Somebody wants out, like a KeyboardInterrupt."""


def test_whoever_wants_out_gets_it_and_nothing_is_lost() -> None:
    bench = Bench()
    bench.door.deadline_ns = 10
    heard: list[Event] = []

    def leave(event: Event) -> None:
        heard.append(event)
        if len(heard) == 1:
            bench.runtime.submit(TimePassed())
            raise Out

    bench.ports.observer = leave
    with pytest.raises(Out):
        bench.do(Publish(EVENT), Publish(EVENT))
    armed_ns, laters = bench.ports.armed_ns, bench.ports.laters
    bench.runtime.resume()

    assert (armed_ns, laters) == (10, 1)
    assert len(heard) == 2
    assert bench.door.inputs == [GO, TimePassed()]
    assert bench.ports.failures == []


# Sends


def test_a_failed_send_is_reported_with_its_family() -> None:
    bench = Bench()
    bench.ports.unreachable = {"224.0.0.18"}
    bench.do(send(), send("ff02::12"))

    assert bench.reports() == [TransmitReported(KEY, "No route to host", Family.IPV4)]


def test_a_success_is_reported_only_if_that_is_wanted() -> None:
    bench = Bench()
    bench.do(send("ff02::12"), send(wants_report=True))

    assert bench.reports() == [TransmitReported(KEY, None, Family.IPV4)]


@pytest.mark.parametrize("unreachable", ["192.0.2.2", "192.0.2.3"])
def test_a_family_is_sent_when_any_of_its_destinations_is(unreachable: str) -> None:
    bench = Bench()
    bench.ports.unreachable = {unreachable}
    bench.do(send("192.0.2.2"), send("192.0.2.3"), RenewAddresses(KEY, (A,), 2))

    assert bench.reports() == []
    assert RenewAddresses(KEY, (A,), 2) in bench.ports.log


def test_the_engine_learns_what_was_sent_before_anything_else() -> None:
    bench = Bench()
    bench.ports.unreachable = {"224.0.0.18"}
    bench.ports.observer = lambda _event: bench.runtime.submit(TimePassed())
    bench.ports.waiting = [datagram()]
    bench.effects = (send(), Publish(EVENT))
    bench.door.answers = lambda event: bench.effects if isinstance(event, DatagramReceived) else ()
    bench.runtime.wake()

    assert [type(each) for each in bench.door.inputs] == [DatagramReceived, TransmitReported, TimePassed]


def test_addresses_are_not_renewed_by_a_step_that_could_not_send() -> None:
    bench = Bench()
    bench.ports.unreachable = {"224.0.0.18"}
    bench.do(send(), RenewAddresses(KEY, (A,), 2), RenewAddresses(OTHER, (A,), 2))

    assert bench.ports.log == [RenewAddresses(OTHER, (A,), 2)]


def test_who_could_not_send_in_this_step_cannot_send_before_the_engine_knows() -> None:
    bench = Bench()
    bench.ports.unreachable = {"224.0.0.18"}
    seen: list[bool] = []
    bench.ports.observer = lambda _event: seen.append(bench.runtime.can_send(KEY))
    bench.do(send(), Publish(EVENT))

    assert seen == [False]
    assert bench.runtime.can_send(KEY)


def test_who_cannot_send_as_far_as_the_engine_knows_cannot() -> None:
    bench = Bench()
    bench.door.silent.add(KEY)

    assert (bench.runtime.can_send(KEY), bench.runtime.can_send(OTHER)) == (False, True)


# Reading and time


def test_a_wake_reads_a_batch() -> None:
    bench = Bench()
    bench.ports.waiting = [datagram(each % 256) for each in range(READ_BATCH + 1)]
    bench.runtime.wake()

    assert bench.ports.limits == [READ_BATCH]
    (heard,) = bench.door.inputs
    assert isinstance(heard, DatagramsReceived)
    assert heard.datagrams == tuple(datagram(each % 256) for each in range(READ_BATCH))


def test_what_waits_is_read_before_time_passes() -> None:
    bench = Bench()
    bench.door.deadline_ns = 10
    bench.runtime.submit(GO)
    bench.ports.waiting = [datagram(each % 256) for each in range(READ_BEFORE_EXPIRY)]
    bench.fire(10)

    kinds = [type(each) for each in bench.door.inputs[1:]]
    assert kinds == [DatagramsReceived, TimePassed]


def test_with_many_links_no_host_takes_over_before_what_waits_on_all_of_them_is_read() -> None:
    bench = Bench()
    bench.door.deadline_ns = 10
    bench.ports.counts = {"em0": 0, "em1": 0, "em2": 0}
    bench.runtime.wake()
    bench.door.inputs.clear()
    bench.ports.waiting = [datagram(each % 256) for each in range(READ_BEFORE_EXPIRY + 1)]
    bench.runtime.submit(GO)
    bench.fire(10)
    bench.fire(10)

    passed = [each for each in bench.door.inputs if isinstance(each, TimePassed)]
    assert passed == [TimePassed(has_unread=True), TimePassed()]


def test_a_flood_on_many_links_keeps_a_host_from_taking_over_for_a_while_only() -> None:
    bench = Bench()
    bench.door.deadline_ns = 10
    bench.ports.counts = {"em0": 0, "em1": 0, "em2": 0}
    bench.runtime.wake()
    bench.runtime.submit(GO)
    for _ in range(3):
        bench.ports.waiting = [datagram(each % 256) for each in range(2 * READ_BEFORE_EXPIRY)]
        bench.fire(10)

    passed = [each for each in bench.door.inputs if isinstance(each, TimePassed)]
    assert passed == [TimePassed(has_unread=True), TimePassed(has_unread=True), TimePassed()]


def test_what_was_read_may_put_the_deadline_off() -> None:
    bench = Bench()
    bench.door.deadline_ns = 10
    bench.runtime.submit(GO)
    bench.ports.waiting = [datagram(1)]
    bench.door.deadline_ns = 30
    bench.fire(10)

    assert [type(each) for each in bench.door.inputs[1:]] == [DatagramReceived]
    assert bench.ports.armed_ns == 30


def test_who_wants_to_is_called_after_steps_and_once_for_several() -> None:
    called: list[int] = []
    bench = Bench()
    runtime = Runtime(bench.door, bench.ports, afterwards=lambda: called.append(len(bench.door.inputs)))
    bench.ports.waiting = [datagram(1), datagram(2)]
    bench.ports.counts = {"em0": 2}
    runtime.wake()

    assert called == [len(bench.door.inputs)]


def test_a_timer_that_would_fire_far_too_early_is_set_anew() -> None:
    bench = Bench()
    bench.door.deadline_ns = 10
    bench.runtime.submit(GO)
    bench.door.deadline_ns = 10 + WORTH_ARMING_NS + 1
    bench.runtime.submit(GO)

    assert bench.ports.armed_ns == bench.door.deadline_ns


def test_the_timer_is_set_for_the_deadline_and_stays_when_that_moves_away() -> None:
    bench = Bench()
    bench.door.deadline_ns = 10
    bench.runtime.submit(GO)
    first = bench.ports.armed_ns
    bench.door.deadline_ns = 30
    bench.runtime.submit(GO)
    second = bench.ports.armed_ns
    bench.fire(10)

    assert (first, second, bench.ports.armed_ns) == (10, 10, 30)
    assert TimePassed() not in bench.door.inputs


def test_the_timer_is_set_anew_when_the_deadline_comes_closer() -> None:
    bench = Bench()
    for deadline_ns in (30, 20):
        bench.door.deadline_ns = deadline_ns
        bench.runtime.submit(GO)

    assert bench.ports.armed_ns == 20


def test_without_a_deadline_there_is_no_timer() -> None:
    bench = Bench()
    for deadline_ns in (30, None):
        bench.door.deadline_ns = deadline_ns
        bench.runtime.submit(GO)

    assert bench.ports.armed_ns is None


@pytest.mark.parametrize(("late_ns", "stalls"), [(STALL_NS, []), (STALL_NS + 1, [STALL_NS + 1])])
def test_a_timer_that_is_late_is_told(late_ns: int, stalls: list[int]) -> None:
    bench = Bench()
    bench.door.deadline_ns = 10
    bench.runtime.submit(GO)
    bench.fire(10 + late_ns)

    assert bench.ports.stalls == stalls


def test_a_timer_that_is_late_is_told_as_well_when_a_datagram_is_read_first() -> None:
    """After a stall the loop reads what has arrived before it looks at timers, and that may postpone the deadline."""
    bench = Bench()
    bench.door.deadline_ns = 10
    bench.runtime.submit(GO)
    bench.door.deadline_ns = 10 * STALL_NS
    bench.ports.clock_ns = 11 + STALL_NS
    bench.ports.waiting = [datagram()]
    bench.runtime.wake()
    bench.fire(12 + STALL_NS)

    assert bench.ports.stalls == [STALL_NS + 1]


def test_what_the_engine_leaves_to_its_next_step_is_no_stall() -> None:
    bench = Bench()
    bench.door.deadline_ns = 10
    bench.runtime.submit(GO)
    for number in range(1, 10):
        bench.fire(10 + number * STALL_NS)

    assert bench.ports.stalls == []


# Floods


def filtering() -> Bench:
    bench = Bench()
    bench.ports.counts = {"em0": 0}
    bench.runtime.wake()
    bench.door.inputs.clear()
    return bench


def counted(bench: Bench) -> list[Input]:
    return [each for each in bench.door.inputs if isinstance(each, PacketsRead)]


@pytest.mark.parametrize(("packets", "span_ns"), [(COUNTED_PACKETS, 0), (1, COUNTED_NS)])
def test_packets_are_counted_after_many_or_after_a_while(packets: int, span_ns: int) -> None:
    bench = filtering()
    bench.ports.counts = {"em0": packets - 1}
    bench.runtime.wake()
    early = counted(bench)
    bench.ports.counts = {"em0": packets}
    bench.ports.clock_ns = span_ns
    bench.runtime.wake()

    assert (early, counted(bench)) == ([], [PacketsRead((("em0", packets),))])


def test_packets_are_counted_when_a_link_comes_or_goes() -> None:
    bench = filtering()
    bench.ports.counts = {"em0": 0, "em1": 0}
    bench.runtime.wake()

    assert counted(bench) == [PacketsRead((("em0", 0), ("em1", 0)))]


def test_packets_are_counted_after_what_was_read_and_always_while_a_filter_is_set() -> None:
    bench = filtering()
    bench.do(SetPacketFilter("em0", None))
    bench.runtime.wake()
    without = counted(bench)
    bench.do(SetPacketFilter("em0", packet_filter()))
    bench.ports.waiting = [datagram()]
    bench.runtime.wake()

    assert without == []
    assert [type(each) for each in bench.door.inputs[-2:]] == [DatagramReceived, PacketsRead]


def packet_filter() -> PacketFilter:
    return PacketFilter(upcoming=(), repeated=(), every=2, every_repeated=2)


def test_a_filter_that_the_kernel_refuses_is_told() -> None:
    bench = filtering()
    bench.ports.refused = {"em0"}
    bench.do(SetPacketFilter("em0", packet_filter()))

    assert bench.door.inputs[-1] == PacketFilterFailed("em0")


# Addresses


def test_an_attempt_is_reported_to_the_engine_and_to_observers() -> None:
    bench = Bench()
    bench.do(hold(1))
    bench.make("busy")

    assert bench.reports() == bench.ports.reports == [ActuationReported(KEY, 1, Action.HOLD, "busy")]


def test_a_failed_attempt_is_made_again_when_its_pause_is_over() -> None:
    bench = Bench()
    bench.do(hold(1))
    bench.make("busy")
    bench.fire(bench.pace.retry_first_ns)

    assert len(bench.ports.attempts) == 2


def test_the_pause_of_an_attempt_lets_no_time_pass_for_the_engine() -> None:
    bench = Bench()
    bench.door.deadline_ns = 1 << 60
    bench.do(hold(1))
    bench.make("busy")
    bench.fire(bench.pace.retry_first_ns)

    assert TimePassed() not in bench.door.inputs
    assert bench.ports.limits == []


def test_an_attempt_that_takes_too_long_is_cancelled() -> None:
    bench = Bench()
    bench.do(hold(1))
    attempt = bench.ports.attempts[-1]
    bench.runtime.begin(attempt)
    bench.fire(bench.pace.timeout_ns)

    assert bench.ports.cancelled == [attempt]


def test_a_host_that_waits_for_a_place_goes_on_when_another_one_is_done() -> None:
    bench = Bench()
    bench.do(*(hold(1, key=HostKey("em0", vhid)) for vhid in range(1, 34)))
    before = len(bench.ports.attempts)
    first = bench.ports.attempts[0]
    bench.runtime.begin(first)
    bench.runtime.attempt_ended(first, None)

    assert (before, len(bench.ports.attempts)) == (32, 33)
    assert bench.ports.attempts[-1].key == HostKey("em0", 33)


def test_a_host_that_has_departed_begins_anew_when_it_comes_back() -> None:
    bench = Bench()
    bench.do(drop(1))
    bench.make()
    bench.do(Publish(Departed(key=KEY, at_ns=0)))
    bench.do(drop(1))

    assert len(bench.ports.attempts) == 2


def test_the_end_of_an_attempt_of_a_host_that_is_gone_is_no_news() -> None:
    bench = Bench()
    bench.do(hold(1))
    attempt = bench.ports.attempts[-1]
    bench.runtime.begin(attempt)
    bench.runtime.release(KEY)
    bench.runtime.attempt_ended(attempt, None)

    assert bench.reports() == []
    assert not bench.runtime.begin(attempt)


def test_what_is_held_and_wanted_is_known() -> None:
    bench = Bench()
    bench.do(hold(1))
    before = bench.runtime.wants_held(KEY)
    bench.make()

    assert (before, bench.runtime.wants_held(KEY), bench.runtime.wants_held(OTHER)) == (False, True, False)


# The guardian


def test_it_is_armed_before_the_hold_and_again_after_it() -> None:
    bench = Bench()
    bench.do(hold(1))
    before = [type(each) for each in bench.ports.log]
    bench.make()

    assert before == [str, Attempt]
    assert bench.ports.guarded[KEY] == ["arm 1", "arm 1"]


def test_it_is_disarmed_when_the_addresses_are_dropped_and_not_before() -> None:
    bench = Bench()
    bench.do(hold(1))
    bench.make()
    bench.do(drop(2))
    bench.make("busy")
    failed = bench.ports.guarded[KEY][2:]
    bench.fire(bench.pace.retry_first_ns)
    bench.make()

    assert (failed, bench.ports.guarded[KEY][2:]) == ([], ["disarm"])


def test_a_drop_that_is_over_when_they_are_wanted_again_disarms_nothing() -> None:
    bench = Bench()
    bench.do(hold(1))
    bench.make()
    bench.do(drop(2))
    attempt = bench.ports.attempts[-1]
    bench.runtime.begin(attempt)
    bench.do(hold(3))
    bench.runtime.attempt_ended(attempt, None)

    assert bench.ports.guarded[KEY] == ["arm 1", "arm 1", "arm 3"]


def test_it_learns_of_a_sign_of_life_only_if_it_guards() -> None:
    bench = Bench()
    bench.do(RenewAddresses(KEY, (A,), 2))
    bench.do(hold(1), RenewAddresses(KEY, (A,), 2))

    assert bench.ports.guarded[KEY] == ["arm 1", "renew"]


# The end


def broken(after: int) -> Bench:
    """Return a runtime whose engine raises at the input after so many."""

    class Broken(ScriptedDoor):
        def handle(self, event: Input, now_ns: int, /) -> Step:
            if len(self.inputs) >= after:
                raise ZeroDivisionError("a bug of ours")
            return ScriptedDoor.handle(self, event, now_ns)

    return Bench(door=Broken())


def test_a_bug_is_told_once_and_nothing_is_handled_any_more() -> None:
    bench = broken(after=1)
    bench.runtime.submit(GO)
    bench.runtime.submit(GO)
    bench.runtime.submit(GO)
    bench.ports.waiting = [datagram()]
    bench.runtime.wake()

    assert [type(each) for each in bench.ports.failures] == [ZeroDivisionError]
    assert len(bench.door.inputs) == 1
    assert bench.ports.limits == []


def test_after_a_bug_everything_that_may_be_held_is_dropped_until_it_is() -> None:
    bench = broken(after=3)
    bench.do(hold(1), hold(1, key=OTHER))
    for attempt in list(bench.ports.attempts):
        bench.runtime.begin(attempt)
        bench.runtime.attempt_ended(attempt, None)
    bench.runtime.submit(GO)
    mine, others = bench.ports.attempts[2:]
    for attempt, error in ((mine, None), (others, "busy")):
        bench.runtime.begin(attempt)
        bench.runtime.attempt_ended(attempt, error)
    rest = set(bench.runtime.may_hold)
    bench.fire(bench.pace.retry_first_ns)
    bench.make()

    assert {each.key for each in bench.ports.attempts[2:]} == {KEY, OTHER}
    assert {each.action for each in bench.ports.attempts[2:]} == {Action.DROP}
    assert (rest, bench.runtime.may_hold) == ({OTHER}, {})
    assert bench.ports.guarded[OTHER][-1] == "disarm"


def test_after_a_bug_a_hold_that_is_under_way_is_cancelled_and_dropped() -> None:
    bench = broken(after=1)
    bench.do(hold(1))
    attempt = bench.ports.attempts[0]
    bench.runtime.begin(attempt)
    bench.runtime.submit(GO)
    bench.runtime.attempt_ended(attempt, "CancelledError")

    assert bench.ports.cancelled == [attempt]
    assert bench.ports.attempts[-1].action is Action.DROP


@pytest.mark.parametrize("port", ["send", "read", "publish"])
def test_what_no_port_may_raise_is_a_bug(port: str) -> None:
    def raise_() -> NoReturn:
        raise LookupError("no such thing")

    class Broken(ScriptedPorts):
        def send(self, outgoing: Outgoing) -> None:
            raise_() if port == "send" else None

        def read(self, limit: int) -> list[Datagram]:
            raise_() if port == "read" else None
            return []

        def publish(self, event: Event) -> None:
            raise_() if port == "publish" else None

    bench = Bench(ports=Broken())
    bench.do(send(), Publish(EVENT))
    bench.runtime.wake()

    assert [type(each) for each in bench.ports.failures] == [LookupError]


def test_an_observer_of_attempts_that_raises_is_a_bug_and_told_once() -> None:
    class Broken(ScriptedPorts):
        def reported(self, report: ActuationReported) -> None:
            raise LookupError("no such thing")

    bench = Bench(ports=Broken())
    bench.do(hold(1))
    bench.make()
    bench.make()

    assert [type(each) for each in bench.ports.failures] == [LookupError]
    assert bench.runtime.may_hold == {}


def test_once_stopped_nothing_is_handled_and_no_time_is_kept() -> None:
    bench = Bench()
    bench.door.deadline_ns = 10
    bench.do(hold(1))
    bench.make("busy")
    bench.runtime.stop()
    bench.runtime.submit(GO)
    bench.fire(1 << 40)

    assert bench.ports.armed_ns is None
    assert len(bench.ports.attempts) == 1
    assert bench.door.inputs == [GO, ActuationReported(KEY, 1, Action.HOLD, "busy")]
