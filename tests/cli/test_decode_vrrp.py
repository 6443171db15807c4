"""``pycarp decode`` on captures of VRRP routers: what people read, and what scripts read."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pycarp.cli import cli

CAPTURES = Path(__file__).parents[1] / "vectors" / "vrrp"


def decode(capture: str, *words: str) -> str:
    result = CliRunner(env={"TZ": "UTC"}).invoke(cli, ["decode", str(CAPTURES / f"{capture}.pcap"), *words])
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize(
    ("capture", "words"),
    [
        ("k02-v2-pass8", "192.168.1.10 > 224.0.0.18: VRRPv2 router 51 priority 150 every 1.000 s 1 address"),
        ("k05-v2-ah", "192.168.1.10 > 224.0.0.18: VRRPv2 router 51 priority 150 every 1.000 s 1 address"),
        ("k06-v2-two-ascending", "192.168.1.10 > 224.0.0.18: VRRPv2 router 51 priority 150 every 1.000 s 2 addresses"),
        ("k27-v3-adv001", "192.168.1.10 > 224.0.0.18: VRRPv3 router 51 priority 150 every 0.010 s 1 address"),
        ("k30-v6-ll-first", "fe80::ff:fe00:a > ff02::12: VRRPv3 router 51 priority 150 every 1.000 s 2 addresses"),
        ("t27-v3-unicast", "192.168.1.10 > 192.168.1.11: VRRPv3 router 51 priority 150 every"),
    ],
)
def test_a_router_is_one_line(capture: str, words: str) -> None:
    assert words in decode(capture)


def test_the_summary_counts_what_is_remarkable_and_names_the_master() -> None:
    lines = decode("k30-v6-ll-first").splitlines()

    summary = lines[lines.index("") + 2 : lines.index("VRID 51 over IPv6: master at the end nobody: it bowed out") - 1]
    assert {line.split(maxsplit=1)[1] for line in summary} == {
        "VRRP, not CARP",
        "the sender's own source MAC",
        "bow-out",
    }


def test_scripts_read_what_a_router_says_of_itself() -> None:
    first = json.loads(decode("k30-v6-ll-first", "--json").splitlines()[0])

    assert first["vrrp"] == {
        "version": 3,
        "router": 51,
        "priority": 150,
        "addresses": 2,
        "interval": 1.0,
        "leaves": False,
        "address_list": ["fe80::50", "fd00:1::50"],
        "authentication": "none",
        "checksum": "pseudo-header",
    }
    assert (first["remarks"], first["vhid"], first["problems"]) == (["vrrp", "real-mac"], None, [])


def test_a_password_is_mentioned_and_not_shown() -> None:
    shown = decode("k02-v2-pass8") + decode("k02-v2-pass8", "--json")

    assert "1 address: 192.168.1.50, with a password" in shown
    assert "the password is in clear: everybody on the segment reads it" in shown
    assert "secret12" not in shown


def test_a_router_is_master_until_another_one_takes_over() -> None:
    assert "  18:20:28.466466 192.168.1.11 takes over from 192.168.1.10, which was silent for 3.610 s" in decode(
        "t02-v2-sigkill"
    )
