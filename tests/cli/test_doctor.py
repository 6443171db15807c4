"""``pycarp doctor`` as its user meets it: what is shown, and one line for every mistake."""

import json
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.cli.doctor import _json, _print, _running
from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.subject import Subject
from tests.support.control import host_of, scripted_daemon, status_of
from tests.support.namespaces import LINK, entered, joined_namespaces
from tests.support.system import require

FINDINGS = (
    Finding(
        kind="down",
        severity=Severity.PROBLEM,
        subject="eth0",
        words="eth0 is set down",
        reason="its hosts stay INIT",
        command="ip link set eth0 up",
    ),
    Finding(kind="kin", severity=Severity.ADVICE, subject="ucarp", words="ucarp runs here [too]", reason="it may"),
)
TOML = """
[[host]]
interface = "nothing0"
vhid = 7
password = "hunter2"
addresses = ["192.0.2.70/24"]
"""


def doctor(*words: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *words])


def test_each_finding_has_its_reason_and_what_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    _print((Subject(interface="eth0"),), FINDINGS)

    assert capsys.readouterr().out.splitlines() == [
        "problem: eth0: eth0 is set down",
        "    because its hosts stay INIT",
        "    mend it: ip link set eth0 up",
        "advice: ucarp: ucarp runs here [too]",
        "    because it may",
        "eth0, no virtual hosts examined: 1 problem, no warnings, 1 advice",
    ]


def test_scripts_read_one_object() -> None:
    found = json.loads(_json((Subject(interface="eth0"),), FINDINGS))

    assert (found["type"], found["interfaces"], found["hosts"]) == ("doctor", ["eth0"], [])
    assert found["findings"][0] == {
        "kind": "down",
        "severity": "problem",
        "subject": "eth0",
        "text": "eth0 is set down",
        "reason": "its hosts stay INIT",
        "command": "ip link set eth0 up",
    }
    assert found["findings"][1]["command"] is None


@pytest.mark.parametrize(("mac_mode", "has_device"), [("virtual", True), ("interface", False), (None, True)])
def test_whether_a_running_host_has_a_device_is_what_its_daemon_says(
    mac_mode: str | None, has_device: bool, tmp_path: Path
) -> None:
    status = host_of("web", interface="lo", location="eth0 (chosen by other words)", mac_mode=mac_mode)
    with scripted_daemon(tmp_path / "s", lambda _request: status_of(status)) as daemon, click.Context(cli):
        (examined,) = _running(daemon.path)

    assert examined.has_device is has_device


def test_an_interface_that_the_file_names_and_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "pycarp.toml"
    file.write_text(TOML)

    result = doctor(str(file), "--offline", "--json")

    assert result.exit_code == 3
    assert "no-interface" in {each["kind"] for each in json.loads(result.stdout)["findings"]}
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    "words",
    [
        ("/nonexistent/pycarp.toml",),
        (os.devnull,),
        ("-i", "lo9x"),
        ("--for", "soon"),
        ("--map", "em0=eth0"),
        ("--format", "toml"),
        ("one", "two"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_wrong_usage(words: tuple[str, ...]) -> None:
    result = doctor(*words, "--control", "/nonexistent/pycarp.sock")

    assert (result.exit_code, result.stdout, "Traceback" in result.output) == (2, "", False)


def test_a_file_for_another_network_says_how_to_name_the_interface(tmp_path: Path) -> None:
    file = tmp_path / "rc.conf"
    file.write_text('cloned_interfaces="carp0"\nifconfig_carp0="vhid 7 pass s 203.0.113.70/24"\n')

    result = doctor(str(file), "--offline")

    assert (result.exit_code, "--map OLD=NEW names one" in result.stderr) == (2, True)


@pytest.mark.system
def test_devices_of_virtual_hosts_are_no_interfaces_to_examine() -> None:
    require("ip")
    with joined_namespaces() as (ours, _theirs):
        ours.ip(
            "link", "add", "carp7", "link", LINK, "address", "00:00:5e:00:01:07", "type", "macvlan", "mode", "private"
        )
        ours.ip("addr", "add", "10.77.0.100/24", "dev", "carp7")
        ours.ip("link", "set", "carp7", "up")
        with entered(ours):
            found = json.loads(doctor("--offline", "--json").stdout)

    assert found["interfaces"] == [LINK]
