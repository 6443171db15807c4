"""What a client and a switch see of an address that is answered from its virtual MAC address."""

import asyncio
import contextlib
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from pycarp.actuators.netlink_actuator import NetlinkActuator
from pycarp.dialects.dialect import ArpForm
from pycarp.vocabulary import MacAddress
from pycarp.wire import arp, checksum, ethernet
from tests.support.addresses import actuator_in, config, switch
from tests.support.capture import Capture
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

HOST = config()
SHARED4, SHARED6 = IPv4Address("10.77.0.50"), IPv6Address("fd77::50")
MAC = MacAddress.parse("00:00:5e:00:01:01")
QUIET_S = 4.0
MLD_GROUP = MacAddress.parse("33:33:00:00:00:16")
FORM = ArpForm(own_target_mac=False, link_source=False, with_reply=True)


@pytest.fixture
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    """Our machine and a client's."""
    require("ip", "ping")
    with joined_namespaces() as pair:
        yield pair


def run(namespace: Namespace, *argv: str) -> str:
    """Run a program inside; return what it said, whether or not it succeeded."""
    argv = ("ip", "netns", "exec", namespace.name, *argv)
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def pings(namespace: Namespace, address: object, *options: str) -> bool:
    return " 0% packet loss" in run(namespace, "ping", "-c", "1", "-W", "1", *options, str(address))


def neighbours(namespace: Namespace) -> dict[str, str]:
    """Return the MAC address of each neighbour that is known."""
    words = [line.split() for line in namespace.ip("neigh", "show", "dev", LINK).splitlines()]
    return {line[0]: line[2] for line in words if len(line) > 2 and line[1] == "lladdr"}


class Frames:
    """All that arrives at the client's link."""

    def __init__(self, namespace: Namespace) -> None:
        with entered(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((LINK, 0x0003))
            self._socket.setblocking(False)

    def __enter__(self) -> "Frames":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()

    def take(self) -> list[ethernet.Frame]:
        """Return what has come since, without what the client itself sent."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                octets, (_link, _protocol, kind, *_rest) = self._socket.recvfrom(2048)
                if kind != socket.PACKET_OUTGOING:
                    found.append(ethernet.decode(octets))
        return found


async def prepare_and_hold(actuator: NetlinkActuator) -> None:
    await actuator.prepare(HOST)
    await actuator.hold(HOST.key, HOST.addresses)


async def test_the_client_learns_the_virtual_mac_in_both_families(segment: tuple[Namespace, Namespace]) -> None:
    ours, client = segment
    async with actuator_in(ours) as actuator:
        await prepare_and_hold(actuator)

        assert pings(client, SHARED4)
        assert pings(client, SHARED6)
        known = neighbours(client)
        assert (known[str(SHARED4)], known[str(SHARED6)]) == (str(MAC), str(MAC))
        assert pings(client, ours.address)
        assert neighbours(client)[str(ours.address)] != str(MAC)


async def test_what_is_announced_is_the_virtual_mac(segment: tuple[Namespace, Namespace]) -> None:
    ours, client = segment
    async with actuator_in(ours) as actuator:
        await prepare_and_hold(actuator)
        with Capture(client) as capture:
            with entered(ours):
                await actuator.announce(HOST.key, HOST.addresses, FORM)
            frames = capture.frames(lambda frame: frame.source == MAC, 3)

    told = [arp.decode(frame.payload) for frame in frames if frame.ethertype == ethernet.ETHERTYPE_ARP]
    assert [(each.sender, each.sender_mac) for each in told] == [(SHARED4, MAC)] * 2
    assert sum(frame.ethertype == ethernet.ETHERTYPE_IPV6 for frame in frames) == 1


async def test_the_masters_own_conversations_have_its_own_addresses(segment: tuple[Namespace, Namespace]) -> None:
    ours, client = segment
    async with actuator_in(ours) as actuator:
        await prepare_and_hold(actuator)
        with Frames(client) as frames:
            assert pings(ours, client.address)
            assert pings(ours, client.address6)
            seen = [each for each in frames.take() if each.destination != MLD_GROUP]

    assert seen
    assert MAC not in {frame.source for frame in seen}
    assert not any(SHARED4.packed in frame.payload or SHARED6.packed in frame.payload for frame in seen)


async def test_the_client_keeps_the_virtual_mac_whatever_the_master_asks_from_the_shared_address(
    segment: tuple[Namespace, Namespace],
) -> None:
    """The master knows no neighbour any more, and asks for one on behalf of a socket with the shared address."""
    ours, client = segment
    async with actuator_in(ours) as actuator:
        await prepare_and_hold(actuator)
        assert pings(client, SHARED4)
        assert pings(client, SHARED6)
        ours.ip("neigh", "flush", "all")

        assert pings(ours, client.address, "-I", str(SHARED4))
        assert pings(ours, client.address6, "-I", str(SHARED6))
        known = neighbours(client)
        assert (known[str(SHARED4)], known[str(SHARED6)]) == (str(MAC), str(MAC))


@pytest.mark.parametrize("rp_filter", ["0", "1", "2"])
async def test_the_shared_address_answers_whatever_the_reverse_path_filter(
    segment: tuple[Namespace, Namespace], rp_filter: str
) -> None:
    """Questions come in on the device, answers leave by the link: strict filtering would see a spoofed source."""
    ours, client = segment
    for name in ("all", "default", LINK):
        switch(ours, f"ipv4/conf/{name}/rp_filter", rp_filter)
    async with actuator_in(ours) as actuator:
        await prepare_and_hold(actuator)

        assert pings(client, SHARED4)
        assert pings(client, ours.address)


async def test_a_network_of_which_the_link_has_no_address_is_served_from_the_device(
    segment: tuple[Namespace, Namespace],
) -> None:
    ours, client = segment
    elsewhere = config("192.0.2.1/24", "fd99::1/64")
    for own in ("192.0.2.2/24", "fd99::2/64"):
        client.ip("addr", "add", own, "dev", LINK, *(["nodad"] if ":" in own else []))
    async with actuator_in(ours) as actuator:
        await actuator.prepare(elsewhere)
        await actuator.hold(elsewhere.key, elsewhere.addresses)

        assert pings(client, "192.0.2.1")
        assert pings(client, "fd99::1")
        assert pings(ours, "192.0.2.2")
        known = neighbours(client)
        assert (known["192.0.2.1"], known["fd99::1"]) == (str(MAC), str(MAC))


def igmp_query() -> bytes:
    message = struct.pack("!BBH4s", 0x11, 10, 0, bytes(4))
    message = message[:2] + checksum.internet_checksum(message).to_bytes(2, "big") + message[4:]
    header = struct.pack(
        "!BBHHHBBH4s4s4s", 0x46, 0xC0, 32, 0, 0, 1, 2, 0, bytes(4), bytes((224, 0, 0, 1)), b"\x94\x04\0\0"
    )
    header = header[:10] + checksum.internet_checksum(header).to_bytes(2, "big") + header[12:]
    return bytes.fromhex("01005e000001") + bytes(6) + b"\x08\x00" + header + message


def packet_to_device(source: IPv4Address) -> bytes:
    """Return what a switch that does not know better sends to all: an echo request to the shared address."""
    message = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
    message = message[:2] + checksum.internet_checksum(message).to_bytes(2, "big") + message[4:]
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 1, 0, source.packed, SHARED4.packed)
    header = header[:10] + checksum.internet_checksum(header).to_bytes(2, "big") + header[12:]
    return MAC.octets + bytes.fromhex("020000000007") + b"\x08\x00" + header + message


async def provoke(client: Namespace) -> None:
    """Ask everything that makes a machine speak."""
    with entered(client), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((LINK, 0))
        raw.send(igmp_query())
        raw.send(packet_to_device(client.address))
    for address in (SHARED4, SHARED6, "ff02::1%eth0", "224.0.0.1"):
        run(client, "ping", "-c", "1", "-W", "0.2", str(address))
    # Once more, when the client need not ask who it is.
    for address in (SHARED4, SHARED6):
        client.ip("neigh", "replace", str(address), "lladdr", str(MAC), "dev", LINK)
        run(client, "ping", "-c", "1", "-W", "0.2", str(address))
    await asyncio.sleep(QUIET_S)


@pytest.mark.parametrize("was_master", [False, True])
async def test_a_backup_sends_no_frame_from_the_shared_mac(
    segment: tuple[Namespace, Namespace], was_master: bool
) -> None:
    """Neither of its own accord nor when it is asked, not even as a router, and not after it was MASTER."""
    ours, client = segment
    for family in ("ipv4", "ipv6"):
        switch(ours, f"{family}/conf/all/forwarding", "1")
    with Frames(client) as frames:
        async with actuator_in(ours) as actuator:
            await actuator.prepare(HOST)
            await actuator.drop(HOST.key, HOST.addresses)
            if was_master:
                await actuator.hold(HOST.key, HOST.addresses)
                assert pings(client, SHARED4)
                assert pings(client, SHARED6)
                await asyncio.sleep(0.3)
                await actuator.drop(HOST.key, HOST.addresses)
            frames.take()
            await provoke(client)
            seen = frames.take()

    assert seen
    assert [frame for frame in seen if frame.source == MAC] == []
    assert not any(SHARED4.packed in frame.payload for frame in seen)


async def test_the_addresses_of_a_frozen_program_are_gone_in_time(segment: tuple[Namespace, Namespace]) -> None:
    ours, client = segment
    async with actuator_in(ours) as actuator:
        await actuator.prepare(HOST)
        await actuator.hold(HOST.key, HOST.addresses, lifetime_s=2)
        held_s = time.monotonic()
        while pings(client, SHARED4) or pings(client, SHARED6):
            assert time.monotonic() - held_s < 4.2
        assert time.monotonic() - held_s > 1.9
