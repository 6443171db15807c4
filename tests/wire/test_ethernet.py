"""Ethernet frames and the MAC addresses of CARP."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.errors import DecodeError
from pycarp.vocabulary import Family, MacAddress
from pycarp.wire import ethernet

MACS = st.builds(MacAddress, st.binary(min_size=6, max_size=6))


@given(
    st.builds(
        ethernet.Frame, destination=MACS, source=MACS, ethertype=st.integers(0, 0xFFFF), payload=st.binary(max_size=50)
    )
)
def test_what_is_written_is_read_back(frame: ethernet.Frame) -> None:
    assert ethernet.decode(ethernet.encode(frame)) == frame


def test_the_destination_comes_first() -> None:
    frame = ethernet.Frame(
        destination=MacAddress(b"destin"), source=MacAddress(b"source"), ethertype=0x0800, payload=b"payload"
    )

    assert ethernet.encode(frame) == b"destinsource\x08\x00payload"


@pytest.mark.parametrize("length", range(14))
def test_fewer_than_14_octets_are_refused(length: int) -> None:
    with pytest.raises(DecodeError, match=f"^{length} octets are too short"):
        ethernet.decode(bytes(length))


@pytest.mark.parametrize(("vhid", "mac"), [(1, "00:00:5e:00:01:01"), (255, "00:00:5e:00:01:ff")])
def test_the_virtual_mac_ends_in_the_vhid(vhid: int, mac: str) -> None:
    """Source: carp.md 1.4."""
    assert str(ethernet.virtual_mac(vhid)) == mac


def test_the_mac_of_ucarp_has_a_zero_in_its_fifth_octet() -> None:
    """Source: captured, carp.md 1.4."""
    assert str(ethernet.ucarp_mac(42)) == "00:00:5e:00:00:2a"


@pytest.mark.parametrize(
    ("group", "mac"),
    [
        ("224.0.0.18", "01:00:5e:00:00:12"),
        ("239.192.0.5", "01:00:5e:40:00:05"),
        ("224.128.0.18", "01:00:5e:00:00:12"),
        ("239.255.255.255", "01:00:5e:7f:ff:ff"),
        ("ff02::12", "33:33:00:00:00:12"),
        ("ff02::1:ff01:203", "33:33:ff:01:02:03"),
    ],
)
def test_a_group_has_the_mac_of_its_low_bits(group: str, mac: str) -> None:
    """Source: RFC 1112 (23 bits), RFC 2464 (32 bits)."""
    assert str(ethernet.group_mac(ip_address(group))) == mac


def test_the_broadcast_address_is_all_ones() -> None:
    assert str(ethernet.BROADCAST) == "ff:ff:ff:ff:ff:ff"


@pytest.mark.parametrize("vhid", [1, 255])
def test_the_virtual_address_of_any_vhid_is_known_for_one(vhid: int) -> None:
    assert ethernet.is_virtual_mac(ethernet.virtual_mac(vhid))


@pytest.mark.parametrize("mac", [None, ethernet.ucarp_mac(1), ethernet.vrrp_mac(1, Family.IPV6), ethernet.BROADCAST])
def test_no_other_address_is_taken_for_a_virtual_one(mac: MacAddress | None) -> None:
    assert not ethernet.is_virtual_mac(mac)
