"""The state changes that the page draws: those of the last day, and the one before."""

from pycarp.core.events import StateChange
from pycarp.core.state import Reason, State
from pycarp.daemon.state_timeline import KEPT, SPAN_S, StateTimeline
from pycarp.vocabulary import NS_PER_S, HostKey
from tests.support.control import host_of

KEY = HostKey("fxp0", 1)
HOUR_S = 3600


class Watched:
    """A time line, and the clock that it looks at."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.timeline = StateTimeline(lambda: self.now_s)
        self.timeline.describe(KEY, host_of())

    def change(self, at_s: float, new: State) -> None:
        change = StateChange(key=KEY, at_ns=int(at_s * NS_PER_S), old=State.INIT, new=new, reason=Reason.READY, epoch=1)
        self.timeline.take(change)

    def states(self) -> list[tuple[float, str]]:
        return [(ago_s, state) for ago_s, state, _why in self.timeline.of(host_of())]


def test_changes_are_said_with_their_age_and_reason() -> None:
    watched = Watched()
    watched.change(10, State.BACKUP)
    watched.now_s = 15.5

    assert watched.timeline.of(host_of()) == [(5.5, "BACKUP", "initialization complete")]


def test_of_what_is_older_than_a_day_the_last_change_stays() -> None:
    watched = Watched()
    watched.change(0, State.BACKUP)
    watched.change(HOUR_S, State.MASTER)
    watched.change(SPAN_S, State.BACKUP)
    watched.now_s = SPAN_S + 2 * HOUR_S

    assert watched.states() == [(SPAN_S + HOUR_S, "MASTER"), (2 * HOUR_S, "BACKUP")]


def test_a_host_that_flaps_keeps_its_last_changes() -> None:
    watched = Watched()
    for second in range(3 * KEPT):
        watched.change(second, State.MASTER if second % 2 else State.BACKUP)
    watched.now_s = 3 * KEPT

    assert len(watched.states()) == KEPT
    assert watched.states()[-1] == (1, "MASTER")


def test_a_host_whose_interface_was_renamed_keeps_its_changes() -> None:
    watched = Watched()
    watched.change(0, State.BACKUP)
    renamed = host_of(interface="lan0")
    watched.timeline.describe(KEY, renamed)

    assert [state for _ago_s, state, _why in watched.timeline.of(renamed)] == ["BACKUP"]


def test_a_host_that_departed_is_forgotten() -> None:
    watched = Watched()
    watched.change(0, State.BACKUP)
    watched.timeline.forget(KEY)

    assert watched.states() == []
