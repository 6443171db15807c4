"""Passes inputs to an engine and performs its effects: the same code on asyncio, in the simulator and in scenarios.

One inbox holds all inputs. Inputs that callbacks, failed sends or ended attempts add during a step come after that
step. Within a step the runtime first sends advertisements and starts slow work, in the engine's order. It publishes
events last, so no observer delays an advertisement.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from pycarp.core.deadlines import DeadlineIndex
from pycarp.core.effects import (
    Announce,
    DropAddresses,
    Effect,
    HoldAddresses,
    Publish,
    RenewAddresses,
    SetPacketFilter,
    Transmit,
)
from pycarp.core.events import Departed, Event
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    DatagramReceived,
    DatagramsReceived,
    Input,
    PacketFilterFailed,
    PacketsRead,
    TimePassed,
    TransmitReported,
)
from pycarp.runtime.ports import Door, Ports
from pycarp.runtime.reconciler import DEFAULT_PACE, Attempt, CancelAttempt, Gate, Pace, Reconciler, RetryAt, Todo
from pycarp.vocabulary import NS_PER_S, Family, HostKey, InterfaceAddress

DRAIN_BUDGET = 256
"""Steps in a row before the other tasks of the event loop get a turn."""

READ_BATCH = 64
"""Datagrams read at a time, besides those that were set aside."""

READ_BEFORE_EXPIRY = 1024
"""Datagrams of each link read before timers expire, at most: after a stall the MASTER's advertisements wait there.

So many are read at a time. As long as more wait, hosts that hold addresses give signs of life, and no host takes over.
"""

COUNTED_PACKETS = 128
"""Packets read after which the engine receives the counts of each link."""

COUNTED_NS = 10 * NS_PER_S
"""The longest time between two counts of a quiet link."""

CONTINUED_AT_ONCE = 64
"""Reconcilers that continue after a pause before the event loop gets a turn."""

STALL_NS = NS_PER_S // 4
"""A timer that is later than this is reported as a stall: a quarter of the shortest whole-second interval."""

LATE_NS = NS_PER_S // 20
"""From so late on there should be no further work."""

WORTH_ARMING_NS = NS_PER_S // 20
"""A timer that would fire too early by more than this is set again, because a needless wake-up costs more."""

_TIME_PASSED, _TIME_PASSED_UNREAD = TimePassed(), TimePassed(has_unread=True)


class Runtime:
    """Owns the inbox, the timer and the reconcilers of all hosts of one engine.

    ``afterwards`` is called after steps, once for several that follow each other.
    """

    def __init__(
        self,
        engine: Door,
        ports: Ports,
        *,
        pace: Pace = DEFAULT_PACE,
        gate: Gate | None = None,
        afterwards: Callable[[], None] | None = None,
    ) -> None:
        self._engine = engine
        self._ports = ports
        self._pace = pace
        self._gate = gate or Gate()
        self._afterwards = afterwards
        self._inbox: deque[Input] = deque()
        self._events: deque[Event] = deque()
        self._is_draining = False
        self._is_stopped = False
        self._has_surrendered = False
        self._has_failed = False
        self._deadline_ns: int | None = None
        self._armed_ns: int | None = None
        self._expired_at_ns = 0
        self._read_before_expiry = 0
        self._stall_again_at_ns = 0
        self._reconcilers: dict[HostKey, Reconciler] = {}
        self._due = DeadlineIndex()
        self._guarded: dict[HostKey, HoldAddresses] = {}
        self._sent: list[Transmit] = []
        self._not_sent: dict[tuple[HostKey, Family], str] = {}
        self._wants_report: set[tuple[HostKey, Family]] = set()
        self._filtered: set[str] = set()
        self._counted: Mapping[str, int] = {}
        self._counted_at_ns = 0

    # What happens

    def submit(self, event: Input) -> None:
        """Pass an input to the engine, now or right after the current step; no-op once the runtime is stopped."""
        if self._is_stopped:
            return
        self._inbox.append(event)
        if not self._is_draining:
            self._drain(DRAIN_BUDGET)

    def wake(self) -> bool:
        """Read datagrams that have arrived, and return whether more of them may wait."""
        # First, because what is read may postpone the deadline that has passed.
        self._look_for_stall(self._ports.now_ns())
        return self._read(READ_BATCH) >= READ_BATCH

    def timer_fired(self) -> None:
        """Handle what is due: read the waiting datagrams, pass the time to the engine, then to the reconcilers."""
        self._armed_ns = None
        try:
            self._expire(self._ports.now_ns())
        except Exception as bug:  # noqa: BLE001  as in the drain: stop, release, raise
            self._fail(bug)

    def resume(self) -> None:
        """Continue with the inputs that are left in the inbox."""
        if not self._is_draining:
            self._drain(DRAIN_BUDGET)

    def begin(self, attempt: Attempt) -> bool:
        """Return True if an attempt is still wanted, and start its timeout; called right before it does its work."""
        reconciler = self._reconcilers.get(attempt.key)
        until = reconciler.begin(attempt, self._ports.now_ns()) if reconciler else None
        if until is None:
            return False
        self._due.set(attempt.key, until.at_ns)
        self._arm()
        return True

    def stand_aside(self, attempt: Attempt) -> None:
        """Free the place of an attempt that waits for something else, so that others begin; ``begin`` follows later."""
        reconciler = self._reconcilers.get(attempt.key)
        if reconciler is not None:
            reconciler.stand_aside(attempt)
            self._let_waiting_begin()

    def attempt_ended(self, attempt: Attempt, error: str | None) -> None:
        """Record the result of an attempt; ``error`` says why it failed, None that it succeeded."""
        try:
            self._end(attempt, error)
        except Exception as bug:  # noqa: BLE001  as in the drain: stop, release, raise
            self._fail(bug)

    def retry(self, key: HostKey) -> None:
        """Retry the failed attempt of a host at once, without a pause."""
        if key in self._reconcilers:
            self._carry_out(key, self._reconcilers[key].retry(self._ports.now_ns()))
            self._arm()

    # What is known

    def can_send(self, key: HostKey) -> bool:
        """Return True if a host could send its last advertisement in at least one of its families."""
        return self._engine.can_send(key) and not self._has_failed_now(key)

    def wants_held(self, key: HostKey) -> bool:
        """Return True if the newest intent of a host is to hold its addresses, and the last attempt achieved that."""
        return key in self._reconcilers and self._reconcilers[key].is_held

    @property
    def may_hold(self) -> dict[HostKey, frozenset[InterfaceAddress]]:
        """The addresses that may be held, by host; without the hosts that can hold none."""
        held = {key: reconciler.may_hold for key, reconciler in self._reconcilers.items()}
        return {key: addresses for key, addresses in held.items() if addresses}

    @property
    def is_late(self) -> bool:
        """Whether the engine's deadline passed a while ago."""
        return self._deadline_ns is not None and self._ports.now_ns() - self._deadline_ns > LATE_NS

    # The end

    def stop(self) -> None:
        """Handle no further input, and start no further attempt."""
        self._is_stopped = True
        self._inbox.clear()
        self._due.clear()
        self._deadline_ns = None
        self._arm()

    def surrender(self) -> None:
        """Handle no further input, and drop every address that may be held, however long that takes."""
        if self._has_surrendered:
            return
        self._has_surrendered = self._is_stopped = True
        self._inbox.clear()
        self._deadline_ns = None
        now_ns = self._ports.now_ns()
        for key, reconciler in list(self._reconcilers.items()):
            self._carry_out(key, reconciler.surrender(now_ns))
        self._arm()

    def release(self, key: HostKey) -> None:
        """Forget a host; the result of an attempt that is still under way is ignored."""
        self._due.set(key, None)
        reconciler = self._reconcilers.pop(key, None)
        if reconciler is not None:
            reconciler.close()

    def _fail(self, bug: BaseException) -> None:
        self.surrender()
        if not self._has_failed:
            self._has_failed = True
            self._ports.failed(bug)

    # Steps

    def _drain(self, budget: int) -> None:
        inbox, handle, ports = self._inbox, self._engine.handle, self._ports
        self._is_draining = True
        try:
            if self._events:
                self._publish_all()
            while inbox and not self._is_stopped:
                if budget <= 0:
                    ports.later()
                    break
                budget -= 1
                if self._sent or self._not_sent:
                    self._sent.clear()
                    self._not_sent.clear()
                effects, self._deadline_ns = handle(inbox.popleft(), ports.now_ns())
                if effects:
                    self._perform(effects)
            if self._afterwards is not None:
                self._afterwards()
        except (KeyboardInterrupt, SystemExit):
            # Most likely an observer raised it; the rest of the inbox is handled later.
            ports.later()
            raise
        except BaseException as bug:  # noqa: BLE001  the engine never raises but for a bug of ours: stop, release, raise
            self._fail(bug)
        finally:
            self._is_draining = False
            self._arm()

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        """Perform effects in order, but renew together and then publish; the most frequent ones are tried first."""
        renewals: list[RenewAddresses] = []
        send, sent = self._ports.send, self._sent
        for effect in effects:
            if isinstance(effect, Transmit):
                # Hundreds in one step. A family counts as sent if the send to any of its destinations succeeded.
                if effect.wants_report:
                    self._wants_report.add((effect.key, effect.outgoing.family))
                try:
                    send(effect.outgoing)
                except OSError as exc:
                    self._not_sent.setdefault((effect.key, effect.outgoing.family), exc.strerror or str(exc))
                else:
                    sent.append(effect)
            elif isinstance(effect, RenewAddresses):
                renewals.append(effect)
            else:
                self._perform_rarely(effect)
        if renewals:
            self._renew(renewals)
        if self._not_sent or self._wants_report:
            self._report_what_was_sent()
        if self._events:
            self._publish_all()

    def _perform_rarely(self, effect: Publish | HoldAddresses | DropAddresses | Announce | SetPacketFilter) -> None:
        match effect:
            case Publish(event):
                self._events.append(event)
            case HoldAddresses() | DropAddresses() | Announce():
                self._hand_over(effect)
            case SetPacketFilter():
                self._set_packet_filter(effect)
            case _:
                assert_never(effect)

    def _report_what_was_sent(self) -> None:
        """Queue the reports of this step's sends before every other input; until then ``can_send`` uses this step."""
        outcomes: dict[tuple[HostKey, Family], str | None] = dict(self._not_sent)
        outcomes |= dict.fromkeys((each.key, each.outgoing.family) for each in self._sent)
        reports = [
            TransmitReported(key, error, family)
            for (key, family), error in outcomes.items()
            if error is not None or (key, family) in self._wants_report
        ]
        self._inbox.extendleft(reversed(reports))
        self._wants_report.clear()

    def _has_failed_now(self, key: HostKey) -> bool:
        """Return True if this step had advertisements of a host and every send failed."""
        has_failed = any((key, family) in self._not_sent for family in Family)
        return has_failed and not any(each.key == key for each in self._sent)

    def _renew(self, effects: list[RenewAddresses]) -> None:
        """Renew leases in the kernel and at the guardian, but of no host whose every advertisement of this step failed.

        All together, after the sends: hundreds of hosts advertise in one step.
        """
        if self._not_sent:
            failed = {key for key, _family in self._not_sent}.difference(each.key for each in self._sent)
            effects = [each for each in effects if each.key not in failed]
        self._ports.renew(effects)
        self._ports.renew_guardian([each.key for each in effects if each.key in self._guarded])

    def _publish_all(self) -> None:
        while self._events:
            event = self._events.popleft()
            if isinstance(event, Departed):
                self.release(event.key)
            self._ports.publish(event)

    # Reading

    def _read(self, limit: int) -> int:
        """Read datagrams, pass all of them to the engine before any later input, and return how many they were."""
        if self._is_stopped:
            return 0
        try:
            datagrams = self._ports.read(limit)
            counts = self._ports.packets_read()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as bug:  # noqa: BLE001  networks promise not to raise here; a deaf node must not go on
            self._fail(bug)
            return 0
        if len(datagrams) == 1:
            self._inbox.append(DatagramReceived(datagrams[0]))
        elif datagrams:
            self._inbox.append(DatagramsReceived(tuple(datagrams)))
        if counts is not None:
            self._count_packets(counts)
        if self._inbox and not self._is_draining:
            self._drain(DRAIN_BUDGET)
        return len(datagrams)

    def _count_packets(self, counts: Mapping[str, int]) -> None:
        """Pass the counts of each link to the engine: after every reading while a filter is set, otherwise rarely."""
        if counts == self._counted and not self._filtered:
            return
        read = sum(counts.values()) - sum(self._counted.values())
        now_ns = self._ports.now_ns()
        is_due = abs(read) >= COUNTED_PACKETS or now_ns - self._counted_at_ns >= COUNTED_NS
        if is_due or self._filtered or counts.keys() != self._counted.keys():
            self._counted, self._counted_at_ns = counts, now_ns
            self._inbox.append(PacketsRead(tuple(counts.items())))

    def _set_packet_filter(self, effect: SetPacketFilter) -> None:
        try:
            self._ports.set_packet_filter(effect.link, effect.packet_filter)
        except OSError:
            self._inbox.append(PacketFilterFailed(effect.link))
            return
        (self._filtered.discard if effect.packet_filter is None else self._filtered.add)(effect.link)

    # Addresses

    def _end(self, attempt: Attempt, error: str | None) -> None:
        reconciler = self._reconcilers.get(attempt.key)
        if reconciler is not None:
            self._carry_out(attempt.key, reconciler.attempt_ended(attempt, error, self._ports.now_ns()))
        self._let_waiting_begin()
        self._arm()

    def _let_waiting_begin(self) -> None:
        while (key := self._gate.next_host()) is not None:
            self._continue_hosts([key])

    def _hand_over(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        if isinstance(effect, HoldAddresses):
            self._arm_guardian(effect)
        self._ports.asked(effect)
        reconciler = self._reconcilers.get(effect.key)
        if reconciler is None:
            reconciler = self._reconcilers[effect.key] = Reconciler(effect.key, self._gate, pace=self._pace)
        self._carry_out(effect.key, reconciler.take(effect, self._ports.now_ns()))

    def _continue_hosts(self, keys: Iterable[HostKey]) -> None:
        for key in keys:
            reconciler = self._reconcilers.get(key)
            if reconciler is not None:
                self._carry_out(key, reconciler.time_passed(self._ports.now_ns()))
        self._arm()

    def _carry_out(self, key: HostKey, todo: Todo) -> None:
        """Carry out what a reconciler returned, and submit its reports to the engine."""
        self._due.set(key, None)
        match todo.next:
            case Attempt() as attempt:
                self._ports.start(attempt)
            case CancelAttempt(attempt, until_ns):
                self._due.set(key, until_ns)
                self._ports.cancel(attempt)
            case RetryAt(at_ns):
                self._due.set(key, at_ns)
        for report in todo.reports:
            self._note_report(report)
            self.submit(report)
            self._ports.reported(report)

    def _note_report(self, report: ActuationReported) -> None:
        """Disarm the guardian once the addresses of a host are dropped, unless a later hold is already wanted.

        Arm it again once they are held: the hold may have created the device that the clean-up plan removes.
        """
        guarded = self._guarded.get(report.key)
        if guarded is None or report.error is not None:
            return
        if report.action is Action.HOLD and guarded.epoch == report.epoch:
            self._arm_guardian(guarded)
        elif report.action is Action.DROP and guarded.epoch < report.epoch:
            del self._guarded[report.key]
            self._ports.disarm_guardian(report.key)

    def _arm_guardian(self, effect: HoldAddresses) -> None:
        """Arm the guardian, before the addresses are held; no-op without lease timings."""
        if effect.lease_timings is not None:
            self._guarded[effect.key] = effect
            self._ports.arm_guardian(effect)

    # Time

    def _expire(self, now_ns: int) -> None:
        if self._is_due(now_ns):
            self._look_for_stall(now_ns)
            has_unread = self._reads_on(self._read(READ_BEFORE_EXPIRY))
            if self._is_due(now_ns):
                self._expired_at_ns = now_ns
                self.submit(_TIME_PASSED_UNREAD if has_unread else _TIME_PASSED)
        if self._due.earliest_ns() is not None:
            self._continue_hosts(self._due.pop_due(now_ns, CONTINUED_AT_ONCE))
        elif self._armed_ns is None:
            self._arm()

    def _reads_on(self, read: int) -> bool:
        """Return whether more datagrams may wait than were read just now, until as many as may wait have been read."""
        self._read_before_expiry += read
        most = READ_BEFORE_EXPIRY * len(self._counted)
        if read < READ_BEFORE_EXPIRY or self._read_before_expiry >= most:
            self._read_before_expiry = 0
            return False
        return True

    def _look_for_stall(self, now_ns: int) -> None:
        """Report by how much the deadline was missed, if that is a stall.

        The engine handles thousands of deadlines in several steps; what it leaves to the next one is not late yet.
        """
        late_ns = 0 if self._deadline_ns is None else now_ns - max(self._deadline_ns, self._expired_at_ns)
        if late_ns > STALL_NS and now_ns >= self._stall_again_at_ns:
            # One stall makes the timers of hundreds of hosts late; report it once a second.
            self._stall_again_at_ns = now_ns + NS_PER_S
            self._ports.stalled(late_ns)

    def _is_due(self, now_ns: int) -> bool:
        """Return True if the engine's deadline has come; the datagrams just read may have postponed it."""
        return not self._is_stopped and self._deadline_ns is not None and self._deadline_ns <= now_ns

    def _arm(self) -> None:
        """Set the timer for the next deadline; keep one that fires too early by up to ``WORTH_ARMING_NS``."""
        if self._is_draining:
            return
        at_ns = self._deadline_ns
        next_ns = self._due.earliest_ns()
        if next_ns is not None:
            at_ns = next_ns if at_ns is None or next_ns < at_ns else at_ns
        armed_ns = self._armed_ns
        if at_ns is None:
            if armed_ns is not None:
                self._armed_ns = None
                self._ports.arm(None)
        elif armed_ns is None or at_ns < armed_ns or at_ns - armed_ns > WORTH_ARMING_NS:
            self._armed_ns = at_ns
            self._ports.arm(at_ns)
