"""OpenBSD's hostname.carp0: its lines, and every mistake with its place and the way out."""

import contextlib
from ipaddress import ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.config import ConfigProblems, NodeConfig, hostname_if
from pycarp.core.host_config import HostConfig
from pycarp.dialects import OPENBSD
from pycarp.vocabulary import LinkFacts, MacAddress

EM0 = LinkFacts(name="em0", is_up=True, addresses=(ip_interface("192.168.1.3/24"),))
GOOD = "inet 192.168.1.1 255.255.255.0 192.168.1.255 vhid 1 carpdev em0 pass secret advskew 100\n"


def host(text: str, *links: LinkFacts, **renames: str) -> HostConfig:
    (only,) = hostname_if.read(text, file="/etc/hostname.carp0", links=links, renames=renames).hosts
    return only


def complaints(text: str, *links: LinkFacts) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        hostname_if.read(text, file="hostname.carp0", links=links)
    return [str(each).removeprefix("hostname.carp0:") for each in caught.value.problems]


def test_the_example_of_the_manual_is_a_host_of_openbsd() -> None:
    made = host(GOOD)

    assert (made.name, made.interface, made.vhid, made.advbase, made.advskew) == ("carp0", "em0", 1, 1, 100)
    assert (made.dialect, [str(each) for each in made.addresses]) == (OPENBSD, ["192.168.1.1/24"])


@pytest.mark.parametrize(
    "address",
    [
        "inet 192.168.1.1 255.255.255.0",
        "inet 192.168.1.1 0xffffff00 NONE",
        "inet 192.168.1.1/24",
        "inet alias 192.168.1.1 255.255.255.0 192.168.1.255",
        "inet 192.168.1.1 netmask 255.255.255.0",
    ],
)
def test_every_spelling_of_an_address_is_understood(address: str) -> None:
    made = host(f"{address}\nvhid 1 carpdev em0 pass secret\n")

    assert [str(each) for each in made.addresses] == ["192.168.1.1/24"]


def test_lines_add_up_to_one_host() -> None:
    made = host(
        "# our gateway\ninet 192.168.1.1 255.255.255.0\ninet alias 192.168.1.2 255.255.255.255\n"
        'inet6 alias 2001:db8::1 64\nvhid 1 carpdev em0 pass "two words"  # secret\n'
        'description "Carp of em0"\ngroup web\nlladdr 00:11:22:33:44:55\nadvbase 0 advskew 200\nup\n'
    )

    assert [str(each) for each in made.addresses] == ["192.168.1.1/24", "192.168.1.2/32", "2001:db8::1/64"]
    assert (made.groups, made.lladdr) == (("carp", "web"), MacAddress.parse("00:11:22:33:44:55"))
    assert (made.advbase, made.advskew) == (0, 200)


def test_a_group_can_be_left() -> None:
    assert host(GOOD + "group web -group carp\n").groups == ("web",)


def test_one_carpnode_is_vhid_and_advskew() -> None:
    made = host("inet 192.168.1.1/24 carpdev em0 pass s carpnodes 3:100 balancing none\n")

    assert (made.vhid, made.advskew) == (3, 100)


def test_a_carppeer_is_a_peer_and_can_be_taken_back() -> None:
    assert [str(each) for each in host(f"{GOOD}carppeer 192.168.1.4\n").peers] == ["192.168.1.4"]


def test_commands_are_passed_over_with_a_note() -> None:
    config = hostname_if.read(GOOD + "!route add default 192.168.1.254\n", file="hostname.carp0")

    assert config.notes == ("hostname.carp0:2: a command for a shell is passed over",)


def test_without_carpdev_the_subnet_finds_the_interface() -> None:
    assert host("inet 192.168.1.1/24 vhid 1 pass s\n", EM0).interface == "em0"


def test_the_carpdev_can_be_called_otherwise_here() -> None:
    facts = LinkFacts(name="eth0", is_up=True)

    assert host(GOOD, facts, em0="eth0").interface == "eth0"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("inet 192.168.1.1/24 vhid 0 carpdev em0 pass s", ["1:26: vhid 0 is outside 1-255"]),
        ("inet 192.168.1.1/24 carpdev em0 pass s",
         ["1:1: vhid is missing (add vhid N, the same on every host that shares the address)"]),
        ("inet 192.168.1.1/24 vhid 1 carpdev em0",
         ["1:1: pass is missing (add pass SECRET; without it anybody could take the address)"]),
        ("vhid 1 carpdev em0 pass s", ["1:1: no shared address (add inet ADDRESS NETMASK)"]),
        ("inet dhcp", ["1:1: a shared address cannot be leased or found (write inet ADDRESS NETMASK)"]),
        ("inet 192.168.1.1/24 vhid 1 carpdev em0 pass s balancing ip",
         ["1:47: balancing ip is not supported (remove it, and give each vhid addresses of its own)"]),
        ("inet 192.168.1.1/24 carpdev em0 pass s carpnodes 1:0,2:100",
         ["1:50: several carpnodes share one address (pycarp does not balance: give each vhid addresses and a carp"]),
        ('inet 192.168.1.1/24 vhid 1 carpdev em0 pass "s', ["1:45: quote \" is never closed"]),
        ("inet 192.168.1.1/24 vhid 1 carpdev em0 pass s state mastre",
         ["1:53: state needs init, backup or master (remove it: every host starts as backup)"]),
        ("inet 192.168.1.1/24 vhid 1 carpdev em0 pass s lladdr random",
         ["1:54: this is not a MAC address (write lladdr 00:00:5e:00:01:01)"]),
        ("inet 10.0.0.1/24 vhid 1 pass s",
         ["1:6: 10.0.0.1 is in the subnet of no interface; there are: none (add carpdev INTERFACE)"]),
        ("inet 192.168.1.1/24 vihd 1 carpdev em0 pass s", ["1:21: unknown word (did you mean vhid?)"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_the_way_out(line: str, expected: list[str]) -> None:
    found = complaints(line + "\n")

    assert all(any(each.startswith(text) for each in found) for text in expected), found


def test_a_carpdev_that_does_not_exist_is_told_with_those_that_do() -> None:
    assert complaints(GOOD.replace("em0", "em1"), EM0) == [
        "1:61: interface em1 does not exist; there are: em0 (rename it: --map em1=em0)"
    ]


def test_a_password_is_never_shown() -> None:
    assert "hunter2" not in str(
        complaints("inet hunter2\nvhid hunter2 passs hunter2 carpnodes hunter2\nlladdr hunter2\n")
    )


@given(
    st.text() | st.lists(st.sampled_from([*GOOD.split(), "\n", "!", "carpnodes", "1:2", '"', "inet6", "fe80::1%em0"]))
)
def test_no_text_is_too_odd_to_be_answered(text: str | list[str]) -> None:
    with contextlib.suppress(ConfigProblems):
        config = hostname_if.read(text if isinstance(text, str) else " ".join(text), file="hostname.carp0")

        assert isinstance(config, NodeConfig)


def test_a_rename_of_what_the_file_does_not_name_is_a_mistake() -> None:
    with pytest.raises(ConfigProblems, match=r"--map fxp0=eth0: nothing is about fxp0 .there are: em0."):
        host(GOOD, fxp0="eth0")


# Lines as netstart reads them


def secret(line: str) -> bytes:
    """Return the password of a host with this line."""
    return host(f"inet 192.168.1.1/24 vhid 1 carpdev em0\n{line}\n").passphrase.key.rstrip(b"\0")


def test_a_backslash_at_its_end_continues_a_line() -> None:
    made = host("inet 172.16.0.10 255.255.255.0 172.16.0.255 \\\n\tcarpdev vlan2 \\\n\tvhid 2 pass s\\\necret\n")

    assert (made.interface, made.vhid, made.passphrase.key.rstrip(b"\0")) == ("vlan2", 2, b"secret")
    assert [str(each) for each in made.addresses] == ["172.16.0.10/24"]


def test_a_mistake_in_a_continued_line_has_the_place_where_it_stands() -> None:
    assert complaints("inet 192.168.1.1/24 carpdev em0 \\\n  vhid 0 pass s\n") == ["2:8: vhid 0 is outside 1-255"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pass a\\b", b"ab"),
        ("pass a\\\\'b", b"a'b"),
        ("pass 'a\\b'", b"ab"),
        ("pass 'a\\\\b'", b"a\\b"),
        ("pass 'a$b`c'", b"a$b`c"),
        ('pass "a\\\\"b"', b'a"b'),
        ('pass "a\\\\$b"', b"a$b"),
        ("pass a'b c'd", b"ab cd"),
        ("pass 'a  b'", b"a b"),
        ("pass a#b", b"a#b"),
        ("pass 'a # b' # c", b"a # b"),
        ("pass $", b"$"),
    ],
)
def test_quotes_and_backslashes_are_those_of_read_and_eval(line: str, expected: bytes) -> None:
    assert secret(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pass a$b", "2:7: this is computed by OpenBSD's shell (put the word into single quotes)"),
        ('pass "a${b}"', "2:8: this is computed by OpenBSD's shell (put the word into single quotes)"),
        ("pass `a`", "2:6: this is computed by OpenBSD's shell (put the word into single quotes)"),
        ("pass a;b", "2:7: ; means something to OpenBSD's shell (put the word into quotes)"),
        ("pass a|b", "2:7: | means something to OpenBSD's shell (put the word into quotes)"),
    ],
)
def test_what_the_shell_would_replace_is_refused(line: str, expected: str) -> None:
    assert complaints(f"inet 192.168.1.1/24 vhid 1 carpdev em0\n{line}\n")[0] == expected


def test_words_that_do_not_matter_are_passed_over() -> None:
    made = host(
        "inet 192.0.2.50 255.255.255.224 NONE -inet6 carpdev bge0 pass s vhid 1 mtu 1400 -link0 rdomain 1 debug\n"
    )

    assert [str(each) for each in made.addresses] == ["192.0.2.50/27"]


def test_a_state_is_a_wish_and_noted() -> None:
    config = hostname_if.read(GOOD + "\nstate master\n", file="hostname.carp0")

    (note,) = config.notes
    assert note.startswith("hostname.carp0:3: every host starts as backup")


@pytest.mark.parametrize("line", ["10.0.0.1 255.255.255.0", "10.0.0.1 0xffffff00"])
def test_a_netmask_among_options_is_no_address(line: str) -> None:
    (only,) = complaints(f"vhid 1 carpdev em0 pass s {line}\n")

    assert "is a netmask, not an address" in only


@pytest.mark.parametrize("scope", ["em0", "carp0", "eth0"])
def test_a_scope_may_name_the_device_or_the_carp_interface(scope: str) -> None:
    made = host(f"inet6 fe80::1%{scope} 64\nvhid 1 carpdev em0 pass s\n", em0="eth0")

    assert [str(each) for each in made.addresses] == ["fe80::1/64"]


def test_a_scope_of_another_interface_is_a_mistake() -> None:
    (only,) = complaints("inet6 fe80::1%em1 64\nvhid 1 carpdev em0 pass s\n")

    assert only == "1:7: the address belongs to em1, and stands on another interface (write %em0 or %carp0)"


def test_without_carpdev_a_scope_tells_the_interface() -> None:
    assert host("inet6 fe80::1%em0 64\nvhid 1 pass s\n").interface == "em0"


def test_a_label_of_an_address_is_no_carpdev() -> None:
    (only,) = complaints("inet 10.0.0.1/24 vhid 1 carpdev eth0:0 pass s\n")

    assert only == "1:33: eth0:0 is the label of an address, not a network device (write eth0)"


def test_a_password_that_is_too_long_has_a_way_out() -> None:
    (only,) = complaints(f"inet 10.0.0.1/24 vhid 1 carpdev em0 pass {'hunter2' * 5}\n")

    assert "uses its first 19 octets: write these alone" in only
    assert "hunter2" not in only


def test_every_address_that_no_host_can_have_is_told_at_its_own_place() -> None:
    text = GOOD + "inet6 alias ff02::1 64\ninet alias 224.0.0.9 255.255.255.0\ncarppeer 255.255.255.255\n"

    assert [each.partition(" ")[0] for each in complaints(text)] == ["2:13:", "3:12:", "4:10:"]
    assert [each.partition(" ")[0] for each in complaints(text.replace("pass secret", ""))][1:] == [
        "2:13:",
        "3:12:",
        "4:10:",
    ]
