"""docs/examples/pycarp-master@.service and its target, with a systemctl that writes down what it is asked."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons import Process, Pycarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
UNIT = (EXAMPLES / "pycarp-master@.service").read_text()
START, STOP = (f"--no-block {verb} pycarp-master@carp0.target" for verb in ("start", "stop"))
STARTED_S = 10.0


def exec_start(run: Path) -> list[str]:
    """Return what the service of carp0 executes, with another folder for /run."""
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    words = shlex.split(re.sub("%[iI]", "carp0", line).replace("/run/pycarp-master", str(run)))
    assert words[:2] == ["/opt/pycarp/bin/pycarp", "while-master"]
    return [sys.executable, "-m", "pycarp", *words[1:]]


class Systemctl:
    """A program of that name, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self._log = folder / "asked"
        self._log.touch()
        program = self.folder / "systemctl"
        program.write_text(f'#!/bin/sh\necho "$*" >>{self._log}\n')
        program.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        return self._log.read_text().splitlines()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[Pycarp, Process, Systemctl]]:
    """Yield a daemon that is MASTER, the service that follows it, and the systemctl."""
    require("ip", "bridge", "setsid")
    systemctl = Systemctl(tmp_path)
    with new_segment(a="192.168.1.3/24") as segment, Pycarp(segment, "a", tmp_path) as daemon:
        daemon.become_master(STARTED_S)
        path = f"PATH={systemctl.folder}:{os.environ['PATH']}"
        argv = ["env", path, f"PYCARP_CONTROL={daemon.control}", *exec_start(tmp_path)]
        with Process(segment, "a", argv, tmp_path / "service.log") as service:
            wait_until(lambda: systemctl.asked == [START], STARTED_S)
            yield daemon, service, systemctl


def token(folder: Path) -> int:
    (found,) = re.findall(r"^PYCARP_TOKEN=(\d+)$", (folder / "carp0.env").read_text(), re.MULTILINE)
    return int(found)


def test_the_target_follows_the_mastership_with_a_greater_token_each_time(
    daemon: tuple[Pycarp, Process, Systemctl], tmp_path: Path
) -> None:
    pycarp, _service, systemctl = daemon
    first = token(tmp_path)

    pycarp.set(is_up=False)
    wait_until(lambda: systemctl.asked == [START, STOP], STARTED_S)
    pycarp.set(is_up=True)
    wait_until(lambda: systemctl.asked == [START, STOP, START], STARTED_S)

    assert token(tmp_path) > first


def test_the_target_stops_when_the_daemon_is_killed_and_with_the_service(
    daemon: tuple[Pycarp, Process, Systemctl],
) -> None:
    pycarp, service, systemctl = daemon

    pycarp.process.kill()
    wait_until(lambda: systemctl.asked == [START, STOP], STARTED_S)
    assert service.process.poll() is None
    pycarp.__enter__()
    pycarp.become_master(STARTED_S)
    wait_until(lambda: systemctl.asked == [START, STOP, START], STARTED_S)
    service.process.terminate()
    service.process.wait(STARTED_S)

    assert systemctl.asked == [START, STOP, START, STOP]


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    require("systemd-analyze", root=False)
    pycarp = str(Path(sys.executable).with_name("pycarp"))
    (tmp_path / "pycarp-master@.service").write_text(UNIT.replace("/opt/pycarp/bin/pycarp", pycarp))
    (tmp_path / "pycarp-master@.target").write_text((EXAMPLES / "pycarp-master@.target").read_text())

    units = [str(tmp_path / f"pycarp-master@carp0.{kind}") for kind in ("service", "target")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
