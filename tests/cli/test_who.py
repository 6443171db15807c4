"""``pycarp who``: every mistake is one line, and the interface is found by the subnet."""

from ipaddress import ip_address, ip_interface

import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.cli.who import _json, _lines, _link_of
from pycarp.errors import UsageError
from pycarp.inspection.answers import Answer
from pycarp.vocabulary import LinkFacts, MacAddress
from pycarp.wire.ethernet import virtual_mac

REAL = MacAddress.parse("02:00:00:00:00:01")
ADDRESS = ip_address("192.168.1.50")


def who(*words: str) -> Result:
    return CliRunner().invoke(cli, ["who", *words])


def link(name: str, *addresses: str, mac: MacAddress = REAL) -> LinkFacts:
    return LinkFacts(name=name, is_up=True, mac=mac, addresses=tuple(map(ip_interface, addresses)))


@pytest.mark.parametrize(
    "address",
    ["", "192.168.1", "web1", "192.168.1.50/24", "224.0.0.18", "0.0.0.0", "127.0.0.1", "ff02::1", "1.2.3.4%lo"],
)
def test_what_no_host_on_a_segment_can_have_is_wrong_usage(address: str) -> None:
    result = who(address)

    assert (result.exit_code, result.stdout, "Traceback" in result.stderr) == (2, "", False)


def test_an_interface_that_is_not_there_is_wrong_usage() -> None:
    assert [who(*words).exit_code for words in (("1.2.3.4", "-i", "lo9x"), ("fe80::1%lo9x",))] == [2, 2]


def test_nobody_can_be_asked_on_the_loopback() -> None:
    result = who("192.0.2.1", "--interface", "lo")

    assert result.exit_code == 2
    assert (
        result.stderr
        == "pycarp: interface lo is the loopback, on which there is no other host; nobody can be asked there\n"
    )


def test_the_interface_is_that_of_the_subnet() -> None:
    links = (link("eth0", "10.0.0.1/8"), link("eth1", "192.168.1.1/24", "fd00::1/64"))

    assert _link_of(ADDRESS, links) == "eth1"
    assert _link_of(ip_address("fd00::50"), links) == "eth1"


def test_the_device_of_a_shared_address_is_no_interface_to_ask_on() -> None:
    links = (link("eth1", "192.168.1.1/24"), link("carp0", "192.168.1.50/24", mac=virtual_mac(1)))

    assert _link_of(ADDRESS, links) == "eth1"


def test_an_address_of_no_subnet_and_of_several_needs_an_interface() -> None:
    one, two = link("eth0", "192.168.1.1/24"), link("eth1", "192.168.1.2/24")

    with pytest.raises(UsageError, match="in the subnet of no interface; name one with --interface; there are: eth0"):
        _link_of(ip_address("10.0.0.1"), (one,))
    with pytest.raises(UsageError, match="in the subnets of eth0 and eth1; say which"):
        _link_of(ADDRESS, (one, two))


def test_several_answers_are_a_problem() -> None:
    answers = tuple(Answer(mac=mac, device=None, masterships=()) for mac in (REAL, virtual_mac(1)))

    lines = _lines(ADDRESS, "eth0", answers)

    assert lines[0] == f"{ADDRESS} is at {REAL}"
    assert lines[-1].startswith("problem: 2 hosts answer for 192.168.1.50")
    assert '"problems": [\n    "several-answers"\n  ]' in _json(ADDRESS, "eth0", answers)


def test_no_answer_is_said() -> None:
    assert _lines(ADDRESS, "eth0", ()) == ["nobody answers for 192.168.1.50 on eth0"]
