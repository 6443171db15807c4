"""``pycarp scan`` beside pycarp, ucarp and keepalived on a real segment: it says who is MASTER, and what clashes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pycarp.lab.lab_network import Segment
from tests.support.daemons import Keepalived, Process, Pycarp, Ucarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

OURS, THEIRS, ROUTER, WATCHER = "192.168.1.3", "192.168.1.4", "192.168.1.5", "192.168.1.9"
STARTED_S = 10.0
HEARD_S = "4s"
NOT_WELL = 3


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("ucarp", "keepalived")
    with new_segment(a=f"{OURS}/24", b=f"{THEIRS}/24", c=f"{ROUTER}/24", w=f"{WATCHER}/24") as made:
        yield made


def scanned(segment: Segment, host: str = "w", *, options: tuple[str, ...] = ()) -> tuple[int, dict[str, Any]]:
    """Return the exit status, and what it found."""
    argv = [sys.executable, "-W", "error", "-m", "pycarp", "scan", "fxp0", "--for", HEARD_S, "--json", *options]
    done = subprocess.run(segment.exec_argv(host, argv), capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def test_every_group_is_found_with_its_master(segment: Segment, tmp_path: Path) -> None:
    carp0 = 'cloned_interfaces="carp0"\nifconfig_carp0="vhid 7 advskew 20 pass secret 192.168.1.70/24"\n'
    with (
        Pycarp(segment, "a", tmp_path, rc_conf=carp0) as ours,
        Ucarp(segment, "b", tmp_path, source=THEIRS) as theirs,
        Keepalived(segment, "c", tmp_path, vrid=51) as router,
    ):
        wait_until(lambda: ours.is_in("MASTER") and theirs.is_in("MASTER"), STARTED_S)
        wait_until(lambda: router.has_address("192.168.1.60"), STARTED_S)

        status, found = scanned(segment)

    assert (status, found["problems"]) == (0, [])
    assert [(each["name"], each["masters"]) for each in found["groups"]] == [
        ("vhid 1", [THEIRS]),
        ("vhid 7", [OURS]),
        ("VRID 51", [ROUTER]),
    ]
    senders = {each["name"]: each["senders"][0] for each in found["groups"]}
    assert senders["vhid 1"]["dialects"] == ["ucarp"]
    assert "universal" in senders["vhid 7"]["dialects"]
    assert (senders["vhid 7"]["advbase"], senders["vhid 7"]["advskew"]) == (1, 20)
    assert (senders["VRID 51"]["version"], senders["VRID 51"]["priority"]) == (3, 150)
    assert senders["VRID 51"]["addresses"] == ["192.168.1.60"]
    assert {1, 7, 51}.isdisjoint(found["free"][0]["ids"])


def test_two_hosts_with_different_passwords_are_two_masters(segment: Segment, tmp_path: Path) -> None:
    with (
        Pycarp(segment, "a", tmp_path, password="other") as ours,
        Ucarp(segment, "b", tmp_path, source=THEIRS) as theirs,
    ):
        wait_until(lambda: ours.is_in("MASTER") and theirs.is_in("MASTER"), STARTED_S)

        status, found = scanned(segment)

    assert status == NOT_WELL
    assert {OURS, THEIRS} == set(found["groups"][0]["masters"])
    assert found["groups"][0]["problems"][0] == "two-masters"


def test_a_vhid_and_a_vrid_that_are_equal_collide(segment: Segment, tmp_path: Path) -> None:
    """keepalived 2.2.7 waits anew after each packet that it cannot read, so a CARP as fast as it silences it."""
    with (
        Ucarp(segment, "b", tmp_path, source=THEIRS, options=("-b", "3")) as theirs,
        Keepalived(segment, "c", tmp_path, vrid=1, version=2) as router,
    ):
        wait_until(lambda: theirs.is_in("MASTER") and router.has_address("192.168.1.60"), 2 * STARTED_S)

        status, found = scanned(segment)

    assert status == NOT_WELL
    assert [each["problems"][0] for each in found["groups"]] == ["collision", "collision"]


def test_a_master_that_is_heard_on_its_own_machine_is_called_so(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as ours:
        wait_until(lambda: ours.is_in("MASTER"), STARTED_S)

        status, found = scanned(segment, "a")

    assert status == 0
    assert [each["is_this_machine"] for each in found["groups"][0]["senders"]] == [True]


def test_a_master_that_is_killed_leaves_nobody(segment: Segment, tmp_path: Path) -> None:
    with Ucarp(segment, "b", tmp_path, source=THEIRS) as theirs:
        wait_until(lambda: theirs.is_in("MASTER"), STARTED_S)
        argv = [sys.executable, "-W", "error", "-m", "pycarp", "scan", "fxp0", "--for", "9s", "--json"]
        scan = segment.popen("w", argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            scan.wait(3)
        except subprocess.TimeoutExpired:
            theirs.process.kill()
        shown, complaints = scan.communicate(timeout=60)

    assert (scan.returncode, complaints) == (NOT_WELL, "")
    assert [each["kind"] for each in json.loads(shown)["problems"]] == ["no-master"]


def test_an_interface_that_is_down_is_no_silent_segment(segment: Segment) -> None:
    segment.run("w", ["ip", "link", "set", "fxp0", "down"])
    argv = [sys.executable, "-m", "pycarp", "scan", "fxp0"]
    done = subprocess.run(segment.exec_argv("w", argv), capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "pycarp: cannot listen on fxp0: it is down; ip link set fxp0 up\n"


def test_a_configuration_tells_which_of_two_masters_signs_otherwise(segment: Segment, tmp_path: Path) -> None:
    file = tmp_path / "pycarp.toml"
    file.write_text('[[host]]\ninterface = "fxp0"\nvhid = 1\npassword = "testpass"\naddresses = ["192.168.1.50/24"]\n')
    with (
        Pycarp(segment, "a", tmp_path, address="192.168.1.51/24") as ours,
        Ucarp(segment, "b", tmp_path, source=THEIRS) as theirs,
    ):
        wait_until(lambda: ours.is_in("MASTER") and theirs.is_in("MASTER"), STARTED_S)

        status, found = scanned(segment, options=("--config", str(file)))

    assert status == NOT_WELL
    (problem,) = [each for each in found["problems"] if each["kind"] == "digest"]
    assert problem["source"] == OURS
    assert "same password, other address list: without 192.168.1.50 and with 192.168.1.51" in problem["text"]
    assert {each["source"]: each["is_authentic"] for each in found["groups"][0]["senders"]} == {
        OURS: False,
        THEIRS: True,
    }


def test_joining_the_groups_hears_ipv6_behind_a_switch_that_snoops(segment: Segment, tmp_path: Path) -> None:
    for host, own in (("a", "fd00::3"), ("w", "fd00::9")):
        segment.run(host, ["ip", "addr", "add", f"{own}/64", "dev", "fxp0", "nodad"])
    segment.run("switch", ["ip", "addr", "add", "fe80::99/64", "dev", "br0", "nodad"])
    querying = "mcast_snooping 1 mcast_querier 1 mcast_query_interval 300 mcast_startup_query_interval 300"
    segment.run("switch", ["ip", "link", "set", "br0", "type", "bridge", *querying.split()])
    file = tmp_path / "a.toml"
    file.write_text(
        '[[host]]\ninterface = "fxp0"\nname = "carp0"\nvhid = 7\npassword = "s"\naddresses = ["fd00::70/64"]\n'
    )
    words = ["run", str(file), "--control", str(tmp_path / "a.sock"), "--state", str(tmp_path / "state")]
    with Process(segment, "a", [sys.executable, "-m", "pycarp", *words], tmp_path / "a.log"):
        wait_until(lambda: "ff02::12" in segment.run("switch", ["bridge", "mdb", "show"]), STARTED_S)
        # A bridge trusts a querier after its first maximum response time.
        wait_until(lambda: scanned(segment)[1]["groups"] == [], 6 * STARTED_S)

        _status, found = scanned(segment, options=("--join",))

    assert [each["name"] for each in found["groups"]] == ["vhid 7 over IPv6"]
