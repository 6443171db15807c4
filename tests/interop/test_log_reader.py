"""A real MASTER whose log nobody reads: it stays MASTER, answers and stops."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import StatusReply, StatusRequest
from pycarp.lab.lab_network import Segment
from tests.support.daemons import Pycarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

A, B = "192.168.1.3", "192.168.1.5"
STARTED_S = 15.0
STALLED_S = 6.0
NOISE = ("--log-level", "debug")
REQUESTS = 3000
"""Each is a line of some 70 octets: more than the queue holds."""


@pytest.fixture
def segment() -> Iterator[Segment]:
    require()
    with new_segment(a=f"{A}/24", b=f"{B}/24") as made:
        yield made


class Unread(Pycarp):
    """A daemon whose standard error is a small pipe that the test reads when it wants to."""

    def __enter__(self) -> "Unread":
        self.reading, sysctl_write = os.pipe()
        fcntl.fcntl(sysctl_write, fcntl.F_SETPIPE_SZ, 4096)
        self._process = self._segment.popen(self._host, self._argv, stdout=subprocess.DEVNULL, stderr=sysctl_write)
        os.close(sysctl_write)
        return self

    def ask(self, times: int) -> None:
        for _ in range(times):
            request(self.control, StatusRequest(), StatusReply)

    def read(self, *, until: str) -> str:
        """Read the log until a line says something."""
        text = ""
        os.set_blocking(self.reading, False)
        ends_s = time.monotonic() + 10
        while until not in text:
            assert time.monotonic() < ends_s, text[-1000:]
            try:
                text += os.read(self.reading, 65536).decode()
            except BlockingIOError:
                time.sleep(0.01)
        return text


def test_a_log_that_nobody_reads_costs_no_failover_no_answer_and_no_time_at_the_end(
    segment: Segment, tmp_path: Path
) -> None:
    with (
        Unread(segment, "a", tmp_path, options=NOISE) as master,
        Pycarp(segment, "b", tmp_path, advskew=100) as backup,
    ):
        wait_until(lambda: master.is_in("MASTER") and backup.is_in("BACKUP"), STARTED_S)
        epoch = backup.status.epoch
        began_s = time.monotonic()
        master.ask(REQUESTS)
        while time.monotonic() - began_s < STALLED_S:
            master.ask(10)
            time.sleep(0.1)

        assert master.status.state == "MASTER"
        assert (backup.status.state, backup.status.epoch) == ("BACKUP", epoch)
        master.process.send_signal(signal.SIGTERM)
        master.process.wait(1)
        assert master.process.returncode == 0
        assert not master.has_address()


def test_when_somebody_reads_again_one_line_says_what_is_missing(segment: Segment, tmp_path: Path) -> None:
    with Unread(segment, "a", tmp_path, options=NOISE) as master:
        wait_until(lambda: master.is_in("MASTER"), STARTED_S)
        master.ask(REQUESTS)

        text = master.read(until="were dropped")

        assert text.count("were dropped") == 1
        master.ask(1)
        assert "StatusRequest" in master.read(until="StatusRequest")


def test_in_the_place_of_ucarp_a_log_that_nobody_reads_stops_nothing_either(segment: Segment, tmp_path: Path) -> None:
    script = tmp_path / "down.sh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/down\n")
    script.chmod(0o755)
    argv = [sys.executable, "-m", "pycarp", "ucarp", "-i", "fxp0", "-s", A, "-v", "1", "-p", "s", "-a", "192.168.1.50"]
    argv += ["-d", str(script), "-n", "-z", "-f", "none"]
    reading, sysctl_write = os.pipe()
    fcntl.fcntl(sysctl_write, fcntl.F_SETPIPE_SZ, 4096)
    process = segment.popen("a", argv, stdout=sysctl_write, stderr=sysctl_write)
    os.close(sysctl_write)
    said = b""
    while b"MASTER" not in said:
        said += os.read(reading, 4096)
    for _ in range(300):
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.005)

    process.terminate()

    assert process.wait(2) == 0
    assert (tmp_path / "down").exists()
    os.close(reading)
