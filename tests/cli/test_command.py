"""The command as its user meets it: help, versions, and one clear line for every mistake."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pycarp import __version__
from pycarp.cli import cli

GOOD = (
    'ifconfig_fxp0="inet 192.168.1.3/24"\ncloned_interfaces="carp0"\nifconfig_carp0="vhid 1 pass s 192.168.1.50/24"\n'
)


def pycarp(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_the_version_is_told() -> None:
    assert pycarp("--version").output.strip().endswith(__version__)


@pytest.mark.parametrize("command", ["run", "status", "ifconfig", "sysctl", "decode", "demo", "lab"])
def test_the_help_of_every_command_has_examples(command: str) -> None:
    result = pycarp(command, "--help")

    assert result.exit_code == 0
    assert "Example" in result.output


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    result = pycarp("run", "--rc-conf", str(tmp_path / "nothing"))

    assert (result.exit_code, result.stderr) == (
        2,
        f"pycarp: cannot read {tmp_path}/nothing: No such file or directory\n",
    )


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "rc.conf").write_bytes(b"\xff\xfe")

    result = pycarp("run", "--rc-conf", str(tmp_path / "rc.conf"))

    assert (result.exit_code, result.stderr) == (2, f"pycarp: cannot read {tmp_path}/rc.conf: it is not text\n")


def test_a_missing_interface_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "rc.conf").write_text(GOOD)

    result = pycarp("run", "--rc-conf", str(tmp_path / "rc.conf"))

    assert result.exit_code == 2
    assert "interface fxp0 does not exist" in result.stderr
    assert "--map fxp0=" in result.stderr


def test_an_address_in_no_local_subnet_is_named(tmp_path: Path) -> None:
    (tmp_path / "rc.conf").write_text('cloned_interfaces="carp0"\nifconfig_carp0="vhid 1 pass s 203.0.113.50/24"\n')

    result = pycarp("run", "--rc-conf", str(tmp_path / "rc.conf"))

    assert result.exit_code == 2
    assert "203.0.113.50 is in the subnet of no interface" in result.stderr


def test_the_password_is_in_no_complaint(tmp_path: Path) -> None:
    (tmp_path / "rc.conf").write_text(
        'cloned_interfaces="carp0"\nifconfig_carp0="vhid 999 advskw 3 pas hunter2 203.0.113.50/24"\n'
    )

    result = pycarp("run", "--rc-conf", str(tmp_path / "rc.conf"))

    assert result.exit_code == 2
    assert "hunter2" not in result.output


@pytest.mark.parametrize("value", ["fxp0", "=eth0", "fxp0="])
def test_a_map_that_maps_nothing_is_wrong_usage(value: str) -> None:
    result = pycarp("run", "--rc-conf", "x", "--map", value)

    assert result.exit_code == 2
    assert "is not OLD=NEW" in result.stderr


def test_a_misspelt_sysctl_is_wrong_usage() -> None:
    result = pycarp("run", "--rc-conf", "x", "--sysctl", "net.inet.carp.premept=1")

    assert result.exit_code == 2
    assert "unknown sysctl 'net.inet.carp.premept'" in result.stderr


def test_a_sysctl_without_a_value_is_wrong_usage() -> None:
    result = pycarp("run", "--rc-conf", "x", "--sysctl", "net.inet.carp.preempt")

    assert result.exit_code == 2
    assert "has no value" in result.stderr


@pytest.mark.parametrize("words", [("status",), ("status", "--json"), ("ifconfig",), ("sysctl",)], ids=str)
def test_without_a_daemon_the_state_is_unknown(words: tuple[str, ...], tmp_path: Path) -> None:
    result = pycarp(*words, "--control", str(tmp_path / "nothing"))

    assert result.exit_code == 1
    assert "its state is unknown" in result.stderr
    assert "Traceback" not in result.output
