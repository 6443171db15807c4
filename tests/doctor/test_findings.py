"""What is found of sysctls, links, daemons, units, permissions and the segment, from facts as systems have them."""

from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pycarp.core.state import State
from pycarp.daemon.control_messages import Alarm
from pycarp.daemon.service_unit import ServiceUnit
from pycarp.doctor import (
    address_findings,
    alarm_findings,
    kernel_settings,
    link_findings,
    managers,
    neighbour_findings,
    permissions,
    segment,
    unit_file,
)
from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.subject import ExaminedHost, Subject, subjects_of
from pycarp.inspection.scan import Scan
from pycarp.inspection.scan_report import ScanReport
from pycarp.vocabulary import NS_PER_S, Address, Family, LinkFacts, MacAddress, MacMode
from pycarp.wire.ethernet import virtual_mac
from tests.support.carp_packets import ONE, SECRET, SHARED, TWO, VHID, Macs, captured, frame, ip_packet, payload
from tests.support.vrrp_packets import version_2

REAL, OTHER = MacAddress.parse("02:00:00:00:00:01"), MacAddress.parse("02:00:00:00:00:02")
OWN = ip_interface("192.168.1.3/24")


def host(*addresses: str, has_device: bool = True) -> ExaminedHost:
    shared = tuple(map(ip_interface, addresses or (f"{SHARED}/24",)))
    return ExaminedHost(name="carp0", interface="eth0", vhid=VHID, addresses=shared, has_device=has_device)


def subject(*hosts: ExaminedHost) -> Subject:
    return Subject(interface="eth0", hosts=hosts or (host(),), own=(OWN,))


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


# Sysctls


def sysctl(examined: Subject, others: tuple[str, ...] = (), **values: int) -> list[Finding]:
    """Findings for values of ``all`` or of ``eth0``, as in all_arp_ignore=1; ``6`` in the end stands for IPv6."""
    files = {}
    for name, value in values.items():
        where, _underscore, option = name.partition("_")
        family = "ipv6" if option.endswith("ipv6") else "ipv4"
        files[f"net/{family}/conf/{where}/{option}"] = str(value)
    return list(kernel_settings.findings(examined, files.get, others=others))


def test_a_setting_of_an_interface_with_a_dot_is_named_as_sysctl_takes_it() -> None:
    examined = Subject(interface="eth0.10", hosts=(replace(host(), interface="eth0.10"),), own=(OWN,))
    files = {"net/ipv4/conf/eth0.10/rp_filter": "1"}

    found = only(list(kernel_settings.findings(examined, files.get, others=("eth1",))))

    assert found.command == "sysctl -w net.ipv4.conf.eth0/10.rp_filter=2"
    assert found.words.startswith("net.ipv4.conf.eth0/10.rp_filter is 1")


def test_the_defaults_of_the_kernel_are_well() -> None:
    assert sysctl(subject(), all_arp_ignore=0, eth0_arp_ignore=1, eth0_arp_announce=2, eth0_rp_filter=2) == []


@pytest.mark.parametrize("value", [3, 8])
def test_an_interface_that_answers_no_arp_is_found(value: int) -> None:
    found = only(sysctl(subject(), all_arp_ignore=value))

    assert found.words == f"net.ipv4.conf.all.arp_ignore is {value}"
    assert found.command == "sysctl -w net.ipv4.conf.all.arp_ignore=1"


def test_the_interfaces_own_setting_counts_where_it_has_the_addresses_itself() -> None:
    assert sysctl(subject(), eth0_arp_ignore=8) == []
    assert only(sysctl(subject(host(has_device=False)), eth0_arp_ignore=8)).words.startswith("net.ipv4.conf.eth0.")


def test_answers_within_the_subnet_alone_are_none_for_a_single_address() -> None:
    assert sysctl(subject(), all_arp_ignore=2) == []
    assert only(sysctl(subject(host("192.168.1.50/32")), all_arp_ignore=2)).severity is Severity.PROBLEM


def test_arp_answers_by_route_leave_out_a_device_of_its_own() -> None:
    assert only(sysctl(subject(), all_arp_filter=1)).severity is Severity.PROBLEM


def test_answers_for_others_are_found() -> None:
    found = only(sysctl(subject(), eth0_proxy_arp=1))

    assert (found.severity, found.words) == (Severity.ADVICE, "net.ipv4.conf.eth0.proxy_arp is 1")


def test_a_strict_reverse_path_is_advice_unless_there_is_another_way_back() -> None:
    assert only(sysctl(subject(), all_rp_filter=1)).severity is Severity.ADVICE
    found = only(sysctl(subject(), ("eth1",), eth0_rp_filter=1))
    assert (found.severity, found.command) == (Severity.WARNING, "sysctl -w net.ipv4.conf.eth0.rp_filter=2")


def test_a_loose_setting_for_all_outweighs_a_strict_one() -> None:
    assert sysctl(subject(), all_rp_filter=2, eth0_rp_filter=1) == []


def test_ipv6_that_is_off_matters_to_hosts_that_need_it() -> None:
    assert sysctl(subject(), eth0_disable_ipv6=1) == []
    assert only(sysctl(subject(host("fd00::50/64")), eth0_disable_ipv6=1)).severity is Severity.PROBLEM


def test_devices_that_are_made_without_ipv6_matter_to_hosts_that_have_them() -> None:
    assert only(sysctl(subject(host("fd00::50/64")), default_disable_ipv6=1)).command.endswith("disable_ipv6=0")
    assert sysctl(subject(host("fd00::50/64", has_device=False)), default_disable_ipv6=1) == []


# Links


def link(name: str, **facts: Any) -> dict[str, Any]:
    return {"ifname": name, "flags": ["UP", "LOWER_UP"], "operstate": "UP", "mtu": 1500} | facts


def of_links(examined: Subject, *entries: dict[str, Any]) -> list[Finding]:
    return list(link_findings.findings(examined, link_findings.Links.of(list(entries))))


def test_a_link_that_is_up_is_well() -> None:
    assert of_links(subject(), link("eth0")) == []


def test_an_interface_that_is_missing_is_found_with_those_that_there_are() -> None:
    assert only(of_links(subject(), link("em0"))).words == "there is no interface eth0; there are: em0"


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"flags": ["BROADCAST"]}, "down"),
        ({"flags": ["UP", "NO-CARRIER"], "operstate": "DOWN"}, "no-carrier"),
        ({"mtu": 500}, "mtu"),
    ],
)
def test_what_is_wrong_with_a_link_is_found(facts: dict[str, Any], kind: str) -> None:
    assert only(of_links(subject(), link("eth0", **facts))).kind == kind


def test_an_mtu_that_is_too_small_for_ipv6_is_a_problem() -> None:
    assert only(of_links(subject(host("fd00::50/64")), link("eth0", mtu=1200))).severity is Severity.PROBLEM
    assert of_links(subject(), link("eth0", mtu=1200)) == []


BARE = Subject(interface="eth0", own=(OWN,))
"""A machine without hosts, such as one that is a switch."""


def bridged(bridge: dict[str, Any], port: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        link("br0", linkinfo={"info_kind": "bridge", "info_data": bridge}),
        link("eth0", master="br0", linkinfo={"info_slave_kind": "bridge", "info_slave_data": port}),
    ]


@pytest.mark.parametrize(
    ("bridge", "port", "kind", "command"),
    [
        ({"mcast_snooping": 1, "mcast_querier": 0}, {}, "no-querier", "ip link set br0 type bridge mcast_querier 1"),
        ({}, {"locked": True}, "mac-lock", "bridge link set dev eth0 locked off"),
        ({}, {"mcast_flood": False}, "mcast-flood", "bridge link set dev eth0 mcast_flood on"),
        ({}, {"learning": False}, "no-learning", "bridge link set dev eth0 learning on"),
    ],
)
def test_what_is_wrong_with_a_bridge_is_found_with_what_mends_it(
    bridge: dict[str, Any], port: dict[str, Any], kind: str, command: str
) -> None:
    found = only(of_links(BARE, *bridged(bridge, port)))

    assert (found.kind, found.command) == (kind, command)


def test_a_bridge_that_queries_or_does_not_snoop_is_well() -> None:
    for facts in ({"mcast_snooping": 1, "mcast_querier": 1}, {"mcast_snooping": 0, "mcast_querier": 0}):
        assert of_links(BARE, *bridged(facts, {"locked": False, "mcast_flood": True, "learning": True})) == []


@pytest.mark.parametrize("kind", ["bridge", "bond", "team", "openvswitch"])
def test_hosts_on_an_interface_whose_frames_another_device_takes_are_found(kind: str) -> None:
    port = link("eth0", master="br0", linkinfo={"info_slave_kind": kind})

    found = only(of_links(subject(), link("br0"), port))

    assert (found.kind, found.severity) == ("port", Severity.PROBLEM)
    assert found.command.startswith("pycarp scan br0")


def test_a_port_without_hosts_and_an_interface_of_a_vrf_are_well() -> None:
    in_vrf = link("eth0", master="red", linkinfo={"info_slave_kind": "vrf"})

    assert of_links(BARE, *bridged({}, {})) == []
    assert of_links(subject(), link("red"), in_vrf) == []


def test_a_listing_that_is_none_has_no_links() -> None:
    listings: list[object] = [None, {}, [None, 1, {}], "x"]

    assert all(link_findings.Links.of(each).by_name == {} for each in listings)


@pytest.mark.parametrize(("known", "is_found"), [("kernel/drivers/net/macvlan.ko.xz:", False), ("other.ko", True)])
def test_a_kernel_without_macvlan_is_found(tmp_path: Path, known: str, is_found: bool) -> None:
    (tmp_path / "6.1").mkdir()
    (tmp_path / "6.1" / "modules.dep").write_text(known)
    (tmp_path / "6.1" / "modules.builtin").write_text("")

    found = link_findings.macvlan_finding("6.1", modules=tmp_path, loaded=tmp_path)

    assert (found is not None) is is_found
    assert link_findings.macvlan_finding("7.0", modules=tmp_path, loaded=tmp_path) is None


# Other daemons


def written(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def managed(root: Path, examined: Subject) -> list[Finding]:
    return list(managers.findings(examined, {"eth0": 2, "carp0": 5}, root=root))


ETH0 = "[Match]\nName=eth0\n[Network]\nDHCP=yes\n"


def test_networkd_that_drops_foreign_addresses_is_found(tmp_path: Path) -> None:
    state = {"run/systemd/netif/links/2": "NETWORK_FILE=/etc/systemd/network/10-lan.network\n"}
    written(tmp_path, **state, **{"etc/systemd/network/10-lan.network": ETH0})

    found = only(managed(tmp_path, subject(host(has_device=False))))

    assert (found.kind, "KeepConfiguration=yes" in found.command) == ("networkd", True)
    assert managed(tmp_path, subject()) == []


@pytest.mark.parametrize("where", ["10-lan.network", "10-lan.network.d/keep.conf"])
def test_networkd_that_keeps_them_is_well(tmp_path: Path, where: str) -> None:
    written(
        tmp_path,
        **{
            "run/systemd/netif/links/2": "NETWORK_FILE=/etc/systemd/network/10-lan.network\n",
            "etc/systemd/network/10-lan.network": ETH0,
        },
    )
    written(tmp_path, **{f"etc/systemd/network/{where}": "[Match]\nName=eth0\n[Network]\nKeepConfiguration=yes\n"})

    assert managed(tmp_path, subject(host(has_device=False))) == []


def test_networkd_that_configures_the_device_of_a_host_is_found(tmp_path: Path) -> None:
    written(tmp_path, **{"run/systemd/netif/links/2": "", "etc/systemd/network/99-all.network": "[Match]\nName=*\n"})

    found = only(managed(tmp_path, subject()))
    assert (found.subject, found.words.endswith("by /etc/systemd/network/99-all.network")) == ("carp0", True)

    written(tmp_path, **{"etc/systemd/network/00-carp0.network": "[Match]\nName=carp0\n[Link]\nUnmanaged=yes\n"})
    assert managed(tmp_path, subject()) == []


def test_without_networkd_its_files_do_not_matter(tmp_path: Path) -> None:
    written(tmp_path, **{"etc/systemd/network/99-all.network": "[Match]\nName=*\n"})

    assert managed(tmp_path, subject()) == []


def test_networkmanager_that_manages_the_device_is_found(tmp_path: Path) -> None:
    written(tmp_path, **{"run/NetworkManager/devices/5": "[device]\nmanaged=true\n"})

    found = only(managed(tmp_path, subject()))
    assert (found.kind, "unmanaged-devices=interface-name:carp0" in found.command) == ("network-manager", True)

    written(tmp_path, **{"run/NetworkManager/devices/5": "[device]\nmanaged=false\n"})
    assert managed(tmp_path, subject()) == []


def test_kin_of_carp_is_mentioned_with_its_processes() -> None:
    found = only(list(managers.kin_findings({7: "keepalived", 8: "keepalived", 9: "bash"})))

    assert (found.severity, found.words) == (Severity.ADVICE, "keepalived runs here as well (process 7, 8)")


# Units


def test_a_unit_of_today_is_well_whatever_it_was_installed_with(tmp_path: Path) -> None:
    unit = ServiceUnit(
        command=("/bin/sh",), arguments=("/etc/pycarp.toml",), user="pycarp", group="adm", awaits_addresses=True
    )
    (tmp_path / "pycarp.service").write_text(unit.text())

    assert list(unit_file.findings(tmp_path)) == []


def test_a_unit_of_an_older_version_is_found(tmp_path: Path) -> None:
    unit = ServiceUnit(command=("/bin/sh", "-m", "pycarp"), arguments=("/etc/my carp.toml",))
    text = unit.text().replace("WatchdogSec=10\n", "")
    (tmp_path / "lan.service").write_text(text)

    found = only(list(unit_file.findings(tmp_path)))

    assert (found.kind, found.words.endswith("it lacks WatchdogSec=10")) == ("old-unit", True)
    installing = "pycarp service install --force --name lan '/etc/my carp.toml'"
    assert found.command == f"{installing} && systemctl daemon-reload"


def test_a_unit_whose_program_is_gone_is_found(tmp_path: Path) -> None:
    (tmp_path / "pycarp.service").write_text(ServiceUnit(command=("/nonexistent/pycarp",), arguments=()).text())

    assert only(list(unit_file.findings(tmp_path))).kind == "unit-without-program"


def test_units_of_others_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "ssh.service").write_text("[Service]\nExecStart=/nonexistent/sshd\n")
    (tmp_path / "pycarp.service").mkdir()

    assert list(unit_file.findings(tmp_path)) == []
    assert list(unit_file.findings(tmp_path / "nothing")) == []


# Permissions


@pytest.mark.parametrize(
    ("effective", "bounding", "severities"),
    [
        ("3000", "3000", []),
        ("0000", "3000", [Severity.ADVICE, Severity.ADVICE]),
        ("2000", "2000", [Severity.PROBLEM]),
        ("0", "0", [Severity.PROBLEM, Severity.PROBLEM]),
    ],
)
def test_capabilities_that_are_missing_are_found(effective: str, bounding: str, severities: list[Severity]) -> None:
    status = f"Name:\tpython\nCapEff:\t{effective}\nCapBnd:\t{bounding}\n"

    assert [each.severity for each in permissions.findings(status)] == severities


# The segment


def heard(*packets: tuple[bytes, Address, MacAddress]) -> ScanReport:
    scan = Scan()
    for octets, source, mac in packets:
        scan.add(captured(frame(ip_packet(octets, source=source), Macs(source=mac))))
    return scan.report(NS_PER_S)


def conflicts(
    answers: dict[Address, set[MacAddress]], report: ScanReport | None = None, here: MacAddress = REAL
) -> list[str]:
    found = segment.conflict_findings(subject(), answers, {}, report or heard(), here=frozenset({here}))
    return [each.kind for each in found]


def test_the_master_may_answer_for_a_shared_address() -> None:
    assert conflicts({SHARED: {virtual_mac(VHID)}}) == []
    assert conflicts({SHARED: {OTHER}}, heard((payload(), TWO, OTHER))) == []
    assert conflicts({SHARED: {REAL}}) == []


def test_two_masters_that_answer_are_found() -> None:
    assert conflicts({SHARED: {virtual_mac(VHID), OTHER}}, heard((payload(2), TWO, OTHER))) == ["two-masters"]


def test_anybody_else_who_answers_for_a_shared_address_is_found() -> None:
    assert conflicts({SHARED: {OTHER}}) == ["duplicate-address"]
    assert conflicts({SHARED: {virtual_mac(VHID + 1)}}) == ["duplicate-address"]


def test_another_machine_with_an_own_address_is_found() -> None:
    assert conflicts({OWN.ip: {OTHER}}) == ["duplicate-address"]
    assert conflicts({OWN.ip: {REAL}}) == []


def test_a_router_with_the_id_of_a_host_is_found_though_this_host_is_silent() -> None:
    found = list(segment.scan_findings(subject(), heard((version_2(1, vrid=VHID), TWO, OTHER))))

    assert [each.kind for each in found] == ["collision"]


def test_problems_of_other_vhids_are_not_those_of_our_hosts() -> None:
    report = heard((payload(), ONE, virtual_mac(VHID)), (payload(2, advbase=255, advskew=255), ONE, virtual_mac(VHID)))
    other = heard((payload(1, vhid=9, advbase=0), ONE, virtual_mac(9)))

    assert list(segment.scan_findings(subject(), other)) == []
    assert list(segment.scan_findings(subject(), report)) == []


@pytest.mark.parametrize(
    ("mode", "reason", "kind"),
    [
        (MacMode.VIRTUAL, "192.168.1.1 answers a foreign MAC address on eth0", None),
        (MacMode.INTERFACE, "frames from foreign MAC addresses get no answer on eth0", "mac-lock"),
        (MacMode.VIRTUAL, "no neighbour to test it with on eth0", "mac-unknown"),
    ],
)
def test_a_mac_address_that_is_not_carried_is_found(mode: MacMode, reason: str, kind: str | None) -> None:
    found = segment.mac_finding("eth0", mode, reason)

    assert (found and found.kind) == kind


def verified(*packets: tuple[bytes, Address, MacAddress]) -> ScanReport:
    scan = Scan(secrets={VHID: [SECRET]})
    for octets, source, mac in packets:
        scan.add(captured(frame(ip_packet(octets, source=source), Macs(source=mac))))
    return scan.report(NS_PER_S)


def conflict_kinds(found_at: MacAddress, *, peer: bool = False, report: ScanReport | None = None) -> list[str]:
    """Kinds that are found when a MASTER gets an answer for its address."""
    ours = replace(host(), peers=(TWO,) if peer else (), state=State.MASTER)
    answers: dict[Address, set[MacAddress]] = {SHARED: {found_at}, TWO: {OTHER}}
    found = segment.conflict_findings(
        subject(ours), answers, {}, report or heard(), here=frozenset({REAL}), held=frozenset({SHARED})
    )
    return [each.kind for each in found]


def test_a_master_that_is_answered_from_the_virtual_mac_or_by_a_peer_is_not_alone() -> None:
    assert conflict_kinds(virtual_mac(VHID)) == ["unheard-master"]
    assert conflict_kinds(OTHER, peer=True) == ["unheard-master"]
    assert conflict_kinds(OTHER) == ["duplicate-address"]


def test_a_master_that_is_heard_is_no_unheard_one() -> None:
    assert conflict_kinds(virtual_mac(VHID), report=heard((payload(), TWO, virtual_mac(VHID)))) == []


def test_a_host_that_signs_otherwise_and_answers_for_no_address_is_of_another_group() -> None:
    other_group = verified((payload(1, digest=bytes(20)), TWO, OTHER))
    answers: dict[Address, set[MacAddress]] = {TWO: {OTHER}, SHARED: {virtual_mac(VHID)}}

    found = only(list(segment.foreign_group_findings(subject(), other_group, answers, answers)))
    assert (found.kind, str(TWO) in found.words) == ("foreign-group", True)

    ours = answers | {SHARED: {OTHER}}
    assert list(segment.foreign_group_findings(subject(), other_group, ours, ours)) == []


def test_the_peer_that_nobody_is_is_found() -> None:
    ours = replace(host(), peers=(ONE, TWO, ip_address("10.0.0.1")))

    assert only(list(segment.peer_findings(subject(ours), {TWO: {OTHER}}))).words.startswith(
        f"nobody has the address {ONE}"
    )


def test_another_advbase_is_found_and_that_of_a_host_that_leaves_is_not() -> None:
    ours = replace(host(), advbase=1)
    slow, leaving = heard((payload(1, advbase=7), TWO, OTHER)), heard((payload(1, advbase=255), TWO, OTHER))

    assert only(list(segment.scan_findings(subject(ours), slow))).kind == "advbase"
    assert list(segment.scan_findings(subject(ours), leaving)) == []


def test_the_counters_of_two_masters_are_no_replay() -> None:
    scan = Scan()
    for second, source, counter in ((0.0, ONE, 5), (0.2, TWO, 5), (1.0, ONE, 6), (1.2, TWO, 6), (2.0, ONE, 7)):
        scan.add(captured(frame(ip_packet(payload(counter), source=source)), at_s=second))
    report = scan.report(2 * NS_PER_S)

    assert "replay" in {each.kind for each in report.problems}
    assert [each.kind for each in segment.scan_findings(subject(), report)] == ["two-masters"]
    ours = msgspec.structs.replace(subject(), own=(ip_interface(f"{TWO}/24"),))
    assert [each.kind for each in segment.scan_findings(ours, report)] == ["two-masters"]


def test_own_advertisements_that_come_back_are_a_loop() -> None:
    twice = heard((payload(5), OWN.ip, OTHER), (payload(6), OWN.ip, OTHER), (payload(5), OWN.ip, OTHER))

    assert [each.kind for each in segment.scan_findings(subject(), twice)] == ["loop"]


# Own addresses and neighbours


def placed(examined: Subject, *links_: LinkFacts) -> list[Finding]:
    return list(address_findings.findings(examined, links_))


def test_a_shared_address_that_is_put_on_an_interface_by_hand_is_found() -> None:
    by_hand = LinkFacts(name="eth0", is_up=True, mac=REAL, addresses=(OWN, ip_interface(f"{SHARED}/24")))
    device = LinkFacts(name="carp0", is_up=True, mac=virtual_mac(VHID), addresses=(ip_interface(f"{SHARED}/24"),))

    assert only(placed(subject(), by_hand)).command == f"ip addr del {SHARED}/24 dev eth0"
    assert placed(subject(), device) == []
    on_interface = replace(host(has_device=False), state=State.MASTER)
    assert placed(subject(on_interface), by_hand) == []
    assert only(placed(subject(replace(on_interface, state=State.BACKUP)), by_hand)).kind == "by-hand"


def test_a_host_on_the_wrong_interface_is_found_with_the_right_one() -> None:
    elsewhere = Subject(
        interface="eth1", hosts=(replace(host(), interface="eth1"),), own=(ip_interface("10.0.0.1/24"),)
    )
    eth0 = LinkFacts(name="eth0", is_up=True, mac=REAL, addresses=(OWN,))

    assert only(placed(elsewhere, eth0)).command.startswith("pycarp scan eth0")
    assert placed(subject(), eth0) == []


def test_a_shared_address_in_no_subnet_of_the_interface_is_worth_a_look() -> None:
    eth0 = LinkFacts(name="eth0", is_up=True, mac=REAL, addresses=(OWN,))

    found = only(placed(subject(host("10.7.7.50/24")), eth0))

    assert (found.kind, found.severity) == ("other-subnet", Severity.ADVICE)
    assert placed(replace(subject(host("10.7.7.50/24")), own=()), eth0) == []


def test_an_interface_without_a_link_local_address_is_found_by_hosts_of_ipv6() -> None:
    shared = host("fd00::50/64")
    bare = LinkFacts(name="eth0", is_up=True, mac=MacAddress.parse("02:00:5e:10:00:01"), addresses=(OWN,))
    well = replace(bare, addresses=(OWN, ip_interface("fe80::1/64")))

    found = only(placed(subject(shared), bare))

    assert (found.kind, found.command) == ("no-link-local", "ip addr add fe80::5eff:fe10:1/64 dev eth0")
    assert placed(subject(shared), well) == []
    assert placed(subject(), bare) == []


def test_a_virtual_mac_address_that_frames_do_not_reach_is_found() -> None:
    virtual = virtual_mac(VHID)
    answers: dict[Address, set[MacAddress]] = {SHARED: {virtual}}

    targets = segment.virtual_macs_of_others(subject(), answers, held=frozenset())

    assert targets == {SHARED: virtual}
    assert only(list(segment.unreached_findings(subject(), targets, []))).kind == "mac-unreached"
    assert list(segment.unreached_findings(subject(), targets, list(targets))) == []
    assert segment.virtual_macs_of_others(subject(), answers, held=frozenset({SHARED})) == {}
    assert segment.virtual_macs_of_others(subject(), {SHARED: {OTHER}}, held=frozenset()) == {}


def test_a_damaged_advertisement_is_no_other_password() -> None:
    octets = bytearray(payload())
    octets[-1] ^= 1
    scan = Scan(secrets={VHID: [SECRET]})
    scan.add(captured(frame(ip_packet(bytes(octets), source=ONE), Macs(source=REAL))))

    found = only(list(segment.scan_findings(subject(), scan.report(NS_PER_S))))

    assert found.kind == "checksum"
    assert "damaged on the way" in found.reason
    assert found.command.startswith("tcpdump")


def test_a_neighbour_entry_that_no_arp_changes_is_found() -> None:
    entry = {"dst": str(SHARED), "lladdr": str(OTHER), "state": ["PERMANENT"]}
    learned = entry | {"state": ["REACHABLE"]}

    assert (
        only(list(neighbour_findings.findings("eth0", [SHARED], [entry]))).command == f"ip neigh del {SHARED} dev eth0"
    )
    assert list(neighbour_findings.findings("eth0", [SHARED], [learned, entry | {"dst": str(ONE)}, None])) == []


# Alarms


def test_the_alarms_of_the_daemon_are_findings_unless_one_says_the_same() -> None:
    alarm = Alarm(name="own-address", text="x", command="pycarp who y")
    ours = subject(replace(host(), alarms=(alarm,)))

    assert only(list(alarm_findings.findings(ours, set()))).command == "pycarp who y"
    assert list(alarm_findings.findings(ours, {"loop"})) == []


# Subjects


def test_hosts_are_gathered_by_interface_and_families_by_their_addresses() -> None:
    (found,) = subjects_of([host(), host("fd00::50/64")], [], {"eth0": (OWN,)})

    assert (found.families, found.shared) == ((Family.IPV4, Family.IPV6), (SHARED, ip_address("fd00::50")))
    assert subjects_of((), ["eth1"], {})[0].families == tuple(Family)
