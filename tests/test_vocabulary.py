"""The nouns that every layer shares, and the tree of exceptions."""

from ipaddress import ip_address, ip_interface

import pytest

from pycarp import errors
from pycarp.vocabulary import (
    ANY_ADDRESS,
    CARP_GROUPS,
    NS_PER_S,
    NS_PER_SKEW,
    Address,
    Family,
    HostKey,
    InterfaceAddress,
    MacAddress,
    family_of,
)


def test_256_units_of_advskew_are_exactly_a_second() -> None:
    assert NS_PER_SKEW * 256 == NS_PER_S


def test_a_host_key_reads_as_vhid_at_link() -> None:
    """Source: FreeBSD's log messages, carp.md 5.4."""
    assert str(HostKey("em0", 7)) == "7@em0"


def test_host_keys_are_sorted_by_link_and_vhid() -> None:
    assert sorted([HostKey("em1", 1), HostKey("em0", 2), HostKey("em0", 1)])[0] == HostKey("em0", 1)


@pytest.mark.parametrize("text", ["00:00:5e:00:01:2a", "ff:ff:ff:ff:ff:ff"])
def test_a_mac_address_reads_as_it_was_written(text: str) -> None:
    assert str(MacAddress.parse(text)) == text


@pytest.mark.parametrize("text", ["", "00:00:5e:00:01", "00:00:5e:00:01:2a:00", "00:00:5e:00:01:zz"])
def test_text_that_is_no_mac_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"6 octets|hexadecimal"):
        MacAddress.parse(text)


@pytest.mark.parametrize("length", [0, 5, 7])
def test_a_mac_address_has_6_octets(length: int) -> None:
    with pytest.raises(ValueError, match=f"6 octets, not {length}"):
        MacAddress(bytes(length))


@pytest.mark.parametrize(
    ("address", "family"),
    [
        (ip_address("192.0.2.1"), Family.IPV4),
        (ip_address("::1"), Family.IPV6),
        (ip_interface("192.0.2.1/24"), Family.IPV4),
        (ip_interface("::1/64"), Family.IPV6),
    ],
    ids=str,
)
def test_the_family_of_an_address_is_its_version(address: Address | InterfaceAddress, family: Family) -> None:
    assert family_of(address) is family


@pytest.mark.parametrize("family", Family)
def test_every_family_has_its_group_and_its_unspecified_address(family: Family) -> None:
    assert CARP_GROUPS[family].is_multicast
    assert ANY_ADDRESS[family].is_unspecified
    assert family_of(CARP_GROUPS[family]) is family_of(ANY_ADDRESS[family]) is family


def test_everything_raised_on_purpose_is_a_carp_error() -> None:
    raised = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]

    assert len(raised) > 1
    assert all(issubclass(each, errors.CarpError) for each in raised)
