"""What will not work in configurations that can be read."""

from ipaddress import ip_interface
from typing import Any

import pytest

from pycarp.config import Problem
from pycarp.config.config_check import CheckedFile, Finding, Severity, check
from pycarp.config.model import Attached, NodeConfig
from pycarp.core.host_config import HostConfig
from pycarp.dialects import FREEBSD, OPENBSD, UCARP, UNIVERSAL
from pycarp.health import check_of
from pycarp.hooks import Hook, On
from pycarp.vocabulary import LinkFacts, MacAddress


def host(**settings: Any) -> HostConfig:
    return HostConfig(
        **{
            "interface": "em0",
            "vhid": 1,
            "passphrase": "hunter2",
            "addresses": ["10.0.0.1/24"],
            "preempt": True,
            **settings,
        }
    )


def file(path: str, *hosts: HostConfig, says_preempt: bool = True, **config: Any) -> CheckedFile:
    places = {each.key: (3, 7) for each in hosts}
    return CheckedFile(path=path, config=NodeConfig(hosts=hosts, places=places, **config), says_preempt=says_preempt)


def warnings(*files: CheckedFile, links: tuple[str, ...] = ()) -> list[str]:
    found = check(files, [LinkFacts(name=name, is_up=True) for name in links])
    return [str(each) for each in found if each.severity is Severity.WARNING]


A = file("a", host(advskew=0))
B = file("b", host(advskew=100))


def test_two_machines_that_fit_are_well() -> None:
    assert check([A, B]) == []


def test_problems_are_errors_with_their_place() -> None:
    found = check([CheckedFile(path="a", problems=(Problem("a", 3, 5, "no", "yes"),))])

    assert [str(each) for each in found] == ["a:3:5: error: no (yes)"]


def test_notes_are_findings_too() -> None:
    found = check([file("a", host(), notes=("a:7: passed over: x",))])

    assert found == [Finding(Severity.NOTE, Problem("a", 7, 1, "passed over: x"))]


def test_equal_skews_prefer_nobody() -> None:
    (only,) = warnings(A, file("b", host(advskew=0)))

    assert only.startswith("b:3:7: warning: vhid 1 has the same advskew 0 as in a:3, so that nobody is preferred (")


def test_skews_that_freebsd_announces_as_the_same_are_equal() -> None:
    (first, *_others) = warnings(
        file("a", host(advskew=245, dialect=FREEBSD)), file("b", host(advskew=250, dialect=FREEBSD))
    )

    assert "vhid 1 has the same advskew" in first


def test_another_password_is_warned_about_and_not_shown() -> None:
    (only,) = warnings(A, file("b", host(advskew=100, passphrase="hunter3")))

    assert (
        only == "b:3:7: warning: vhid 1 has another password than in a:3 (hosts hear only those with the same password)"
    )


def test_other_addresses_are_named() -> None:
    (only,) = warnings(A, file("b", host(advskew=100, addresses=["10.0.0.1/24", "10.0.0.2/24"])))

    assert "b:3:7: warning: vhid 1 shares other addresses than in a:3; only here: 10.0.0.2 (the addresses are" in only


def test_the_order_and_the_prefixes_of_addresses_do_not_matter() -> None:
    one = file("a", host(addresses=["10.0.0.1/24", "10.0.0.2/32"]))
    other = file("b", host(advskew=100, addresses=["10.0.0.2/24", "10.0.0.1/32"]))

    assert warnings(one, other) == []


def test_another_advbase_is_warned_about() -> None:
    found = warnings(A, file("b", host(advskew=100, advbase=3)))

    assert "b:3:7: warning: vhid 1 has advbase 3, and 1 in a:3" in found[0]


@pytest.mark.parametrize(
    ("preferred", "backup"),
    [
        ({"advskew": 0}, {"advskew": 0, "advbase": 2}),
        ({"advskew": 0}, {"advskew": 254}),
        ({"advskew": 0, "dialect": UCARP}, {"advskew": 250, "dialect": UCARP}),
    ],
)
def test_a_demotion_that_is_still_better_than_the_backup_never_moves_the_address(
    preferred: dict[str, Any], backup: dict[str, Any]
) -> None:
    found = warnings(file("a", host(**preferred)), file("b", host(**backup)))

    assert "b:3:7: warning: a demotion of vhid 1 in a:3 can never move the address here" in found[-1]


def test_openbsds_demotion_does_not_depend_on_the_skew() -> None:
    files = (file("a", host(dialect=OPENBSD)), file("b", host(dialect=OPENBSD, advskew=254)))

    assert warnings(*files) == []


@pytest.mark.parametrize(
    ("settings", "config", "says_preempt", "expected"),
    [
        ({"preempt": False}, {}, True, [Severity.NOTE]),
        ({"preempt": False}, {"sysctls": (("net.inet.carp.demotion", 10),)}, True, [Severity.WARNING]),
        ({"preempt": False}, {"sysctls": (("net.inet.carp.preempt", 1),)}, True, []),
        ({"preempt": False}, {}, False, []),
        ({"preempt": True}, {}, True, []),
    ],
)
def test_a_demotion_moves_nothing_to_a_backup_that_does_not_preempt(
    settings: dict[str, Any], config: dict[str, Any], says_preempt: bool, expected: list[Severity]
) -> None:
    backup = file("b", host(advskew=100, dialect=UNIVERSAL, **settings), says_preempt=says_preempt, **config)

    assert [each.severity for each in check([A, backup])] == expected


@pytest.mark.parametrize("name", ["senderr_demotion_factor", "ifdown_demotion_factor"])
def test_a_factor_of_nothing_never_moves_an_address(name: str) -> None:
    (only,) = warnings(file("a", host(), sysctls=((f"net.inet.carp.{name}", 0),)))

    assert only.startswith(f"a:1:1: warning: {name} 0: such a failure never moves an address")


@pytest.mark.parametrize(
    ("shared", "there", "is_own"),
    [
        ("10.0.0.1/24", "em1", True),
        ("10.0.0.1/32", "em0:1", True),
        ("fe80::1/64", "em0", True),
        ("fe80::1/64", "em1", False),
        ("10.0.0.9/24", "em0", False),
    ],
)
def test_an_address_of_this_machine_is_warned_about(shared: str, there: str, is_own: bool) -> None:
    own = tuple(ip_interface(each) for each in ("10.0.0.1/24", "fe80::1/64"))
    links = [LinkFacts(name="em0", is_up=True), LinkFacts(name=there, is_up=True, addresses=own)]
    found = [str(each) for each in check([file("a", host(addresses=[shared]))], links)]

    assert any("is this machine's own address, on em" in each for each in found) == is_own


def test_a_neutral_host_may_find_its_address_here() -> None:
    links = [LinkFacts(name="em0", is_up=True, addresses=(ip_interface("10.0.0.1/24"),))]

    assert check([file("a", host(neutral=True))], links) == []


def test_an_interface_that_is_missing_here_is_warned_about() -> None:
    assert warnings(A, links=("lo", "eth0", "eth0:1")) == [
        "a:3:7: warning: interface em0 does not exist on this machine; there are: lo, eth0 (--map em0=eth0)"
    ]
    assert warnings(A, links=("lo", "em0")) == []


def test_a_short_interval_is_warned_about() -> None:
    (only,) = warnings(file("a", host(advbase=0, advskew=5)))

    assert only.startswith("a:3:7: warning: advbase 0 advskew 5 is an interval of 20 ms")
    assert only.endswith("(use advskew 13 (50 ms) or more, or advbase 1)")


@pytest.mark.parametrize(
    ("settings", "is_in_the_way"),
    [({"name": "eth7"}, True), ({"name": "lo"}, True), ({"name": "eth7", "mac_mode": "interface"}, False), ({}, False)],
)
def test_a_host_that_is_called_like_an_interface_is_warned_about(
    settings: dict[str, Any], *, is_in_the_way: bool
) -> None:
    found = warnings(file("a", host(**settings)), links=("lo", "em0", "eth7"))

    assert [each.partition(" already")[0] for each in found] == [
        f"a:3:7: warning: there is an interface {settings['name']}" for _each in range(is_in_the_way)
    ]
    assert all(
        each.endswith(': pycarp run refuses it (give the host another name, or set mac_mode = "interface")')
        for each in found
    )


def test_the_device_of_an_earlier_run_is_in_nobodys_way() -> None:
    left = LinkFacts(name="carp0", is_up=True, mac=MacAddress.parse("00:00:5e:00:01:01"))

    assert check([file("a", host(name="carp0"))], [LinkFacts(name="em0", is_up=True), left]) == []


@pytest.mark.parametrize("name", ["all", "default", "web/1", "a-name-that-is-long"])
def test_a_name_that_no_device_can_have_is_noted_with_the_name_of_the_device(name: str) -> None:
    (only,) = map(str, check([file("a", host(name=name))]))

    assert only == f"a:3:7: note: no device can be called '{name}'; that of vhid 1 is called carp1"


def test_a_file_that_everybody_can_read_is_warned_about() -> None:
    (only,) = warnings(CheckedFile(path="a", config=NodeConfig(hosts=(host(),)), exposed=("a",)))

    assert only == "a:1:1: warning: everybody on this machine can read the password (chmod o-rwx a)"


def test_the_same_vhid_on_another_segment_is_another_one() -> None:
    elsewhere = host(interface="em1", addresses=["192.168.7.1/24"], passphrase="x")

    assert warnings(A, file("b", elsewhere)) == []


def test_the_same_vhid_in_another_subnet_of_the_same_name_is_the_same_one() -> None:
    (only,) = warnings(A, file("b", host(advskew=100, addresses=["192.168.7.1/24"])))

    assert "only here: 192.168.7.1; only there: 10.0.0.1" in only


def test_the_devices_may_be_called_otherwise_on_the_other_machine() -> None:
    (only,) = warnings(A, file("b", host(interface="eth0", advskew=100, passphrase="x")))

    assert "another password" in only


@pytest.mark.parametrize("names", [("hostname.carp0", "hostname.carp1"), ("vip-001.conf", "vip-002.conf")])
def test_files_of_a_folder_are_one_machine(names: tuple[str, str]) -> None:
    one = file(f"/etc/{names[0]}", host())
    other = file(f"/etc/{names[1]}", host(interface="em1", addresses=["10.1.0.1/24"]))

    assert warnings(one, other) == []
    assert len(warnings(one, other, file("/b/hostname.carp0", host()))) == 1


def test_two_files_of_a_machine_cannot_share_a_vhid_or_an_address() -> None:
    one, other = (file(f"/etc/hostname.carp{n}", host()) for n in range(2))

    assert [each.partition(" (")[0] for each in warnings(one, other)] == [
        "/etc/hostname.carp1:3:7: warning: vhid 1 is used on em0 by /etc/hostname.carp0:3 already",
        "/etc/hostname.carp1:3:7: warning: 10.0.0.1 is shared by vhid 1 in /etc/hostname.carp0:3 already",
    ]


def test_findings_are_in_the_order_of_the_files_and_lines() -> None:
    problems = (Problem("b", 9, 1, "late"), Problem("b", 2, 1, "early"))
    files = [CheckedFile(path="b", problems=problems), file("a", host(), notes=("a:1: x",))]

    assert [(each.problem.file, each.problem.line) for each in check(files)] == [("b", 2), ("b", 9), ("a", 1)]


def test_an_address_alone_is_compared_as_well() -> None:
    one, other = (file(name, host(addresses=[ip_interface("10.0.0.1/32")], advskew=7)) for name in "ab")

    assert len(warnings(one, other)) == 1


@pytest.mark.parametrize(("mac_mode", "said"), [("virtual", 1), ("auto", 0), ("interface", 0)])
def test_the_virtual_mac_beside_unicast_peers_is_warned_about(mac_mode: str, said: int) -> None:
    """Source: carp.md 14."""
    found = warnings(file("a", host(mac_mode=mac_mode, peers=["10.0.0.9"])))

    assert [each for each in found if "a:3:7" in each and "virtual MAC" in each] == found
    assert len(found) == said


def test_the_virtual_mac_without_peers_is_as_it_should_be() -> None:
    assert warnings(file("a", host(mac_mode="virtual"))) == []


def test_an_empty_password_is_warned_about() -> None:
    assert warnings(file("a", host(passphrase=""))) == [
        (
            "a:3:7: warning: the password is empty: anybody could take the address "
            "(write the same one on every host, with up to 19 octets)"
        )
    ]


def test_two_hosts_of_one_name_are_warned_about() -> None:
    one, other = host(name="web"), host(name="web", vhid=2, addresses=["10.0.0.2/24"])

    assert warnings(file("a", one, other)) == [
        "a:3:7: warning: web is the name of 1@em0 already (commands take the name: give each host one of its own)"
    ]
    assert warnings(file("a", one, host(name="mail", vhid=2, addresses=["10.0.0.2/24"]))) == []


def checked(by: int | None, **settings: Any) -> CheckedFile:
    table = {"name": "web", "tcp": "127.0.0.1:80"} | ({} if by is None else {"by": by})
    return file("a", host(**settings), checks=(Attached(host=None, item=check_of(table), table=table, place=(9, 1)),))


NEVER_MOVES = (
    "a:9:1: warning: check web never moves the address of vhid 1: demoted by 50 this host announces advbase 1 "
    "advskew 50, and b:3 advbase 1 advskew 100 (demote by 101 or more, or leave by out, so that this host is "
    "the last of all while the check fails)"
)


@pytest.mark.parametrize(("by", "expected"), [(50, [NEVER_MOVES]), (101, []), (None, [])])
def test_a_check_that_cannot_move_the_address_is_warned_about_with_the_arithmetic(
    by: int | None, expected: list[str]
) -> None:
    assert warnings(checked(by), B) == expected


def test_a_check_that_demotes_before_a_backup_without_preempt_is_warned_about() -> None:
    backup = file("b", host(advskew=100, preempt=False, dialect=UNIVERSAL))

    (only,) = warnings(checked(101), backup)

    assert only == (
        "a:9:1: warning: check web never moves the address of vhid 1: b:3 does not preempt "
        "(leave by out, or turn preempt on there)"
    )


def test_programs_of_checks_and_hooks_that_cannot_be_run_are_warned_about() -> None:
    check_table = {"name": "web", "exec": ["/nowhere/check"]}
    hook_table = {"on": ["master"], "run": ["/nowhere/hook"]}
    config: dict[str, Any] = {
        "checks": (Attached(host=None, item=check_of(check_table), table=check_table, place=(5, 1)),),
        "hooks": (
            Attached(
                host=None, item=Hook(name="x", on={On.MASTER}, run=("/nowhere/hook",)), table=hook_table, place=(8, 1)
            ),
        ),
    }

    found = check([file("a", host(), **config)], no_program=lambda name: f"there is no program {name}")

    assert [str(each) for each in found] == [
        f"a:{line}:1: warning: {what} fails: there is no program /nowhere/{name} "
        "(write the path of a program that may be executed)"
        for line, what, name in ((5, "check web", "check"), (8, "hook x", "hook"))
    ]
