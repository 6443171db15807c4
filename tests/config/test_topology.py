"""Several files as the machines of one plan."""

from pathlib import Path

import pytest

from pycarp.config.grammars import Grammar
from pycarp.config.topology import ConfigFile, Topology, read_topology
from pycarp.dialects import by_name
from pycarp.errors import ConfigError
from pycarp.placement.isolation import Isolation
from pycarp.placement.policy import FailbackPolicy
from pycarp.placement.share import SyncGroupConfig
from pycarp.sim.faults.fault_plan import FaultPlan
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S, HostKey

THREE_HOSTS = Path(__file__).parents[1] / "scenarios" / "three-hosts"
OPENBSD = "inet 192.168.1.50 255.255.255.0 NONE vhid 1 carpdev em0 pass mekmitasdigoat advskew {skew}\n"
UCARP = "ucarp -i {link} -s {own} -v 1 -p love -a 10.1.1.252 -k {skew} -u up -d down\n"
TOML = """
[node]
hostname = "{name}"
sysctls = {{ preempt = 1 }}

[[host]]
interface = "{link}"
vhid = 7
addresses = ["{address}"]
password = "secret"
advskew = {skew}
"""


def topology(*files: tuple[str, str], **options: object) -> Topology:
    return read_topology([ConfigFile(*file) for file in files], **options)  # type: ignore[arg-type]  # as they come


def three_hosts() -> Topology:
    names = ("hosta", "hostb", "provider")
    return topology(*((f"{name}.rc.conf", (THREE_HOSTS / f"{name}.rc.conf").read_text()) for name in names))


def own(found: Topology) -> list[dict[str, list[str]]]:
    return [{link: [str(each) for each in owns] for link, owns in member.own.items()} for member in found.members]


def masters(found: Topology) -> set[str]:
    """Return who owns addresses when these machines have been left alone for a minute."""
    outcome = simulate(FaultPlan(seed=1, members=found.members, incidents=(), until_ns=60 * NS_PER_S))
    return {each.node for each in outcome.ownerships if each.until_ns is None}


def toml(name: str, *, skew: int, link: str = "eth0", address: str = "10.0.0.9/24") -> tuple[str, str]:
    return f"{name}.toml", TOML.format(name=name, skew=skew, link=link, address=address)


def test_machines_are_called_by_their_hostnames() -> None:
    assert [member.name for member in three_hosts().members] == ["hosta", "hostb", "provider"]


def test_own_addresses_are_those_of_the_files() -> None:
    assert own(three_hosts()) == [
        {"fxp0": ["192.168.1.3/24"]},
        {"fxp0": ["192.168.1.4/24"]},
        {"fxp0": ["192.168.1.5/24"]},
    ]


def test_the_three_hosts_find_their_masters() -> None:
    assert masters(three_hosts()) == {"hosta", "hostb"}


def test_an_rc_conf_may_lease_its_own_address() -> None:
    text = 'ifconfig_em0="DHCP"\ncloned_interfaces="carp0"\nifconfig_carp0="vhid 1 pass x advskew {} 10.0.0.50"\n'
    found = topology(("a.conf", text.format(0)), ("b.conf", text.format(100)))

    assert own(found) == [{"net0": ["10.0.0.1/24"]}, {"net0": ["10.0.0.2/24"]}]
    assert masters(found) == {"a"}


def test_hostname_carp_files_of_one_folder_are_one_machine() -> None:
    other = OPENBSD.replace("vhid 1", "vhid 2").replace(".50", ".51")
    found = topology(
        ("one/hostname.carp0", OPENBSD.format(skew=0)),
        ("one/hostname.carp1", other.format(skew=100)),
        ("two/hostname.carp0", OPENBSD.format(skew=100)),
    )

    assert [(member.name, len(member.hosts)) for member in found.members] == [("one", 2), ("two", 1)]


def test_hostname_carp_files_of_one_vhid_are_different_machines() -> None:
    found = topology(("hostname.carp0", OPENBSD.format(skew=0)), ("hostname.carp1", OPENBSD.format(skew=100)))

    assert len(found.members) == 2
    assert len(masters(found)) == 1


def test_commands_of_ucarp_say_their_own_addresses() -> None:
    found = topology(
        ("a.sh", UCARP.format(link="eth0", own="10.1.1.1", skew=0)),
        ("b.sh", UCARP.format(link="eth0", own="10.1.1.2", skew=100)),
    )

    assert own(found) == [{"eth0": ["10.1.1.1/32"]}, {"eth0": ["10.1.1.2/32"]}]
    assert masters(found) == {"a"}
    assert len(found.notes) == 2


def test_interfaces_that_carry_a_common_vhid_are_one_segment() -> None:
    found = topology(toml("a", skew=0, link="eth0"), toml("b", skew=100, link="enp3s0"))

    assert [list(member.own) for member in found.members] == [["eth0"], ["eth0"]]
    assert masters(found) == {"a"}


def test_interfaces_of_one_name_without_a_common_vhid_are_two_segments() -> None:
    name, text = toml("b", skew=100)
    found = topology(toml("a", skew=0), (name, text.replace("vhid = 7", "vhid = 8")))

    assert [list(member.own) for member in found.members] == [["eth0"], ["eth0.2"]]


def test_a_vhid_on_two_interfaces_is_told_apart_by_its_subnets() -> None:
    name, text = toml("a", skew=0)
    host = text[text.index("[[host]]") :]
    both = text + host.replace("eth0", "eth1").replace("10.0.0.9", "10.9.9.9")
    others = text + host.replace("eth0", "enp1").replace("10.0.0.9", "10.9.9.9")
    others = others.replace('"eth0"', '"enp0"').replace('"enp1"', '"eth0"').replace('"enp0"', '"eth1"')
    found = topology((name, both), ("b.toml", others.replace('hostname = "a"', 'hostname = "b"')))

    assert [[(host.interface, str(host.addresses[0])) for host in member.hosts] for member in found.members] == [
        [("eth0", "10.0.0.9/24"), ("eth1", "10.9.9.9/24")],
        [("eth0", "10.0.0.9/24"), ("eth1", "10.9.9.9/24")],
    ]


def test_sixth_version_machines_get_link_local_addresses() -> None:
    found = topology(toml("a", skew=0, address="2001:db8::9/64"), toml("b", skew=9, address="2001:db8::9/64"))

    assert own(found) == [{"eth0": ["fe80::1/64"]}, {"eth0": ["fe80::2/64"]}]
    assert masters(found) == {"a"}


def test_machines_with_unicast_peers_have_the_addresses_of_these() -> None:
    (name_a, a), (name_b, b) = toml("a", skew=0), toml("b", skew=100)
    found = topology((name_a, a + 'peers = ["10.0.0.22"]\n'), (name_b, b + 'peers = ["10.0.0.11"]\n'))

    assert own(found) == [{"eth0": ["10.0.0.11/24"]}, {"eth0": ["10.0.0.22/24"]}]
    assert masters(found) == {"a"}


def test_switches_of_a_file_are_those_of_its_machine() -> None:
    assert all(member.settings.preempt for member in topology(toml("a", skew=0), toml("b", skew=9)).members)


def test_a_switch_that_is_given_wins() -> None:
    found = topology(toml("a", skew=0), toml("b", skew=9), sysctls={"net.inet.carp.preempt": 0})

    assert not any(member.settings.preempt for member in found.members)


def test_one_machine_alone_needs_another() -> None:
    with pytest.raises(ConfigError, match=r"a\.toml is one machine, and a second one is needed: .*--copies 2"):
        topology(toml("a", skew=0))


def test_copies_are_ever_less_eager() -> None:
    found = topology(toml("a", skew=10), copies=3)

    assert [(member.name, member.hosts[0].advskew) for member in found.members] == [
        ("a", 10),
        ("a-2", 110),
        ("a-3", 210),
    ]


def test_too_many_copies_are_an_error_that_says_how_many_there_can_be() -> None:
    with pytest.raises(ConfigError, match=r"copy 4 of .* would have advskew 300, which is above 254; --copies 3"):
        topology(toml("a", skew=0), copies=4)


def test_what_is_wrong_with_a_file_is_told_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"^b\.toml:8:"):
        topology(toml("a", skew=0), ("b.toml", toml("b", skew=0)[1].replace("vhid = 7", "vhid = 777")))


def test_grammar_and_dialect_can_be_given() -> None:
    text = (THREE_HOSTS / "hosta.rc.conf").read_text()
    found = topology(("a", text), copies=2, grammar=Grammar.RC_CONF, dialect=by_name("freebsd"))

    assert {host.dialect.name for member in found.members for host in member.hosts} == {"freebsd"}


GROUPED = """
[[host]]
name = "wan"
interface = "eth0"
vhid = 1
addresses = ["192.0.2.100/24"]
password = "secret"

[[host]]
name = "lan"
interface = "eth1"
vhid = 2
addresses = ["198.51.100.1/24"]
password = "secret"

[host.failback]
failback = "manual"

[[sync_group]]
name = "router"
hosts = ["wan", "lan"]

[failback]
failback_delay = "1min"
"""


ISOLATED = """
[[check]]
name = "isolation"
witness = "gateway"
every = "500ms"
timeout = "400ms"
release = true

[[check]]
name = "far"
witness = "gateway"
"""


def test_witnesses_that_let_go_follow_their_link_onto_the_segments() -> None:
    found = topology(("a.toml", GROUPED + ISOLATED), ("b.toml", GROUPED.replace("eth", "em") + ISOLATED))
    isolation = Isolation(name="isolation", host=None, link="eth0", every_s=0.5, timeout_s=0.4, rise=2, fall=3)

    assert [member.isolations for member in found.members] == [(isolation,)] * 2


def test_groups_and_policies_follow_their_hosts_onto_the_segments() -> None:
    other = GROUPED.replace("eth", "em")
    found = topology(("a.toml", GROUPED), ("b.toml", other))
    wan, lan = HostKey("eth0", 1), HostKey("eth1", 2)

    assert [member.groups for member in found.members] == [(SyncGroupConfig(name="router", hosts=(wan, lan)),)] * 2
    assert [dict(member.failbacks) for member in found.members] == [
        {wan: FailbackPolicy(failback_delay_s=60), lan: FailbackPolicy(failback="manual")}
    ] * 2
