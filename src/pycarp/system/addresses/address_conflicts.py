"""Address conflict detection: finds neighbours on a link that answer for given addresses.

It sends the probes that a host sends before it uses an address: ARP probes (RFC 5227, 2.1.1) and neighbour
solicitations (RFC 4862, 5.4.2). They leave from the link's own MAC address and from no IP address, so no neighbour
changes its cache.
"""

import asyncio
import contextlib
import socket
from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType

from pycarp.errors import ActuatorError, DecodeError
from pycarp.system.capabilities import NO_PERMISSION
from pycarp.system.rtnetlink import socket_filter
from pycarp.system.rtnetlink.socket_filter import JUMP_EQUAL, LOAD_OCTET, RETURN
from pycarp.system.sniffer import ARPHRD_ETHERNET
from pycarp.tasks import start_task
from pycarp.vocabulary import Address, MacAddress
from pycarp.wire import arp, ethernet, ip, ndp

TRIES = 3
TRY_S = 0.4
"""How often to probe, and how long to wait for answers each time."""

_AT_ONCE = 50
_PAUSE_S = 0.01
_READ_LENGTH = 256
_NEXT_HEADER_AT, _ICMP_TYPE_AT = 20, 54
_ADVERTISEMENTS: socket_filter.Program = (
    (LOAD_OCTET, 0, 0, _NEXT_HEADER_AT),
    (JUMP_EQUAL, 0, 3, ndp.NEXT_HEADER),
    (LOAD_OCTET, 0, 0, _ICMP_TYPE_AT),
    (JUMP_EQUAL, 0, 1, ndp.ADVERTISEMENT),
    (RETURN, 0, 0, _READ_LENGTH),
    (RETURN, 0, 0, 0),
)
"""Passes neighbour advertisements only."""

Answers = dict[Address, set[MacAddress]]
"""The MAC addresses that answered, by address."""


async def reached(link: str, targets: Mapping[IPv4Address, MacAddress]) -> frozenset[IPv4Address]:
    """Return the addresses whose machine answers what is sent to a MAC address alone, and not to every machine.

    Raises as ``find``.
    """
    return frozenset(await find(link, targets, stops_early=True, to=targets))  # type: ignore[arg-type]


async def find(
    link: str,
    addresses: Collection[Address],
    *,
    stops_early: bool = False,
    tries: int = TRIES,
    to: Mapping[IPv4Address, MacAddress] = MappingProxyType({}),
) -> Answers:
    """Probe for addresses and return the MAC addresses that answer; takes a little more than a second.

    With ``stops_early`` it ends once every address has been answered for, and a second answer may be missed; with
    fewer ``tries`` an answer that is lost is missed. The owner of an address of ``to`` is asked at that MAC address.

    Returns nothing at once if the link is not Ethernet. Raises ActuatorError when the link does not exist or is down,
    or when this process lacks the permission.
    """
    answers: Answers = {}
    stack = contextlib.ExitStack()
    try:
        sockets = {each: stack.enter_context(_opened(link, each)) for each in _types(addresses)}
        hardware, octets = next(iter(sockets.values())).getsockname()[3:5] if sockets else (None, b"")
        if hardware != ARPHRD_ETHERNET:
            return {}
        complete = asyncio.Event()
        readers = [start_task(_read(sock, addresses, answers, complete)) for sock in sockets.values()]
        try:
            enough = complete if stops_early else asyncio.Event()
            await _ask(sockets, [*_probes(MacAddress(octets), addresses, to)], enough, tries)
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)
    except PermissionError as exc:
        raise ActuatorError(f"cannot ask on {link}: {NO_PERMISSION}") from exc
    except OSError as exc:
        raise ActuatorError(f"cannot ask on {link}: {exc.strerror or exc}") from exc
    finally:
        # The kernel takes 10 to 20 ms to close a packet socket, and the event loop must not wait.
        await asyncio.shield(asyncio.to_thread(stack.close))
    return answers


async def _ask(
    sockets: dict[int, socket.socket], probes: Collection[tuple[int, bytes]], enough: asyncio.Event, tries: int
) -> None:
    for _ in range(tries):
        for number, (ethertype, frame) in enumerate(probes, start=1):
            # A queue that is full for a moment loses one of three probes.
            with contextlib.suppress(BlockingIOError):
                sockets[ethertype].send(frame)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(_PAUSE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TRY_S):
                await enough.wait()
                return


def _probes(
    mac: MacAddress, addresses: Collection[Address], to: Mapping[IPv4Address, MacAddress]
) -> Iterator[tuple[int, bytes]]:
    for each in addresses:
        if isinstance(each, IPv4Address):
            yield ethernet.ETHERTYPE_ARP, arp.probe(each, mac, to=to.get(each, ethernet.BROADCAST))
        else:
            yield ethernet.ETHERTYPE_IPV6, ndp.probe(each, mac)


async def _read(sock: socket.socket, addresses: Collection[Address], answers: Answers, complete: asyncio.Event) -> None:
    """Collect answers until cancelled; set ``complete`` once there is one for every address."""
    loop = asyncio.get_running_loop()
    wanted = frozenset(addresses)
    while True:
        # A deleted link raises OSError, which ends the reader.
        with contextlib.suppress(DecodeError):
            frame = ethernet.decode(await loop.sock_recv(sock, _READ_LENGTH))
            address, mac = _answer(frame)
            if address in wanted:
                answers.setdefault(address, set()).add(mac)
                if len(answers) == len(wanted):
                    complete.set()
        # sock_recv returns a frame that has arrived without yielding to other tasks.
        await asyncio.sleep(0)


def _answer(frame: ethernet.Frame) -> tuple[Address, MacAddress]:
    """Return the address that a frame claims, and the MAC address that claims it; raises DecodeError.

    An ARP probe of another host claims nothing: its sender address is 0.0.0.0.
    """
    if frame.ethertype == ethernet.ETHERTYPE_ARP:
        message = arp.decode(frame.payload)
        return message.sender, message.sender_mac
    packet = ip.decode_ipv6(frame.payload)
    advertisement = ndp.decode(packet.payload, source=packet.source, destination=packet.destination)
    return advertisement.target, advertisement.target_mac


def _types(addresses: Collection[Address]) -> Iterator[int]:
    if any(isinstance(each, IPv4Address) for each in addresses):
        yield ethernet.ETHERTYPE_ARP
    if any(isinstance(each, IPv6Address) for each in addresses):
        yield ethernet.ETHERTYPE_IPV6


def _opened(link: str, ethertype: int) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.setblocking(False)
        if ethertype == ethernet.ETHERTYPE_IPV6:
            socket_filter.attach(sock, _ADVERTISEMENTS)
        sock.bind((link, ethertype))
    except OSError:
        sock.close()
        raise
    return sock
