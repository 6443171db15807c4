"""The rc.conf reader: both generations, and every mistake with its place and the way out."""

from importlib import resources
from ipaddress import ip_interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.config import ConfigProblems, NodeConfig, rcconf
from pycarp.core.host_config import HostConfig
from pycarp.vocabulary import LinkFacts

SCENARIO = Path(__file__).parent.parent / "scenarios" / "three-hosts"
FXP0 = 'ifconfig_fxp0="inet 192.168.1.3/24"\n'
CLONED = FXP0 + 'cloned_interfaces="carp0"\n'


def links(**addresses: str) -> list[LinkFacts]:
    """Return links of this machine: name=address/prefix, empty for none."""
    return [
        LinkFacts(name=name, is_up=True, addresses=(ip_interface(own),) if own else ())
        for name, own in addresses.items()
    ]


def read(text: str, machine: list[LinkFacts] | None = None, **renames: str) -> NodeConfig:
    return rcconf.read(text, file="rc.conf", links=machine or (), renames=renames)


def carp0(words: str, before: str = CLONED) -> HostConfig:
    """Return the host of an ``ifconfig_carp0`` line."""
    (host,) = read(f'{before}ifconfig_carp0="{words}"\n').hosts
    return host


def complaints(text: str, machine: list[LinkFacts] | None = None, **renames: str) -> list[str]:
    """Return the problems of a text, one string each."""
    with pytest.raises(ConfigProblems) as caught:
        read(text, machine, **renames)
    return [str(each) for each in caught.value.problems]


def complaint(words: str) -> str:
    """Return the one problem of an ``ifconfig_carp0`` line that stands in line 3."""
    (only,) = complaints(f'{CLONED}ifconfig_carp0="{words}"\n')
    return only


# The scenario


def test_the_three_files_of_the_scenario_are_the_ones_in_the_package() -> None:
    for file in SCENARIO.iterdir():
        packaged = resources.files("pycarp.lab").joinpath(f"scenario/{file.name}")
        assert packaged.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("hosta", [("carp0", 1, 0, "192.168.1.50/24")]),
        ("hostb", [("carp0", 2, 0, "192.168.1.51/24")]),
        ("provider", [("carp0", 1, 100, "192.168.1.50/24"), ("carp1", 2, 100, "192.168.1.51/24")]),
    ],
)
def test_the_files_of_the_scenario_work_as_they_stand(machine: str, expected: list[tuple[str, int, int, str]]) -> None:
    config = rcconf.read((SCENARIO / f"{machine}.rc.conf").read_text(), file=machine)

    hosts = [(host.name, host.vhid, host.advskew, str(host.shared[0])) for host in config.hosts]
    assert hosts == expected
    assert config.hostname == f"{machine}.example.org"
    assert {host.interface for host in config.hosts} == {"fxp0"}


# The first generation


def test_a_cloned_carp_has_the_settings_of_its_line() -> None:
    host = carp0("vhid 7 advbase 2 advskew 100 pass testpass 192.168.1.50/24")

    assert (host.vhid, host.advbase, host.advskew, host.name) == (7, 2, 100, "carp0")


@pytest.mark.parametrize(
    "address",
    ["192.168.1.50/24", "inet 192.168.1.50/24", "192.168.1.50 netmask 255.255.255.0",
     "192.168.1.50 netmask 0xffffff00", "192.168.1.50", "up 192.168.1.50/24"],
)  # fmt: skip
def test_every_spelling_of_an_address_is_understood(address: str) -> None:
    assert str(carp0(f"vhid 1 pass s {address}").shared[0]) == "192.168.1.50/24"


def test_aliases_add_addresses() -> None:
    text = CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\nifconfig_carp0_alias0="inet 192.168.1.60/24"\n'

    (host,) = read(text).hosts

    assert [str(each) for each in host.shared] == ["192.168.1.50/24", "192.168.1.60/24"]


def test_a_carp_that_is_not_cloned_is_a_mistake() -> None:
    assert complaints(FXP0 + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n') == [
        'rc.conf:2:1: carp0 is configured but not in cloned_interfaces (add it: cloned_interfaces="carp0")'
    ]


def test_a_carp_that_is_cloned_only_is_a_mistake() -> None:
    assert complaints('cloned_interfaces="bridge0 carp0"\n') == [
        'rc.conf:1:28: carp0 is cloned but not configured (add ifconfig_carp0="vhid ...")'
    ]


# The second generation


def test_a_vhid_on_an_alias_belongs_to_its_interface() -> None:
    (host,) = read(FXP0 + 'ifconfig_fxp0_alias0="inet vhid 1 advskew 100 pass s alias 192.168.1.50/32"\n').hosts

    assert (host.interface, host.vhid, host.advskew, host.name) == ("fxp0", 1, 100, "1@fxp0")
    assert str(host.shared[0]) == "192.168.1.50/32"


def test_aliases_with_the_same_vhid_are_one_host() -> None:
    text = FXP0 + (
        'ifconfig_fxp0_alias0="inet vhid 1 pass s alias 192.168.1.50/32"\n'
        'ifconfig_fxp0_alias1="inet vhid 1 alias 192.168.1.51/32"\n'
        'ifconfig_fxp0_alias2="inet vhid 2 pass s alias 192.168.1.52/32"\n'
    )

    hosts = read(text).hosts

    assert [(host.vhid, len(host.shared)) for host in hosts] == [(1, 2), (2, 1)]


def test_two_passwords_for_one_vhid_are_a_mistake() -> None:
    text = FXP0 + (
        'ifconfig_fxp0_alias0="inet vhid 1 pass s alias 192.168.1.50/32"\n'
        'ifconfig_fxp0_alias1="inet vhid 1 pass t alias 192.168.1.51/32"\n'
    )

    assert complaints(text) == ["rc.conf:3:40: another pass for the same vhid (give all addresses of a vhid the same)"]


def test_vhid_comes_before_what_belongs_to_it() -> None:
    text = FXP0 + 'ifconfig_fxp0_alias0="inet advskew 1 vhid 1 pass s alias 192.168.1.50/32"\n'

    assert complaints(text) == ["rc.conf:2:28: advskew stands before vhid (write vhid first, as FreeBSD demands)"]


def test_an_alias_after_a_gap_is_one_that_freebsd_never_reads() -> None:
    text = FXP0 + 'ifconfig_fxp0_alias1="inet vhid 1 pass s alias 192.168.1.50/32"\n'

    assert complaints(text) == ["rc.conf:2:1: alias1 comes after a gap (FreeBSD stops before alias0)"]


def test_both_generations_may_stand_in_one_file() -> None:
    text = CLONED + (
        'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'
        'ifconfig_fxp0_alias0="inet vhid 2 pass s alias 192.168.1.51/32"\n'
    )

    assert [host.vhid for host in read(text).hosts] == [1, 2]


# Where the addresses live


def test_the_parent_is_the_interface_whose_subnet_contains_the_address() -> None:
    before = 'ifconfig_em0="inet 10.0.0.1/8"\n' + CLONED

    assert carp0("vhid 1 pass s 192.168.1.50/24", before).interface == "fxp0"


def test_a_rename_tells_what_an_interface_is_called_here() -> None:
    text = CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'

    (host,) = read(text, links(lo="127.0.0.1/8", eth0="192.168.1.3/24"), fxp0="eth0").hosts

    assert host.interface == "eth0"


def test_without_a_rename_the_interface_of_this_machine_with_that_subnet_is_taken() -> None:
    text = CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'

    (host,) = read(text, links(lo="127.0.0.1/8", eth0="192.168.1.3/24")).hosts

    assert host.interface == "eth0"


def test_a_missing_interface_is_named_with_those_that_exist() -> None:
    text = CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'

    assert complaints(text, links(lo="127.0.0.1/8", eth0="10.0.0.1/8")) == [
        "rc.conf:3:31: interface fxp0 does not exist; there are: lo, eth0 (rename it: --map fxp0=eth0)"
    ]


def test_the_interface_of_an_alias_must_exist_too() -> None:
    text = 'ifconfig_fxp0="inet vhid 1 pass s alias 192.168.1.50/32"\n'

    (only,) = complaints(text, links(lo="127.0.0.1/8"))
    assert "interface fxp0 does not exist; there are: lo" in only


def test_an_address_in_no_subnet_is_named_with_the_subnets() -> None:
    text = CLONED + 'ifconfig_carp0="vhid 1 pass s 203.0.113.50/24"\n'

    assert complaints(text, links(fxp0="192.168.1.3/24")) == [
        "rc.conf:3:31: 203.0.113.50 is in the subnet of no interface; there are: 192.168.1.0/24 "
        "(give an interface an address in that subnet, or correct the shared address)"
    ]


def test_a_rename_of_an_interface_that_no_line_is_about_is_a_mistake() -> None:
    text = CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'

    assert complaints(text, em0="eth0") == ["rc.conf:1:1: --map em0=eth0: no line is about em0 (there are: fxp0)"]


def test_a_vhid_used_twice_on_an_interface_names_both_lines() -> None:
    text = FXP0 + (
        'cloned_interfaces="carp0 carp1"\n'
        'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'
        'ifconfig_carp1="vhid 1 pass s 192.168.1.51/24"\n'
    )

    assert complaints(text) == [
        "rc.conf:4:22: vhid 1 is used twice on fxp0 (first used in line 3; every pair of hosts needs a vhid of its own)"
    ]


# Mistakes in words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("vhid 1 advskw 100 pass s 192.168.1.50/24", "3:24: unknown word 'advskw' (did you mean advskew?)"),
        ("vhid 256 pass s 192.168.1.50/24", "3:22: vhid 256 is outside 1-255"),
        ("vhid 1 advskew 255 pass s 192.168.1.50/24", "3:32: advskew 255 is outside 0-254"),
        ("vhid 1 advbase 0 pass s 192.168.1.50/24", "3:32: advbase 0 is outside 1-255"),
        ("vhid 1 advbase -1 pass s 192.168.1.50/24", "3:32: advbase -1 is outside 1-255"),
        ("vhid one pass s 192.168.1.50/24", "3:22: vhid one is outside 1-255"),
        ("vhid 1 192.168.1.50/24", "3:1: pass is missing (add pass SECRET; without it anybody could take the address)"),
        ("pass s 192.168.1.50/24",
         "3:1: vhid is missing (add vhid N, the same on every host that shares the address)"),
        ("vhid 1 pass s", "3:1: no shared address (add ADDRESS/LENGTH)"),
        ("vhid 1 192.168.1.50/24 pass", "3:40: pass has no value (write pass VALUE)"),
        ("vhid 1 pass s 192.168.1.50/33", "3:31: /33 is not a prefix length (write /0 to /32)"),
        ("vhid 1 pass s 192.168.1.50 netmask 255.0.255.0",
         "3:52: 255.0.255.0 is not a netmask (write 255.255.255.0 or 0xffffff00)"),
        ("vhid 1 pass s state master 192.168.1.50/24",
         "3:31: every host starts as backup (use 'pycarp ifconfig NAME state master' afterwards)"),
        ("vhid 1 pass s peer 10.0.0.1 192.168.1.50/24",
         "3:31: peer is not supported (remove it; advertisements go to 224.0.0.18)"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_the_way_out(words: str, expected: str) -> None:
    assert complaint(words).removeprefix("rc.conf:").startswith(expected)


def test_ipv6_is_refused_with_a_reason() -> None:
    text = FXP0 + 'ifconfig_fxp0_alias0="inet6 vhid 1 pass s alias fd00::50/128"\n'

    assert "IPv6 is not shared by this version" in complaints(text)[0]


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    text = FXP0 + (
        'cloned_interfaces="carp0 carp1 carp2"\n'
        'ifconfig_carp0="vhid 300 pass s 192.168.1.50/24"\n'
        'ifconfig_carp1="vhid 2 192.168.1.51/24"\n'
    )

    assert [each.split(":")[1] for each in complaints(text)] == ["2", "3", "4"]


def test_no_complaint_shows_a_password() -> None:
    for words in (
        "vhid 1 pas hunter2 192.168.1.50/24",
        "vhid 1 hunter2 192.168.1.50/24",
        f"vhid 1 pass {'hunter2' * 3}",
    ):
        for each in complaints(f'{CLONED}ifconfig_carp0="{words}"\n'):
            assert "hunter2" not in each


def test_a_password_that_is_too_long_is_refused() -> None:
    assert "passphrase of 20 octets is too long" in complaint(f"vhid 1 pass {'x' * 20} 192.168.1.50/24")


def test_a_file_without_carp_says_what_it_expects() -> None:
    (only,) = complaints('sshd_enable="YES"\n')

    assert only.startswith("rc.conf:1:1: no carp is configured here (expected cloned_interfaces=")


# The shell


def test_what_is_not_about_carp_is_passed_over() -> None:
    text = """\
# a real rc.conf
sshd_enable="YES"
defaultrouter="192.168.1.1"   # the way out
ifconfig_em1="DHCP"
. /etc/rc.conf.local
if [ -f /etc/x ]; then
    zfs_enable=YES
fi
""" + CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'  # fmt: skip

    assert len(read(text).hosts) == 1


@pytest.mark.parametrize(
    "line",
    [
        "ifconfig_carp0='vhid 1 pass s#t 192.168.1.50/24'",
        'ifconfig_carp0="vhid 1 \\\n  pass s#t 192.168.1.50/24"',
        'ifconfig_carp0="vhid 1\n  pass s#t 192.168.1.50/24"',
        "ifconfig_carp0=vhid\\ 1\\ pass\\ s#t\\ 192.168.1.50/24",
        'ifconfig_carp0="vhid 1 ""pass s#t"\' 192.168.1.50/24\' # a comment',
        'secret=s#t; ifconfig_carp0="vhid 1 pass ${secret} 192.168.1.50/24"',
        'export ifconfig_carp0="vhid 1 pass s#t 192.168.1.50/24"',
        'ifconfig_carp0="vhid 9 pass x 192.168.1.50/24"\nifconfig_carp0="vhid 1 pass s#t 192.168.1.50/24"',
    ],
)
def test_the_quoting_of_the_shell_is_understood(line: str) -> None:
    (host,) = read(f"{CLONED}{line}\n").hosts

    assert (host.vhid, host.secret.key.rstrip(b"\0")) == (1, b"s#t")


def test_quotes_inside_a_value_mean_themselves_as_for_freebsds_rc() -> None:
    assert carp0("vhid 1 pass 's' 192.168.1.50/24").secret.key.rstrip(b"\0") == b"'s'"


def test_a_quote_that_is_never_closed_is_told_where_it_begins() -> None:
    assert complaints(CLONED + 'ifconfig_carp0="vhid 1\n') == ['rc.conf:3:16: quote " is never closed']


def test_a_value_that_a_command_computes_is_a_mistake() -> None:
    (only,) = complaints(CLONED + 'ifconfig_carp0="vhid 1 pass `cat /etc/secret` 192.168.1.50/24"\n')[:1]

    assert "ifconfig_carp0 is computed by a command" in only


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except ConfigProblems as exc:
        assert exc.problems


@given(st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    text = (SCENARIO / "provider.rc.conf").read_text()
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    damaged = text[:begin] + data.draw(st.text(alphabet="vhidpas cr0159./\"'\\$`\n=#", max_size=12)) + text[end:]

    try:
        read(damaged)
    except ConfigProblems as exc:
        assert exc.problems
