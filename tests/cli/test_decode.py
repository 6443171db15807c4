"""``pycarp decode`` on files: what people read, what scripts read, and every mistake in one line."""

import json
import os
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from tests.support.capture import write_pcap
from tests.support.carp_packets import PASSWORD, SHARED, frame, ip_packet, payload

NETBSD = Path(__file__).parents[1] / "vectors" / "netbsd"
KEYS = {"time", "source", "destination", "vhid", "advbase", "advskew", "demote", "counter", "authentic", "problems"}


def decode(*words: str, stdin: bytes | None = None, password: str | None = None) -> Result:
    return CliRunner(env={"TZ": "UTC", "PYCARP_PASSWORD": password}).invoke(cli, ["decode", *words], input=stdin)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A master that goes, with a bow-out, and a packet with a wrong TTL."""
    path = tmp_path / "carp.pcap"
    bow_out = payload(2, advbase=255, advskew=255)
    write_pcap(
        path, [frame(ip_packet(payload(1, demote=3))), frame(ip_packet(bow_out)), frame(ip_packet(payload(3), ttl=1))]
    )
    return path


def test_a_packet_is_one_line_with_its_verdict(capture: Path) -> None:
    result = decode(str(capture), "-a", str(SHARED), password=PASSWORD)

    assert result.exit_code == 0
    assert (
        "00:00:00.000000 192.168.1.10 > 224.0.0.18: vhid 7 advbase 1 advskew 0 = 1.000 s demote 3 "
        "counter 0000000000000001 authentic"
    ) in result.stdout.splitlines()


def test_problems_and_notes_are_indented_below_it(capture: Path) -> None:
    lines = decode(str(capture)).stdout.splitlines()

    assert "    note: bow-out: the master leaves on purpose, a backup takes over at once" in lines
    assert "    problem: TTL or hop limit 1 instead of 255: it crossed a router, or is forged; dropped" in lines


def test_a_note_about_a_sender_is_told_once(capture: Path) -> None:
    write_pcap(capture, [frame(ip_packet(payload(counter, authlen=9))) for counter in (1, 2, 3)])

    told = decode(str(capture)).stdout

    assert told.count("    note: type 1 and authlen 9") == 1
    assert "       3 odd type or authlen" in told


def test_the_summary_counts_and_tells_who_is_master(capture: Path) -> None:
    lines = decode(str(capture), "-a", str(SHARED), password=PASSWORD).stdout.splitlines()

    assert "3 packets: 3 authentic" in lines
    assert "       1 wrong TTL or hop limit" in lines
    assert "vhid 7: master at the end nobody: it bowed out" in lines
    assert "  00:00:00.000000 192.168.1.10 bows out" in lines


def test_json_is_one_object_a_line(capture: Path) -> None:
    found = [json.loads(line) for line in decode("--json", str(capture)).stdout.splitlines()]

    assert len(found) == 3
    assert all(each.keys() >= KEYS for each in found)
    assert (found[0]["time"], found[0]["demote"], found[0]["counter"]) == ("1970-01-01T00:00:00.000000Z", 3, 1)
    assert [each["authentic"] for each in found] == [None, None, None]
    assert [len(each["problems"]) for each in found] == [0, 0, 1]


@pytest.mark.parametrize(("password", "authentic"), [(PASSWORD, True), ("other", False)])
def test_json_says_whether_it_is_authentic(capture: Path, password: str, authentic: bool) -> None:
    result = decode("--json", str(capture), "--address", f"{SHARED}/24", password=password)

    assert {json.loads(line)["authentic"] for line in result.stdout.splitlines()} == {authentic}


def test_the_password_may_come_on_standard_input(capture: Path) -> None:
    words = ["--json", str(capture), "--password-file", "-", "-a", str(SHARED)]
    result = decode(*words, stdin=f"{PASSWORD}\nanother line\n".encode())

    assert all(json.loads(line)["authentic"] for line in result.stdout.splitlines())


def test_a_password_that_is_too_long_is_refused_with_the_bound(capture: Path) -> None:
    result = decode(str(capture), "-a", "::1", password="x" * 20)

    assert (result.exit_code, "passphrase of 20 octets is too long" in result.stderr) == (2, True)


def test_the_password_may_stand_in_a_file(capture: Path, tmp_path: Path) -> None:
    (tmp_path / "pass").write_text(f"{PASSWORD}\nanother line\n")

    result = decode("--json", str(capture), "--password-file", str(tmp_path / "pass"), "-a", str(SHARED))

    assert all(json.loads(line)["authentic"] for line in result.stdout.splitlines())


def test_a_carriage_return_in_the_file_is_found_out(capture: Path, tmp_path: Path) -> None:
    (tmp_path / "pass").write_bytes(f"{PASSWORD}\r\n".encode())

    result = decode(str(capture), "--password-file", str(tmp_path / "pass"), "-a", str(SHARED))

    assert "the password lost its last character there" in result.stdout


def test_standard_input_is_read(capture: Path) -> None:
    assert "3 packets" in decode("-", stdin=capture.read_bytes()).stdout


def test_a_vhid_can_be_chosen(capture: Path) -> None:
    assert decode("--json", "--vhid", "7", str(capture)).stdout.count("\n") == 3
    assert decode("--json", "--vhid", "8", str(capture)).stdout == ""


def test_strict_fails_when_a_packet_has_problems(capture: Path) -> None:
    assert decode("--strict", str(capture)).exit_code == 3
    assert decode("--strict", str(NETBSD / "01-basic.pcap")).exit_code == 0


def test_a_cut_capture_shows_what_there_is_and_fails(capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-10])

    result = decode(str(capture))

    assert result.exit_code == 1
    assert "2 packets" in result.stdout
    assert result.stderr == f"pycarp: cannot read {capture}: cut short: 10 of 70 octets are missing at its end\n"


def test_a_link_type_that_cannot_be_read_is_told(capture: Path) -> None:
    octets = bytearray(capture.read_bytes())
    octets[20] = 127
    capture.write_bytes(octets)

    result = decode(str(capture))

    assert result.exit_code == 1
    assert "packets of link type 127 were left out" in result.stderr


def test_what_is_no_capture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello world")

    result = decode(str(tmp_path / "text"))

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"pycarp: cannot read {tmp_path}/text: not a capture")


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        ((), 2, "give either a capture file"),
        (("x.pcap", "-i", "eth0"), 2, "give either a capture file"),
        (("/nonexistent/x.pcap",), 2, "cannot read /nonexistent/x.pcap: No such file or directory"),
        (("/",), 2, "cannot read /: Is a directory"),
        (("x", "--password-file", "-"), 2, "a password needs --address"),
        (("-", "-a", "192.168.1.1"), 2, "need --password-file, or PYCARP_PASSWORD"),
        (("x", "--password-file", "-", "-a", "192.168.1.300"), 2, "'192.168.1.300' is no IPv4 or IPv6 address"),
        (("x", "--password-file", "-", "-a", "::1", "--lladdr", "zz"), 2, "'zz' is no MAC address"),
        (("-", "--password-file", "-", "-a", "::1"), 2, "standard input cannot be both the capture and the password"),
        (("-", "--password", "x", "-a", "::1"), 2, "every user of this machine could read a password on the command"),
        (("-", "--password-file", "/nonexistent/p", "-a", "::1"), 2, "cannot read the password file /nonexistent/p"),
        (("-", "--vhid", "256"), 2, "256"),
        (("-i", "nonexistent0"), 1, "cannot listen on nonexistent0"),
    ],
    ids=str,
)
def test_a_mistake_is_one_clear_line(words: tuple[str, ...], code: int, complaint: str) -> None:
    result = decode(*words, stdin=b"secret\n")

    assert result.exit_code == code
    assert complaint in result.stderr
    assert "Traceback" not in result.output


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    capture = NETBSD / "10-v4-and-v6.pcap"
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "pycarp", "decode", str(capture)],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")


# What else is on the wire

VRRP = bytes.fromhex("2133640100010000c0a8013200000000" + "00000000")


def test_vrrp_is_told_apart(capture: Path) -> None:
    write_pcap(capture, [frame(ip_packet(VRRP))])

    line = next(each for each in decode(str(capture)).stdout.splitlines() if "VRRP" in each)
    found = json.loads(decode("--json", str(capture)).stdout)

    words = "VRRPv2 router 51 priority 100 every 1.000 s 1 address: 192.168.1.50"
    assert line == f"00:00:00.000000 192.168.1.10 > 224.0.0.18: {words}"
    said = {"version": 2, "router": 51, "priority": 100, "interval": 1.0, "addresses": 1, "leaves": False}
    assert said.items() <= found["vrrp"].items()
    assert [found[key] for key in ("vhid", "advbase", "advskew", "interval", "demote", "counter", "bow_out")] == [
        None
    ] * 7


def test_json_has_every_field_of_an_advertisement(capture: Path) -> None:
    first, second, third = (json.loads(line) for line in decode("--json", str(capture)).stdout.splitlines())

    assert first == {
        "time": "1970-01-01T00:00:00.000000Z",
        "source": "192.168.1.10",
        "destination": "224.0.0.18",
        "vhid": 7,
        "advbase": 1,
        "advskew": 0,
        "interval": 1.0,
        "demote": 3,
        "counter": 1,
        "authentic": None,
        "bow_out": False,
        "problems": [],
        "notes": first["notes"],
        "remarks": first["remarks"],
        "ttl": 255,
        "vlans": [],
        "source_mac": "00:00:5e:00:01:07",
        "destination_mac": "01:00:5e:00:00:12",
        "vrrp": None,
    }
    assert (second["bow_out"], third["ttl"], len(third["remarks"])) == (
        True,
        1,
        len(third["problems"] + third["notes"]),
    )


def test_one_packet_is_one(capture: Path) -> None:
    write_pcap(capture, [frame(ip_packet(payload(1)))])

    assert "1 packet" in decode(str(capture)).stdout.splitlines()


def test_ipv6_and_vlans_are_told_with_the_vhid(capture: Path) -> None:
    plain = frame(ip_packet(payload(1), source=ip_address("fe80::10")))
    write_pcap(capture, [plain[:12] + bytes.fromhex("81000009") + plain[12:]])

    lines = decode(str(capture)).stdout.splitlines()

    assert any(line.startswith("00:00:00.000000 vlan 9 fe80::10 > ff02::12: vhid 7") for line in lines)
    assert any(line.startswith("vhid 7 over IPv6 on VLAN 9: ") for line in lines)


def test_a_master_that_fell_silent_is_none_at_the_end(tmp_path: Path) -> None:
    """keepalived, whose cable was pulled, is not heard any more while another group goes on."""
    silent = frame(ip_packet(payload(1)))
    capture = tmp_path / "silent.pcap"
    write_pcap(capture, [silent, frame(ip_packet(payload(1, vhid=8)))])
    octets = bytearray(capture.read_bytes())
    second_record = 24 + 16 + len(silent)
    octets[second_record : second_record + 4] = (20).to_bytes(4, "little")
    capture.write_bytes(bytes(octets))

    lines = decode(str(capture)).stdout.splitlines()

    assert "vhid 7: master at the end nobody: 192.168.1.10 fell silent" in lines
    assert "vhid 8: master at the end 192.168.1.10" in lines
