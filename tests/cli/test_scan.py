"""``pycarp scan`` as its user meets it: what is shown, what scripts read, and one line for every mistake."""

import json
from ipaddress import IPv4Address

import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.cli.scan_output import Scanned, as_json_text, print_for_people, ranges_of
from pycarp.inspection.scan import Scan
from pycarp.vocabulary import NS_PER_S, Address
from tests.support.carp_packets import ONE, TWO, captured, frame, ip_packet, payload
from tests.support.vrrp_packets import PASSWORD, version_2


def scan(*words: str) -> Result:
    return CliRunner().invoke(cli, ["scan", *words])


def scanned(*packets: tuple[float, bytes, Address], lost: int = 0) -> Scanned:
    collected = Scan()
    for at_s, octets, source in packets:
        collected.add(captured(frame(ip_packet(octets, source=source)), at_s=at_s))
    return Scanned(
        interface="eth0",
        listened_s=3,
        lost=lost,
        report=collected.report(3 * NS_PER_S),
        own=frozenset({IPv4Address("192.168.1.10")}),
    )


ONE_MASTER = tuple((float(second), payload(second, advskew=100), ONE) for second in range(3))
TWO_MASTERS = tuple(
    each
    for second in range(3)
    for each in ((float(second), payload(2 * second), ONE), (second + 0.5, payload(2 * second + 1), TWO))
)


def lines(found: Scanned, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_for_people(found)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_group_is_one_line_with_its_master(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(scanned(*ONE_MASTER), capsys)

    assert shown[0] == "eth0: 3 packets in 3.0 s"
    assert shown[2].startswith(
        "vhid 7 CARP 192.168.1.10 (this machine) 00:00:5e:00:01:07 MASTER 1+100/256 s 1.000 s ± 0.391 s"
    )
    assert shown[-1] == "free ids: 1-6, 8-255"


def test_problems_follow_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(scanned(*TWO_MASTERS), capsys)

    assert "problem: vhid 7: 192.168.1.10 and 192.168.1.11 are both MASTER" in shown


def test_silence_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(scanned(), capsys) == [
        "eth0: 0 packets in 3.0 s",
        "neither CARP nor VRRP was heard",
        "free ids: 1-255",
    ]


def test_frames_that_were_lost_are_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    found = scanned(lost=5)

    assert not found.is_well
    assert any("5 frames came faster than this machine reads" in line for line in lines(found, capsys))


def test_scripts_read_one_object() -> None:
    found = json.loads(as_json_text(scanned(*TWO_MASTERS, (2.9, version_2(1, PASSWORD), TWO))))

    assert (found["type"], found["interface"], found["packets"], found["lost"]) == ("scan", "eth0", 7, 0)
    assert [each["name"] for each in found["groups"]] == ["vhid 7", "VRID 51"]
    assert found["groups"][0]["masters"] == ["192.168.1.10", "192.168.1.11"]
    assert found["groups"][0]["problems"] == ["two-masters"]
    assert {"kind": "two-masters", "group": "vhid 7"}.items() <= found["problems"][0].items()
    router = found["groups"][1]["senders"][0]
    assert (router["priority"], router["authentication"], router["advbase"]) == (150, "password", None)
    assert found["free"] == [{"vlans": [], "ids": [each for each in range(1, 256) if each not in (7, 51)]}]


def test_no_password_of_vrrp_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    found = scanned((0, version_2(1, PASSWORD), TWO))

    assert "secret" not in as_json_text(found) + "".join(lines(found, capsys))


@pytest.mark.parametrize(
    ("numbers", "words"), [([], ""), ([3], "3"), ([1, 2, 3], "1-3"), ([1, 3, 4, 255], "1, 3-4, 255")], ids=str
)
def test_numbers_are_shown_as_ranges(numbers: list[int], words: str) -> None:
    assert ranges_of(numbers) == words


@pytest.mark.parametrize("span", ["", "s", "-1s", "0", "0ms", "8d", "1e3s", "nan", "999999h"])
def test_what_is_no_time_to_listen_is_wrong_usage(span: str) -> None:
    result = scan("lo", "--for", span)

    assert (result.exit_code, "Traceback" in result.output) == (2, False)
    assert "--for" in result.stderr


def test_an_interface_that_is_not_there_is_wrong_usage_and_names_what_is_meant() -> None:
    result = scan("lo9x")

    assert result.exit_code == 2
    assert "no interface 'lo9x' here; there are: " in result.stderr
    assert "; did you mean 'lo'?" in result.stderr


def test_an_interface_must_be_named() -> None:
    assert scan().exit_code == 2


@pytest.mark.parametrize(
    "words", [("--map", "em0=eth0"), ("--format", "toml"), ("--config", "/nonexistent"), ("-c", "/dev/null")], ids=str
)
def test_a_configuration_that_cannot_be_meant_is_wrong_usage(words: tuple[str, ...]) -> None:
    result = scan("lo", *words)

    assert (result.exit_code, result.stdout, "Traceback" in result.stderr) == (2, "", False)
