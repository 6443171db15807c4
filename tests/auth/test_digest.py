"""What is signed, in which order, and which digests are accepted; the vectors of real systems are in tests/vectors."""

import hashlib
import hmac
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.digest import DIGEST_LENGTH, DigestLayout, Signer, signed_prefix
from pycarp.auth.key import Passphrase
from pycarp.vocabulary import Address, MacAddress

ORIGINAL = DigestLayout.ORIGINAL
WITHOUT_LINK_LOCAL = DigestLayout.WITHOUT_LINK_LOCAL
BOTH = (WITHOUT_LINK_LOCAL, ORIGINAL)

SHARED = (IPv4Address("192.168.1.50"),)
LINK_LOCAL = IPv6Address("fe80::1")
GLOBAL = IPv6Address("2001:db8::1")

ADDRESSES = st.lists(st.ip_addresses(), max_size=8)
COUNTERS = st.integers(0, (1 << 64) - 1)


def signer(
    addresses: Sequence[Address] = SHARED,
    *,
    secret: str = "testpass",
    vhid: int = 1,
    layouts: tuple[DigestLayout, ...] = (ORIGINAL,),
    lladdr: MacAddress | None = None,
) -> Signer:
    return Signer(passphrase=Passphrase(secret), vhid=vhid, addresses=addresses, layouts=layouts, lladdr=lladdr)


def parsed(*texts: str) -> list[Address]:
    return [ip_address(text) for text in texts]


def test_version_type_and_vhid_come_before_the_addresses() -> None:
    """Source: carp.md 3.1."""
    assert signed_prefix(42, SHARED, ORIGINAL).hex() == "02012ac0a80132"


def test_ipv4_addresses_are_sorted_as_numbers() -> None:
    """Source: carp.md 3.2; as text, 10.0.0.5 would come after 10.0.0.10."""
    prefix = signed_prefix(1, parsed("10.0.0.10", "10.0.0.5", "9.255.255.255"), ORIGINAL)

    assert prefix.hex() == "020101" + "09ffffff" + "0a000005" + "0a00000a"


def test_ipv4_comes_before_ipv6() -> None:
    prefix = signed_prefix(1, parsed("::2", "255.0.0.1"), ORIGINAL)

    assert prefix == bytes.fromhex("020101ff000001") + bytes(15) + b"\x02"


@given(ADDRESSES, st.randoms(use_true_random=False))
def test_the_order_of_configuration_does_not_matter(addresses: list[Address], random: Random) -> None:
    shuffled = list(addresses)
    random.shuffle(shuffled)

    assert signed_prefix(1, shuffled, ORIGINAL) == signed_prefix(1, addresses, ORIGINAL)


@given(ADDRESSES)
def test_an_address_counts_once(addresses: list[Address]) -> None:
    assert signed_prefix(1, addresses * 2, ORIGINAL) == signed_prefix(1, addresses, ORIGINAL)


@pytest.mark.parametrize("address", ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"])
def test_all_zeros_and_all_ones_are_never_signed(address: str) -> None:
    """Source: carp.md 3.2, vector bsd-9."""
    assert signed_prefix(1, [*SHARED, ip_address(address)], ORIGINAL) == signed_prefix(1, SHARED, ORIGINAL)


def test_a_link_local_loses_its_second_16_bits() -> None:
    """Source: carp.md 3.2; kernels keep the interface there."""
    with_scope = IPv6Address("fe80:4::1")

    assert signed_prefix(1, [with_scope], ORIGINAL) == b"\x02\x01\x01" + LINK_LOCAL.packed


def test_a_scope_in_the_text_of_a_link_local_is_not_signed() -> None:
    assert signed_prefix(1, parsed("fe80::1%eth0"), ORIGINAL) == signed_prefix(1, [LINK_LOCAL], ORIGINAL)


def test_link_locals_that_differ_in_their_scope_alone_count_once() -> None:
    assert signed_prefix(1, parsed("fe80:4::1", "fe80:5::1"), ORIGINAL) == signed_prefix(1, [LINK_LOCAL], ORIGINAL)


def test_a_global_address_keeps_its_second_16_bits() -> None:
    assert signed_prefix(1, [GLOBAL], ORIGINAL) == b"\x02\x01\x01" + GLOBAL.packed


def test_openbsds_layout_leaves_link_locals_out() -> None:
    """Source: carp.md 3.3."""
    prefix = signed_prefix(1, [*SHARED, GLOBAL, LINK_LOCAL], WITHOUT_LINK_LOCAL)

    assert prefix == signed_prefix(1, [*SHARED, GLOBAL], ORIGINAL)


def test_openbsds_layout_keeps_ipv4_link_locals() -> None:
    addresses = parsed("169.254.1.1")

    assert signed_prefix(1, addresses, WITHOUT_LINK_LOCAL) == signed_prefix(1, addresses, ORIGINAL)


def test_a_changed_lladdr_comes_before_the_vhid() -> None:
    """Source: carp.md 3.4."""
    prefix = signed_prefix(1, SHARED, ORIGINAL, lladdr=MacAddress.parse("02:00:00:aa:bb:cc"))

    assert prefix.hex() == "0201" + "020000aabbcc" + "01" + "c0a80132"


@given(COUNTERS)
def test_the_digest_is_hmac_sha1_over_the_prefix_and_the_counter(counter: int) -> None:
    message = signed_prefix(1, SHARED, ORIGINAL) + counter.to_bytes(8, "big")

    assert signer().sign(counter) == hmac.new(b"testpass", message, hashlib.sha1).digest()


@given(counter=COUNTERS, addresses=ADDRESSES, layouts=st.permutations(list(DigestLayout)))
def test_what_is_signed_is_accepted(counter: int, addresses: list[Address], layouts: list[DigestLayout]) -> None:
    made = signer(addresses, layouts=tuple(layouts))

    assert made.verify(counter, made.sign(counter))


def test_the_first_layout_signs() -> None:
    addresses: list[Address] = [*SHARED, LINK_LOCAL]

    assert signer(addresses, layouts=BOTH).sign(7) == signer(addresses, layouts=(WITHOUT_LINK_LOCAL,)).sign(7)


@pytest.mark.parametrize("layout", DigestLayout)
def test_any_of_the_layouts_is_accepted(layout: DigestLayout) -> None:
    addresses: list[Address] = [*SHARED, LINK_LOCAL]

    assert signer(addresses, layouts=BOTH).verify(7, signer(addresses, layouts=(layout,)).sign(7))


def test_a_layout_that_is_not_listed_is_not_accepted() -> None:
    addresses: list[Address] = [*SHARED, LINK_LOCAL]

    assert not signer(addresses).verify(7, signer(addresses, layouts=(WITHOUT_LINK_LOCAL,)).sign(7))


@pytest.mark.parametrize(
    "other",
    [
        signer(secret="testpasz"),
        signer(vhid=2),
        signer([*SHARED, IPv4Address("192.168.1.51")]),
        signer([]),
        signer(lladdr=MacAddress.parse("02:00:00:aa:bb:cc")),
    ],
    ids=["passphrase", "vhid", "another address", "no address", "lladdr"],
)
def test_a_digest_made_with_anything_else_is_not_accepted(other: Signer) -> None:
    assert not signer().verify(7, other.sign(7))


@given(COUNTERS, COUNTERS)
def test_a_digest_is_accepted_for_its_own_counter_alone(counter: int, other: int) -> None:
    made = signer()

    assert made.verify(other, made.sign(counter)) == (other == counter)


@given(st.binary(max_size=40).filter(lambda digest: len(digest) != DIGEST_LENGTH))
def test_a_digest_of_another_length_is_not_accepted(digest: bytes) -> None:
    assert not signer().verify(7, digest)


def test_signing_leaves_the_prepared_context_as_it_was() -> None:
    made = signer()
    first = made.sign(7)
    made.sign(8)
    made.verify(9, bytes(20))

    assert made.sign(7) == first


def test_the_repr_does_not_show_the_secret() -> None:
    assert "s3cr3t" not in repr(signer(secret="s3cr3t"))
