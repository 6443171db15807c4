"""``pycarp who`` on a real segment with pycarp, ucarp and keepalived."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pycarp.lab.lab_network import Segment
from tests.interop.test_scan import OURS, ROUTER, STARTED_S, THEIRS, WATCHER
from tests.support.daemons import SHARED, Keepalived, Pycarp, Ucarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

NOBODY, NOT_WELL = 1, 3


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("ucarp", "keepalived")
    with new_segment(a=f"{OURS}/24", b=f"{THEIRS}/24", c=f"{ROUTER}/24", w=f"{WATCHER}/24") as made:
        yield made


def asked(segment: Segment, address: str, *words: str, host: str = "w") -> tuple[int, dict[str, Any]]:
    argv = [sys.executable, "-W", "error", "-m", "pycarp", "who", address, *words, "--json"]
    done = subprocess.run(segment.exec_argv(host, argv), capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def test_the_master_answers_and_is_named(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as ours:
        wait_until(lambda: ours.is_in("MASTER"), STARTED_S)

        status, found = asked(segment, SHARED)
        status_there, found_there = asked(segment, SHARED, host="a")

    assert (status, status_there) == (0, 0)
    assert [(each["mac"], each["text"]) for each in found["answers"]] == [
        ("00:00:5e:00:01:01", f"{OURS}, MASTER of vhid 1")
    ]
    assert [each["text"] for each in found_there["answers"]] == [f"this machine, on carp0; {OURS}, MASTER of vhid 1"]


def test_two_hosts_that_answer_are_both_named(segment: Segment, tmp_path: Path) -> None:
    with (
        Pycarp(segment, "a", tmp_path, password="other") as ours,
        Ucarp(segment, "b", tmp_path, source=THEIRS) as theirs,
    ):
        wait_until(lambda: ours.is_in("MASTER") and theirs.is_in("MASTER"), STARTED_S)

        status, found = asked(segment, SHARED)

    assert (status, found["problems"]) == (NOT_WELL, ["several-answers"])
    assert {each["source"] for answer in found["answers"] for each in answer["masters"]} == {OURS, THEIRS}
    assert len(found["answers"]) == 2


def test_a_router_is_named_by_the_address_that_it_announces(segment: Segment, tmp_path: Path) -> None:
    with Keepalived(segment, "c", tmp_path, vrid=51) as router:
        wait_until(lambda: router.has_address("192.168.1.60"), STARTED_S)

        status, found = asked(segment, "192.168.1.60")

    assert (status, found["answers"][0]["text"]) == (0, f"{ROUTER}, MASTER of VRID 51")
    assert found["answers"][0]["masters"][0]["announces"]


def test_an_address_that_nobody_has_is_nobodys(segment: Segment) -> None:
    status, found = asked(segment, "192.168.1.77", "--for", "100ms")

    assert (status, found["answers"]) == (NOBODY, [])


def test_an_ipv6_address_is_asked_for_as_well(segment: Segment) -> None:
    for host, address in (("a", "fd00::50/64"), ("w", "fd00::9/64")):
        segment.run(host, ["ip", "addr", "add", address, "dev", "fxp0", "nodad"])

    status, found = asked(segment, "fd00::50", "--for", "100ms")

    assert (status, [each["masters"] for each in found["answers"]]) == (0, [[]])
