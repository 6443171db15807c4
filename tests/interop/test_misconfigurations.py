"""Seeded misconfigurations of real pairs: the right cause is named with the command to type, and that mends it.

Each pair works, is broken, is looked at, and works again, for one row of its table after the other. The pairs do so at
the same time, because all of them mostly wait.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import pytest

from pycarp.errors import CarpError
from pycarp.lab.lab_network import Segment
from tests.support.daemons import SHARED, Keepalived, Process, Toml, Ucarp, new_segment
from tests.support.system import require

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

OWN = {"a": "192.168.1.3", "b": "192.168.1.4", "c": "192.168.1.5", "w": "192.168.1.9"}
OTHERS_GROUP = "192.168.1.60"
WITHIN_S = 30.0
ASKED_EVERY_S = 0.3
STOPPED_S = 1.5
"""Longer than an interval, and shorter than the guardian waits."""

LISTENED = ("--for", "2s")
OF_THE_MACHINE = {"old-unit", "unit-without-program", "mac-unknown", "firewall-legacy", "kin", "stalled"}
"""What the machine that tests run on may have, whatever is seeded."""

Findings = dict[str, list[dict[str, Any]]]
"""Findings, alarms or problems by their kind."""

AT_THE_DEVICE = (
    "nft 'add table netdev t; add chain netdev t in { type filter hook ingress device fxp0 priority 0; }; "
    "add rule netdev t in meta l4proto 112 drop'"
)


def in_the_switch(match: str, verdict: str = "drop") -> str:
    """Return the command by which the switch drops what matches, or does something else with it."""
    return (
        "nft 'add table bridge t; add chain bridge t f { type filter hook forward priority 0; }; "
        f"add rule bridge t f {match} {verdict}'"
    )


def wait_until(is_so: Callable[[], bool], timeout_s: float) -> None:
    """Wait until something is so, with few questions: six pairs are asked at once."""
    ends_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < ends_s, f"not so within {timeout_s} s"
        time.sleep(ASKED_EVERY_S)


def dropping(hook: str, match: str, family: str = "inet") -> str:
    """Return the command that drops what matches in a table of its own."""
    return (
        f"nft 'add table {family} f; add chain {family} f {hook} {{ type filter hook {hook} priority 0; }}; "
        f"add rule {family} f {hook} {match} drop'"
    )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One misconfiguration: what breaks it, who names it how, and what mends it.

    Commands and places begin with a host: ``master`` and ``backup`` are those of the moment. ``named`` is where to
    look, ``doctor``, ``alarm`` or ``scan``, with the kind and a part of the words. The command that is said is typed
    where ``mends`` says so; ``repair`` is what else it takes.
    """

    name: str
    breaks: tuple[str, ...]
    named: tuple[str, str, str]
    becomes: str = ""
    mends: str = ""
    repair: tuple[str, ...] = ()
    command: str = ""


RAW = (
    Row(
        name="the firewall drops CARP that arrives",
        breaks=("backup: " + dropping("input", "ip protocol 112"),),
        becomes="two masters",
        named=("doctor backup", "firewall", "drops CARP that arrives"),
        mends="backup",
    ),
    Row(
        name="the firewall drops the multicast group",
        breaks=("backup: " + dropping("input", "ip daddr 224.0.0.18"),),
        becomes="two masters",
        named=("doctor backup", "firewall", "drops CARP that arrives"),
        mends="backup",
    ),
    Row(
        name="the firewall drops ARP",
        breaks=("master: " + dropping("input", "arp operation request", "arp"),),
        named=("doctor master", "firewall", "drops ARP that arrives"),
        mends="master",
    ),
    Row(
        name="a rule on the way rewrites the TTL",
        breaks=("switch: " + in_the_switch("ip protocol 112 ip ttl set 64", verdict=""),),
        becomes="two masters",
        named=("doctor backup", "ttl", "TTL or hop limit 64 instead of 255"),
        command="tcpdump -n -v -i fxp0 proto 112",
        repair=("switch: nft flush ruleset",),
    ),
    # Who could not send is trusted later, so that it is the last row.
    Row(
        name="the firewall drops CARP that leaves",
        breaks=("master: " + dropping("output", "meta l4proto 112"),),
        becomes="another master",
        named=("doctor former", "firewall", "drops CARP that leaves"),
        mends="former",
    ),
)
PACKET = (
    Row(
        name="a filter at the device drops CARP on one side",
        breaks=("backup: " + AT_THE_DEVICE,),
        becomes="two masters",
        named=("doctor backup", "firewall", "chain in in table netdev t"),
        mends="backup",
    ),
    Row(
        name="the switch drops CARP on the way out of the master",
        breaks=("switch: " + in_the_switch("iifname $master ether type ip ip protocol 112"),),
        becomes="two masters",
        named=("alarm master", "unheard", "what this host sends does not arrive there"),
        command="pycarp doctor -i fxp0   # on both hosts",
        repair=("switch: nft flush ruleset",),
    ),
    Row(
        name="the switch drops CARP both ways",
        breaks=("switch: " + in_the_switch("ether type ip ip protocol 112"),),
        becomes="two masters",
        named=("doctor master", "unheard-master", f"answers for {SHARED}, which this host holds"),
        command="pycarp doctor -i fxp0   # on the other host",
        repair=("switch: nft flush ruleset",),
    ),
    Row(
        name="the switch drops what clients send to the virtual MAC address",
        breaks=("switch: " + in_the_switch("ether daddr 00:00:5e:00:01:01"),),
        named=("doctor backup", "mac-unreached", f"answers for {SHARED}, but not to what is sent to"),
        command="bridge fdb show",
        repair=("switch: nft flush ruleset",),
    ),
    Row(
        name="a process stood still",
        breaks=("stop: master",),
        named=("alarm master", "stalled", "was not scheduled for"),
        command="vmstat",
    ),
)
SWITCHED = (
    Row(
        name="the bridge snoops without a querier, and a port does not flood",
        breaks=(
            "switch: ip link set br0 type bridge mcast_snooping 1 mcast_querier 0",
            "switch: bridge link set dev $backup mcast_flood off",
        ),
        named=("doctor switch", "mcast-flood", "the bridge port $backup does not flood multicast"),
        mends="switch",
        repair=("switch: ip link set br0 type bridge mcast_snooping 0",),
    ),
    Row(
        name="a bridge without a querier",
        breaks=("switch: ip link set br0 type bridge mcast_snooping 1 mcast_querier 0",),
        named=("doctor switch", "no-querier", "br0 snoops multicast, and is no querier itself"),
        mends="switch",
        repair=("switch: ip link set br0 type bridge mcast_snooping 0",),
    ),
    Row(
        name="a port that takes frames from its own MAC address alone",
        breaks=("switch: " + in_the_switch("iifname $backup ether saddr != $backup_mac"),),
        named=("doctor backup", "mac-lock", "frames from foreign MAC addresses get no answer"),
        command='mac_mode = "interface"',
        repair=("switch: nft flush ruleset",),
    ),
    Row(
        name="a locked port of a bridge on this machine",
        breaks=("switch: bridge link set dev c learning off locked on",),
        named=("doctor switch", "mac-lock", "the bridge port c is locked"),
        mends="switch",
    ),
    Row(
        name="another machine has the shared address",
        breaks=(f"c: ip addr add {SHARED}/24 dev fxp0",),
        named=("doctor backup", "duplicate-address", f"answers for the shared address {SHARED}"),
        command=f"pycarp who {SHARED}",
        repair=(f"c: ip addr del {SHARED}/24 dev fxp0",),
    ),
    Row(
        name="the switch reflects what the master sends",
        breaks=("switch: bridge link set dev $master hairpin on",),
        named=("alarm master", "own-address", "the segment brings our packets back"),
        command="pycarp who",
        repair=("switch: bridge link set dev $master hairpin off",),
    ),
    Row(
        name="a fixed entry of the neighbour table",
        breaks=(f"backup: ip neigh replace {SHARED} lladdr 02:00:00:00:00:99 nud permanent dev fxp0",),
        named=("doctor backup", "fixed-neighbour", f"has {SHARED} fixed at 02:00:00:00:00:99"),
        mends="backup",
    ),
    Row(
        name="a strict reverse path beside another network",
        breaks=(
            "backup: ip link add d0 type bridge; ip addr add 10.9.9.1/24 dev d0; ip link set d0 up",
            "backup: echo 1 > /proc/sys/net/ipv4/conf/fxp0/rp_filter",
        ),
        named=("doctor backup", "sysctl", "rp_filter is 1"),
        mends="backup",
        repair=("backup: ip link del d0",),
    ),
)
BOTH_FAMILIES = (
    Row(
        name="the switch drops IPv6 advertisements alone",
        breaks=("switch: " + in_the_switch("ether type ip6 meta l4proto 112"),),
        named=("alarm any", "one-family", "is heard over IPv4, and nobody over IPv6"),
        command="pycarp doctor -i fxp0",
        repair=("switch: nft flush ruleset",),
    ),
    Row(
        name="the firewall keeps switches from knowing who listens",
        breaks=("backup: " + dropping("output", "icmpv6 type mld2-listener-report"),),
        named=("doctor backup", "firewall", "drops MLD that leaves"),
        mends="backup",
    ),
    Row(
        name="devices are made without IPv6",
        breaks=("backup: echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6",),
        named=("doctor backup", "sysctl", "net.ipv6.conf.default.disable_ipv6 is 1"),
        mends="backup",
    ),
    Row(
        name="the MTU is too small for IPv6",
        breaks=("backup: ip link set fxp0 mtu 1000",),
        named=("doctor backup", "mtu", "the MTU of fxp0 is 1000, and IPv6 needs 1280"),
        mends="backup",
        repair=("backup: ip addr add fd00::$backup_number/64 dev fxp0 nodad",),
    ),
)
IN_UDP = (
    Row(
        name="the firewall drops CARP in UDP",
        breaks=("backup: " + dropping("input", "udp dport 11112"),),
        becomes="two masters",
        named=("doctor backup", "firewall", "drops CARP in UDP that arrives"),
        mends="backup",
    ),
)

CONFIGURED = (
    ("another password", "doctor a", "digest", "192.168.1.4: not authentic: another password", "pycarp decode"),
    ("another address list", "doctor b", "digest", "same password, other address list: with 192.168.1.52", "pycarp"),
    (
        "another group has the vhid",
        "doctor a",
        "foreign-group",
        f"{OWN['c']} advertises for vhid 3",
        "pycarp scan fxp0",
    ),
    ("a VRRP router has the id", "alarm a", "same-vrid", "speaks VRRP with a virtual router id", "pycarp scan fxp0"),
    ("another advbase", "doctor b", "advbase", f"advbase is 5 here, and 1 at {OWN['a']}", "pycarp ifconfig five"),
    ("equal claims", "alarm b", "equal-claim", "advertises exactly as often as we do", "advskew 100"),
    ("two masters seen by a third", "scan w", "two-masters", f"{OWN['a']} and {OWN['b']} are both MASTER", ""),
    ("a peer that nobody is", "doctor a", "no-peer", "nobody has the address 192.168.1.44", "ping -c 1 -I fxp0"),
)
"""What one configuration of many hosts has wrong: its name, who names it, the kind, words, and the command."""


@dataclass
class Outcome:
    """What became of a row: what was named, what was wrong before and afterwards."""

    named: dict[str, Any] | None = None
    seen: Any = None
    error: str = ""
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def toml(*, skew: int, top: str = "", addresses: str = f'"{SHARED}/24"', more: str = "") -> str:
    return (
        f'{top}\n[[host]]\nname = "carp0"\ninterface = "fxp0"\nvhid = 1\npassword = "testpass"\n'
        f"addresses = [{addresses}]\nadvskew = {skew}\n{more}\n"
    )


class Pair:
    """Two daemons on a segment, which are broken and mended."""

    def __init__(self, segment: Segment, folder: Path, **settings: str) -> None:
        self._segment = segment
        self._settings = settings
        self._folder = folder
        self.nodes: dict[str, Toml] = {}

    def __enter__(self) -> "Pair":
        for number, name in enumerate("ab"):
            (self._folder / name).mkdir(parents=True)
            peers = f'peers = ["{OWN["ba"[number]]}"]' if "udp" in self._settings.get("top", "") else ""
            text = toml(skew=100 * number, more=peers, **self._settings)
            self.nodes[name] = Toml(self._segment, name, self._folder / name, text).__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        for each in self.nodes.values():
            each.__exit__(None, None, None)

    def run(self, row: Row) -> Outcome:
        """Break the pair, look, and mend it."""
        outcome = Outcome()
        try:
            self._run(row, outcome)
        except (AssertionError, CarpError) as exc:
            outcome.error = str(exc)
        return outcome

    def settle(self) -> None:
        """Wait until one of the two is MASTER, and the other is BACKUP."""
        self._await("one master", {})

    def _run(self, row: Row, outcome: Outcome) -> None:
        names = self._names()
        outcome.before = self._wrong()
        for command in row.breaks:
            self._type(command, names)
        self._await(row.becomes, names)
        place, kind, words = (Template(each).safe_substitute(names) for each in row.named)
        where = place.partition(" ")[2]

        def is_named() -> bool:
            outcome.seen = self._look(place, names)
            outcome.named = next((each for each in outcome.seen.get(kind, ()) if words in each["text"]), None)
            return outcome.named is not None

        with contextlib.suppress(AssertionError):
            wait_until(is_named, WITHIN_S if place.startswith("alarm") else 0)
        if outcome.named is not None and row.mends:
            self._type(f"{where}: {outcome.named['command']}", names)
        for command in row.repair:
            self._type(command, names)
        self._wait_for_health(row, outcome)

    def _wait_for_health(self, row: Row, outcome: Outcome) -> None:
        if row.becomes or row.repair or row.mends:
            self.settle()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self._wrong(), WITHIN_S)
        outcome.after = self._wrong()
        # What a command has inserted must not save the next row.
        for name in ("a", "b", "switch"):
            self._segment.run(name, ["nft", "flush", "ruleset"])

    def _names(self) -> dict[str, str]:
        """Return who is what now."""
        self._await("one master", {})
        master = next(name for name, node in self.nodes.items() if node.is_in("MASTER"))
        backup = "ba"["ab".index(master)]
        (link,) = json.loads(self._segment.run(backup, ["ip", "-j", "link", "show", "dev", "fxp0"]))
        return {
            "master": master,
            "backup": backup,
            "former": master,
            "backup_mac": link["address"],
            "backup_number": OWN[backup][-1],
        }

    def _await(self, what: str, names: dict[str, str]) -> None:
        states = {name: node.is_in for name, node in self.nodes.items()}
        conditions: dict[str, Callable[[], bool]] = {
            "one master": lambda: sorted(is_in("MASTER") + 2 * is_in("BACKUP") for is_in in states.values()) == [1, 2],
            "two masters": lambda: all(is_in("MASTER") for is_in in states.values()),
            "another master": lambda: states[names["backup"]]("MASTER"),
            "": lambda: True,
        }
        try:
            wait_until(conditions[what], WITHIN_S)
        except AssertionError as exc:
            raise AssertionError(f"{what}: {exc}") from exc

    def _type(self, command: str, names: dict[str, str]) -> None:
        host, _colon, words = command.partition(": ")
        if host == "stop":
            process = self.nodes[names[words]].process
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            os.kill(process.pid, signal.SIGCONT)
            return
        self._segment.run(names.get(host, host), ["sh", "-ec", Template(words).safe_substitute(names)])

    def _look(self, place: str, names: dict[str, str]) -> Findings:
        how, _space, who = place.partition(" ")
        host = names.get(who, who)
        if who == "any":
            return alarms_of(self.nodes["a"]) | alarms_of(self.nodes["b"])
        if how == "alarm":
            return alarms_of(self.nodes[host])
        if host == "switch":
            return doctor(self._segment, host, "-i", "br0", "--offline")
        node = self.nodes[host]
        return doctor(self._segment, host, str(node.file), "--control", str(node.control), *LISTENED)

    def _wrong(self) -> list[str]:
        return [alarm for node in self.nodes.values() for alarm in alarms_of(node) if alarm not in _LAST_FOR_LONG]


_LAST_FOR_LONG = {"stalled", "own-address", "contested", "cannot-send"}
"""Alarms that stay on for a while after their cause has ended."""


def alarms_of(node: Toml) -> Findings:
    found: Findings = {}
    for host in node.hosts.values():
        for each in host.alarms:
            found.setdefault(each.name, []).append({"text": each.text, "command": each.command, "host": host.name})
    return found


def doctor(segment: Segment, host: str, *words: str) -> Findings:
    shown = pycarp(segment, host, "doctor", *words, "--json")
    found: Findings = {}
    for each in json.loads(shown)["findings"]:
        if each["kind"] not in OF_THE_MACHINE:
            found.setdefault(each["kind"], []).append(each)
    return found


def scan(segment: Segment, host: str) -> Findings:
    found: Findings = {}
    for each in json.loads(pycarp(segment, host, "scan", "fxp0", "--for", "4s", "--json"))["problems"]:
        found.setdefault(each["kind"], []).append(each | {"command": ""})
    return found


def pycarp(segment: Segment, host: str, *words: str) -> str:
    argv = segment.exec_argv(host, [sys.executable, "-W", "error", "-m", "pycarp", *words])
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)
    assert done.stderr == ""
    return done.stdout


def segment_of_all() -> Segment:
    return new_segment(**{name: f"{address}/24" for name, address in OWN.items()})


def outcomes_of(rows: tuple[Row, ...], folder: Path, *, has_ipv6: bool = False, **settings: str) -> dict[str, Outcome]:
    with segment_of_all() as segment:
        if has_ipv6:
            for name, address in OWN.items():
                segment.run(name, ["ip", "addr", "add", f"fd00::{address[-1]}/64", "dev", "fxp0", "nodad"])
        with Pair(segment, folder, **settings) as pair:
            healthy = Outcome()
            pair.settle()
            looked_at = pair.nodes if folder.name in ("packet", "both-families") else {"b": pair.nodes["b"]}
            for name, node in looked_at.items():
                healthy.before += doctor(segment, name, str(node.file), "--control", str(node.control), *LISTENED)
            return {f"healthy {folder.name}": healthy} | {row.name: pair.run(row) for row in rows}


def host(name: str, vhid: int, *, skew: int, **other: Any) -> str:
    settings = {"password": f"pass{vhid}", "addresses": [f"192.168.1.{50 + vhid}/24"], "advskew": skew} | other
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    return f'[[host]]\nname = "{name}"\ninterface = "fxp0"\nvhid = {vhid}\n' + "\n".join(lines) + "\n"


def configured(folder: Path) -> dict[str, Any]:
    """Run two daemons with all that may be wrong in a configuration, and one host that is well."""
    two = ["192.168.1.52/24", "192.168.1.72/24"]
    texts = {
        name: "\n".join(
            [
                host("one", 1, skew=skew, password=f"of {name}"),
                host("two", 2, skew=skew, addresses=two if name == "a" else two[1:]),
                host("three", 3, skew=skew),
                host("four", 4, skew=skew),
                host("five", 5, skew=skew, advbase=1 if name == "a" else 5),
                host("six", 6, skew=0),
                host("seven", 7, skew=skew),
                host("eight", 8, skew=skew, peers=["192.168.1.44"] if name == "a" else [OWN["a"]]),
            ]
        )
        for name, skew in (("a", 0), ("b", 100))
    }
    group = ["-v", "3", "-p", "theirs", "-a", OTHERS_GROUP, "-u", "/bin/true", "-d", "/bin/true"]
    with segment_of_all() as segment:
        nodes = {}
        for name in "ab":
            (folder / name).mkdir(parents=True)
            nodes[name] = Toml(segment, name, folder / name, texts[name])
        router = Keepalived(segment, "c", folder, vrid=4, version=3)
        others = Process(segment, "c", ["ucarp", "-i", "fxp0", "-s", OWN["c"], *group], folder / "others.log")
        beside = Ucarp(segment, "w", folder, source=OWN["w"], options=("-v", "99"))
        with router, beside:
            wait_until(lambda: router.has_address("192.168.1.60"), WITHIN_S)
            with nodes["a"] as a, others:
                wait_until(lambda: a.are_in("one", "seven"), WITHIN_S)
                with nodes["b"] as b:
                    wait_until(lambda: b.are_in("one", "two") and b.are_in("seven", state="BACKUP"), WITHIN_S)
                    with ThreadPoolExecutor(3) as pool:
                        look = {
                            f"doctor {name}": pool.submit(
                                doctor, segment, name, str(node.file), "--control", str(node.control), *LISTENED
                            )
                            for name, node in nodes.items()
                        }
                        look["scan w"] = pool.submit(scan, segment, "w")
                    found: dict[str, Any] = {place: each.result() for place, each in look.items()}
                    return found | {f"alarm {name}": alarms_of(node) for name, node in nodes.items()}


PAIRS: dict[str, tuple[tuple[Row, ...], dict[str, Any]]] = {
    "raw": (RAW, {"top": '[node]\ntransport = "raw"'}),
    "packet": (PACKET, {}),
    "switched": (SWITCHED, {}),
    "both-families": (BOTH_FAMILIES, {"has_ipv6": True, "addresses": f'"{SHARED}/24", "fd00::50/64"'}),
    "udp": (IN_UDP, {"top": '[node]\ntransport = "udp"'}),
}
ROWS = [row for rows, _settings in PAIRS.values() for row in rows]


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Outcome], dict[str, Any]]:
    """Run all pairs at once; returns the outcomes by row, and what was seen of the configuration."""
    require("nft", "bridge", "ucarp", "keepalived")
    folder = tmp_path_factory.mktemp("pairs")
    with ThreadPoolExecutor(len(PAIRS) + 1) as pool:
        seen = pool.submit(configured, folder / "configured")
        running = [
            pool.submit(outcomes_of, rows, folder / name, **settings) for name, (rows, settings) in PAIRS.items()
        ]
    return {name: outcome for each in running for name, outcome in each.result().items()}, seen.result()


Looked = tuple[dict[str, Outcome], dict[str, Any]]


@pytest.mark.parametrize("row", ROWS, ids=[each.name for each in ROWS])
def test_a_misconfiguration_is_named_with_the_command_that_mends_it(looked: Looked, row: Row) -> None:
    outcome = looked[0][row.name]

    assert (outcome.error, outcome.named is not None) == ("", True), outcome.seen
    assert outcome.named is not None
    assert outcome.named["command"]
    assert row.command in outcome.named["command"]
    assert outcome.before == []
    assert outcome.after == []


@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_that_works_has_no_finding(looked: Looked, pair: str) -> None:
    assert looked[0][f"healthy {pair}"].before == []


@pytest.mark.parametrize(
    ("_name", "place", "kind", "words", "command"), CONFIGURED, ids=[each[0] for each in CONFIGURED]
)
def test_hosts_that_are_configured_differently_are_named(
    looked: Looked, _name: str, place: str, kind: str, words: str, command: str
) -> None:
    found = looked[1][place].get(kind, [])

    assert any(words in each["text"] and command in (each["command"] or "") for each in found), looked[1][place]


def test_the_one_host_that_is_well_is_not_spoken_of(looked: Looked) -> None:
    for place in ("doctor a", "doctor b", "scan w", "alarm a", "alarm b"):
        for findings in looked[1][place].values():
            for each in findings:
                assert "vhid 7" not in each["text"]
                assert "seven" not in (each.get("subject"), each.get("host"))


NETWORK = "[Match]\\nName=fxp0\\n[Network]\\nDHCP=yes\\n"
MANAGED = (
    "mkdir -p /run/systemd; mount -t tmpfs seeded /run/systemd; "
    "mkdir -p /run/systemd/netif/links /run/systemd/network; cd /run/systemd; "
    f"printf '{NETWORK}' > network/10-lan.network; "
    "echo NETWORK_FILE=/run/systemd/network/10-lan.network > netif/links/$(cat /sys/class/net/fxp0/ifindex)"
)
"""Files of a networkd that manages the interface, for the one process that mounts them."""


@pytest.mark.parametrize(
    ("breaks", "settings", "kind", "command"),
    [
        (MANAGED, {"more": 'mac_mode = "interface"'}, "networkd", "KeepConfiguration=yes"),
        (f"ip addr add {SHARED}/24 dev fxp0", {}, "by-hand", f"ip addr del {SHARED}/24 dev fxp0"),
        ("ip link add br7 type bridge mcast_querier 1; ip link set fxp0 master br7", {}, "port", "pycarp scan br7"),
        (
            "ip -6 addr flush dev fxp0",
            {"addresses": f'"{SHARED}/24", "fd00::50/64"'},
            "no-link-local",
            "ip addr add fe80::",
        ),
        (
            "ip link add eth7 type bridge mcast_querier 1; ip addr add 10.9.9.1/24 dev eth7; ip link set eth7 up",
            {"interface": "eth7"},
            "wrong-interface",
            "pycarp scan fxp0",
        ),
    ],
)
def test_what_is_seen_before_the_daemon_starts_is_named(
    tmp_path: Path, breaks: str, settings: dict[str, str], kind: str, command: str
) -> None:
    require("ip")
    interface = settings.pop("interface", "fxp0")
    text = toml(skew=0, **settings).replace("fxp0", interface)
    file = tmp_path / "pycarp.toml"
    file.write_text(text)
    with new_segment(a=f"{OWN['a']}/24") as segment:
        argv = f"{sys.executable} -m pycarp doctor {file} --offline --json"
        shown = subprocess.run(
            segment.exec_argv("a", ["sh", "-c", f"{breaks}; {argv}"]), capture_output=True, text=True, check=False
        )

    (found,) = [each for each in json.loads(shown.stdout)["findings"] if each["kind"] == kind]
    assert command in found["command"]
