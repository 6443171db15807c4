"""The three hosts for real, exactly as ``pycarp lab`` plays them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pycarp.lab.machines import CLIENT, HOSTS, PREFIX, Machines, segment
from pycarp.lab.story import Story
from tests.support.system import require

pytestmark = pytest.mark.system


def test_everything_that_the_lab_promises_happens(tmp_path: Path) -> None:
    require("dnsmasq")
    with segment(f"pcl{os.getpid()}") as where, Machines(where, tmp_path) as machines:
        result = Story(where, machines, lambda _line: None).play()

    assert [each.text for each in result.expectations if not each.is_met] == []
    assert len(result.expectations) == 6


def test_nothing_is_left_of_a_lab_that_is_terminated() -> None:
    require("dnsmasq")
    with subprocess.Popen([sys.executable, "-m", "pycarp", "lab", "--keep"], stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        while "Everything runs" not in lab.stdout.readline():
            assert lab.poll() is None

        lab.terminate()
        lab.communicate(timeout=20)

    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not {line.split()[0] for line in listed.splitlines()} & {f"{PREFIX}-{host}" for host in (*HOSTS, CLIENT)}
