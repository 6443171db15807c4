"""Whatever happens in whatever order: the last intent is achieved and reported once, and nothing is held unknown."""

from ipaddress import ip_interface

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pycarp.core.effects import Announce, DropAddresses, HoldAddresses
from pycarp.core.inputs import Action
from pycarp.dialects.dialect import ArpForm
from pycarp.runtime.reconciler import ATTEMPTS_MAX, Attempt, CancelAttempt, Gate, Pace, Reconciler, RetryAt, Todo
from pycarp.vocabulary import NS_PER_S, HostKey, InterfaceAddress

KEY = HostKey("em0", 1)
A, B = ip_interface("192.0.2.10/24"), ip_interface("192.0.2.11/24")
FORM = ArpForm(own_target_mac=False, link_source=False, with_reply=False)
PACE = Pace()


class Life(RuleBasedStateMachine):
    """A reconciler, a shell that makes attempts as it likes, a kernel, and an engine that knows what it shared."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.gate = Gate()
        self.one = Reconciler(KEY, self.gate)
        self.kernel: set[InterfaceAddress] = set()
        self.epoch = 0
        self.shared: tuple[InterfaceAddress, ...] = (A,)
        self.previous: set[InterfaceAddress] = set()
        self.wants_held: bool | None = None
        self.begun: list[Attempt] = []
        self.unbegun: list[Attempt] = []
        self.cancelled: dict[Attempt, int] = {}
        self.due_ns: int | None = None
        self.achieved: list[int] = []

    def follow(self, todo: Todo) -> None:
        self.due_ns = None
        if isinstance(todo.next, Attempt):
            self.unbegun.append(todo.next)
        elif isinstance(todo.next, CancelAttempt):
            self.cancelled[todo.next.attempt] = self.now_ns
            self.due_ns = todo.next.until_ns
        elif isinstance(todo.next, RetryAt):
            self.due_ns = todo.next.at_ns
        for report in todo.reports:
            if report.error is None:
                self.achieved.append(report.epoch)
                if report.epoch == self.epoch:
                    self.previous.clear()

    def share(self, shared: tuple[InterfaceAddress, ...]) -> None:
        self.previous = (self.previous | set(self.shared)) - set(shared)
        self.shared = shared

    def want(self, *, hold: bool, force: bool = False) -> None:
        self.epoch += 1
        self.wants_held = hold
        previous = tuple(self.previous)
        effect = (
            HoldAddresses(KEY, self.epoch, self.shared, previous, force)
            if hold
            else DropAddresses(KEY, self.epoch, self.shared + previous, force)
        )
        self.follow(self.one.take(effect, self.now_ns))

    # What happens

    @rule(hold=st.booleans(), shared=st.sampled_from([(A,), (B,), (A, B)]))
    def engine_wants(self, hold: bool, shared: tuple[InterfaceAddress, ...]) -> None:
        self.share(shared)
        self.want(hold=hold)

    @precondition(lambda self: self.wants_held is not None)
    @rule()
    def engine_wants_it_again(self) -> None:
        self.want(hold=bool(self.wants_held))

    @precondition(lambda self: self.wants_held)
    @rule()
    def engine_announces(self) -> None:
        self.follow(self.one.take(Announce(KEY, self.epoch, self.shared, FORM), self.now_ns))

    @precondition(lambda self: self.wants_held is not None)
    @rule(address=st.sampled_from([A, B]))
    def others_change(self, address: InterfaceAddress) -> None:
        if address in self.shared:
            (self.kernel.discard if address in self.kernel else self.kernel.add)(address)
            self.want(hold=bool(self.wants_held), force=True)

    @precondition(lambda self: self.unbegun)
    @rule()
    def attempt_begins(self) -> None:
        attempt = self.unbegun.pop(0)
        until = self.one.begin(attempt, self.now_ns)
        if until is None:
            self.follow(self.one.attempt_ended(attempt, "withdrawn", self.now_ns))
        else:
            assert attempt not in self.cancelled
            self.begun.append(attempt)
            self.due_ns = until.at_ns

    @precondition(lambda self: self.unbegun and self.unbegun[-1].action is Action.HOLD)
    @rule()
    def hold_stands_aside(self) -> None:
        self.one.stand_aside(self.unbegun[-1])

    @precondition(lambda self: self.begun)
    @rule(number=st.integers(0, 2), error=st.sampled_from([None, None, "busy"]), works=st.booleans())
    def attempt_ends(self, number: int, error: str | None, works: bool) -> None:
        attempt = self.begun.pop(number % len(self.begun))
        if error is None or works:
            self.work(attempt)
        self.follow(self.one.attempt_ended(attempt, error, self.now_ns))

    def work(self, attempt: Attempt) -> None:
        effect = attempt.effect
        if isinstance(effect, HoldAddresses):
            self.kernel = (self.kernel - set(effect.previous)) | set(effect.addresses)
        elif isinstance(effect, DropAddresses):
            self.kernel -= set(effect.addresses)

    @rule(span_ns=st.sampled_from([1, NS_PER_S // 100, NS_PER_S // 10, NS_PER_S, 20 * NS_PER_S]))
    def time_passes(self, span_ns: int) -> None:
        until_ns = self.now_ns + span_ns
        while self.due_ns is not None and self.due_ns <= until_ns:
            self.now_ns = max(self.now_ns, self.due_ns)
            self.follow(self.one.time_passed(self.now_ns))
        self.now_ns = until_ns

    # What is always so

    @invariant()
    def nothing_is_held_unknown(self) -> None:
        assert self.kernel <= self.one.may_hold

    @invariant()
    def at_most_one_attempt_is_waited_for(self) -> None:
        wanted = [each for each in (*self.begun, *self.unbegun) if each not in self.cancelled]
        assert len(wanted) <= 1

    @invariant()
    def an_epoch_is_achieved_once(self) -> None:
        assert len(set(self.achieved)) == len(self.achieved)

    @invariant()
    def what_is_achieved_is_so(self) -> None:
        if self.achieved and self.achieved[-1] == self.epoch and not self.begun and not self.unbegun:
            assert self.kernel == (set(self.shared) if self.wants_held else set())

    @invariant()
    def a_drop_never_waits_for_a_hold(self) -> None:
        if self.wants_held is False and self.epoch not in self.achieved:
            holds = [each for each in self.begun if each.action is not Action.DROP and each not in self.cancelled]
            assert not holds
            late = [at_ns for at_ns in self.cancelled.values() if at_ns + PACE.cancel_ns < self.now_ns]
            under_way = [each for each in (*self.begun, *self.unbegun) if each.action is Action.DROP]
            assert under_way or self.due_ns is not None or not late

    def teardown(self) -> None:
        """Check that the newest intent is achieved once every attempt succeeds."""
        if self.wants_held is None:
            return
        for _ in range(100):
            while self.unbegun:
                self.attempt_begins()
            while self.begun:
                self.attempt_ends(0, None, True)
            if self.due_ns is None and not self.unbegun:
                break
            if self.due_ns is not None:
                self.time_passes(max(self.due_ns - self.now_ns, 1))
        assert not self.begun
        assert not self.unbegun
        assert self.due_ns is None
        assert self.achieved[-1] == self.epoch
        assert self.kernel == (set(self.shared) if self.wants_held else set())
        others = (HoldAddresses(HostKey("em0", vhid), 1, (A,)) for vhid in range(2, 2 + ATTEMPTS_MAX))
        assert all(self.gate.enter(Attempt(other)) for other in others), "a place at the gate was not left"
        assert not self.gate.enter(Attempt(HoldAddresses(HostKey("em0", 255), 1, (A,)))), "one was left twice"


Life.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
