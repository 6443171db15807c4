"""Scripts that start ucarp."""

import contextlib
from ipaddress import ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.key import Passphrase
from pycarp.config import ConfigProblems, NodeConfig, ucarp_file
from pycarp.vocabulary import LinkFacts

OPTIONS = "-i eth0 -s 10.0.0.1 -v 1 -p x -a 10.0.0.9"


def read(text: str, *links: LinkFacts, **renames: str) -> NodeConfig:
    return ucarp_file.read(text, file="start", links=links, renames=renames)


def complaints(text: str) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        read(text)
    return [str(each) for each in caught.value.problems]


@pytest.mark.parametrize(
    "line",
    [
        f"ucarp {OPTIONS}",
        f"exec /usr/sbin/ucarp {OPTIONS} &",
        f"pycarp ucarp {OPTIONS} # ours",
        f"ucarp \\\n {OPTIONS}",
    ],
)
def test_a_command_is_a_host(line: str) -> None:
    (host,) = read(f"#!/bin/sh\necho ucarp\n{line}\n").hosts

    assert (host.interface, host.vhid, str(host.addresses[0]), host.dialect.name) == ("eth0", 1, "10.0.0.9/32", "ucarp")


def test_quotes_are_those_of_a_shell() -> None:
    (host,) = read(f"ucarp {OPTIONS} --pass='a $b \"c'\n").hosts

    assert host.passphrase == Passphrase('a $b "c')


def test_scripts_are_noted() -> None:
    assert read(f"ucarp {OPTIONS} -u /up -d /down\n").notes == (
        "start:1: /up and /down will not run; pycarp moves addresses itself",
    )


def test_without_an_interface_the_subnet_of_the_source_tells() -> None:
    link = LinkFacts(name="eth5", is_up=True, addresses=(ip_interface("10.0.0.1/24"),))

    assert read("ucarp -s 10.0.0.1 -v 1 -p x -a 10.0.0.9", link).hosts[0].interface == "eth5"


def test_an_interface_can_be_renamed() -> None:
    assert read(f"ucarp {OPTIONS}", eth0="em0").hosts[0].interface == "em0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "start:1:1: no ucarp is started here (expected ucarp --interface"),
        (f"\nucarp {OPTIONS} -v 0", "start:2:49: vhid must be between 1 and 255, not 0"),
        (f"ucarp {OPTIONS} --bogus", "start:1:49: option --bogus not recognized"),
        (f"ucarp {OPTIONS} --advskw=3", "start:1:49: option --advskw not recognized (did you mean --advskew?)"),
        (
            'ucarp -p "$PASS"',
            "start:1:10: -p is computed by the shell (write the value itself; PASS has no value",
        ),
        ("ucarp -p $(cat x)", "start:1:10: -p is computed by the shell (write the value itself)"),
        ("ucarp -p 'x", "start:1:10: quote ' is never closed"),
        (f"ucarp {OPTIONS}\nucarp {OPTIONS}", "start:2:1: vhid 1 is used twice on eth0"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, expected: str) -> None:
    assert complaints(text)[0].startswith(expected)


@given(st.text() | st.lists(st.sampled_from([*OPTIONS.split(), "ucarp", "\n", "\\\n", "'", '"', "$"])).map(" ".join))
def test_no_text_is_too_odd_to_be_answered(text: str) -> None:
    with contextlib.suppress(ConfigProblems):
        assert isinstance(read(text), NodeConfig)


def test_a_rename_of_what_the_file_does_not_name_is_a_mistake() -> None:
    with pytest.raises(ConfigProblems, match=r"--map fxp0=eth1: nothing is about fxp0 .there are: eth0."):
        read(f"ucarp {OPTIONS}", fxp0="eth1")


@pytest.mark.parametrize(
    "line",
    [
        f"ucarp {OPTIONS} 2>&1 | logger -t ucarp",
        f"ucarp {OPTIONS} -B >/dev/null 2>&1 </dev/null & echo $! >/run/ucarp.pid",
        f"ucarp {OPTIONS}; sleep -t 1",
        f"ucarp {OPTIONS} && echo -t",
        f"ucarp {OPTIONS} || exit -1",
        f"(echo -e x); ucarp {OPTIONS}",
        f"cat <<EOF\nucarp -v 300\nEOF\nucarp {OPTIONS}",
        f"start-stop-daemon --start --exec /usr/sbin/ucarp -- {OPTIONS}",
        f"[Service]\nExecStart=/usr/sbin/ucarp {OPTIONS} \\\n  -k 0\n[Install]",
        f"DEV=eth0\nOPTS='-b 1 -k 0'\nucarp -i $DEV {OPTIONS.removeprefix('-i eth0')} $OPTS",
    ],
)
def test_a_command_ends_where_the_shell_ends_it(line: str) -> None:
    (host,) = read(f"{line}\n").hosts

    assert (host.interface, host.vhid, host.advskew, str(host.addresses[0])) == ("eth0", 1, 0, "10.0.0.9/32")


def test_two_commands_may_stand_in_one_line() -> None:
    text = f"ucarp {OPTIONS} & ucarp -i eth0 -s 10.0.0.1 -v 2 -p x -a 10.0.0.8 &"

    assert [host.vhid for host in read(text).hosts] == [1, 2]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("if a; then\n {}\nelse\n b\nfi", "a condition of the shell in line 1"),
        ("case $1 in start) {};; esac", "a condition of the shell in line 1"),
        ("[ -x /usr/sbin/ucarp ] && {}", "a condition of the shell in line 1"),
        ("for i in 1 2; do {}; done", "a loop of the shell in line 1"),
        ("start() {{\n {}\n}}", "a function of the shell in line 1"),
    ],
)
def test_a_command_that_may_or_may_not_run_is_refused(text: str, what: str) -> None:
    (only,) = complaints(text.format(f"ucarp {OPTIONS}"))

    assert f"this ucarp depends on {what} (put what this machine starts into a file of its own)" in only


def test_a_value_of_a_branch_is_refused() -> None:
    (only,) = complaints(f"if a; then SKEW=0; else SKEW=9; fi\nucarp {OPTIONS} -k $SKEW\n")

    assert only == (
        "start:2:52: -k is computed by the shell "
        "(write the value itself; SKEW depends on a condition of the shell in line 1)"
    )


def test_a_script_that_only_reads_another_one_names_it() -> None:
    assert complaints(". /etc/default/ucarp\n") == [
        "start:1:1: /etc/default/ucarp is read by the shell here (give pycarp that file)"
    ]


@pytest.mark.parametrize("address", ["255.255.255.0", "245.0.0.1"])
def test_an_address_that_no_host_can_have_is_refused(address: str) -> None:
    (only,) = complaints(f"ucarp {OPTIONS} -a {address}")

    assert only.startswith(f"start:1:49: {address} is ")


def test_all_mistakes_of_a_command_are_told_at_once() -> None:
    found = complaints(f"ucarp {OPTIONS} --bogus=1 -Q -k 256 -b x -r")

    assert found == [
        "start:1:49: option --bogus not recognized",
        "start:1:59: option -Q not recognized",
        "start:1:62: advskew must be between 0 and 255, not 256",
        "start:1:69: advbase must be a number between 1 and 255",
        "start:1:74: option -r requires argument",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-p $PW", "start:1:10: -p is computed by the shell (write the value itself; PW has no value in this file)"),
        ("--pass=$(cat x) -v 1", "start:1:7: --pass is computed by the shell (write the value itself)"),
        ("-phunter22 $(x)", "start:1:18: an option is computed by the shell (write the value itself)"),
        ('--pass=hunter22 "$@"', "start:1:23: an option is computed by the shell"),
        ("-B x$(y)", "start:1:10: -B is computed by the shell (write the value itself)"),
        ("-i eth0 --adv=3", "start:1:15: option --adv not a unique prefix"),
    ],
)
def test_a_word_is_named_by_its_option_and_its_place(options: str, expected: str) -> None:
    found = complaints(f"ucarp {options}")

    assert any(each.startswith(expected) for each in found), found
    assert "hunter22" not in str(found)


def test_addresses_may_have_a_prefix_as_in_later_versions_of_ucarp() -> None:
    (host,) = read("ucarp -i eth0 -s 10.0.0.1/24 -v 1 -p x -a 10.0.0.9/24").hosts

    assert [str(each) for each in host.addresses] == ["10.0.0.9/24"]
    assert complaints(f"ucarp {OPTIONS} -a 10.0.0.9/33") == [
        "start:1:49: Invalid address for --addr: an IPv4 address is wanted"
    ]


def test_an_unclosed_quote_is_looked_for_where_a_value_swallowed_a_line() -> None:
    (only,) = complaints("A='x\nB='y'\nC='z'\n")

    assert only == (
        "start:3:5: quote ' is never closed (maybe the quote of line 1 is missing, whose value goes over several lines)"
    )


def test_a_label_of_an_address_is_no_device() -> None:
    (only,) = complaints(f"ucarp {OPTIONS} -i eth0:0")

    assert "eth0:0 is the label of an address, not a network device (write eth0)" in only


def test_a_password_that_is_too_long_has_a_way_out() -> None:
    (only,) = complaints(f"ucarp {OPTIONS} -p {'hunter2' * 3}")

    assert only.endswith("(ucarp refuses it too; the BSDs use the first 19 octets only)")
    assert "hunter2" not in only
