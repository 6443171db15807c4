"""pycarp beside Debian's ucarp on a real segment.

ucarp polls: it takes over 4.2 to 5.0 s after the last advertisement at advskew 100, and reacts to a packet within a
second (carp.md 5.2 and 8.6); the bounds below leave room for that.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.lab.lab_network import Segment
from tests.support.daemons import Pycarp, Ucarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

OURS, THEIRS = "192.168.1.3", "192.168.1.4"
STARTED_S = 8.0
UCARP_REACTS_S = 2.5
SETTLED_S = 12.0


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("ucarp")
    with new_segment(a=f"{OURS}/24", b=f"{THEIRS}/24") as made:
        yield made


def test_ucarp_stays_backup_of_a_faster_pycarp(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as ours:
        wait_until(lambda: ours.is_in("MASTER"), STARTED_S)
        with Ucarp(segment, "b", tmp_path, source=THEIRS, advskew=100) as theirs:
            time.sleep(6)

            assert ours.is_in("MASTER")
            assert theirs.is_in("BACKUP")


def test_pycarp_stays_backup_of_a_faster_ucarp(segment: Segment, tmp_path: Path) -> None:
    with Ucarp(segment, "b", tmp_path, source=THEIRS) as theirs:
        wait_until(lambda: theirs.is_in("MASTER"), STARTED_S)
        with Pycarp(segment, "a", tmp_path, advskew=100) as ours:
            time.sleep(5)

            assert ours.is_in("BACKUP")
            assert ours.status.master == THEIRS
            assert not ours.has_address()


def test_pycarp_takes_over_from_a_ucarp_that_falls_silent(segment: Segment, tmp_path: Path) -> None:
    with (
        Ucarp(segment, "b", tmp_path, source=THEIRS) as theirs,
        Pycarp(segment, "a", tmp_path, advskew=100) as ours,
    ):
        wait_until(lambda: theirs.is_in("MASTER") and ours.is_in("BACKUP"), STARTED_S)
        wait_until(lambda: ours.status.master == THEIRS, STARTED_S)

        segment.isolate("b")
        wait_until(lambda: ours.is_in("MASTER"), 5)

        change = ours.status.last_change
        assert change is not None
        assert change.silent_s is not None
        assert 3.39 <= change.silent_s <= 3.6
        assert ours.has_address()


def test_ucarp_takes_over_from_a_pycarp_that_falls_silent(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as ours:
        wait_until(lambda: ours.is_in("MASTER"), STARTED_S)
        with Ucarp(segment, "b", tmp_path, source=THEIRS, advskew=100) as theirs:
            time.sleep(2)

            segment.isolate("a")

            assert wait_until(lambda: theirs.is_in("MASTER"), 7) > 2


def test_ucarp_takes_over_at_once_after_our_bow_out(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as ours:
        wait_until(lambda: ours.is_in("MASTER"), STARTED_S)
        with Ucarp(segment, "b", tmp_path, source=THEIRS, advskew=100) as theirs:
            time.sleep(2)

            ours.process.terminate()
            ours.process.wait(1)

            assert not ours.has_address()
            assert wait_until(lambda: theirs.is_in("MASTER"), UCARP_REACTS_S) < UCARP_REACTS_S


def test_a_faster_pycarp_that_preempts_takes_the_address_from_ucarp(segment: Segment, tmp_path: Path) -> None:
    with Ucarp(segment, "b", tmp_path, source=THEIRS, advskew=100) as theirs:
        wait_until(lambda: theirs.is_in("MASTER"), STARTED_S)
        with Pycarp(segment, "a", tmp_path, options=("--sysctl", "net.inet.carp.preempt=1")) as ours:
            wait_until(lambda: ours.is_in("MASTER"), STARTED_S)
            wait_until(lambda: theirs.is_in("BACKUP"), UCARP_REACTS_S)

            change = ours.status.last_change
            assert change is not None
            assert change.reason == "preempting"


def test_a_faster_pycarp_without_preemption_leaves_the_address_to_ucarp(segment: Segment, tmp_path: Path) -> None:
    with Ucarp(segment, "b", tmp_path, source=THEIRS, advskew=100) as theirs:
        wait_until(lambda: theirs.is_in("MASTER"), STARTED_S)
        with Pycarp(segment, "a", tmp_path) as ours:
            time.sleep(5)

            assert ours.is_in("BACKUP")
            assert theirs.is_in("MASTER")


def test_a_faster_ucarp_that_preempts_takes_the_address_from_us(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path, advskew=100) as ours:
        wait_until(lambda: ours.is_in("MASTER"), STARTED_S)
        with Ucarp(segment, "b", tmp_path, source=THEIRS, options=("-P",)) as theirs:
            wait_until(lambda: theirs.is_in("MASTER"), STARTED_S)
            wait_until(lambda: ours.is_in("BACKUP"), 2)

            assert not ours.has_address()


@pytest.mark.parametrize(("ours_at", "theirs_at"), [(OURS, THEIRS), (THEIRS, OURS)], ids=["lower", "higher"])
def test_equal_timing_settles_on_one_master_after_a_partition(tmp_path: Path, ours_at: str, theirs_at: str) -> None:
    """NetBSD's kernel and ucarp take turns for ever here (carp.md section 13, u28)."""
    require("ucarp")
    with (
        new_segment(a=f"{ours_at}/24", b=f"{theirs_at}/24") as segment,
        Pycarp(segment, "a", tmp_path, advskew=50) as ours,
        Ucarp(segment, "b", tmp_path, source=theirs_at, advskew=50) as theirs,
    ):
        wait_until(lambda: ours.is_in("MASTER") or theirs.is_in("MASTER"), STARTED_S)
        segment.isolate("b")
        wait_until(lambda: ours.is_in("MASTER") and theirs.is_in("MASTER"), STARTED_S)

        segment.rejoin("b")
        wait_until(lambda: ours.is_in("MASTER") != theirs.is_in("MASTER"), UCARP_REACTS_S)

        masters = {(ours.is_in("MASTER"), theirs.is_in("MASTER")) for _ in _ticks(SETTLED_S)}
        assert len(masters) == 1


def _ticks(seconds: float) -> Iterator[None]:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        yield
        time.sleep(0.1)
