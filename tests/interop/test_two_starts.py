"""Two daemons that are started at once: one runs, and the other says who is in the way."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import StatusReply, StatusRequest
from pycarp.errors import ControlError
from pycarp.lab.lab_network import Segment
from tests.support.daemons import Pycarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

STARTED_S = 20.0
ENDED_S = 20.0


@pytest.fixture
def segment() -> Iterator[Segment]:
    require()
    with new_segment(a="192.168.1.3/24", b="192.168.1.5/24") as made:
        yield made


def write_config(folder: Path, *, vhids: str = "1") -> Path:
    file = folder / "rc.conf"
    lines = [f'ifconfig_carp{vhid}="vhid {vhid} pass s 192.168.1.{50 + int(vhid)}/24"' for vhid in vhids.split()]
    names = " ".join(f"carp{vhid}" for vhid in vhids.split())
    file.write_text("\n".join([f'cloned_interfaces="{names}"', *lines]) + "\n")
    return file


def start(
    segment: Segment, file: Path, *, control: Path, state: Path, stderr: int = subprocess.PIPE
) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-m", "pycarp", "run", "--rc-conf", str(file)]
    argv += ["--control", str(control), "--state", str(state)]
    return segment.popen("a", argv, stdout=subprocess.DEVNULL, stderr=stderr)


def answers(control: Path) -> bool:
    try:
        request(control, StatusRequest(), StatusReply)
    except ControlError:
        return False
    return True


def start_two(segment: Segment, folder: Path, *, apart: bool) -> tuple[int, str]:
    """Start two at once; return the exit status and the last words of the one that ended, once the other is ready."""
    file = write_config(folder)
    names = ("one", "two") if apart else ("same", "same")
    controls = [folder / f"{name}.sock" for name in names]
    both = [
        start(segment, file, control=control, state=folder / name)
        for name, control in zip(names, controls, strict=True)
    ]
    wait_until(lambda: any(each.poll() is not None for each in both), ENDED_S)
    (runs,) = [each for each in both if each.poll() is None]
    (ended,) = [each for each in both if each is not runs]
    control = controls[both.index(runs)]
    wait_until(lambda: answers(control), STARTED_S)
    assert "carp1" in segment.run("a", ["ip", "link"])
    assert request(control, StatusRequest(), StatusReply).pid == runs.pid
    _nothing, said = ended.communicate()
    runs.send_signal(signal.SIGTERM)
    runs.communicate(timeout=5)
    assert runs.returncode == 0
    assert f"pid {runs.pid}" in said
    return ended.returncode, said


@pytest.mark.timeout(300)
@pytest.mark.parametrize("apart", [True, False], ids=["other control and state", "same control and state"])
def test_of_two_that_start_at_once_one_runs_and_the_other_says_why_not(
    segment: Segment, tmp_path: Path, apart: bool
) -> None:
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()

        status, said = start_two(segment, folder, apart=apart)

        assert status == 2, said
        (line,) = said.splitlines()
        pattern = r"pycarp: vhid 1 on fxp0 is run by another pycarp, pid \d+; " if apart else "pycarp: another pycarp, "
        assert re.match(pattern, line)


def test_daemons_of_different_vhids_run_side_by_side(segment: Segment, tmp_path: Path) -> None:
    for vhid in "12":
        folder = tmp_path / vhid
        folder.mkdir()
        file = write_config(folder, vhids=vhid)
        start(segment, file, control=folder / "sock", state=folder, stderr=subprocess.DEVNULL)

    wait_until(lambda: all(answers(tmp_path / vhid / "sock") for vhid in "12"), STARTED_S)


def test_one_that_overlaps_touches_nothing_of_the_other(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path, options=("--state", str(tmp_path / "state"))) as first:
        wait_until(lambda: first.is_in("MASTER") and first.has_address(), STARTED_S)
        before = segment.run("a", ["ip", "-d", "link", "show", "carp0"])
        second = start(segment, write_config(tmp_path, vhids="1 7"), control=tmp_path / "2", state=tmp_path / "2s")
        _nothing, said = second.communicate(timeout=ENDED_S)

        assert second.returncode == 2
        assert f"vhid 1 on fxp0 is run by another pycarp, pid {first.process.pid};" in said
        assert segment.run("a", ["ip", "-d", "link", "show", "carp0"]) == before
        assert "carp7" not in segment.run("a", ["ip", "link"])
        assert first.has_address()


def test_release_spares_what_a_living_daemon_of_another_folder_has(segment: Segment, tmp_path: Path) -> None:
    """The journal of a dead one speaks of the same device, which is the living one's by now."""
    dead, live = tmp_path / "dead", tmp_path / "live"
    with Pycarp(segment, "a", tmp_path, options=("--state", str(dead))) as first:
        wait_until(lambda: first.is_in("MASTER"), STARTED_S)
        (journal,) = dead.glob("*.journal")
        kept = journal.read_bytes()
        first.process.terminate()
        first.process.wait(5)
    journal.write_bytes(kept)
    with Pycarp(segment, "a", tmp_path, options=("--state", str(live))) as second:
        wait_until(lambda: second.is_in("MASTER") and second.has_address(), STARTED_S)

        said = segment.run("a", [sys.executable, "-m", "pycarp", "release", "--state", str(dead)])

        assert f"left carp0 alone: a running pycarp, pid {second.process.pid}, may have it" in said
        time.sleep(0.2)
        assert second.has_address()
        assert second.status.contested == 0


def many(segment: Segment, count: int) -> str:
    """Return an rc.conf of many hosts, and give their network to the interface."""
    names = [f"carp{number}" for number in range(1, count + 1)]
    lines = [f'cloned_interfaces="{" ".join(names)}"', 'ifconfig_fxp0="inet 10.0.0.250/24"']
    lines += [f'ifconfig_{name}="vhid {n} pass s 10.0.0.{n}/24"' for n, name in enumerate(names, 1)]
    segment.run("a", ["ip", "addr", "add", "10.0.0.250/24", "dev", "fxp0"])
    return "\n".join(lines) + "\n"


def test_while_it_starts_a_daemon_says_so_and_leaves_when_it_is_told_to(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path, rc_conf=many(segment, 60)) as starting:
        wait_until(starting.control.exists, STARTED_S)
        with pytest.raises(ControlError, match=r"this pycarp \(pid \d+\) is starting; ask again in a moment"):
            request(starting.control, StatusRequest(), StatusReply)
        wait_until(lambda: "carp1" in segment.run("a", ["ip", "link"]), STARTED_S)

        starting.process.terminate()

        assert starting.process.wait(10) == 0
        assert "carp" not in segment.run("a", ["ip", "link"])
        assert not starting.control.exists()
