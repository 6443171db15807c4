"""A real daemon under a socket that plays systemd."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.lab.lab_network import Segment
from tests.support.daemons import SHARED, Pycarp, new_segment
from tests.support.system import require

pytestmark = pytest.mark.system

STARTED_S = 20.0
WATCHDOG_S = 1.0


class Systemd:
    """Keeps what it was told, with the time."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.heard: list[str] = []

    def close(self) -> None:
        self._socket.close()

    def wait_for(self, text: str, timeout_s: float = STARTED_S) -> str:
        """Return the next message that contains a text."""
        ends_s = time.monotonic() + timeout_s
        while True:
            self._socket.settimeout(max(0.01, ends_s - time.monotonic()))
            message = self._socket.recv(4096).decode()
            self.heard.append(message)
            if text in message:
                return message

    def is_silent_for(self, seconds: float) -> bool:
        """Say whether nothing comes for so long; what was sent before does not count."""
        self._socket.setblocking(False)
        try:
            while True:
                self._socket.recv(4096)
        except BlockingIOError:
            pass
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        return False


@pytest.fixture
def segment() -> Iterator[Segment]:
    require()
    with new_segment(a="192.168.1.3/24", b="192.168.1.5/24") as made:
        yield made


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path / "notify")
    yield made
    made.close()


class Unit(Pycarp):
    """A daemon with the environment of a service."""

    def __enter__(self) -> "Unit":
        environment = os.environ | {
            "NOTIFY_SOCKET": str(self.log.parent / "notify"),
            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
        }
        with self.log.open("a") as log:
            self._process = self._segment.popen(self._host, self._argv, stdout=log, stderr=log, env=environment)
        return self


def test_a_service_is_ready_tells_its_states_reloads_and_stops(
    segment: Segment, tmp_path: Path, systemd: Systemd
) -> None:
    with Unit(segment, "a", tmp_path) as unit:
        systemd.wait_for("STATUS=starting")
        systemd.wait_for("READY=1")
        systemd.wait_for("STATUS=carp0 MASTER")
        unit.process.send_signal(signal.SIGUSR1)
        unit.process.send_signal(signal.SIGHUP)
        systemd.wait_for("RELOADING=1\nMONOTONIC_USEC=")
        systemd.wait_for("READY=1")
        unit.process.terminate()
        systemd.wait_for("STOPPING=1")
        assert unit.process.wait(2) == 0
        assert unit.lines("SIGUSR1 means nothing here")


def test_a_bad_file_leaves_the_service_ready(segment: Segment, tmp_path: Path, systemd: Systemd) -> None:
    with Unit(segment, "a", tmp_path) as unit:
        systemd.wait_for("READY=1")
        (tmp_path / "a.rc.conf").write_text('ifconfig_carp0="vhid 999"\ncloned_interfaces="carp0"\n')
        unit.process.send_signal(signal.SIGHUP)

        systemd.wait_for("RELOADING=1")
        systemd.wait_for("READY=1")
        systemd.wait_for("; the last reload was refused: ")


def test_a_host_that_ends_is_shown_no_longer(segment: Segment, tmp_path: Path, systemd: Systemd) -> None:
    with Unit(segment, "a", tmp_path) as unit:
        systemd.wait_for("STATUS=carp0 MASTER")
        words = ["ifconfig", "carp0", "-alias", SHARED, "--force", "--control", str(unit.control)]
        subprocess.run([sys.executable, "-m", "pycarp", *words], check=True)

        systemd.wait_for("STATUS=no virtual host")


def test_signs_of_life_come_in_time_and_end_with_the_life(segment: Segment, tmp_path: Path, systemd: Systemd) -> None:
    with Unit(segment, "a", tmp_path) as unit:
        systemd.wait_for("READY=1")
        for _ in range(4):
            systemd.wait_for("WATCHDOG=1", timeout_s=WATCHDOG_S)
        unit.process.send_signal(signal.SIGSTOP)

        assert systemd.is_silent_for(2 * WATCHDOG_S)
