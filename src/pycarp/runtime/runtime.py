"""Feeds an engine and does what it asks, the same wherever it runs: on asyncio, in the simulator, in scenarios.

There is one inbox. Whatever a callback, a failed send or the end of an attempt adds while a step is carried out lands
behind that step. Within a step, what is to be sent is sent and slow work is handed over first, in the engine's order;
events come last, so that no observer delays an advertisement.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

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
from pycarp.vocabulary import NS_PER_S, Family, HostKey, Interface

DRAIN_BUDGET = 256
"""Steps that are made before everybody else gets a turn."""

READ_BATCH = 64
"""Datagrams read at a time."""

READ_BEFORE_EXPIRY = 1024
"""Datagrams read at most before timers expire: after a pause the master's advertisements wait in the socket."""

COUNTED_PACKETS = 128
"""Packets read after which the engine is given the counts of each link."""

COUNTED_NS = 10 * NS_PER_S
"""How long the counts of a quiet link may be kept back."""

STALL_NS = NS_PER_S // 4
"""A timer later than this is worth telling: a quarter of the shortest whole-second interval."""

WORTH_ARMING_NS = NS_PER_S // 20
"""A timer that would fire so much too early is set anew: to wake up for nothing is dearer."""

_TIME_PASSED = TimePassed()


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
        self._stall_again_at_ns = 0
        self._reconcilers: dict[HostKey, Reconciler] = {}
        self._due: dict[HostKey, int] = {}
        self._guarded: dict[HostKey, HoldAddresses] = {}
        self._sent: dict[tuple[HostKey, Family], str | None] = {}
        self._wants_report: set[tuple[HostKey, Family]] = set()
        self._has_send_errors = False
        self._filtered: set[str] = set()
        self._counted: Mapping[str, int] = {}
        self._counted_at_ns = 0

    # What happens

    def submit(self, event: Input) -> None:
        """Give the engine an input now, or right after the current step; no-op once it is stopped."""
        if self._is_stopped:
            return
        self._inbox.append(event)
        if not self._is_draining:
            self._drain(DRAIN_BUDGET)

    def wake(self) -> None:
        """Read what has arrived."""
        self._read(READ_BATCH)

    def timer_fired(self) -> None:
        """Let time pass: for the engine, which first hears what has arrived, and for what waits between attempts."""
        self._armed_ns = None
        try:
            self._expire(self._ports.now_ns())
        except Exception as bug:  # noqa: BLE001  as in the drain: stop, release, raise
            self._fail(bug)

    def resume(self) -> None:
        """Go on with what is left to do."""
        if not self._is_draining:
            self._drain(DRAIN_BUDGET)

    def begin(self, attempt: Attempt) -> bool:
        """Say whether an attempt is still wanted, right before it does its work; its time counts from now on."""
        reconciler = self._reconcilers.get(attempt.key)
        until = reconciler.begin(attempt, self._ports.now_ns()) if reconciler else None
        if until is None:
            return False
        self._due[attempt.key] = until.at_ns
        self._arm()
        return True

    def attempt_ended(self, attempt: Attempt, error: str | None) -> None:
        """Take in how an attempt ended; ``error`` says why it failed."""
        try:
            self._end(attempt, error)
        except Exception as bug:  # noqa: BLE001  as in the drain: stop, release, raise
            self._fail(bug)

    def retry(self, key: HostKey) -> None:
        """Try again at once what failed for a host."""
        if key in self._reconcilers:
            self._do(key, self._reconcilers[key].retry(self._ports.now_ns()))
            self._arm()

    # What is known

    def can_send(self, key: HostKey) -> bool:
        """Return True if the last advertisement of a host could be sent, in one of its families at least."""
        return self._engine.can_send(key) and not self._has_failed_now(key)

    def wants_held(self, key: HostKey) -> bool:
        """Say whether the addresses of a host are held as far as is known, and shall be."""
        return key in self._reconcilers and self._reconcilers[key].is_held

    @property
    def may_hold(self) -> dict[HostKey, frozenset[Interface]]:
        """The addresses that may be held, by host; only hosts that may hold any."""
        held = {key: reconciler.may_hold for key, reconciler in self._reconcilers.items()}
        return {key: addresses for key, addresses in held.items() if addresses}

    # The end

    def stop(self) -> None:
        """Handle nothing any more, and make no further attempts."""
        self._is_stopped = True
        self._inbox.clear()
        self._due.clear()
        self._deadline_ns = None
        self._arm()

    def surrender(self) -> None:
        """Handle nothing any more, and drop every address that may be held, as long as it takes."""
        if self._has_surrendered:
            return
        self._has_surrendered = self._is_stopped = True
        self._inbox.clear()
        self._deadline_ns = None
        now_ns = self._ports.now_ns()
        for key, reconciler in list(self._reconcilers.items()):
            self._do(key, reconciler.surrender(now_ns))
        self._arm()

    def release(self, key: HostKey) -> None:
        """Forget a host; nobody waits any more for an attempt that has not ended."""
        self._due.pop(key, None)
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
                if self._sent:
                    self._sent.clear()
                    self._has_send_errors = False
                effects, self._deadline_ns = handle(inbox.popleft(), ports.now_ns())
                if effects:
                    self._perform(effects)
            if self._afterwards is not None:
                self._afterwards()
        except (KeyboardInterrupt, SystemExit):
            # Somebody wants out, of an observer most likely; what is left to do is done later.
            ports.later()
            raise
        except BaseException as bug:  # noqa: BLE001  the engine never raises but for a bug of ours: stop, release, raise
            self._fail(bug)
        finally:
            self._is_draining = False
            self._arm()

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        """Send and hand over first, in order; tell observers last."""
        for effect in effects:
            match effect:
                case Publish(event):
                    self._events.append(event)
                case Transmit():
                    self._transmit(effect)
                case HoldAddresses() | DropAddresses() | Announce():
                    self._hand_over(effect)
                case RenewAddresses():
                    self._renew(effect)
                case SetPacketFilter():
                    self._set_packet_filter(effect)
                case _:
                    assert_never(effect)
        if self._has_send_errors or self._wants_report:
            self._report_what_was_sent()
        if self._events:
            self._publish_all()

    def _transmit(self, effect: Transmit) -> None:
        """Send; a family of a host counts as sent when any of its destinations could be sent to."""
        family = effect.key, effect.outgoing.family
        if effect.wants_report:
            self._wants_report.add(family)
        try:
            self._ports.send(effect.outgoing)
        except OSError as exc:
            self._sent.setdefault(family, exc.strerror or str(exc))
            self._has_send_errors = True
        else:
            self._sent[family] = None

    def _report_what_was_sent(self) -> None:
        """Let the engine know before anything else happens to it: until then ``can_send`` looks at this step."""
        reports = [
            TransmitReported(key, error, family)
            for (key, family), error in self._sent.items()
            if error is not None or (key, family) in self._wants_report
        ]
        self._inbox.extendleft(reversed(reports))
        self._wants_report.clear()

    def _has_failed_now(self, key: HostKey) -> bool:
        """Return True if this step sent advertisements of a host, and none of them could be sent."""
        errors = [error for (host, _family), error in self._sent.items() if host == key]
        return bool(errors) and None not in errors

    def _renew(self, effect: RenewAddresses) -> None:
        """Keep the addresses alive, unless nobody was told in this very step that they are here."""
        if self._has_send_errors and self._has_failed_now(effect.key):
            return
        self._ports.renew(effect)
        if effect.key in self._guarded:
            self._ports.renew_guardian(effect.key)

    def _publish_all(self) -> None:
        while self._events:
            event = self._events.popleft()
            if isinstance(event, Departed):
                self.release(event.key)
            self._ports.publish(event)

    # Reading

    def _read(self, limit: int) -> None:
        """Read, and handle all of it: what was read must be heard before anything else is decided."""
        if self._is_stopped:
            return
        try:
            datagrams = self._ports.read(limit)
            counts = self._ports.packets_read()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as bug:  # noqa: BLE001  networks promise not to raise here; a deaf node must not go on
            self._fail(bug)
            return
        if len(datagrams) == 1:
            self._inbox.append(DatagramReceived(datagrams[0]))
        elif datagrams:
            self._inbox.append(DatagramsReceived(tuple(datagrams)))
        if counts is not None:
            self._count_packets(counts)
        if self._inbox and not self._is_draining:
            self._drain(DRAIN_BUDGET)

    def _count_packets(self, counts: Mapping[str, int]) -> None:
        """Give the engine the counts of each link while a filter is set, else now and then."""
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
            self._do(attempt.key, reconciler.attempt_ended(attempt, error, self._ports.now_ns()))
        while (key := self._gate.next_host()) is not None:
            self._go_on([key])
        self._arm()

    def _hand_over(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        if isinstance(effect, HoldAddresses):
            self._arm_guardian(effect)
        self._ports.asked(effect)
        reconciler = self._reconcilers.get(effect.key)
        if reconciler is None:
            reconciler = self._reconcilers[effect.key] = Reconciler(effect.key, self._gate, pace=self._pace)
        self._do(effect.key, reconciler.take(effect, self._ports.now_ns()))

    def _go_on(self, keys: Iterable[HostKey]) -> None:
        for key in keys:
            reconciler = self._reconcilers.get(key)
            if reconciler is not None:
                self._do(key, reconciler.time_passed(self._ports.now_ns()))
        self._arm()

    def _do(self, key: HostKey, todo: Todo) -> None:
        """Do what a reconciler wants, and let the engine know."""
        self._due.pop(key, None)
        match todo.next:
            case Attempt() as attempt:
                self._ports.start(attempt)
            case CancelAttempt(attempt, until_ns):
                self._due[key] = until_ns
                self._ports.cancel(attempt)
            case RetryAt(at_ns):
                self._due[key] = at_ns
        for report in todo.reports:
            self._note_report(report)
            self.submit(report)
            self._ports.reported(report)

    def _note_report(self, report: ActuationReported) -> None:
        """Disarm the guardian once the addresses of a host are dropped, unless they are to be held again already.

        Arm it anew when they are held: what carries them may have been made for it.
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
        """Arm it before the addresses are held."""
        if effect.lease_timings is not None:
            self._guarded[effect.key] = effect
            self._ports.arm_guardian(effect)

    # Time

    def _expire(self, now_ns: int) -> None:
        if self._deadline_ns is not None and self._is_due(now_ns):
            late_ns = now_ns - self._deadline_ns
            self._read(READ_BEFORE_EXPIRY)
            if late_ns > STALL_NS and now_ns >= self._stall_again_at_ns:
                # Of hundreds of hosts each has turns that are late because of the same stall.
                self._stall_again_at_ns = now_ns + NS_PER_S
                self._ports.stalled(late_ns)
            if self._is_due(now_ns):
                self.submit(_TIME_PASSED)
        if self._due:
            self._go_on([key for key, at_ns in self._due.items() if at_ns <= now_ns])
        elif self._armed_ns is None:
            self._arm()

    def _is_due(self, now_ns: int) -> bool:
        """Say whether the engine wants to be told that time passes; what was read may have put it off."""
        return not self._is_stopped and self._deadline_ns is not None and self._deadline_ns <= now_ns

    def _arm(self) -> None:
        """Have the timer fire in time; one that fires a little too early, because less was known then, may stay."""
        if self._is_draining:
            return
        at_ns = self._deadline_ns
        if self._due:
            next_ns = min(self._due.values())
            at_ns = next_ns if at_ns is None or next_ns < at_ns else at_ns
        armed_ns = self._armed_ns
        if at_ns is None:
            if armed_ns is not None:
                self._armed_ns = None
                self._ports.arm(None)
        elif armed_ns is None or at_ns < armed_ns or at_ns - armed_ns > WORTH_ARMING_NS:
            self._armed_ns = at_ns
            self._ports.arm(at_ns)
