"""``pycarp init`` on a real segment: what it says is typed, and a pair runs, whose address moves."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pycarp.lab.lab_network import Segment
from tests.support.daemons import Process, Pycarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

STARTED_S = 15.0
PROGRAMS = {
    "sudo": 'exec "$@"',
    "ssh": 'shift; exec "$@"',
    "scp": 'cp -p "$2" "${3#*:}"',
    "pycarp": f'exec {sys.executable} -W error -m pycarp "$@"',
}
"""One file system has the folders of all hosts, so copying to another one is copying."""


@pytest.fixture
def segment() -> Iterator[Segment]:
    require()
    with new_segment(a="192.168.1.3/24", b="192.168.1.5/24", c="192.168.1.9/24") as made:
        for number, name in enumerate("ab", 1):
            made.run(name, ["ip", "addr", "add", f"fd00:1::{number}/64", "dev", "fxp0", "nodad"])
        yield made


class Typist:
    """Types commands as ``pycarp init`` shows them; each host has an ``/etc/pycarp`` of its own."""

    def __init__(self, segment: Segment, folder: Path) -> None:
        self.segment = segment
        self._folder = folder
        programs = folder / "bin"
        programs.mkdir()
        for name, text in PROGRAMS.items():
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
        self._environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def etc(self, host: str) -> Path:
        return self._folder / host / "etc" / "pycarp"

    def type(self, command: str, *, on: str) -> str:
        host = next((each for each in "ab" if f"root@{each}" in command), on)
        argv = self.segment.exec_argv(on, ["sh", "-c", command.replace("/etc/pycarp", str(self.etc(host)))])
        done = subprocess.run(argv, capture_output=True, text=True, env=self._environment, check=False, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def running(self, command: str, host: str) -> Process:
        words = shlex.split(command.replace("/etc/pycarp", str(self.etc(host))).removeprefix("sudo pycarp "))
        sockets = ["--control", str(self._folder / f"{host}.sock"), "--state", str(self._folder / f"{host}.state")]
        argv = [sys.executable, "-W", "error", "-m", "pycarp", *words, *sockets]
        return Process(self.segment, host, argv, self._folder / f"{host}.log")


def follow(typist: Typist, options: str) -> tuple[dict[str, Any], list[Process]]:
    """Type ``pycarp init`` on host a and then what it says; return its report, and the daemons that are to run."""
    said: dict[str, Any] = json.loads(typist.type(f"pycarp init {options} --json", on="a"))
    copying = [each for each in said["next"] if not each.startswith("sudo pycarp")]
    check, run, _install = [each for each in said["next"] if each.startswith("sudo pycarp")]
    for command in copying:
        typist.type(command, on="a")
    with ThreadPoolExecutor() as both:
        assert all(
            "no errors, no warnings" in each for each in both.map(lambda host: typist.type(check, on=host), "ab")
        )
    return said, [typist.running(run, host) for host in "ab"]


def test_typing_what_it_says_makes_a_pair_on_an_id_that_is_free(segment: Segment, tmp_path: Path) -> None:
    typist = Typist(segment, tmp_path)
    with Pycarp(segment, "c", tmp_path, address="192.168.1.60/24") as other:
        other.become_master(STARTED_S)
        said, daemons = follow(
            typist, f"--address 192.168.1.50 --address fd00:1::50 --hosts a,b --for 1.5s --output {tmp_path}/files"
        )
        assert (said["ids_in_use"], said["vhid"], said["listened"]) == ([1], 2, True)
        assert said["addresses"] == ["192.168.1.50/24", "fd00:1::50/64"]
        with daemons[0] as first, daemons[1] as second:
            wait_until(first.has_address, STARTED_S)
            first.process.terminate()
            wait_until(second.has_address, STARTED_S)
            assert "fd00:1::50" in segment.run("b", ["ip", "-6", "-o", "addr", "show"])


def test_a_pair_without_multicast_works_as_it_is_written(segment: Segment, tmp_path: Path) -> None:
    typist = Typist(segment, tmp_path)
    _said, daemons = follow(
        typist,
        f"--address 192.168.1.50/24 --unicast a=192.168.1.3,b=192.168.1.5 --no-scan --output {tmp_path}/files",
    )
    with daemons[0] as first, daemons[1] as second:
        wait_until(first.has_address, STARTED_S)
        wait_until(lambda: bool(second.lines("BACKUP")), STARTED_S)
        first.process.terminate()
        wait_until(second.has_address, STARTED_S)


def test_who_has_the_address_already_is_named(segment: Segment, tmp_path: Path) -> None:
    typist = Typist(segment, tmp_path)
    segment.run("c", ["ip", "addr", "add", "192.168.1.50/24", "dev", "fxp0"])

    said = json.loads(
        typist.type(f"pycarp init --address 192.168.1.50 --hosts a,b --for 1s --json --output {tmp_path}/files", on="b")
    )

    assert "192.168.1.50 is answered by" in said["notes"][0]
    assert "take it from there before you run pycarp" in said["notes"][0]
