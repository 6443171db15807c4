"""``pycarp doctor`` on machines with seeded faults: it names each, and what it calls a problem is one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pycarp.lab.lab_network import Segment
from tests.interop.test_scan import OURS, ROUTER, STARTED_S, THEIRS, WATCHER
from tests.support.daemons import PASSWORD, SHARED, Keepalived, Pycarp, Ucarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

NOT_WELL = 3
OF_THE_MACHINE = {"old-unit", "unit-without-program", "mac-unknown", "firewall-legacy", "kin"}
"""What the machine that tests run on may have, whatever is seeded."""


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("ucarp", "keepalived", "nft")
    with new_segment(a=f"{OURS}/24", b=f"{THEIRS}/24", c=f"{ROUTER}/24", w=f"{WATCHER}/24") as made:
        yield made


def toml(folder: Path, *, password: str = PASSWORD, addresses: str = f'"{SHARED}/24"', more: str = "") -> Path:
    file = folder / "pycarp.toml"
    file.write_text(
        f'[[host]]\nname = "carp0"\ninterface = "fxp0"\nvhid = 1\npassword = "{password}"\n'
        f"addresses = [{addresses}]\n{more}\n"
    )
    return file


def examined(segment: Segment, *words: str, host: str = "a") -> dict[str, dict[str, Any]]:
    """The findings by their kind, without those that the machine has anyway."""
    argv = [sys.executable, "-W", "error", "-m", "pycarp", "doctor", *words, "--json"]
    done = subprocess.run(segment.exec_argv(host, argv), capture_output=True, text=True, check=False, timeout=100)
    assert done.stderr == ""
    findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    is_well = all(each["severity"] == "advice" for each in findings)
    assert done.returncode == (0 if is_well else NOT_WELL)
    return {each["kind"]: each for each in findings if each["kind"] not in OF_THE_MACHINE}


def run(segment: Segment, host: str, command: str) -> None:
    segment.run(host, ["sh", "-ec", command])


def mend(segment: Segment, host: str, finding: dict[str, Any]) -> None:
    """Type the command that the doctor says."""
    run(segment, host, finding["command"])


def test_a_machine_without_faults_is_well(segment: Segment, tmp_path: Path) -> None:
    assert examined(segment, str(toml(tmp_path))) == {}


def test_a_pair_that_works_is_well_on_both_sides(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as ours:
        wait_until(lambda: ours.is_in("MASTER"), STARTED_S)
        with Ucarp(segment, "b", tmp_path, source=THEIRS, advskew=100):
            assert examined(segment, str(toml(tmp_path))) == {}
            assert examined(segment, str(toml(tmp_path)), host="b") == {}


def test_a_filter_at_the_device_is_named_and_makes_two_masters(segment: Segment, tmp_path: Path) -> None:
    rules = "add table netdev t; add chain netdev t in { type filter hook ingress device fxp0 priority 0; }"
    run(segment, "a", f"nft '{rules}; add rule netdev t in meta l4proto 112 drop'")
    with (
        Ucarp(segment, "b", tmp_path, source=THEIRS) as theirs,
        Pycarp(segment, "a", tmp_path, advskew=100) as ours,
    ):
        wait_until(lambda: theirs.is_in("MASTER") and ours.is_in("MASTER"), STARTED_S)

        found = examined(segment, str(toml(tmp_path)), "--offline")["firewall"]
        assert (found["severity"], "rule 2 of chain in in table netdev t" in found["text"]) == ("problem", True)

        mend(segment, "a", found)
        assert "firewall" not in examined(segment, str(toml(tmp_path)), "--offline")
        wait_until(lambda: ours.is_in("BACKUP"), STARTED_S)


def test_a_firewall_that_drops_what_no_rule_accepts_is_named(segment: Segment, tmp_path: Path) -> None:
    rules = "add table inet f; add chain inet f input { type filter hook input priority 0; policy drop; }"
    run(segment, "a", f"nft '{rules}; add rule inet f input ct state established,related accept'")

    found = examined(segment, str(toml(tmp_path)), "--offline")["firewall"]
    mend(segment, "a", found)

    assert "the policy of chain input in table inet f" in found["text"]
    assert "firewall" not in examined(segment, str(toml(tmp_path)), "--offline")


def test_a_firewall_that_keeps_clients_from_asking_is_named(segment: Segment, tmp_path: Path) -> None:
    run(segment, "a", "nft 'add table arp f; add chain arp f in { type filter hook input priority 0; policy drop; }'")
    with Pycarp(segment, "a", tmp_path) as ours:
        wait_until(lambda: ours.is_in("MASTER"), STARTED_S)
        before = is_reached(segment)

        found = examined(segment, str(toml(tmp_path)), "--offline")["firewall"]
        mend(segment, "a", found)

        assert (before, is_reached(segment)) == (False, True)
    assert (found["severity"], found["text"].startswith("the firewall drops ARP that arrives")) == ("problem", True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"password": "other"}, "another password, or another address list that cannot be guessed"),
        ({"addresses": f'"{SHARED}/24", "192.168.1.51/24"'}, "same password, other address list: without 192.168.1.51"),
    ],
)
def test_a_peer_that_signs_otherwise_is_named(
    segment: Segment, tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    with Ucarp(segment, "b", tmp_path, source=THEIRS) as theirs:
        wait_until(lambda: theirs.is_in("MASTER"), STARTED_S)

        found = examined(segment, str(toml(tmp_path, **settings)))["digest"]

    assert words in found["text"]


def test_a_router_with_the_id_of_our_host_is_named(segment: Segment, tmp_path: Path) -> None:
    with Keepalived(segment, "c", tmp_path, vrid=1) as router:
        wait_until(lambda: router.has_address("192.168.1.60"), STARTED_S)

        found = examined(segment, str(toml(tmp_path)))["collision"]

    assert found["text"] == f"vhid 1 is the VRID of the VRRP router {ROUTER}"


def test_a_machine_that_has_the_shared_address_is_named(segment: Segment, tmp_path: Path) -> None:
    run(segment, "w", f"ip addr add {SHARED}/24 dev fxp0")

    assert SHARED in examined(segment, str(toml(tmp_path)))["duplicate-address"]["text"]


def test_a_bridge_that_snoops_without_a_querier_is_named(segment: Segment) -> None:
    run(segment, "a", "ip link add br1 type bridge mcast_snooping 1 mcast_querier 0; ip link set br1 up")

    found = examined(segment, "-i", "br1", "--offline")["no-querier"]
    mend(segment, "a", found)

    assert "no-querier" not in examined(segment, "-i", "br1", "--offline")


def test_a_strict_reverse_path_with_two_networks_is_named(segment: Segment, tmp_path: Path) -> None:
    run(segment, "a", "ip link add d0 type bridge mcast_querier 1; ip addr add 10.9.9.1/24 dev d0; ip link set d0 up")
    run(segment, "a", "echo 1 > /proc/sys/net/ipv4/conf/fxp0/rp_filter")

    found = examined(segment, str(toml(tmp_path)), "--offline")["sysctl"]
    mend(segment, "a", found)

    assert (found["severity"], "rp_filter is 1" in found["text"]) == ("warning", True)
    assert examined(segment, str(toml(tmp_path)), "--offline") == {}


@pytest.mark.parametrize("setting", ["arp_filter=1", "arp_ignore=8"])
def test_a_sysctl_that_leaves_clients_without_an_answer_is_named(
    segment: Segment, tmp_path: Path, setting: str
) -> None:
    name, _equals, value = setting.partition("=")
    with Pycarp(segment, "a", tmp_path) as ours:
        wait_until(lambda: ours.is_in("MASTER"), STARTED_S)
        run(segment, "a", f"echo {value} > /proc/sys/net/ipv4/conf/all/{name}")
        before = is_reached(segment)

        found = examined(segment, str(toml(tmp_path)), "--offline")["sysctl"]
        mend(segment, "a", found)

        assert (before, is_reached(segment)) == (False, True)
    assert found["text"] == f"net.ipv4.conf.all.{name} is {value}"


def is_reached(segment: Segment) -> bool:
    """Whether a client that knows no MAC address reaches the shared address."""
    run(segment, "w", "ip neigh flush all")
    ping = segment.exec_argv("w", ["ping", "-c", "1", "-W", "1", SHARED])
    return subprocess.run(ping, capture_output=True, check=False).returncode == 0


def test_a_switch_that_locks_mac_addresses_is_named_with_no_neighbour_but_the_master(
    segment: Segment, tmp_path: Path
) -> None:
    mac = json.loads(segment.run("a", ["ip", "-j", "link", "show", "dev", "fxp0"]))[0]["address"]
    run(segment, "switch", f"bridge fdb replace {mac} dev a master static")
    run(segment, "switch", "bridge link set dev a locked on learning off")
    with Ucarp(segment, "b", tmp_path, source=THEIRS) as theirs:
        wait_until(lambda: theirs.is_in("MASTER"), STARTED_S)

        found = examined(segment, str(toml(tmp_path)))["mac-lock"]

    assert (found["severity"], found["subject"]) == ("problem", "fxp0")


def test_an_interface_that_is_down_is_named_and_not_listened_to(segment: Segment, tmp_path: Path) -> None:
    run(segment, "a", "ip link set fxp0 down")

    found = examined(segment, str(toml(tmp_path)))
    mend(segment, "a", found["down"])

    assert set(found) == {"down"}
    assert examined(segment, str(toml(tmp_path)), "--offline") == {}


def test_the_hosts_of_a_running_daemon_are_examined(segment: Segment, tmp_path: Path) -> None:
    run(segment, "w", f"ip addr add {SHARED}/24 dev fxp0")
    with Pycarp(segment, "a", tmp_path) as ours:
        wait_until(lambda: ours.is_in("MASTER"), STARTED_S)

        found = examined(segment, "--control", str(ours.control))

    assert "duplicate-address" in found


def test_without_a_file_and_a_daemon_every_interface_with_an_address_is_examined(segment: Segment) -> None:
    run(segment, "a", "ip addr add 192.168.1.13/24 dev fxp0 label fxp0:1")
    run(segment, "a", "ip link add br2 type bridge; ip addr add 10.9.9.1/24 dev br2")
    argv = [sys.executable, "-m", "pycarp", "doctor", "--offline", "--json", "--control", "/nonexistent/pycarp.sock"]
    shown = subprocess.run(segment.exec_argv("a", argv), capture_output=True, text=True, check=False, timeout=100)

    assert json.loads(shown.stdout)["interfaces"] == ["fxp0"]
