"""The recorder gives every step away, and is else an engine."""

from typing import Any

import pytest

from pycarp.core import Engine
from pycarp.core.checkpoint import Checkpoint, PendingCheckpoint
from pycarp.core.effects import Step
from pycarp.core.events import ActuationFailed, StateChange
from pycarp.core.host_table import HostCapture
from pycarp.core.inputs import AdminChanged, HostAdded, TimePassed
from pycarp.core.state import Reason, State
from pycarp.recording import Entry, Recorder, Replay, Ring, triggers_dump
from pycarp.recording.recorder import Sink, is_routine
from pycarp.recording.ring import KEPT_MOST, KEPT_NS
from pycarp.vocabulary import HostKey
from tests.support.histories import entropy
from tests.support.hosts import KEY, LINK, PEER, config, seconds
from tests.support.recordings import Kept, a_takeover, differences, played, recorded, written


def test_it_answers_as_an_engine_does() -> None:
    engine, recorder = Engine(entropy=entropy(1)), Recorder([Kept()], entropy=entropy(1))

    for event, at_s in a_takeover():
        assert recorder.handle(event, seconds(at_s)) == engine.handle(event, seconds(at_s))
    assert recorder.snapshot() == engine.snapshot()
    assert recorder.host_snapshot(KEY) == engine.host_snapshot(KEY)
    assert (recorder.statistics(), recorder.deadline_ns) == (engine.statistics(), engine.deadline_ns)


def test_an_entry_has_the_entropy_that_its_step_took() -> None:
    drawn = [len(entry.drawn) for entry in recorded(a_takeover()).entries]

    assert drawn == [0, 0, 0, 0, 0, 0, 0, 1, 0]


def test_that_the_engine_raised_is_given_too() -> None:
    kept = Kept()
    recorder = Recorder([kept], entropy=entropy(1))
    recorder.handle(HostAdded(config()), 1)

    with pytest.raises(AssertionError):
        recorder.handle(HostAdded(config()), 2)

    assert (kept.entries[-1].step, kept.entries[-1].raised) == (None, "AssertionError: 1@fxp0 was added twice")
    assert kept.checkpoint is not None
    assert differences(written(kept.checkpoint, kept.entries)) == []


def fed(ring: Ring, count: int, step_ns: int) -> Recorder:
    recorder = Recorder([ring], entropy=entropy(1))
    for event, at_s in a_takeover():
        recorder.handle(event, seconds(at_s))
    for number in range(count):
        recorder.handle(AdminChanged(KEY, is_up=bool(number % 2)), seconds(8) + number * step_ns)
    return recorder


def kept(ring: Ring) -> tuple[Checkpoint, list[Entry]]:
    found = ring.kept()
    assert found is not None
    return found


def test_a_ring_forgets_what_is_older_than_two_minutes_or_little_more() -> None:
    ring = Ring()
    fed(ring, 1000, seconds(1))

    entries = kept(ring)[1]

    assert KEPT_NS <= entries[-1].at_ns - entries[0].at_ns <= KEPT_NS * 4 // 3


def long_mastership(*sinks: Sink) -> None:
    recorder = Recorder(sinks, entropy=entropy(1))
    for event, at_s in a_takeover():
        recorder.handle(event, seconds(at_s))
    for at_s in range(9, 60):
        recorder.handle(TimePassed(), seconds(at_s))


def test_a_ring_keeps_no_advertisements_and_they_are_written_all_the_same() -> None:
    ring, everything = Ring(), Kept()
    long_mastership(ring, everything)
    checkpoint, entries = kept(ring)

    assert not [each for each in entries if each.step and each.step.effects and is_routine(each.step.effects)]
    assert sum(each.routine > 0 for each in entries) > 30
    lines = written(checkpoint, entries)
    assert sum(b"Transmit" in each for each in lines) > 30
    assert everything.checkpoint is not None
    assert len(lines) == len(written(everything.checkpoint, everything.entries))
    assert differences(lines) == []


def unlike(lines: list[bytes]) -> list[str]:
    """Return what the engine did where the lines say something else; the lines themselves replay."""
    assert differences(lines) == []
    return [step.unlike for step in played(lines).steps() if step.unlike]


def test_an_entry_with_another_number_of_advertisements_is_written_and_says_so() -> None:
    ring = Ring()
    long_mastership(ring)
    checkpoint, entries = kept(ring)
    last = entries[-1] = entries[-1]._replace(routine=entries[-1].routine + 1)
    assert last.step is not None

    lines = written(checkpoint, entries)

    assert len(lines) == 2 + len(entries)
    assert unlike(lines) == [f"{last.routine} advertisements or renewals; the next deadline {last.step.deadline_ns} ns"]


def changed(number: int, **parts: Any) -> list[bytes]:
    """Return the recording of a takeover, of which an entry was something else."""
    everything = recorded(a_takeover())
    everything.entries[number] = everything.entries[number]._replace(**parts)
    assert everything.checkpoint is not None
    return written(everything.checkpoint, everything.entries)


def test_a_transition_that_does_not_happen_again_is_told_without_secrets() -> None:
    takeover = next(each.step for each in recorded(a_takeover()).entries if each.at_ns == seconds(6.390625))

    lines = changed(4, step=takeover)

    assert unlike(lines) == ["Transmit, BACKUP -> MASTER (master timed out); the next deadline 6393625000 ns"]


def test_a_step_that_took_other_entropy_is_written_with_what_it_takes_now() -> None:
    assert unlike(changed(7, drawn=(1, 2))) == unlike(changed(7, drawn=()))
    assert len(unlike(changed(7, drawn=()))) == 1


def test_that_the_engine_raised_and_does_not_again_is_told() -> None:
    assert unlike(changed(8, step=None, raised="AssertionError: no")) == ["the engine raised AssertionError: no"]


def test_that_the_engine_raises_only_the_second_time_is_told() -> None:
    everything = recorded(a_takeover())
    again = HostAdded(config(advskew=100))
    everything.entries[8] = everything.entries[8]._replace(event=again)
    assert everything.checkpoint is not None

    lines = written(everything.checkpoint, everything.entries)

    assert len(unlike(lines)) == 1
    assert [step.raised for step in Replay(played(lines)).steps()][-1] == "AssertionError: 1@fxp0 was added twice"


def test_a_ring_is_bounded_in_a_flood() -> None:
    ring = Ring()
    fed(ring, 3 * KEPT_MOST, 1)

    assert KEPT_MOST // 2 < len(kept(ring)[1]) <= KEPT_MOST


def test_a_checkpoint_of_thousands_of_hosts_is_not_made_every_second() -> None:
    engine = Engine(entropy=entropy(1))
    engine.handle(HostAdded(config()), 0)
    (entry,) = engine._hosts.peek_all()
    ring = Ring()
    ring.begin(
        PendingCheckpoint(engine.checkpoint(), HostCapture({HostKey(LINK, each): entry for each in range(2000)}))
    )

    taken = 0
    while not ring.wants_checkpoint:
        ring.take(Entry(0, TimePassed(), (), Step((), None)))
        taken += 1

    assert taken == 4 * 2000


def test_what_a_ring_has_kept_replays_alone() -> None:
    ring = Ring()
    fed(ring, 1000, seconds(1))

    checkpoint, entries = kept(ring)

    assert len(checkpoint.hosts) == 1
    assert differences(written(checkpoint, entries)) == []


def test_an_empty_ring_has_nothing() -> None:
    assert Ring().kept() is None
    assert not Ring().has_failed


@pytest.mark.parametrize(
    ("reason", "new", "is_so"),
    [
        (Reason.MASTER_SILENT, State.MASTER, True),
        (Reason.BETTER_MASTER, State.BACKUP, True),
        (Reason.ABSENT, State.BACKUP, True),
        (Reason.MASTER_TOO_SLOW, State.MASTER, True),
        (Reason.LINK_DOWN, State.INIT, True),
        (Reason.LINK_DELETED, State.INIT, True),
        (Reason.MASTER_LEFT, State.MASTER, False),
        (Reason.ADMIN_DOWN, State.INIT, False),
        (Reason.HANDED_OVER, State.INIT, False),
        (Reason.FORCED, State.MASTER, False),
        (Reason.READY, State.BACKUP, False),
        (Reason.PREEMPTING, State.MASTER, False),
    ],
)
def test_what_nobody_wished_for_is_unexpected(reason: Reason, new: State, is_so: bool) -> None:
    change = StateChange(key=KEY, at_ns=0, old=State.BACKUP, new=new, reason=reason, epoch=1, peer=PEER)

    assert triggers_dump(change) is is_so


def test_the_first_host_of_all_takes_over_as_expected() -> None:
    change = StateChange(
        key=KEY, at_ns=0, old=State.BACKUP, new=State.MASTER, reason=Reason.MASTER_SILENT, epoch=1, peer=None
    )

    assert not triggers_dump(change)


def test_a_failed_actuation_is_unexpected() -> None:
    assert triggers_dump(ActuationFailed(key=KEY, at_ns=0, action="hold", error="no"))
