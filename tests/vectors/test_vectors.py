"""Every vector of real systems verifies, and is rebuilt to the octet where all that goes into it is known."""

import json
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

import pytest

from pycarp.auth.digest import DigestLayout, Signer, signed_prefix
from pycarp.auth.key import Passphrase
from pycarp.dialects import NETBSD, UCARP, UNIVERSAL
from pycarp.vocabulary import CARP_GROUPS, Family, MacAddress, Outgoing
from pycarp.wire import advertisement as wire
from pycarp.wire import envelope, ethernet, ip
from pycarp.wire.checksum import internet_checksum
from tests.support.hosts import bench, config, datagram

HERE = Path(__file__).parent
VECTORS: list[dict[str, Any]] = json.loads((HERE / "vectors.json").read_text())["vectors"]
NETBSD_VECTORS: list[dict[str, Any]] = json.loads((HERE / "netbsd-vectors.json").read_text())

WITH_HEADER = [vector for vector in VECTORS if "carp_hex" in vector]
WITH_FRAME = [vector for vector in VECTORS if "frame_hex" in vector]
CAPTURED_UCARP = [vector for vector in WITH_FRAME if vector["dialect"] == "ucarp"]
WITH_IPV6 = [vector for vector in VECTORS if "openbsd_nov6ll" in vector]


def vector_id(vector: dict[str, Any]) -> str:
    return str(vector["id"])


def netbsd_id(vector: dict[str, Any]) -> str:
    return f"{vector['source']}-ipv{vector['af']}-{vector['counter_hex']}"


def signer(vector: dict[str, Any], layouts: tuple[DigestLayout, ...] = (DigestLayout.ORIGINAL,)) -> Signer:
    lladdr = MacAddress.parse(vector["lladdr"]) if "lladdr" in vector else None
    return Signer(
        passphrase=Passphrase.from_key(bytes.fromhex(vector["hmac_key_hex"])),
        vhid=vector["vhid"],
        addresses=[ip_address(each) for each in (*vector["vips4"], *vector["vips6"])],
        layouts=layouts,
        lladdr=lladdr,
    )


def netbsd_signer(vector: dict[str, Any]) -> Signer:
    return Signer(
        passphrase=Passphrase.from_key(bytes.fromhex(vector["key_hex"])),
        vhid=vector["vhid"],
        addresses=[ip_address(each) for each in vector["vips_as_entered"]],
        layouts=NETBSD.layouts,
    )


@pytest.mark.parametrize("vector", VECTORS, ids=vector_id)
def test_the_key_is_the_passphrase_padded_with_zeros(vector: dict[str, Any]) -> None:
    key = Passphrase(bytes.fromhex(vector["pass_hex"])).key

    assert key.hex() == vector["hmac_key_hex"]


@pytest.mark.parametrize("vector", VECTORS, ids=vector_id)
def test_what_is_signed_is_what_the_real_system_signs(vector: dict[str, Any]) -> None:
    lladdr = MacAddress.parse(vector["lladdr"]) if "lladdr" in vector else None
    addresses = [ip_address(each) for each in (*vector["vips4"], *vector["vips6"])]

    prefix = signed_prefix(vector["vhid"], addresses, DigestLayout.ORIGINAL, lladdr=lladdr)

    assert prefix.hex() + vector["counter_hex"] == vector["hmac_message_hex"]


@pytest.mark.parametrize("vector", VECTORS, ids=vector_id)
def test_the_digest_is_that_of_the_real_system(vector: dict[str, Any]) -> None:
    assert signer(vector).sign(vector["counter"]).hex() == vector["md_hex"]


@pytest.mark.parametrize("vector", WITH_IPV6, ids=vector_id)
def test_openbsds_digest_leaves_link_locals_out(vector: dict[str, Any]) -> None:
    openbsd = signer(vector, (DigestLayout.WITHOUT_LINK_LOCAL, DigestLayout.ORIGINAL))

    assert openbsd.sign(vector["counter"]).hex() == vector["openbsd_nov6ll"]["md_hex"]
    assert openbsd.verify(vector["counter"], bytes.fromhex(vector["md_hex"]))


@pytest.mark.parametrize("vector", WITH_IPV6, ids=vector_id)
def test_the_universal_dialect_accepts_both_digests(vector: dict[str, Any]) -> None:
    universal = signer(vector, UNIVERSAL.layouts)

    for digest in (vector["md_hex"], vector["openbsd_nov6ll"]["md_hex"]):
        assert universal.verify(vector["counter"], bytes.fromhex(digest))


@pytest.mark.parametrize("vector", WITH_HEADER, ids=vector_id)
def test_the_header_is_rebuilt_to_the_octet(vector: dict[str, Any]) -> None:
    advert = wire.Advertisement(
        vhid=vector["vhid"],
        advbase=vector["advbase"],
        advskew=vector["advskew"],
        demote=vector["demote"],
        counter=vector["counter"],
        digest=signer(vector).sign(vector["counter"]),
    )

    assert wire.encode(advert).hex() == vector["carp_hex"]


@pytest.mark.parametrize("vector", WITH_HEADER, ids=vector_id)
def test_the_header_is_read_and_its_checksum_holds(vector: dict[str, Any]) -> None:
    octets = bytes.fromhex(vector["carp_hex"])

    advert = wire.decode(octets)

    assert (advert.vhid, advert.advbase, advert.advskew) == (vector["vhid"], vector["advbase"], vector["advskew"])
    assert advert.counter == vector["counter"]
    assert f"{advert.checksum:04x}" == vector["carp_checksum"]
    assert wire.checksum_form(octets) is wire.ChecksumForm.PLAIN


@pytest.mark.parametrize("vector", CAPTURED_UCARP, ids=vector_id)
def test_the_frame_of_ucarp_is_rebuilt_to_the_octet(vector: dict[str, Any]) -> None:
    """Its destination MAC is a broadcast where ucarp ran with -M; there only the rest is ours to build."""
    captured = bytes.fromhex(vector["frame_hex"])
    outgoing = Outgoing(
        link="eth0",
        family=Family.IPV4,
        source=IPv4Address(vector["src"]),
        destination=IPv4Address(vector["dst"]),
        tos=UCARP.tos,
        identification=UCARP.identification,
        source_mac=UCARP.source_mac(vector["vhid"]),
        payload=bytes.fromhex(vector["carp_hex"]),
    )

    identification = int.from_bytes(captured[18:20], "big")
    built = envelope.frame_of(outgoing, link_mac=MacAddress(bytes(6)), identification=identification)

    begin = 6 if vector["nomcast"] else 0
    assert built[begin:].hex() == captured[begin:].hex()


@pytest.mark.parametrize("vector", [each for each in NETBSD_VECTORS if each["af"] == 4], ids=netbsd_id)
def test_the_frame_of_netbsd_is_rebuilt_to_the_octet(vector: dict[str, Any]) -> None:
    counter = int(vector["counter_hex"], 16)
    advert = wire.Advertisement(
        vhid=vector["vhid"],
        advbase=vector["configured_advbase"],
        advskew=vector["configured_advskew"],
        counter=counter,
        digest=netbsd_signer(vector).sign(counter),
    )
    outgoing = Outgoing(
        link="shmif0",
        family=Family.IPV4,
        source=IPv4Address(vector["ip_src"]),
        destination=CARP_GROUPS[Family.IPV4],
        tos=NETBSD.tos,
        identification=NETBSD.identification,
        source_mac=NETBSD.source_mac(vector["vhid"]),
        payload=wire.encode(advert),
    )

    built = envelope.frame_of(outgoing, link_mac=MacAddress(bytes(6)), identification=4711)

    assert built.hex() == vector["frame_hex"]


@pytest.mark.parametrize("vector", [each for each in NETBSD_VECTORS if each["af"] == 6], ids=netbsd_id)
def test_the_ipv6_advertisements_of_netbsd_verify(vector: dict[str, Any]) -> None:
    advert = wire.decode(bytes.fromhex(vector["carp_payload_hex"]))

    assert netbsd_signer(vector).verify(advert.counter, advert.digest)


@pytest.mark.parametrize("vector", WITH_FRAME, ids=vector_id)
def test_the_frame_is_received_as_what_it_carries(vector: dict[str, Any]) -> None:
    received = envelope.datagram_of(bytes.fromhex(vector["frame_hex"]), link="eth0")

    assert received is not None
    assert received.payload.hex() == vector["carp_hex"]
    assert (str(received.source), str(received.destination)) == (vector["src"], vector["dst"])
    assert received.ttl == 255


@pytest.mark.parametrize("vector", WITH_FRAME, ids=vector_id)
def test_the_ip_header_has_a_right_checksum(vector: dict[str, Any]) -> None:
    frame = ethernet.decode(bytes.fromhex(vector["frame_hex"]))

    assert internet_checksum(frame.payload[: ip.IPV4_HEADER_LENGTH]) == 0


@pytest.mark.parametrize("bit", range(8 * 8, 8 * 36))
def test_a_flipped_bit_of_counter_or_digest_is_not_authentic(bit: int) -> None:
    octets = bytearray.fromhex(VECTORS[0]["carp_hex"])
    octets[bit // 8] ^= 1 << bit % 8

    advert = wire.decode(bytes(octets))

    assert not signer(VECTORS[0]).verify(advert.counter, advert.digest)


# What vectors.json lists under "negative": changes to a captured advertisement, and what everybody makes of them.


def changed(offset: int, octet: int) -> bytes:
    """Return the first vector's advertisement with another octet, and with its checksum made right again."""
    octets = bytearray.fromhex(VECTORS[0]["carp_hex"])
    assert octets[offset] != octet
    octets[offset] = octet
    octets[6:8] = bytes(2)
    octets[6:8] = internet_checksum(bytes(octets)).to_bytes(2, "big")
    return bytes(octets)


def rose(payload: bytes, *, ttl: int = 255) -> dict[str, int]:
    """Return the counters of received packets that rise when a host of the first vector receives a payload."""
    vector = VECTORS[0]
    host = bench(config(vhid=vector["vhid"], passphrase=vector["pass"], addresses=vector["vips4"]))
    host.hear(datagram(payload, source=IPv4Address(vector["src"]), ttl=ttl))
    return {name.value: count for name, count in host.engine.snapshot().statistics.items() if count}


def test_the_unchanged_vector_is_accepted() -> None:
    assert rose(bytes.fromhex(VECTORS[0]["carp_hex"])) == {"ipackets": 1}


@pytest.mark.parametrize(
    ("offset", "octet"),
    [(2, 1), (2, 200), (5, 2), (4, 77), (3, 0), (0, 0x20)],
    ids=["advskew", "advskew far off", "advbase", "demote", "authlen", "type"],
)
def test_fields_that_are_not_signed_may_be_changed_by_anybody(offset: int, octet: int) -> None:
    assert rose(changed(offset, octet)) == {"ipackets": 1}


def test_another_vhid_is_not_ours() -> None:
    assert rose(changed(1, 43)) == {"ipackets": 1, "badvhid": 1}


@pytest.mark.parametrize("offset", [8, 15, 16, 35])
def test_another_counter_or_digest_is_bad_authentication(offset: int) -> None:
    octet = bytes.fromhex(VECTORS[0]["carp_hex"])[offset] ^ 1

    assert rose(changed(offset, octet)) == {"ipackets": 1, "badauth": 1}


def test_ttl_254_is_bad() -> None:
    assert rose(bytes.fromhex(VECTORS[0]["carp_hex"]), ttl=254) == {"ipackets": 1, "badttl": 1}


def test_version_3_is_bad() -> None:
    assert rose(changed(0, 0x31)) == {"ipackets": 1, "badver": 1}
