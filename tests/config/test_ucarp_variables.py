"""ucarp in FreeBSD's rc.conf."""

from pathlib import Path

import pytest

from pycarp.auth.key import Passphrase
from pycarp.config import ConfigProblems, NodeConfig, grammars, rcconf
from pycarp.config.grammars import Grammar

LINES = """\
ucarp_enable="YES"
ucarp_if="vtnet1"
ucarp_pass="carppass"
ucarp_src="10.0.0.2"
ucarp_addr="10.0.0.1"
"""


def read(text: str, **renames: str) -> NodeConfig:
    return rcconf.read(text, file="rc.conf", renames=renames)


def complaints(text: str) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        read(text)
    return [str(each).removeprefix("rc.conf:") for each in caught.value.problems]


def test_the_variables_of_the_port_are_a_host_of_ucarp() -> None:
    more = 'ucarp_vhid="7"\nucarp_preempt="yes"\nucarp_advbase=2\nucarp_advskew=3\nucarp_deadratio=4\n'
    more += 'ucarp_flags="-M -S"\n'

    (host,) = read(LINES + more).hosts
    assert (host.interface, host.vhid, host.preempt, host.advbase, host.advskew) == ("vtnet1", 7, True, 2, 3)
    assert (host.dead_ratio, host.broadcasts, host.ignores_link, host.dialect.name) == (4, True, True, "ucarp")
    assert host.passphrase == Passphrase("carppass")


def test_what_is_not_said_is_what_the_script_takes_for_granted() -> None:
    (host,) = read(LINES).hosts

    assert (host.vhid, host.preempt) == (1, False)


def test_ucarp_stands_beside_the_kernels_own_carp() -> None:
    text = LINES + 'ifconfig_em0_alias0="inet vhid 1 pass s 10.0.1.1/32"\n'

    assert [(host.interface, host.dialect.name) for host in read(text).hosts] == [
        ("em0", "universal"),
        ("vtnet1", "ucarp"),
    ]


def test_a_password_file_counts_more_than_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By a short path: FreeBSD's script does not quote it, and a temporary folder may have a blank in its name.
    monkeypatch.chdir(tmp_path)
    secret = Path("secret")
    secret.write_text("of the file\n")

    config = read(f"{LINES}ucarp_passfile={secret}\n")
    assert config.hosts[0].passphrase == Passphrase("of the file")
    assert config.notes == ("rc.conf:3: ucarp_passfile counts, not ucarp_pass",)
    assert list(config.secret_files.values()) == [secret]


def test_the_interface_can_be_renamed() -> None:
    assert read(LINES, vtnet1="eth0").hosts[0].interface == "eth0"


def test_the_grammar_is_recognised() -> None:
    assert grammars.recognise("x", LINES) is Grammar.RC_CONF


@pytest.mark.parametrize("enable", ["", 'ucarp_enable="NO"\n'])
def test_what_is_not_enabled_is_not_started(enable: str) -> None:
    text = enable + LINES.partition("\n")[2]
    carp = 'ifconfig_em0_alias0="inet vhid 1 pass s 10.0.1.1/32"\n'

    assert "ucarp_enable is not YES, so FreeBSD would not start ucarp" in complaints(text)[0]
    assert "ucarp_enable is not YES, so ucarp is not started" in read(text + carp).notes[0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ucarp_pass=", "ucarp_passs=",
         ["3:1: unknown variable ucarp_passs (did you mean ucarp_pass?)"]),
        ("ucarp_addr=", "ucarp_adr=", ["5:1: unknown variable ucarp_adr (did you mean ucarp_addr?)"]),
        ('ucarp_pass="carppass"\n', "\n", ["1:1: ucarp_pass is missing (add ucarp_passfile, or ucarp_pass)"]),
        ("10.0.0.1", "10.0.0.300", ["5:13: Invalid address for --addr: an IPv4 address without prefix is wanted"]),
        ('="YES"', '="yep"', ["1:15: ucarp_enable is neither YES nor NO (write YES or NO)"]),
        ("carppass", "a b",
         ["3:13: ucarp_pass has a blank, and FreeBSD's script does not quote it (write it without)"]),
        ('ucarp_addr="10.0.0.1"', "if a; then ucarp_addr=10.0.0.1; fi",
         ["5:12: ucarp_addr depends on a condition of the shell in line 5 (write the value itself)"]),
        ('ucarp_addr="10.0.0.1"', "ucarp_addr=$ADDR", ["5:1: ADDR has no value in this file (write the value itself)"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_the_way_out(old: str, new: str, expected: list[str]) -> None:
    assert complaints(LINES.replace(old, new)) == expected


def test_no_complaint_shows_a_password() -> None:
    found = complaints(LINES.replace("carppass", "hunter2" * 3) + "ucarp_vhid=hunter2\nucarp_preempt=hunter2\n")

    assert len(found) == 3
    assert "hunter2" not in str(found)
