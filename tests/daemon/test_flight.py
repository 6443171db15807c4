"""The flight recorder: dumped for what nobody wished for, soon after, not too often, and never in anybody's way."""

import asyncio
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from pycarp.core import Engine, Step
from pycarp.core.events import ActuationFailed, DemotionChange, StateChange
from pycarp.core.inputs import HostAdded
from pycarp.core.state import Reason, State
from pycarp.daemon.control_messages import FlightEnd, FlightLines, FlightRequest, Reply
from pycarp.daemon.flight import AFTERMATH_S, DUMP_AGAIN_S, DUMPS_MOST, Dump, FlightRecorder
from pycarp.recording import Entry, Recorder, Replay, read
from pycarp.testing import run
from pycarp.vocabulary import NS_PER_S
from tests.support.histories import entropy
from tests.support.hosts import KEY, PEER, config, seconds
from tests.support.recordings import a_takeover

SILENCE = StateChange(
    key=KEY, at_ns=0, old=State.BACKUP, new=State.MASTER, reason=Reason.MASTER_SILENT, epoch=2, peer=PEER
)
FAILURE = ActuationFailed(key=KEY, at_ns=0, action="hold", error="no permission")
WISH = StateChange(key=KEY, at_ns=0, old=State.BACKUP, new=State.INIT, reason=Reason.ADMIN_DOWN, epoch=2)


async def at_once(work: Callable[[], Dump]) -> Dump:
    """Write in the loop: where time is virtual no thread gets any."""
    return work()


def flown(folder: Path) -> FlightRecorder:
    """Return a recorder that has seen a takeover."""
    flight = FlightRecorder(folder, write=at_once)
    recorder = Recorder([flight.ring], entropy=entropy(1))
    for event, at_s in a_takeover():
        recorder.handle(event, seconds(at_s))
    return flight


def dumps(folder: Path) -> list[Path]:
    return sorted(folder.glob("*"))


@pytest.mark.parametrize(("total", "count"), [(240, 0), (0, 1)])
def test_what_a_demoted_host_leaves_to_a_better_one_needs_no_explanation(
    tmp_path: Path, total: int, count: int
) -> None:
    better = replace(SILENCE, old=State.MASTER, new=State.BACKUP, reason=Reason.BETTER_MASTER)

    async def plan() -> None:
        flight = flown(tmp_path / "state")
        for amount in (7, total):
            flight.consider(DemotionChange(key=KEY, at_ns=0, total=amount, causes=()))
        flight.consider(better)
        await flight.close()

    run(plan())

    assert len(dumps(tmp_path / "state")) == count


@pytest.mark.parametrize("event", [SILENCE, FAILURE])
def test_what_nobody_wished_for_is_dumped_and_the_log_says_where(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, event: StateChange | ActuationFailed
) -> None:
    caplog.set_level("INFO", "pycarp")

    async def plan() -> None:
        flight = flown(tmp_path / "state")
        flight.consider(event)
        await asyncio.sleep(AFTERMATH_S + 1)
        await flight.close()

    run(plan())

    (dump,) = dumps(tmp_path / "state")
    (record,) = caplog.records
    assert record.getMessage() == (f"carp: 1@fxp0: what led to this is in {dump}; see it with: pycarp replay {dump}")
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    with dump.open("rb") as lines:
        steps = list(Replay(read(lines, file=dump.name)).steps())
    assert [step.difference for step in steps] == [None] * 9


def test_what_does_not_happen_again_is_dumped_all_the_same_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pycarp")

    async def plan() -> None:
        flight = flown(tmp_path)
        # The checkpoint and the entries belong to different lives.
        flight.ring.begin(Engine(entropy=entropy(1)).begin_checkpoint())
        flight.ring.take(Entry(seconds(9), HostAdded(config()), (), Step((), None)))
        flight.consider(SILENCE)
        await flight.close()

    run(plan())

    (dump,) = dumps(tmp_path)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"carp: 1@fxp0: what led to this is in {dump}; see it with: pycarp replay {dump}; steps in it that this daemon "
        "did otherwise: 1 of 10, a bug of pycarp: report it with the file"
    )
    with dump.open("rb") as lines:
        steps = list(Replay(read(lines, file=dump.name)).steps())
    assert [bool(step.unlike) for step in steps] == [False] * 9 + [True]


async def asked(flight: FlightRecorder, at_s: float) -> list[Reply]:
    """Return what a caller gets who asks for a wall-clock time."""
    found: list[Reply] = []

    async def send(reply: Reply) -> None:
        found.append(reply)

    await flight.stream(FlightRequest(at_s)).run(send)
    return found


def wall_s(monotonic_s: float) -> float:
    """Return the wall-clock time at a time of the clock that engines have."""
    return time.time() - time.monotonic() + monotonic_s


async def test_who_asks_gets_the_steps_up_to_a_time(tmp_path: Path) -> None:
    flight = flown(tmp_path)

    *parts, end = await asked(flight, wall_s(seconds(2) / NS_PER_S))
    lines = "".join(line for each in parts if isinstance(each, FlightLines) for line in each.lines)
    replayed = list(Replay(read(lines.encode().splitlines(), file="it")).steps())

    assert end == FlightEnd()
    assert [each.difference for each in replayed] == [None] * len(replayed)
    assert 0 < len(replayed) < 9
    assert max(each.at_ns for each in replayed) <= seconds(2)


async def test_who_asks_for_an_earlier_time_gets_the_file_that_has_it(tmp_path: Path) -> None:
    flight = flown(tmp_path)
    flight.consider(SILENCE)
    await flight.close()
    (dump,) = dumps(tmp_path)
    dump.rename(tmp_path / "flight-20200101-000000-1-1.jsonl")
    began_s = wall_s(seconds(0) / NS_PER_S)

    assert await asked(FlightRecorder(tmp_path), began_s + 3) == [
        FlightEnd(str(tmp_path / "flight-20200101-000000-1-1.jsonl"))
    ]
    assert await asked(FlightRecorder(tmp_path), began_s - 3600) == [FlightEnd()]


def test_a_wish_is_not_dumped(tmp_path: Path) -> None:
    async def plan() -> None:
        flight = flown(tmp_path)
        flight.consider(WISH)
        await flight.close()

    run(plan())

    assert dumps(tmp_path) == []


def test_a_dump_comes_after_the_aftermath_unless_the_daemon_goes(tmp_path: Path) -> None:
    async def plan() -> tuple[int, int]:
        flight = flown(tmp_path)
        flight.consider(SILENCE)
        await asyncio.sleep(AFTERMATH_S / 2)
        before = len(dumps(tmp_path))
        await flight.close()
        return before, len(dumps(tmp_path))

    assert run(plan()) == (0, 1)


def test_there_is_at_most_one_dump_a_minute(tmp_path: Path) -> None:
    async def plan() -> list[int]:
        flight = flown(tmp_path)
        counts = []
        assert DUMP_AGAIN_S == 60
        for wait_s in (10, 10, 45):
            flight.consider(SILENCE)
            await asyncio.sleep(wait_s)
            counts.append(len(dumps(tmp_path)))
            for dump in dumps(tmp_path):
                dump.unlink()
        flight.consider(SILENCE)
        await flight.close()
        return [*counts, len(dumps(tmp_path))]

    assert run(plan()) == [1, 0, 0, 1]


def test_the_oldest_dumps_are_removed(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"flight-20200101-0000{number:02}-1.jsonl").touch()
    (tmp_path / "1.journal").touch()

    async def plan() -> None:
        flight = flown(tmp_path)
        flight.consider(SILENCE)
        await flight.close()

    run(plan())

    names = [path.name for path in dumps(tmp_path)]
    assert len(names) == DUMPS_MOST + 1
    assert names[:2] == ["1.journal", "flight-20200101-000013-1.jsonl"]


def test_a_clock_that_was_set_back_does_not_cost_the_newest_dump(tmp_path: Path) -> None:
    future = [f"flight-20990101-0000{number:02}-1-{number}.jsonl" for number in range(1, DUMPS_MOST + 1)]
    for name in future:
        (tmp_path / name).touch()

    async def plan() -> None:
        flight = flown(tmp_path)
        flight.consider(SILENCE)
        await flight.close()

    run(plan())
    first = {path.name for path in dumps(tmp_path)} - set(future)
    run(plan())
    both = {path.name for path in dumps(tmp_path)} - set(future)

    assert len(first) == 1
    assert first < both
    assert {path.name for path in dumps(tmp_path)} == {*future[2:], *both}


def test_an_engine_that_raised_is_dumped_at_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pycarp")

    async def plan() -> None:
        flight = FlightRecorder(tmp_path, write=at_once)
        recorder = Recorder([flight.ring], entropy=entropy(1))
        recorder.handle(HostAdded(config()), 1)
        with pytest.raises(AssertionError):
            recorder.handle(HostAdded(config()), 2)
        await flight.close()

    run(plan())

    (dump,) = dumps(tmp_path)
    assert caplog.records[0].getMessage().startswith("carp: what led to the failure is in ")
    with dump.open("rb") as lines:
        *_others, last = Replay(read(lines, file=dump.name)).steps()
    assert (last.raised, last.difference) == ("AssertionError: 1@fxp0 was added twice", None)


def test_a_folder_that_cannot_be_used_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()

    async def plan() -> None:
        flight = flown(tmp_path / "file" / "state")
        for _ in range(3):
            flight.consider(SILENCE)
            await asyncio.sleep(DUMP_AGAIN_S + 1)
        await flight.close()

    run(plan())

    (record,) = caplog.records
    assert record.getMessage().startswith("carp: cannot dump the flight recorder: cannot use ")
