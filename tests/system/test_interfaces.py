"""Facts about the network devices of this machine."""

from ipaddress import IPv4Interface
from socket import AF_INET, SOCK_RAW

import pytest

from pycarp.system.addresses.interfaces import interfaces, why_unfit
from pycarp.system.capabilities import refusal_of_socket
from pycarp.vocabulary import LinkFacts, MacAddress
from tests.support.namespaces import LINK, entered, joined_namespaces
from tests.support.system import require, unprivileged


@pytest.mark.system
def test_a_device_is_told_with_its_name_mac_and_addresses() -> None:
    require("ip")
    with joined_namespaces() as (ours, _theirs):
        ours.ip("link", "set", LINK, "address", "02:00:00:00:00:07")
        ours.ip("addr", "add", "10.77.9.9/32", "dev", LINK)
        ours.ip("-6", "addr", "flush", "dev", LINK, "scope", "link")
        with entered(ours):
            found = {each.name: each for each in interfaces()}

    assert found[LINK] == LinkFacts(
        name=LINK,
        is_up=True,
        mac=MacAddress.parse("02:00:00:00:00:07"),
        addresses=(ours.own, IPv4Interface("10.77.9.9/32"), ours.own6),
    )


@pytest.mark.system
def test_a_device_without_addresses_is_told_as_well() -> None:
    require("ip")
    with joined_namespaces() as (ours, _theirs):
        ours.ip("addr", "flush", "dev", LINK)
        with entered(ours):
            found = {each.name: each for each in interfaces()}

    assert found[LINK].addresses == ()


def test_the_loopback_is_among_the_devices_with_its_address() -> None:
    found = {each.name: each for each in interfaces()}

    assert IPv4Interface("127.0.0.1/8") in found["lo"].addresses


@pytest.mark.system
def test_a_socket_that_may_be_opened_is_not_refused() -> None:
    require()

    assert refusal_of_socket(AF_INET, SOCK_RAW, 112) is None


@pytest.mark.system
def test_a_refusal_for_want_of_privileges_says_which_are_needed() -> None:
    require()
    with unprivileged():
        refusal = refusal_of_socket(AF_INET, SOCK_RAW, 112)

    assert refusal == "no permission: run as root or give the process CAP_NET_RAW and CAP_NET_ADMIN"


def test_a_socket_that_does_not_exist_is_refused_in_the_words_of_the_system() -> None:
    assert refusal_of_socket(AF_INET, 4711, 0) == "Invalid argument"


@pytest.mark.system
@pytest.mark.parametrize(
    ("link", "made_by", "expected"),
    [
        (LINK, "", ""),
        ("lo", "", "is the loopback"),
        ("none0", "", ""),
        ("tun7", "tuntap add tun7 mode tun", "is point-to-point"),
        ("tap7", "tuntap add tap7 mode tap", ""),
        (LINK, f"link set {LINK} arp off", "uses no ARP"),
        (LINK, f"link set {LINK} multicast off", "has no multicast"),
    ],
)
def test_why_no_host_can_work_on_a_device_is_told(link: str, made_by: str, expected: str) -> None:
    require("ip")
    with joined_namespaces() as (ours, _theirs):
        if made_by:
            ours.ip(*made_by.split())
        with entered(ours):
            why = why_unfit(link)

    assert (expected in why) if expected else not why
