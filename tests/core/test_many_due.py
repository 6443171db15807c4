"""When the time of many hosts has come at once: they act in several steps, and signs of life come before takeovers."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from pycarp.core import Engine, Step
from pycarp.core.effects import HoldAddresses, RenewAddresses, Transmit
from pycarp.core.engine import HOLDING_A_STEP, OTHERS_A_STEP
from pycarp.core.inputs import Action, ActuationReported, HostAdded, LinkChanged, TimePassed
from pycarp.core.state import State
from pycarp.vocabulary import NS_PER_S, HostKey
from tests.support.hosts import OWN, changes, config, link

VHIDS = 240


@dataclass(slots=True)
class Crowd:
    """An engine with so many hosts on fxp0, all BACKUP at time 0, of which nobody hears a MASTER."""

    hosts: int = VHIDS
    engine: Engine = field(default_factory=lambda: Engine(entropy=lambda: 1))
    step: Step = field(default_factory=lambda: Step((), None))
    advskews: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        self.engine.handle(LinkChanged(link(OWN)), 0)
        for number in range(self.hosts):
            advskew = self.advskews[number % len(self.advskews)]
            one = config(vhid=number + 1, advskew=advskew, addresses=[f"10.0.0.{number + 1}/24"])
            self.engine.handle(HostAdded(one), 0)
            self.step = self.engine.handle(ActuationReported(one.key, 1, Action.DROP, None), 0)

    def pass_time(self, at_ns: int, *, has_unread: bool = False) -> Step:
        self.step = self.engine.handle(TimePassed(has_unread), at_ns)
        return self.step

    def report_holds(self, at_ns: int) -> None:
        for effect in self.step.effects:
            if isinstance(effect, HoldAddresses):
                self.engine.handle(ActuationReported(effect.key, effect.epoch, Action.HOLD, None), at_ns)

    def masters(self) -> list[HostKey]:
        return [each.key for each in self.engine.snapshot().hosts if each.state is State.MASTER]


def taken_over(crowd: Crowd, at_ns: int) -> list[HostKey]:
    """Pass the same time again and again until nothing is due then, and return who took over, in that order."""
    taken: list[HostKey] = []
    while crowd.pass_time(at_ns).effects:
        taken += [each.key for each in changes(crowd.step.effects)]
    return taken


def test_a_step_lets_only_some_take_over_and_the_next_follows_at_once() -> None:
    crowd = Crowd()
    at_ns = 4 * NS_PER_S

    assert len(changes(crowd.pass_time(at_ns).effects)) == OTHERS_A_STEP
    assert crowd.step.deadline_ns is not None
    assert crowd.step.deadline_ns <= at_ns


def test_all_take_over_in_the_order_of_their_deadlines() -> None:
    crowd = Crowd(advskews=(200, 0, 100))

    taken = taken_over(crowd, 4 * NS_PER_S)

    assert taken == sorted(taken, key=lambda key: ((200, 0, 100)[(key.vhid - 1) % 3], key))
    assert len(taken) == VHIDS


def test_signs_of_life_come_before_takeovers_that_are_due_for_longer() -> None:
    crowd = Crowd(advskews=(0, 0, 0, 250))
    began_ns = 3 * NS_PER_S
    while len(crowd.masters()) < VHIDS * 3 // 4:
        crowd.pass_time(began_ns)
    while crowd.pass_time(began_ns + NS_PER_S // 100).effects:
        crowd.report_holds(began_ns + NS_PER_S // 100)
    owed = set(crowd.masters())

    # All others have been due for a second, and the MASTERs for a moment.
    crowd.pass_time(began_ns + 2 * NS_PER_S)

    renewed = {each.key for each in crowd.step.effects if isinstance(each, RenewAddresses)}
    sent = [each.key for each in crowd.step.effects if isinstance(each, Transmit)]
    assert len(owed) <= HOLDING_A_STEP
    assert renewed == owed == set(sent[: len(owed)])
    assert len(sent) > len(owed)


def test_nobody_takes_over_while_advertisements_may_wait_unread() -> None:
    crowd = Crowd(hosts=3)
    at_ns = 4 * NS_PER_S

    assert not crowd.pass_time(at_ns, has_unread=True).effects
    assert crowd.step.deadline_ns is not None
    assert crowd.step.deadline_ns <= at_ns
    assert len(changes(crowd.pass_time(at_ns).effects)) == 3


@given(steps=st.integers(0, 6))
def test_an_engine_that_is_restored_amid_the_steps_goes_on_the_same(steps: int) -> None:
    crowd = Crowd(advskews=(0, 100))
    for _ in range(steps):
        crowd.pass_time(4 * NS_PER_S)
    restored = Engine.from_checkpoint(crowd.engine.checkpoint(), entropy=lambda: 1)

    for at_ns in (4 * NS_PER_S, 4 * NS_PER_S + 5_000_000, 6 * NS_PER_S, 6 * NS_PER_S):
        assert restored.handle(TimePassed(), at_ns) == crowd.pass_time(at_ns)
