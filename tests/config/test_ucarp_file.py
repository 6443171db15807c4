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

    assert (host.interface, host.vhid, str(host.shared[0]), host.dialect.name) == ("eth0", 1, "10.0.0.9/32", "ucarp")


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
        (f"\nucarp {OPTIONS} -v 0", "start:2:1: vhid must be between 1 and 255, not 0"),
        (f"ucarp {OPTIONS} --bogus", "start:1:1: option --bogus not recognized"),
        (
            'ucarp -p "$PASS"',
            "start:1:1: an option is computed by the shell (write the value itself; PASS has no value",
        ),
        ("ucarp -p $(cat x)", "start:1:1: an option is computed by the shell (write the value itself)"),
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
