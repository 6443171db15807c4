"""First configurations: what is proposed, what its text means, and what is refused."""

import re
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import pytest

from pycarp.config import grammars, proposal
from pycarp.config.grammars import Grammar
from pycarp.config.model import NodeConfig
from pycarp.config.proposal import Proposal, check_hosts, with_prefix
from pycarp.errors import ConfigError, UsageError

NETWORKS = (ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64"))


def proposed(*hosts: str, **more: Any) -> Proposal:
    usual: dict[str, Any] = {
        "hosts": hosts or ("a", "b"),
        "interfaces": dict.fromkeys(hosts or ("a", "b"), "eth0"),
        "vhid": 7,
        "addresses": (ip_interface("192.0.2.10/24"), ip_interface("2001:db8::10/64")),
        "name": "carp7",
        "password_file": "carp7.password",
    }
    return Proposal(**usual | more)


def read(text: str, folder: Path) -> NodeConfig:
    (folder / "carp7.password").write_text("testpass\n")
    return grammars.read(text, Grammar.TOML, file=str(folder / "a.toml"))


def test_each_host_gets_a_file_that_says_what_was_decided(tmp_path: Path) -> None:
    made = proposed(preempt=False, advbase=2)

    (host,) = read(made.text_of("b"), tmp_path).hosts

    assert (host.name, host.interface, host.vhid, host.advbase, host.advskew) == ("carp7", "eth0", 7, 2, 100)
    assert [str(each) for each in host.addresses] == ["192.0.2.10/24", "2001:db8::10/64"]
    assert not host.preempt


def test_the_check_that_is_a_comment_is_one_when_its_marks_are_taken_away(tmp_path: Path) -> None:
    text = re.sub(r"^# (\[\[host\.check|\w+ = )", r"\1", proposed().text_of("a"), flags=re.MULTILINE)

    assert [each.name for each in read(text, tmp_path).checks] == ["service"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 50])
def test_every_host_has_an_advskew_of_its_own_that_a_demotion_exceeds(count: int) -> None:
    advskews = proposed(*(f"h{number}" for number in range(count))).advskews.values()

    assert len(set(advskews)) == count
    assert max(advskews) < 240


def test_with_own_addresses_each_host_speaks_to_all_others() -> None:
    own = {name: (ip_address(f"192.0.2.{number}"), ip_address(f"fd00::{number}")) for number, name in enumerate("abc")}

    made = proposed("a", "b", "c", own=own)

    assert made.peers_of("b") == (*own["a"], *own["c"])


def test_a_family_without_own_addresses_is_refused() -> None:
    own = {name: (ip_address("192.0.2.1"),) for name in "ab"}

    with pytest.raises(ConfigError, match=r"no IPv6 address of a, and 2001:db8::10 is shared in IPv6; .*a=ADDRESS"):
        proposed(own=own)


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ((), "0 hosts; a set has 1-50"),
        (tuple(f"h{number}" for number in range(51)), "51 hosts; a set has 1-50"),
        (("a", "a"), "host a is named twice"),
        (("a", "../b"), r"'../b' is not a name of a host: up to 63"),
        (("a", ""), "'' is not a name of a host"),
    ],
)
def test_names_that_cannot_be_those_of_files_are_refused(hosts: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        check_hosts(hosts)


def test_what_is_no_virtual_host_is_refused_as_everywhere() -> None:
    with pytest.raises(ConfigError, match="15 octets"):
        proposed(interfaces=dict.fromkeys("ab", "an-interface-too-long"))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("192.0.2.10", "192.0.2.10/24"),
        ("192.0.2.10/32", "192.0.2.10/32"),
        ("2001:db8::10", "2001:db8::10/64"),
        ("10.0.0.1/8", "10.0.0.1/8"),
    ],
)
def test_an_address_without_a_prefix_length_has_that_of_its_network(text: str, meant: str) -> None:
    assert str(with_prefix(text, NETWORKS, "eth0")) == meant


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.0.1", "10.0.0.1 is in no network of eth0, which has 192.0.2.0/24, 2001:db8::/64; add a prefix length"),
        ("192.0.2.300", "'192.0.2.300' is no IPv4 or IPv6 address; write it as 192.0.2.10/24"),
        ("192.0.2.0/24", "192.0.2.0/24 is the network or the broadcast address of 192.0.2.0/24"),
        ("192.0.2.255", "192.0.2.255/24 is the network or the broadcast address of 192.0.2.0/24"),
    ],
)
def test_an_address_that_nobody_can_have_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        with_prefix(text, NETWORKS, "eth0")


def test_passwords_are_as_long_as_one_can_be_and_never_the_same() -> None:
    made = {proposal.password() for _ in range(50)}

    assert len(made) == 50
    assert {len(each) for each in made} == {19}
