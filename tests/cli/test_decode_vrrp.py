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


def test_the_summary_names_vrrp_and_nothing_else() -> None:
    lines = decode("k30-v6-ll-first").splitlines()

    assert [line.split(maxsplit=1)[1] for line in lines[lines.index("") + 2 :]] == ["VRRP, not CARP"]


def test_scripts_read_what_a_router_says_of_itself() -> None:
    first = json.loads(decode("k30-v6-ll-first", "--json").splitlines()[0])

    assert first["vrrp"] == {"version": 3, "router": 51, "priority": 150, "addresses": 2, "interval": 1.0}
    assert (first["remarks"], first["vhid"]) == (["vrrp"], None)
