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

    hosts = [(host.name, host.vhid, host.advskew, str(host.addresses[0])) for host in config.hosts]
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
    assert str(carp0(f"vhid 1 pass s {address}").addresses[0]) == "192.168.1.50/24"


def test_aliases_add_addresses() -> None:
    text = CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\nifconfig_carp0_alias0="inet 192.168.1.60/24"\n'

    (host,) = read(text).hosts

    assert [str(each) for each in host.addresses] == ["192.168.1.50/24", "192.168.1.60/24"]


def test_an_alias_of_a_cloned_carp_after_a_gap_is_a_mistake() -> None:
    text = CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\nifconfig_carp0_alias1="inet 192.168.1.60/24"\n'

    assert complaints(text) == ["rc.conf:4:1: alias1 comes after a gap (FreeBSD stops before alias0)"]


def test_the_addresses_of_a_cloned_carp_lie_on_one_interface() -> None:
    text = 'ifconfig_em0="inet 10.0.0.1/8"\n' + CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50 10.0.0.5"\n'

    assert complaints(text) == [
        "rc.conf:4:44: 10.0.0.5 belongs to em0, the address before it to fxp0 (give it a carp interface of its own)"
    ]


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
    assert str(host.addresses[0]) == "192.168.1.50/32"


def test_aliases_with_the_same_vhid_are_one_host() -> None:
    text = FXP0 + (
        'ifconfig_fxp0_alias0="inet vhid 1 pass s alias 192.168.1.50/32"\n'
        'ifconfig_fxp0_alias1="inet vhid 1 alias 192.168.1.51/32"\n'
        'ifconfig_fxp0_alias2="inet vhid 2 pass s alias 192.168.1.52/32"\n'
    )

    hosts = read(text).hosts

    assert [(host.vhid, len(host.addresses)) for host in hosts] == [(1, 2), (2, 1)]


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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("inet vhdi 2 pass t alias 192.168.1.51/32", "3:28: unknown word (did you mean vhid?)"),
        ("inet vhdi 1 alias 192.168.1.51/32", "3:28: unknown word (did you mean vhid?)"),
        ("inet advskew 100 pass t alias 192.168.1.51/32", "3:1: vhid is missing (add vhid N, the same on every host"),
        ("inet vhid 300 pass t alias 192.168.1.51/32", "3:33: vhid 300 is outside 1-255"),
    ],
)
def test_an_alias_without_a_good_vhid_is_told_beside_a_good_one(words: str, expected: str) -> None:
    good = 'ifconfig_fxp0_alias0="inet vhid 1 pass s alias 192.168.1.50/32"\n'

    (only,) = complaints(f'{FXP0}{good}ifconfig_fxp0_alias1="{words}"\n')
    assert only.startswith(f"rc.conf:{expected}")


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
        (
            "rc.conf:3:31: 203.0.113.50 is in the subnet of no interface; there are: 192.168.1.0/24 "
            "(give an interface an address in that subnet, or correct the shared address)"
        )
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
        ("vhid 1 advskw 100 pass s 192.168.1.50/24", "3:24: unknown word (did you mean advskew?)"),
        ("vhid 256 pass s 192.168.1.50/24", "3:22: vhid 256 is outside 1-255"),
        ("vhid 1 advskew 255 pass s 192.168.1.50/24", "3:32: advskew 255 is outside 0-254"),
        ("vhid 1 advbase 0 pass s 192.168.1.50/24", "3:32: advbase 0 is outside 1-255"),
        ("vhid 1 advbase -1 pass s 192.168.1.50/24", "3:32: advbase -1 is outside 1-255"),
        ("vhid one pass s 192.168.1.50/24", "3:22: vhid needs a number (write vhid 1 to 255)"),
        ("vhid 1 192.168.1.50/24", "3:1: pass is missing (add pass SECRET; without it anybody could take the address)"),
        ("pass s 192.168.1.50/24",
         "3:1: vhid is missing (add vhid N, the same on every host that shares the address)"),
        ("vhid 1 pass s", "3:1: no shared address (add ADDRESS/LENGTH)"),
        ("vhid 1 192.168.1.50/24 pass", "3:40: pass has no value (write pass VALUE)"),
        ("vhid 1 pass s 192.168.1.50/33", "3:31: 192.168.1.50 has no prefix length of 0-32 (write ADDRESS/24)"),
        ("vhid 1 pass s 192.168.1.50 netmask 255.0.255.0",
         "3:52: this is not a netmask (write 255.255.255.0 or 0xffffff00)"),
        ("vhid 1 pass s state mastre 192.168.1.50/24",
         "3:37: state needs init, backup or master (remove it: every host starts as backup)"),
        ("vhid 1 pass s vrrpprio 100 192.168.1.50/24",
         "3:31: vrrpprio: it belongs to VRRPv3, which is another protocol (remove it)"),
        ("vhid 1 pass s carpver 3 192.168.1.50/24",
         "3:39: carpver other than 2 is not CARP (write carpver 2, or remove it)"),
        ("vhid 1 pass s peer fd00::1 192.168.1.50/24",
         "3:36: peer needs an IPv4 address (write peer ADDRESS)"),
        ("vhid 1 pass s fd00::50/64",
         "3:31: fd00::50 needs inet6 before it (write inet6 fd00::50/64)"),
        ("vhid 1 pass s 192.168.1.50 prefixlen 33",
         "3:54: prefixlen needs a number of 0-32 (write prefixlen 64)"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_the_way_out(words: str, expected: str) -> None:
    assert complaint(words).removeprefix("rc.conf:").startswith(expected)


def test_ipv6_addresses_are_shared_on_aliases_and_on_the_ipv6_line() -> None:
    text = FXP0 + (
        'ifconfig_fxp0_ipv6="inet6 vhid 2 pass s 2001:db8::49 prefixlen 64"\n'
        'ifconfig_fxp0_alias0="inet6 vhid 2 pass s alias 2001:db8::50/128"\n'
        'ifconfig_fxp0_alias1="inet vhid 2 alias 192.168.1.50/32"\n'
    )

    (host,) = read(text).hosts

    assert [str(each) for each in host.addresses] == ["2001:db8::49/64", "2001:db8::50/128", "192.168.1.50/32"]


def test_a_cloned_carp_shares_ipv6_addresses_of_its_interfaces_subnet() -> None:
    text = CLONED + (
        'ifconfig_fxp0_ipv6="inet6 2001:db8::3/64"\n'
        'ifconfig_carp0="vhid 1 pass s 192.168.1.50"\n'
        'ifconfig_carp0_ipv6="inet6 2001:db8::50"\n'
    )

    (host,) = read(text).hosts

    assert (host.interface, [str(each) for each in host.addresses]) == ("fxp0", ["192.168.1.50/24", "2001:db8::50/64"])


def test_an_ipv6_address_outside_of_every_subnet_is_told_with_the_subnets_of_its_family() -> None:
    text = CLONED + 'ifconfig_fxp0_ipv6="inet6 2001:db8::3/64"\nifconfig_carp0="vhid 1 pass s inet6 fd00::50/64"\n'

    assert complaints(text) == [
        (
            "rc.conf:4:37: fd00::50 is in the subnet of no interface; there are: 2001:db8::/64 "
            "(give an interface an address in that subnet, or correct the shared address)"
        )
    ]


def test_peers_of_both_families_are_taken() -> None:
    text = FXP0 + (
        'ifconfig_fxp0_alias0="inet vhid 1 peer 192.168.1.4 peer6 fd00::4 carpver 2 pass s alias 192.168.1.50/32"\n'
        'ifconfig_fxp0_alias1="inet6 vhid 1 alias fd00::50/128"\n'
    )

    (host,) = read(text).hosts

    assert [str(each) for each in host.peers] == ["192.168.1.4", "fd00::4"]


@pytest.mark.parametrize("words", ["peer 192.168.1.4 mcast", "peer 224.0.0.18", "mcast mcast6", "peer 239.1.1.1 mcast"])
def test_multicast_takes_a_peer_back(words: str) -> None:
    host = carp0(f"vhid 1 {words} pass s 192.168.1.50/24")

    assert (host.peers, host.multicast_group) == ((), None)


def test_a_peer_that_is_a_group_is_the_group() -> None:
    assert str(carp0("vhid 1 peer 239.1.1.1 pass s 192.168.1.50/24").multicast_group) == "239.1.1.1"


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
        "vhid hunter2 192.168.1.50/24",
        "vhid 1 pass s 192.168.1.50 netmask hunter2",
        "vhid 1 pass s 192.168.1.50/hunter2",
        f"vhid 1 pass {'hunter2' * 3}",
    ):
        for each in complaints(f'{CLONED}ifconfig_carp0="{words}"\n'):
            assert "hunter2" not in each


def test_a_password_without_its_keyword_is_not_shown_although_it_resembles_one() -> None:
    assert complaint("vhid 1 testpass 192.168.1.50/24") == "rc.conf:3:24: unknown word (did you mean pass?)"


def test_a_password_that_is_too_long_is_refused_at_its_place() -> None:
    only = complaint(f"vhid 1 pass {'x' * 20} 192.168.1.50/24")

    assert only.startswith("rc.conf:3:29: passphrase of 20 octets is too long")


def test_a_password_that_is_not_utf8_is_refused() -> None:
    only = complaint("vhid 1 pass \udc80 192.168.1.50/24")

    assert only == "rc.conf:3:29: pass is not UTF-8 (save the file as UTF-8)"


@pytest.mark.parametrize("zeros", ["", "00000010"])
def test_a_number_of_thousands_of_digits_is_outside_its_range(zeros: str) -> None:
    digits = zeros + "9" * 5000

    assert "is outside 1-255" in complaint(f"vhid {digits} pass s 192.168.1.50/24")
    assert "has no prefix length" in complaint(f"vhid 1 pass s 192.168.1.50/{digits}")


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

    assert (host.vhid, host.passphrase.key.rstrip(b"\0")) == (1, b"s#t")


def test_quotes_inside_a_value_mean_themselves_as_for_freebsds_rc() -> None:
    assert carp0("vhid 1 pass 's' 192.168.1.50/24").passphrase.key.rstrip(b"\0") == b"'s'"


def test_a_quote_that_is_never_closed_is_told_where_it_begins() -> None:
    assert complaints(CLONED + 'ifconfig_carp0="vhid 1\n') == ['rc.conf:3:16: quote " is never closed']


@pytest.mark.parametrize(
    "password", ["`cat /etc/secret`", "$(cat /etc/secret)", "${secret:-s}", "s$$", "$1", "${computed}"]
)
def test_a_value_that_only_a_running_shell_would_know_is_a_mistake(password: str) -> None:
    computed = "computed=$(cat /etc/secret)\n"

    assert complaints(f'{computed}{CLONED}ifconfig_carp0="vhid 1 pass {password} 192.168.1.50/24"\n') == [
        "rc.conf:4:1: ifconfig_carp0 is computed by the shell (write the value itself)"
    ]


def test_values_that_double_without_end_are_not_expanded() -> None:
    doubling = "x0=xx\n" + "".join(f"x{n + 1}=$x{n}$x{n}\n" for n in range(60))

    (only,) = complaints(f'{doubling}{CLONED}ifconfig_carp0="vhid 1 pass $x60 192.168.1.50/24"\n')
    assert "ifconfig_carp0 is computed by the shell" in only


def test_a_computed_list_of_clones_is_a_mistake() -> None:
    text = FXP0 + 'cloned_interfaces=$(list)\nifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'

    assert complaints(text) == ["rc.conf:2:1: cloned_interfaces is computed by the shell (write the value itself)"]


def test_a_computed_hostname_is_left_out() -> None:
    text = CLONED + 'hostname=$(uname -n)\nifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'

    assert read(text).hostname == ""


def test_an_argument_of_a_command_is_no_assignment() -> None:
    text = CLONED + 'hostname=hosta; ifconfig_carp0="vhid 1 pass s 192.168.1.50/24" \\\n\techo=1\necho hostname=other\n'

    assert read(text).hostname == "hosta"


def test_names_that_are_not_utf8_are_refused() -> None:
    (only,) = complaints(CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n', fxp0="\udc80")

    assert only.startswith("rc.conf:3:1: interface name '\\udc80' is not UTF-8")


ANY_CHARACTER = st.characters(codec=None, categories=None)


def is_read_or_refused(text: str) -> bool:
    """Return True for every text unless the reader raises what it must not."""
    try:
        return bool(read(text).hosts)
    except ConfigProblems as exc:
        return bool(exc.problems)


@given(st.text(ANY_CHARACTER))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert is_read_or_refused(text)


@given(st.text(ANY_CHARACTER))
def test_any_specification_is_read_or_refused(words: str) -> None:
    assert is_read_or_refused(f"{CLONED}ifconfig_carp0='vhid 1 pass s 192.168.1.50/24 {words}'\n")


@given(st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    text = (SCENARIO / f"{data.draw(st.sampled_from(['hosta', 'hostb', 'provider']))}.rc.conf").read_text()
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    damaged = text[:begin] + data.draw(st.text(alphabet="vhidpas cr0159./\"'\\$`\n=#", max_size=12)) + text[end:]

    assert is_read_or_refused(damaged)


def test_the_machines_own_address_cannot_be_shared() -> None:
    (only,) = complaints(CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.3/24"\n')

    assert "192.168.1.3 is this machine's own address" in only


def test_an_address_shared_by_two_vhids_is_a_mistake() -> None:
    text = FXP0 + (
        'cloned_interfaces="carp0 carp1"\n'
        'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'
        'ifconfig_carp1="vhid 2 pass s 192.168.1.50/24"\n'
    )

    (only,) = complaints(text)
    assert "rc.conf:4:31: 192.168.1.50 is shared by vhid 1 already" in only


def test_a_rename_to_an_interface_that_does_not_exist_is_a_mistake() -> None:
    text = CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'

    (only,) = complaints(text, links(eth0="192.168.1.3/24"), fxp0="eth7")
    assert "--map fxp0=eth7: interface eth7 does not exist; there are: eth0" in only


def test_an_address_that_a_crashed_daemon_left_may_be_shared_again() -> None:
    text = CLONED + 'ifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'
    machine = [
        LinkFacts(name="eth0", is_up=True, addresses=(ip_interface("192.168.1.3/24"), ip_interface("192.168.1.50/24")))
    ]

    assert [host.interface for host in read(text, machine).hosts] == ["eth0"]
