"""Recording to files: each can be replayed alone, they are bounded, and no failure reaches the engine."""

import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pycarp import Node, State
from pycarp.aio import record_file
from pycarp.aio.record_file import RecordFile
from pycarp.core import Engine, Step
from pycarp.core.inputs import DatagramReceived, Input, TimePassed
from pycarp.errors import RecordingError
from pycarp.monitors import StaticMonitor
from pycarp.recording import Entry, Recorder, Replay, read, transitions
from pycarp.system.files.rotated_file import RotatedFile
from pycarp.testing import run
from pycarp.transports import MemoryBus
from tests.support.actuators import RecordingActuator
from tests.support.histories import entropy
from tests.support.hosts import advert, seconds
from tests.support.nodes import Peer, config, link
from tests.support.recordings import a_takeover
from tests.support.virtual import let_others_run

SIZE = 1 << 20


def recording_to(path: Path, *, size: int = SIZE, files: int = 4) -> RecordFile:
    return RecordFile(RotatedFile(path, size=size, files=files), version="0.1.0")


def happen(recorder: Recorder, count: int) -> None:
    """Run a takeover, then receive so many advertisements of a weaker host."""
    inputs: list[tuple[Input, float]] = a_takeover()
    inputs += [(DatagramReceived(advert(advskew=200, counter=number)), 8 + number) for number in range(count)]
    for event, at_s in inputs:
        recorder.handle(event, seconds(at_s))


def wait_until(is_so: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < ends_s
        time.sleep(0.005)


def steps_in(path: Path) -> int:
    """Replay a file alone; return how many steps it has, all as recorded."""
    with path.open("rb") as lines:
        steps = list(Replay(read(lines, file=path.name)).steps())
    assert [step.difference for step in steps if step.difference] == []
    return len(steps)


def test_what_was_recorded_can_be_replayed_and_is_private(tmp_path: Path) -> None:
    sink = recording_to(tmp_path / "r.jsonl")
    sink.open()

    happen(Recorder([sink], entropy=entropy(1)), 3)
    sink.close()

    assert steps_in(tmp_path / "r.jsonl") == 12
    assert stat.S_IMODE((tmp_path / "r.jsonl").stat().st_mode) == 0o600
    assert b"testpass" not in (tmp_path / "r.jsonl").read_bytes()


def test_files_are_rotated_bounded_and_each_replays_alone(tmp_path: Path) -> None:
    sink = recording_to(tmp_path / "r.jsonl", size=8192, files=3)
    sink.open()

    happen(Recorder([sink], entropy=entropy(1)), 100)
    sink.close()

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["r.jsonl", "r.jsonl.1", "r.jsonl.2"]
    assert all(path.stat().st_size <= 8192 for path in tmp_path.iterdir())
    assert all(steps_in(path) > 1 for path in tmp_path.iterdir())


def test_the_recording_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for _ in range(2):
        sink = recording_to(tmp_path / "r.jsonl")
        sink.open()
        happen(Recorder([sink], entropy=entropy(1)), 0)
        sink.close()

    assert steps_in(tmp_path / "r.jsonl.1") == steps_in(tmp_path / "r.jsonl") == 9


def test_a_file_that_cannot_be_begun_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"^cannot record to /nonexistent/r: No such file or directory$"):
        recording_to(Path("/nonexistent/r")).open()
    with pytest.raises(RecordingError, match="is there and no plain file"):
        recording_to(tmp_path).open()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordingError, match="is there and no plain file"):
        recording_to(tmp_path / "link").open()


def test_what_cannot_be_written_is_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    sink = recording_to(folder / "r.jsonl", size=8192)
    sink.open()
    shutil.rmtree(folder)
    recorder = Recorder([sink], entropy=entropy(1))

    happen(recorder, 100)
    wait_until(lambda: bool(caplog.records))
    recorder.handle(TimePassed(), seconds(200))
    sink.close()

    (record,) = caplog.records
    assert record.getMessage() == (
        f"carp: the recording {folder}/r.jsonl ends: No such file or directory; all else goes on"
    )


def test_a_step_that_cannot_be_reproduced_is_recorded_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = recording_to(tmp_path / "r.jsonl")
    sink.open()
    sink.begin(Engine(entropy=entropy(1)).begin_checkpoint())
    for at_s in (1, 2):
        sink.take(Entry(seconds(at_s), TimePassed(), (), Step((), seconds(9))))

    sink.close()

    with (tmp_path / "r.jsonl").open("rb") as lines:
        steps = list(Replay(read(lines, file="r.jsonl")).steps())
    assert [step.unlike for step in steps] == ["no effects; the next deadline 9000000000 ns"] * 2
    (record,) = caplog.records
    assert record.getMessage() == (
        f"carp: the recording {tmp_path}/r.jsonl has a step that this daemon did otherwise, a bug of pycarp: report it "
        "with the file; the recording goes on"
    )


def test_an_engine_that_is_too_fast_leaves_steps_out_and_begins_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_file, "WAITING_MOST", 20)
    sink = recording_to(tmp_path / "r.jsonl")
    sink.open()
    recorder = Recorder([sink], entropy=entropy(1))

    happen(recorder, 50)
    wait_until(lambda: sink.wants_checkpoint)
    recorder.handle(TimePassed(), seconds(200))
    sink.close()

    assert steps_in(tmp_path / "r.jsonl.1") == 19
    assert steps_in(tmp_path / "r.jsonl") == 1


def test_a_node_gives_its_steps_to_its_recorders(tmp_path: Path) -> None:
    sink = recording_to(tmp_path / "r.jsonl")
    sink.open()

    run(_take_over(sink))
    sink.close()

    with (tmp_path / "r.jsonl").open("rb") as lines:
        told = transitions(read(lines, file="r.jsonl"))
    reasons = ["initialization complete)", "master timed out)", "virtual host removed)"]
    assert [line.split("(")[1] for line in told] == reasons
    assert steps_in(tmp_path / "r.jsonl") > 6


async def _take_over(sink: RecordFile) -> None:
    """Receive one advertisement, become MASTER, and leave."""
    bus = MemoryBus()
    peer = await Peer(bus, config()).open()
    monitor = StaticMonitor([link(1)])
    async with Node(
        transport=bus.port("host-1"), actuator=RecordingActuator(), monitor=monitor, recorders=[sink]
    ) as here:
        web = await here.add(config(advskew=100))
        peer.speak()
        await web.wait_for(State.MASTER)
        await let_others_run()
