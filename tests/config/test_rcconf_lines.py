"""The lines that people write into rc.conf for a vhid: lists, ranges, VLANs, scopes, conditions, included files."""

from ipaddress import ip_interface
from pathlib import Path

import pytest

from pycarp.config import ConfigProblems, NodeConfig, grammars, rcconf
from pycarp.config.grammars import Grammar
from pycarp.errors import ConfigError
from pycarp.vocabulary import LinkFacts

CARP = "vhid 1 advskew 7 pass s alias 10.0.0.1/32"
CLONE = 'cloned_interfaces="carp0"\nifconfig_carp0="vhid 1 pass s 10.0.0.1/24"\n'


def read(text: str, *links: str, **renames: str) -> NodeConfig:
    machine = [LinkFacts(name=name, is_up=True) for name in links]
    return rcconf.read(text, file="rc.conf", links=machine, renames=renames)


def hosts(text: str, *links: str, **renames: str) -> list[tuple[str, int, list[str]]]:
    """Return interface, vhid and addresses of each host."""
    found = read(text, *links, **renames).hosts
    return [(host.interface, host.vhid, [str(each) for each in host.addresses]) for host in found]


def complaints(text: str, *links: str, **renames: str) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        read(text, *links, **renames)
    return [str(each).removeprefix("rc.conf:") for each in caught.value.problems]


# Lists


@pytest.mark.parametrize(
    "line",
    [
        'ifconfig_em0_aliases="inet vhid 1 pass s 10.0.0.1/32 inet vhid 1 pass s 10.0.0.2/32"',
        "ifconfig_em0_aliases='inet vhid 1 pass s 10.0.0.1/32\n  inet vhid 1 10.0.0.2/32'",
        'ifconfig_em0_aliases="\\\ninet vhid 1 pass s 10.0.0.1/32 \\\n\tinet vhid 1 10.0.0.2/32 \\\n"',
        'ifconfig_em0_alias0="inet vhid 1 pass s 10.0.0.1/32 inet vhid 1 10.0.0.2/32"',
        'ifconfig_em0_aliases="inet vhid 1 pass s 10.0.0.1/32"\nifconfig_em0_alias0="inet vhid 1 10.0.0.2/32"',
        'ifconfig_em0_alias0="vhid 1 pass s 10.0.0.1/32"\nifconfig_em0_alias1="inet vhid 1 10.0.0.2/32"',
    ],
)
def test_a_list_of_aliases_is_one_specification_after_the_other(line: str) -> None:
    assert hosts(line) == [("em0", 1, ["10.0.0.1/32", "10.0.0.2/32"])]


def test_several_vhids_may_stand_in_one_list() -> None:
    text = (
        'ifconfig_em0_aliases="inet 10.0.0.9/32 inet vhid 1 pass s 10.0.0.1/32 inet6 vhid 2 pass t fd00::2/64 '
        'inet vhid 2 10.0.0.2/32"'
    )

    assert hosts(text) == [("em0", 1, ["10.0.0.1/32"]), ("em0", 2, ["fd00::2/64", "10.0.0.2/32"])]


def test_a_plain_address_beside_a_shared_one_is_the_machines_own() -> None:
    config = read('ifconfig_em0_aliases="inet 10.0.0.9/24 inet vhid 1 pass s 10.0.0.1/32"')

    assert [str(each) for each in config.own["em0"]] == ["10.0.0.9/24"]


def test_what_stands_before_the_first_inet_of_a_list_is_refused() -> None:
    assert complaints('ifconfig_em0_aliases="vhid 1 pass s 10.0.0.1/32"') == [
        "1:23: FreeBSD passes over what stands before the first inet (begin each address with inet or inet6)"
    ]


def test_addresses_of_a_list_belong_to_the_clone() -> None:
    text = CLONE + 'ifconfig_em0="inet 10.0.0.2/24"\nifconfig_carp0_aliases="inet 10.0.0.3/24 inet 10.0.0.4/24"\n'

    assert hosts(text) == [("em0", 1, ["10.0.0.1/24", "10.0.0.3/24", "10.0.0.4/24"])]


def test_an_own_alias_after_a_gap_is_none() -> None:
    config = read(f'ifconfig_em0="inet {CARP}"\nifconfig_em0_alias1="inet 10.9.0.9/24"\n')

    assert config.own["em0"] == ()


@pytest.mark.parametrize("line", ["ipv6_ifconfig_em0", "ipv6_ifconfig_em0_alias0", "ifconfig_em0_ipv6"])
def test_the_older_names_of_ipv6_lines_are_known(line: str) -> None:
    assert hosts(f'{line}="inet6 vhid 1 pass s fd00::1/64"') == [("em0", 1, ["fd00::1/64"])]


# Ranges


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("inet vhid 1 pass s 192.0.2.10-12/24", ["192.0.2.10/24", "192.0.2.11/32", "192.0.2.12/32"]),
        ("inet vhid 1 pass s 192.0.2.10-11", ["192.0.2.10/32", "192.0.2.11/32"]),
        ("inet vhid 1 pass s 192.0.2.9-10 netmask 255.255.255.0", ["192.0.2.9/24", "192.0.2.10/24"]),
        ("inet vhid 1 pass s 192.0.2-3.1/24", ["192.0.2.1/24", "192.0.3.1/32"]),
        ("inet6 vhid 1 pass s fd00::9-b/64", ["fd00::9/64", "fd00::a/64", "fd00::b/64"]),
        ("inet6 vhid 1 pass s fd00::1-2", ["fd00::1/64", "fd00::2/64"]),
    ],
)
def test_a_range_is_its_addresses(words: str, expected: list[str]) -> None:
    assert hosts(f'ifconfig_em0_alias0="{words}"') == [("em0", 1, expected)]


@pytest.mark.parametrize("text", ["192.0.2.9-8/24", "192.0.2.250-256/24", "192.0.2.1-2/33", "10.0.0.1-99999"])
def test_a_range_that_is_none_is_refused(text: str) -> None:
    (only,) = complaints(f'ifconfig_em0_alias0="inet vhid 1 pass s {text}"')

    assert only.startswith("1:41: this is no range of addresses (write the smaller number first")


def test_a_range_that_would_never_end_is_refused() -> None:
    (only,) = complaints('ifconfig_em0_alias0="inet6 vhid 1 pass s fd00::0-ffff/64"')

    assert "at most 2048 addresses" in only


@pytest.mark.parametrize(
    "line",
    [
        'ipv4_addrs_em0="192.168.1.5-9/24 10.0.0.2/16"',
        'ifconfig_em0="inet 10.0.0.2-5/16"',
        'ifconfig_em0_aliases="inet 10.0.0.2-5/16"',
    ],
)
def test_own_addresses_may_be_ranges(line: str) -> None:
    assert hosts(f"{line}\n{CLONE}") == [("em0", 1, ["10.0.0.1/24"])]
    assert hosts(f"{line}\n{CLONE}", em0="eth0") == [("eth0", 1, ["10.0.0.1/24"])]


# Names


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ('vlans_em0="4 5"\nifconfig_em0_5_alias0="inet {}"', "em0.5"),
        ('ifconfig_em0_5_alias0="inet {}"\nvlans_em0=5', "em0.5"),
        ('vlans_em0="dmz"\ncreate_args_dmz="vlan 5"\nifconfig_dmz_alias0="inet {}"', "dmz"),
        ('vlans_em0="5"\nvlans_em0_5="6"\nifconfig_em0_5_6_aliases="inet {}"', "em0.5.6"),
        ('cloned_interfaces="vlan100"\nifconfig_vlan100="inet {} vlan 100 vlandev em0"', "vlan100"),
        ('cloned_interfaces="em0.100:sticky"\nifconfig_em0_100="inet {}"', "em0.100"),
        ('ifconfig_em0_name="wan"\nifconfig_wan_alias0="inet {}"', "wan"),
        ('ifconfig_em0_5_alias0="inet {}"', "em0_5"),
    ],
)
def test_a_variable_is_about_the_device_that_the_file_means(text: str, link: str) -> None:
    assert hosts(text.format(CARP)) == [(link, 1, ["10.0.0.1/32"])]


@pytest.mark.parametrize("old", ["em0.5", "em0_5"])
def test_a_vlan_can_be_renamed_by_either_name(old: str) -> None:
    text = f'vlans_em0="5"\nifconfig_em0_5_alias0="inet {CARP}"'

    assert hosts(text, **{old: "vlan5"}) == [("vlan5", 1, ["10.0.0.1/32"])]


def test_a_device_that_gets_another_name_can_be_renamed_by_its_first() -> None:
    text = f'ifconfig_em0_name="wan"\nifconfig_wan_alias0="inet {CARP}"'

    assert hosts(text, em0="eth0") == [("eth0", 1, ["10.0.0.1/32"])]


@pytest.mark.parametrize(("links", "link"), [(("lo", "em0.5"), "em0.5"), (("em0_5", "em0.5"), "em0_5")])
def test_without_a_line_about_vlans_the_device_of_this_machine_tells(links: tuple[str, ...], link: str) -> None:
    assert hosts(f'ifconfig_em0_5_alias0="inet {CARP}"', *links) == [(link, 1, ["10.0.0.1/32"])]


def test_a_label_of_this_machine_is_no_device() -> None:
    (only,) = complaints(f'ifconfig_em1_alias0="inet {CARP}"', "lo", "em0", "em0:0")

    assert "interface em1 does not exist; there are: lo, em0 (" in only


def test_the_address_of_a_label_is_one_of_its_device() -> None:
    links = [
        LinkFacts(name=name, is_up=True, addresses=(ip_interface(own),))
        for name, own in (("eth0", "192.168.1.2/24"), ("eth0:0", "10.0.0.2/24"))
    ]

    assert rcconf.read(CLONE, file="rc.conf", links=links).hosts[0].interface == "eth0"


# Link-local addresses


def test_a_link_local_address_may_be_on_several_links() -> None:
    text = "".join(f'ifconfig_em{n}_alias0="inet6 vhid {n + 1} pass s fe80::1/64"\n' for n in range(2))

    assert hosts(text) == [("em0", 1, ["fe80::1/64"]), ("em1", 2, ["fe80::1/64"])]


def test_a_link_local_address_twice_on_a_link_is_a_mistake() -> None:
    text = "".join(f'ifconfig_em0_alias{n}="inet6 vhid {n + 1} pass s fe80::1/64"\n' for n in range(2))

    assert complaints(text) == ["2:42: fe80::1 is shared by vhid 1 already (give each vhid addresses of its own)"]


@pytest.mark.parametrize("address", ["fe80::1%em0/64", "fe80::1%em0 prefixlen 64"])
def test_a_scope_may_name_the_interface(address: str) -> None:
    assert hosts(f'ifconfig_em0_alias0="inet6 vhid 1 pass s {address}"', em0="eth0") == [("eth0", 1, ["fe80::1/64"])]


def test_a_scope_of_another_interface_is_a_mistake() -> None:
    (only,) = complaints('ifconfig_em0_alias0="inet6 vhid 1 pass s fe80::1%em1/64"')

    assert only == "1:42: the address belongs to em1, and stands on another interface (write %em0)"


def test_a_scope_of_a_global_address_is_a_mistake() -> None:
    (only,) = complaints('ifconfig_em0_alias0="inet6 vhid 1 pass s fd00::1%em0/64"')

    assert only.startswith("1:42: fd00::1%em0 names an interface (only a link-local address")


@pytest.mark.parametrize(
    "lines",
    [
        'ifconfig_em0="inet 10.0.0.2/24"\nifconfig_carp0="vhid 1 pass s inet6 fe80::1/64 inet 10.0.0.1/24"',
        'ifconfig_carp0="vhid 1 pass s inet6 fe80::1%em0/64"',
    ],
)
def test_a_link_local_address_of_a_clone_lies_where_the_others_or_its_scope_say(lines: str) -> None:
    assert read(f'cloned_interfaces="carp0"\n{lines}\n').hosts[0].interface == "em0"


# Words


def test_words_that_do_not_matter_are_passed_over() -> None:
    words = "mtu 9000 media 1000baseT mediaopt full-duplex -tso -lro -rxcsum polling description x group wan no_dad"

    assert hosts(f'ifconfig_em0_alias0="inet {CARP} {words}"') == [("em0", 1, ["10.0.0.1/32"])]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("10.0.0.1 255.255.255.0", "1:50: 255.255.255.0 is a netmask, not an address (write netmask 255.255.255.0"),
        ("10.0.0.1 255.255.255.240", "1:50: 255.255.255.240 is a netmask, not an address"),
        ("10.0.0.1 0xffffff00", "1:50: this is a netmask, not an address (write netmask before it)"),
        ("10.0.0.1 netmask 10.0.0.2", "1:58: this is not a netmask"),
        ("netmask 255.255.255.0", "1:41: netmask stands before its address"),
        ("240.0.0.1/24", "1:41: 240.0.0.1 is not an address that a host can have"),
        ("10.0.0.1/32 -tsso", "1:53: unknown word (did you mean -tso?)"),
        ("10.0.0.1/32 -alias", "1:53: -alias: a configuration says what there is"),
    ],
)
def test_a_word_that_cannot_be_meant_is_refused(words: str, expected: str) -> None:
    assert complaints(f'ifconfig_em0_alias0="inet vhid 1 pass s {words}"')[0].startswith(expected)


@pytest.mark.parametrize("state", ["master", "MASTER", "init"])
def test_a_state_is_a_wish_and_noted(state: str) -> None:
    (note,) = read(f'ifconfig_em0_alias0="inet {CARP} state {state}"').notes

    assert note.startswith("rc.conf:1: every host starts as backup")


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ("vhid 1 mcast alias 10.0.0.2/32", []),
        ("vhid 1 peer 10.0.0.8 alias 10.0.0.2/32", ["10.0.0.8"]),
        ("vhid 1 peer 224.0.0.18 alias 10.0.0.2/32", []),
        ("vhid 1 alias 10.0.0.2/32", ["10.0.0.9"]),
    ],
)
def test_the_last_line_that_speaks_of_a_peer_counts(second: str, expected: list[str]) -> None:
    text = f'ifconfig_em0_alias0="inet vhid 1 pass s peer 10.0.0.9 10.0.0.1/32"\nifconfig_em0_alias1="inet {second}"'

    assert [str(each) for each in read(text).hosts[0].peers] == expected


def test_several_peers_and_a_line_without_one_are_noted() -> None:
    text = (
        'ifconfig_em0_alias0="inet vhid 1 pass s peer 10.0.0.9 peer 10.0.0.8 10.0.0.1/32"\n'
        'ifconfig_em0_alias1="inet vhid 1 10.0.0.2/32"'
    )

    assert [note.partition(";")[0] for note in read(text).notes] == [
        "rc.conf:2: FreeBSD's ifconfig goes back to multicast at a line that names no peer",
        "rc.conf:1: the BSDs keep the last of several peers",
    ]


def test_a_word_in_capitals_is_refused_with_the_right_one() -> None:
    assert complaints('ifconfig_em0_alias0="inet VHID 1 pass s 10.0.0.1/32"')[0] == (
        "1:27: unknown word (did you mean vhid?)"
    )


def test_a_password_that_newer_releases_read_otherwise_is_noted() -> None:
    (note,) = read("ifconfig_em0_alias0='inet vhid 1 pass \"s\" 10.0.0.1/32'").notes

    assert note.startswith("rc.conf:1: newer releases of FreeBSD evaluate the line once more")


# What only a running shell would know


SKEWED = f'ifconfig_em0_alias0="inet {CARP.replace("7", "${skew}")}"\n'


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("if a; then\n skew=0\nelse\n skew=100\nfi\n", "6:1: skew depends on a condition of the shell in line 1"),
        ("case $h in\nfw1) skew=0;;\n*) skew=9;;\nesac\n", "5:1: skew depends on a condition of the shell in line 1"),
        ("[ a ] && skew=0 || skew=100\n", "2:1: skew depends on a condition of the shell in line 1"),
        ("for skew in 1 2; do a; done\n", "2:1: skew has no value in this file"),
        ("f() { skew=1; }\nf\n", "3:1: skew depends on a function of the shell in line 1"),
        ("", "1:1: skew has no value in this file"),
    ],
)
def test_a_value_of_a_branch_is_refused(before: str, expected: str) -> None:
    assert complaints(before + SKEWED) == [f"{expected} (write the value itself)"]


def test_a_value_after_the_branch_overrules_it() -> None:
    (host,) = read("if a; then skew=0; else skew=100; fi\nskew=50\n" + SKEWED).hosts

    assert host.advskew == 50


@pytest.mark.parametrize(
    "text",
    [
        f'if a; then\nifconfig_em0_alias0="inet {CARP}"\nfi\n',
        f'ifconfig_em0_alias0="inet {CARP}"\nif a; then ifconfig_em0_alias0=""; fi\n',
        f'ifconfig_em0_alias0="inet {CARP}"\nifconfig_em0_alias0+=" up"\n',
        f'if a; then cloned_interfaces="carp0"; fi\nifconfig_carp0="{CARP}"\n',
        f"eval ifconfig_em0_alias0='inet {CARP}'\n",
        f"ifconfig_em0_alias0=inet {CARP}\n",
        'ifconfig_em0_alias0="$(generate)"\n',
    ],
)
def test_a_line_that_may_or_may_not_be_is_refused(text: str) -> None:
    (only,) = complaints(text)

    assert "no carp is configured" not in only


@pytest.mark.parametrize("line", ["return", "[ a ] || return 0", "if a; then exit; fi"])
def test_a_file_that_may_end_before_its_carp_lines_is_refused(line: str) -> None:
    carp = f'ifconfig_em0_alias0="inet {CARP}"\n'

    assert "the shell may end here with" in complaints(f"{line}\n{carp}")[0]
    assert len(read(f"{carp}{line}\nf() {{ return 1; }}\n").hosts) == 1


def test_a_mistake_hides_no_doubt_and_a_doubt_adds_none() -> None:
    text = f'ifconfig_em0="inet $(own)/24"\nifconfig_em0_alias0="inet {CARP.replace("vhid 1", "vhid 0")}"\n'

    assert complaints(text) == ["2:32: vhid 0 is outside 1-255"]


def test_an_alias_that_is_computed_is_noted_beside_a_good_one() -> None:
    config = read(f'ifconfig_em0_alias0="inet {CARP}"\nifconfig_em0_alias1="$(generate)"\n')

    assert config.notes == ("rc.conf:2: passed over: ifconfig_em0_alias1 is computed by the shell",)


def test_an_own_address_of_a_branch_is_named_where_a_subnet_is_missing() -> None:
    text = f'if a; then\nifconfig_em0="inet 10.0.0.2/24"\nfi\n{CLONE}'

    assert "ifconfig_em0 depends on a condition of the shell in line 1" in complaints(text)[-1]


# Other files


@pytest.mark.parametrize("line", [". /etc/x", "source /etc/x", "[ -r /etc/x ] && . /etc/x", "if a; then . /etc/x; fi"])
def test_a_file_that_only_reads_another_one_names_it(line: str) -> None:
    (only,) = complaints(f'{line}\nhostname="fw1"\n')

    assert only.startswith("1:")
    assert only.endswith(": /etc/x is read by the shell here (give pycarp that file)")


def test_a_file_that_is_read_as_well_is_noted() -> None:
    assert read(f'. /etc/x\nifconfig_em0_alias0="inet {CARP}"').notes == (
        "rc.conf:1: /etc/x is read by the shell here, but not by pycarp",
    )


def test_a_value_that_another_file_may_have_names_that_file() -> None:
    assert complaints(". /etc/x\n" + SKEWED) == [
        "2:1: skew has no value in this file (write the value itself; /etc/x is read by the shell, but not by pycarp)"
    ]


@pytest.mark.parametrize("grammar", Grammar)
@pytest.mark.parametrize("begin", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_editors_leave_in_a_file_does_not_matter(grammar: Grammar, begin: str, end: str) -> None:
    ucarp = "ucarp -i em0 -s 10.0.0.2 -v 1 -p s -a 10.0.0.1"
    texts = {
        Grammar.RC_CONF: f"skew=7\n{SKEWED}\nif a; then\n  b=1\nfi\n",
        Grammar.HOSTNAME_CARP: "inet 10.0.0.1 255.255.255.255 NONE \\\n vhid 1 carpdev em0 pass s\n",
        Grammar.TOML: '[[host]]\ninterface = "em0"\nvhid = 1\npassword = "s"\naddresses = ["10.0.0.1/32"]\n',
        Grammar.UCARP: f"#!/bin/sh\n{ucarp} \\\n -k 3\n",
        Grammar.INTERFACES: (
            "iface em0 inet static\n address 10.0.0.2\n ucarp-vid \\\n 1\n ucarp-vip 10.0.0.1\n ucarp-password s\n"
        ),
        Grammar.VIP_CONF: 'ID=1\nVIP_ADDRESS="10.0.0.1"\nBIND_INTERFACE=em0\nPASSWORD="s"\n',
        Grammar.KEEPALIVED: (
            "vrrp_instance a {\ninterface em0\nvirtual_router_id 1\nauthentication {\nauth_pass s\n}\n"
            "virtual_ipaddress {\n10.0.0.1\n}\n}\n"
        ),
        Grammar.CONFIG_XML: (
            "<opnsense>\n<virtualip>\n<vip>\n<mode>carp</mode>\n<interface>em0</interface>\n<vhid>1</vhid>\n"
            "<password>s</password>\n<subnet>10.0.0.1</subnet>\n</vip>\n</virtualip>\n</opnsense>\n"
        ),
    }

    text = begin + texts[grammar].replace("\n", end)

    (host,) = grammars.read(text, grammars.recognise("x", text), file="x").hosts
    assert (host.interface, host.vhid, host.passphrase.key.rstrip(b"\0")) == ("em0", 1, b"s")
    assert [str(each) for each in host.addresses] == ["10.0.0.1/32"]


def test_a_file_of_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rc.conf"
    path.write_bytes("x=1".encode("utf-16"))

    with pytest.raises(ConfigError, match="it is UTF-16; save it as UTF-8"):
        grammars.load(path)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f': ${{ifconfig_em0_alias0:="inet {CARP}"}}', "given by the shell as a default"),
        (f'ifconfig_em0_alias0="inet {CARP}" &', "given in the background"),
    ],
)
def test_a_line_that_the_shell_may_not_keep_is_refused_beside_a_good_one(line: str, why: str) -> None:
    (only,) = complaints(CLONE.replace("10.0.0.1", "10.0.0.9") + 'ifconfig_em0="inet 10.0.0.3/24"\n' + line + "\n")

    assert only.startswith(f"4:{3 if line[0] == ':' else 1}: ifconfig_em0_alias0 is {why}")


@pytest.mark.parametrize("words", ["pass 'my secret'", "pass 'my own secret'", r"pass my\\ secret", "pass my secret"])
def test_a_password_with_a_blank_is_explained_and_not_shown(words: str) -> None:
    (only,) = complaints(f'ifconfig_em0_alias0="inet vhid 1 {words} alias 10.0.0.1/32"')

    assert "rc splits the line at every blank" in only
    assert "choose a pass without blanks on all hosts, or write this host in TOML" in only
    assert "my" not in only
    assert "secret" not in only


def test_a_misspelt_word_behind_the_password_is_still_named() -> None:
    (only,) = complaints('ifconfig_em0_alias0="inet vhid 1 pass s advskw 7 alias 10.0.0.1/32"')

    assert "did you mean advskew?" in only


def test_a_line_that_a_later_one_replaces_is_noted() -> None:
    line = 'ifconfig_em0_alias0="inet vhid {} pass x alias 10.0.0.{}/24"\n'
    config = read(line.format(1, 1) + line.format(2, 2))

    assert [host.vhid for host in config.hosts] == [2]
    assert config.notes == ("rc.conf:1: ifconfig_em0_alias0 is given again in line 2, which alone counts",)


def test_a_line_that_is_only_added_to_is_not_noted() -> None:
    text = 'ifconfig_em0_aliases="inet vhid 1 pass x alias 10.0.0.1/24"\n'
    text += 'ifconfig_em0_aliases="${ifconfig_em0_aliases} inet vhid 2 pass x alias 10.0.0.2/24"\n'

    assert ([host.vhid for host in read(text).hosts], read(text).notes) == ([1, 2], ())


def test_a_comment_in_quotes_is_told_once() -> None:
    assert complaints('ifconfig_em0_alias0="inet vhid 1 pass x alias 10.0.0.1/24 # the gateway"\n') == [
        "1:59: # in quotes begins no comment (put the comment behind the closing quote)"
    ]


def test_a_word_of_ifconfig_in_the_place_of_the_password_is_noted() -> None:
    config = read('ifconfig_em0_alias0="inet vhid 1 pass alias 10.0.0.1/24"\n')

    assert config.notes == (
        "rc.conf:1: pass takes the word behind it, which is one of ifconfig's: was the password left out?",
    )


def test_hosts_without_a_vhid_are_each_told_of_once() -> None:
    text = 'ifconfig_em0_alias0="inet advskew 1 pass x alias 10.0.0.1/24"\n'
    text += 'cloned_interfaces="carp0 carp1"\nifconfig_em0="inet 10.0.0.9/24"\n'
    text += 'ifconfig_carp0="pass x 10.0.0.2/24"\nifconfig_carp1="pass x 10.0.0.3/24"\n'

    assert [each.partition(" (")[0] for each in complaints(text)] == [
        "1:1: vhid is missing",
        "4:1: vhid is missing",
        "5:1: vhid is missing",
    ]


@pytest.mark.parametrize("line", ['ifconfig_em0_alias0 ="{}"', 'ifconfig_em0_alias0 = "{}"', "ifconfig_em0_alias0 ={}"])
def test_a_blank_before_the_equals_sign_is_told(line: str) -> None:
    assert complaints(line.format("inet vhid 1 pass x alias 10.0.0.1/24") + "\n") == [
        (
            "1:1: a blank stands before the = of ifconfig_em0_alias0, so that the shell assigns nothing "
            "(write NAME=VALUE without blanks around the =)"
        )
    ]


@pytest.mark.parametrize("name", ["em0_alias", "em0_ipv6_alias"])
def test_an_alias_without_a_number_is_no_interface(name: str) -> None:
    (only,) = complaints(f'ifconfig_{name}="inet vhid 1 pass x 10.0.0.1/24"\n')

    assert only == (
        f"1:1: ifconfig_{name} has no number, so FreeBSD reads it as an interface "
        f"(write ifconfig_{name}0, or ifconfig_{name}es for a list)"
    )
