"""A real daemon is recorded while its MASTER falls silent: what is written replays, and holds no secret."""

import base64
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pycarp.cli import cli
from pycarp.lab.lab_network import Segment
from pycarp.wire import advertisement as wire
from pycarp.wire import envelope
from tests.support.daemons import PASSWORD, Capture, Pycarp, new_segment, wait_until
from tests.support.pcap import timed_frames
from tests.support.system import require

pytestmark = pytest.mark.system

A, B = "192.168.1.3", "192.168.1.5"


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("tcpdump")
    with new_segment(a=f"{A}/24", b=f"{B}/24") as made:
        yield made


def digests(capture: Path) -> set[bytes]:
    """Return the digest of every advertisement that was on the wire."""
    received = [envelope.datagram_of(frame, link="br0") for _at_s, frame in timed_frames(capture)]
    return {wire.decode(each.payload).digest for each in received if each}


def replayed(file: Path) -> list[str]:
    result = CliRunner().invoke(cli, ["replay", str(file)])
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def test_a_takeover_is_recorded_dumped_and_replayed_without_secrets(segment: Segment, tmp_path: Path) -> None:
    record, state = tmp_path / "b.jsonl", tmp_path / "state"
    options = ("--record", str(record), "--state", str(state))
    with Capture(segment, tmp_path) as capture, Pycarp(segment, "a", tmp_path) as a:
        wait_until(lambda: a.is_in("MASTER"), 8)
        with Pycarp(segment, "b", tmp_path, advskew=100, options=options) as b:
            wait_until(lambda: b.is_in("BACKUP") and b.status.master == A, 8)
            segment.isolate("a")
            wait_until(lambda: b.is_in("MASTER") and b.has_address(), 8)
            b.process.terminate()
            b.process.wait(3)
            assert b.process.returncode == 0
        capture.stop()

    (dump,) = state.glob("flight-*.jsonl")
    for file in (record, dump):
        lines = replayed(file)
        assert lines[-1].endswith(" effects: identical")
        assert sum("carp0 BACKUP -> MASTER master timed out" in line for line in lines) == 1
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        octets = file.read_bytes()
        assert PASSWORD.encode() not in octets
        seen = digests(capture.file)
        assert len(seen) > 3
        for digest in seen:
            for shape in (digest, digest.hex().encode(), base64.b64encode(digest)):
                assert shape not in octets
    took_over = b.log.read_text().index("BACKUP -> MASTER (master timed out; 192.168.1.3 silent")
    assert b.log.read_text().index(f"what led to this is in {dump}; see it with: pycarp replay {dump}") > took_over
