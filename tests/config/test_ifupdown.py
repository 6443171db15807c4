"""ucarp in Debian's /etc/network/interfaces."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.key import Passphrase
from pycarp.config import ConfigProblems, NodeConfig, grammars, ifupdown
from pycarp.config.grammars import Grammar

STANZA = """\
auto lo eth0
iface lo inet loopback

# the way in
iface eth0 inet static
    address 10.0.0.2
    netmask 255.255.255.0
    up ip route add 10.9.0.0/16 via 10.0.0.254
    ucarp-vid 3
    ucarp-vip 10.0.0.1
    ucarp-password 16charsatmost
    ucarp-advskew 5
    ucarp-advbase 2
    ucarp-master yes
"""


def read(text: str, **renames: str) -> NodeConfig:
    return ifupdown.read(text, file="interfaces", renames=renames)


def complaints(text: str, **renames: str) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        read(text, **renames)
    return [str(each).removeprefix("interfaces:") for each in caught.value.problems]


def test_a_stanza_is_a_host_of_ucarp() -> None:
    config = read(STANZA)

    (host,) = config.hosts
    assert (host.interface, host.vhid, host.advskew, host.advbase, host.preempt) == ("eth0", 3, 5, 2, True)
    assert (host.dialect.name, host.passphrase) == ("ucarp", Passphrase("16charsatmost"))
    assert ([str(each) for each in host.addresses], [str(each) for each in config.own["eth0"]]) == (
        ["10.0.0.1/32"],
        ["10.0.0.2/24"],
    )


@pytest.mark.parametrize("file", ["/etc/network/interfaces", "/etc/network/interfaces.d/eth0", "x"])
def test_the_grammar_is_recognised(file: str) -> None:
    assert grammars.recognise(file, STANZA) is Grammar.INTERFACES


@pytest.mark.parametrize(
    ("value", "expected"),
    [("yes", True), ("no", False), ("off", False), ("false", False), ("0", False), ("none", False), ("No", True)],
)
def test_a_switch_is_on_unless_debians_script_takes_it_for_off(value: str, expected: bool) -> None:
    text = STANZA.replace("master yes", f"master {value}") + f"    ucarp-nomcast {value}\n"

    (host,) = read(text).hosts
    assert (host.preempt, host.broadcasts) == (expected, expected)


def test_the_other_options_are_those_of_ucarp() -> None:
    config = read(STANZA + "  ucarp-deadratio 5\n  ucarp-upscript /up\n  ucarp-downscript /down\n  ucarp-xparam x\n")

    assert config.hosts[0].dead_ratio == 5
    assert config.notes == ("interfaces:5: /up and /down will not run; pycarp moves addresses itself",)


def test_the_stanza_of_the_shared_address_gives_its_prefix() -> None:
    (host,) = read(STANZA + "iface eth0:ucarp inet static\n address 10.0.0.1\n netmask 255.255.255.0\n").hosts

    assert [str(each) for each in host.addresses] == ["10.0.0.1/24"]


def test_lines_are_continued_and_addresses_may_have_a_prefix() -> None:
    text = STANZA.replace("10.0.0.2\n", "10.0.0.2/24\n").replace("ucarp-vip ", "ucarp-vip \\\n   ")

    assert [str(each) for each in read(text).hosts[0].addresses] == ["10.0.0.1/32"]


def test_several_stanzas_are_several_hosts() -> None:
    second = STANZA[STANZA.index("iface eth0") :].replace("eth0", "eth1").replace("10.0.0.", "10.1.0.")

    assert [(host.interface, host.vhid) for host in read(STANZA + second).hosts] == [("eth0", 3), ("eth1", 3)]


def test_an_interface_can_be_renamed() -> None:
    assert read(STANZA, eth0="em0").hosts[0].interface == "em0"
    assert complaints(STANZA, eth7="em0") == ["1:1: --map eth7=em0: nothing is about eth7 (there are: lo, eth0)"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ucarp-advskew", "ucarp-advskw", ["12:5: unknown option ucarp-advskw (did you mean ucarp-advskew?)"]),
        ("ucarp-vid", "ucarp-vhid", ["9:5: unknown option ucarp-vhid (did you mean ucarp-vid?)"]),
        ("vid 3", "vid 300", ["9:15: vhid must be between 1 and 255, not 300"]),
        ("    ucarp-vid 3\n", "",
         ["5:1: ucarp-vid is missing, and without it ucarp is not started (add ucarp-vid)"]),
        ("    address 10.0.0.2\n", "",
         ["5:1: address is missing, which ucarp is given as its own (add address ADDRESS)"]),
        ("vip 10.0.0.1", "vip 10.0.0.1/24",
         ["10:15: Invalid address for --addr: an IPv4 address without prefix is wanted"]),
        ("vip 10.0.0.1", "vip 255.255.255.0", ["10:15: 255.255.255.0 is a netmask, not an address"]),
        ("16charsatmost", "two words",
         ["11:20: ucarp-password has a blank, and Debian's script does not quote it (write it without)"]),
        ("ucarp-advbase 2", "ucarp-vid 4", ["13:5: ucarp-vid stands twice in this stanza (leave one of them)"]),
        ("iface eth0 inet", "iface eth0:1 inet",
         ["5:1: eth0:1 is the label of an address, not a network device (write eth0)"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_the_way_out(old: str, new: str, expected: list[str]) -> None:
    assert complaints(STANZA.replace(old, new)) == expected


def test_all_mistakes_are_told_at_once_and_no_password() -> None:
    text = STANZA.replace("vid 3", "vid 0").replace("16charsatmost", "hunter2" * 3).replace("advbase 2", "advbase x")

    found = complaints(text)
    assert [each.split(":")[0] for each in found] == ["9", "11", "13"]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("keyword", ["source", "source-directory"])
def test_files_that_are_read_as_well_are_named(keyword: str) -> None:
    line = f"{keyword} /etc/network/interfaces.d/*\n"

    place = f"1:{len(keyword) + 2}"
    assert complaints(line) == [
        f"{place}: /etc/network/interfaces.d/* is read by ifupdown here (give pycarp that file)"
    ]
    assert "is read by ifupdown here, but not by pycarp" in read(line + STANZA).notes[-1]


def test_a_file_without_ucarp_says_what_it_expects() -> None:
    (only,) = complaints("iface eth0 inet dhcp\n")

    assert only.startswith("1:1: no ucarp is configured here (expected iface IF inet static")


@given(st.text() | st.lists(st.sampled_from([*STANZA.split(), "\n", "\\\n", "#", "iface"])).map(" ".join))
def test_no_text_is_too_odd_to_be_answered(text: str) -> None:
    with contextlib.suppress(ConfigProblems):
        assert isinstance(read(text), NodeConfig)


def test_quotes_belong_to_the_value() -> None:
    config = read(STANZA.replace("password ", "password '").replace("\n    ucarp-advskew", "'\n    ucarp-advskew"))

    assert "the quotes belong to the value of ucarp-password: ifupdown takes none away" in config.notes[0]


LABEL = """
iface eth0:ucarp inet static
    address 10.0.0.1
    netmask 255.255.255.0
    post-up start-vpn
    post-up start-mail
    pre-down stop-vpn
"""


def test_commands_of_the_shared_address_are_named_with_the_hook_that_takes_their_place() -> None:
    notes = read(STANZA + LABEL).notes

    assert [note.partition(": ")[2] for note in notes] == [
        'post-up start-vpn will not run; a [[host.hook]] with on = ["master"] can run it',
        'post-up start-mail will not run; a [[host.hook]] with on = ["master"] can run it',
        'pre-down stop-vpn will not run; a [[host.hook]] with on = ["lost"] can run it',
    ]


def test_another_address_in_the_stanza_of_the_shared_one_is_named() -> None:
    (note, *_commands) = read(STANZA + LABEL.replace("10.0.0.1", "10.0.0.9")).notes

    assert "eth0:ucarp brings up 10.0.0.9; pycarp shares 10.0.0.1" in note


def test_with_scripts_of_its_own_that_stanza_is_not_brought_up() -> None:
    scripts = "    ucarp-upscript /u\n    ucarp-downscript /d\n"

    notes = read(STANZA + scripts + LABEL).notes

    assert not any("start-vpn" in note for note in notes)
