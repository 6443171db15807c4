"""A real daemon of as many virtual hosts as an interface can have; what it takes is in ``benchmarks/start.py``."""

import subprocess
import sys
from pathlib import Path

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import StatusReply, StatusRequest
from tests.support.daemons import Pycarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

HOSTS = 255
WITHIN_S = 30.0
"""For a machine on which much else runs; alone it takes less than a second."""


def configuration() -> str:
    names = [f"carp{number}" for number in range(HOSTS)]
    lines = [f'cloned_interfaces="{" ".join(names)}"']
    lines += [f'ifconfig_{name}="vhid {n} advskew 100 pass x 10.9.1.{n}/16"' for n, name in enumerate(names, 1)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("mac_mode", ["virtual", "interface"])
def test_all_hosts_of_an_interface_start_answer_and_leave_nothing(tmp_path: Path, mac_mode: str) -> None:
    require()
    options = ("--mac-mode", mac_mode, "--state", str(tmp_path / "state"))
    with (
        new_segment(a="10.9.0.1/16") as segment,
        Pycarp(segment, "a", tmp_path, rc_conf=configuration(), options=options) as daemon,
    ):
        wait_until(lambda: len(daemon.lines("INIT -> BACKUP")) == HOSTS, WITHIN_S)
        assert len(request(daemon.control, StatusRequest(), StatusReply).hosts) == HOSTS

        plan = [sys.executable, "-m", "pycarp", "plan", "--control", str(daemon.control)]
        assert "nothing would change" in subprocess.run(plan, check=True, capture_output=True, text=True).stdout

        daemon.process.terminate()
        assert daemon.process.wait(WITHIN_S) == 0
        assert len(segment.run("a", ["ip", "-o", "link"]).splitlines()) == 2
        assert "10.9.1." not in segment.run("a", ["ip", "-o", "addr"])
        assert not daemon.lines("Traceback")
