"""``pycarp decode --config``: every vhid verified with its own settings; and the last line of a live capture."""

import io
import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from pycarp.auth.digest import DigestLayout, Signer
from pycarp.auth.key import Passphrase
from pycarp.cli import cli
from pycarp.cli.decode_output import HumanOutput, status_words
from pycarp.inspection.explanation import Protocol
from pycarp.inspection.inspector import Inspector
from pycarp.inspection.timeline import Group, PresentMasters
from pycarp.vocabulary import NS_PER_S, Family
from pycarp.wire.ethernet import virtual_mac
from tests.support.capture import write_pcap
from tests.support.carp_packets import ONE, TWO, Macs, captured, frame, ip_packet, payload

TOML = """
[[host]]
interface = "eth0"
vhid = 7
password = "seven"
addresses = ["192.168.1.70/24"]

[[host]]
interface = "eth0"
vhid = 8
password = "eight"
addresses = ["192.168.1.80/24", "192.168.1.81/24"]

[[host]]
interface = "eth1"
vhid = 7
password = "other"
addresses = ["10.0.0.70/24"]
"""


def signed(vhid: int, password: str, *addresses: str, counter: int = 5) -> bytes:
    """A frame of a vhid that has a password and addresses of its own."""
    shared = tuple(map(ip_address, addresses))
    signer = Signer(passphrase=Passphrase(password), vhid=vhid, addresses=shared, layouts=(DigestLayout.ORIGINAL,))
    octets = payload(counter, vhid=vhid, digest=signer.sign(counter))
    return frame(ip_packet(octets), Macs(source=virtual_mac(vhid)))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A capture and a configuration."""
    capture, config = tmp_path / "carp.pcap", tmp_path / "pycarp.toml"
    frames = [
        signed(7, "seven", "192.168.1.70"),
        signed(8, "eight", "192.168.1.80", "192.168.1.81"),
        signed(8, "eight", "192.168.1.80", counter=6),
        signed(7, "other", "10.0.0.70", counter=6),
        signed(9, "nine", "192.168.1.90"),
    ]
    write_pcap(capture, frames)
    config.write_text(TOML)
    return str(capture), str(config)


def decode(*words: str) -> Result:
    return CliRunner(env={"TZ": "UTC", "PYCARP_PASSWORD": "of the environment"}).invoke(cli, ["decode", *words])


def objects(*words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in decode("--json", *words).stdout.splitlines()]


def test_every_vhid_is_verified_with_its_own_settings(files: tuple[str, str]) -> None:
    found = objects(files[0], "--config", files[1])

    assert [(each["vhid"], each["authentic"]) for each in found] == [
        (7, True),
        (8, True),
        (8, False),
        (7, True),
        (9, None),
    ]


def test_what_differs_is_said_by_the_settings_of_the_vhid(files: tuple[str, str]) -> None:
    assert (
        "same password, other address list: without 192.168.1.81" in objects(files[0], "-c", files[1])[2]["problems"][0]
    )


def test_a_vhid_that_is_not_in_the_configuration_is_no_problem(files: tuple[str, str]) -> None:
    last = objects(files[0], "-c", files[1])[-1]

    assert (last["problems"], last["notes"]) == ([], ["vhid 9 is not in the configuration: it is not verified"])


def test_a_file_for_another_machine_is_read(files: tuple[str, str], tmp_path: Path) -> None:
    rc_conf = tmp_path / "rc.conf"
    rc_conf.write_text('cloned_interfaces="carp0"\nifconfig_carp0="vhid 7 pass seven 192.168.1.70/24"\n')

    assert objects(files[0], "--config", str(rc_conf))[0]["authentic"] is True


@pytest.mark.parametrize(
    "words",
    [
        ("--config", "{config}", "--address", "192.168.1.70"),
        ("--config", "{config}", "--password-file", "-"),
        ("--config", "{config}", "--lladdr", "00:11:22:33:44:55"),
        ("--map", "em0=eth0"),
        ("--format", "toml"),
        ("--config", "/nonexistent"),
        ("--config", "{capture}"),
        ("--config", "{config}", "--format", "hostname.if"),
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_meant_is_wrong_usage(words: tuple[str, ...], files: tuple[str, str]) -> None:
    capture, config = files
    result = decode(capture, *(each.format(capture=capture, config=config) for each in words))

    assert (result.exit_code, result.stdout, "Traceback" in result.stderr) == (2, "", False)


def test_a_live_capture_needs_a_host_on_its_interface(files: tuple[str, str]) -> None:
    result = decode("-i", "lo", "--config", files[1])

    assert result.exit_code == 2
    assert "has no virtual host on lo, but on eth0, eth1" in result.stderr


def test_no_password_of_the_configuration_is_shown(files: tuple[str, str]) -> None:
    shown = decode(files[0], "--config", files[1]).output + decode("--json", files[0], "--config", files[1]).output

    assert not any(word in shown for word in ("seven", "eight", "nine"))


# The last line of a live capture


def present_masters(vhid: int, *masters: str, silent_at_s: float = 10) -> PresentMasters:
    group = Group((), vhid, Family.IPV4, Protocol.CARP)
    return PresentMasters(group, tuple(map(ip_address, masters)), round(silent_at_s * NS_PER_S))


@pytest.mark.parametrize(
    ("present", "words"),
    [
        ([], "3 packets"),
        ([present_masters(7, "192.168.1.10")], "3 packets | vhid 7: 192.168.1.10"),
        ([present_masters(7)], "3 packets | vhid 7: nobody"),
        ([present_masters(7, "192.168.1.10", silent_at_s=1)], "3 packets | vhid 7: nobody"),
        (
            [present_masters(7, "1.1.1.1", "2.2.2.2"), present_masters(8, "3.3.3.3")],
            "3 packets | vhid 7: 1.1.1.1 and 2.2.2.2 | vhid 8: 3.3.3.3",
        ),
    ],
)
def test_the_last_line_says_who_is_master_now(present: list[PresentMasters], words: str) -> None:
    assert status_words("3 packets", "", present, 5 * NS_PER_S).plain == words


def test_a_terminal_has_the_last_line_while_it_lasts() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=100)
    inspector, output = Inspector(), HumanOutput(is_live=True, console=console)
    try:
        for number, source in enumerate((ONE, TWO)):
            packet = captured(frame(ip_packet(payload(number, advbase=255), source=source)), at_s=number)
            explanation = inspector.explain(packet)
            assert explanation is not None
            output.show(explanation)
    finally:
        output.close()

    assert "2 packets" in written.getvalue()
    assert "\x1b[?25h" in written.getvalue()  # the cursor is shown again


def test_a_pipe_has_no_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    output = HumanOutput(is_live=True)
    explanation = Inspector().explain(captured(frame(ip_packet(payload()))))
    assert explanation is not None
    output.show(explanation)
    output.finish(0)

    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "vhid 7: master at the end nobody: 192.168.1.10 fell silent" in shown
