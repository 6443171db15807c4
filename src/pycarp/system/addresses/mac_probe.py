"""Probes whether a link carries frames from a foreign MAC address, and brings the answers back.

Hypervisors, access points and switches with port security may not. The probe sends ARP requests to neighbours from a
random, locally administered address, never from the virtual MAC, and at the same time from the link's own address. The
sender's IP address is 0.0.0.0, so no neighbour changes its cache. Source: RFC 5227, 2.1.1, an ARP probe.
"""

import asyncio
import contextlib
import secrets
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from pycarp.errors import ActuatorError, DecodeError
from pycarp.system.capabilities import NO_PERMISSION
from pycarp.system.frame_sockets import receive_for
from pycarp.system.sniffer import ARPHRD_ETHERNET
from pycarp.vocabulary import MacAddress, MacMode
from pycarp.wire import arp, ethernet

NOBODY = "no neighbour to test it with"
"""The beginning of the reason when no neighbour could be probed."""

_TRIES = 3
_TRY_S = 0.2
_MOST_NEIGHBOURS = 4
_LOCALLY_ADMINISTERED = b"\x02"
_NOBODY = IPv4Address(0)

_SYSFS = Path("/sys/class/net")
_NEIGHBOURS, _ROUTES = Path("/proc/net/arp"), Path("/proc/net/route")
_ATF_COM = 0x2
_RTF_UP_GATEWAY = 0x1 | 0x2

_READ_LENGTH = 128

Answers = set[tuple[MacAddress, IPv4Address]]
"""Pairs: the MAC address that was answered, and the neighbour that answered."""


async def probe(link: str, *, others: Sequence[IPv4Address] = (), sysfs: Path = _SYSFS) -> tuple[MacMode, str]:
    """Return which MAC mode works on a link, and the reason in one sentence; takes at most 0.6 s.

    ``others`` are asked as well if there are few neighbours that the kernel knows. In doubt it is ``virtual``: when no
    neighbour is known, or none answers either address. Raises ActuatorError when the link does not exist or this
    process lacks the permission.
    """
    if any((sysfs / link / mark).exists() for mark in ("phy80211", "wireless")):
        return MacMode.INTERFACE, f"{link} is wireless, and carries frames from its own MAC address only"
    foreign = MacAddress(_LOCALLY_ADMINISTERED + secrets.token_bytes(5))
    try:
        sock = _opened(link)
    except PermissionError as exc:
        raise ActuatorError(f"cannot probe {link}: {NO_PERMISSION}") from exc
    except OSError as exc:
        raise ActuatorError(f"cannot probe {link}: {exc.strerror or exc}") from exc
    with sock:
        _name, _protocol, _kind, hardware, octets = sock.getsockname()
        if hardware != ARPHRD_ETHERNET:
            return MacMode.INTERFACE, f"{link} is no Ethernet, and has no MAC address that others could know"
        own = MacAddress(octets)
        answers: Answers = set()
        # A link that is down, or goes down, answers nothing.
        with contextlib.suppress(OSError):
            receive_for(sock, socket.if_nametoindex(link), foreign)
            asked = tuple(dict.fromkeys([*neighbours(link), *others]))[:_MOST_NEIGHBOURS]
            await _ask(sock, (foreign, own), asked, answers)
    return _verdict(link, foreign, answers)


def neighbours(link: str) -> tuple[IPv4Address, ...]:
    """Return at most four IPv4 neighbours: the default gateways, resolved or not, then resolved neighbours."""
    gateways = [
        _little_endian(gateway)
        for interface, destination, gateway, flags, *_rest in _rows(_ROUTES)
        if interface == link and int(destination, 16) == 0 and int(flags, 16) & _RTF_UP_GATEWAY == _RTF_UP_GATEWAY
    ]
    met = [
        IPv4Address(address)
        for address, _kind, flags, _mac, _mask, interface in _rows(_NEIGHBOURS)
        if interface == link and int(flags, 16) & _ATF_COM
    ]
    return tuple(dict.fromkeys(gateways + met))[:_MOST_NEIGHBOURS]


async def _ask(
    sock: socket.socket, macs: tuple[MacAddress, MacAddress], targets: tuple[IPv4Address, ...], answers: Answers
) -> None:
    """Collect answers until one reaches the foreign MAC address, the first of ``macs``, or the time is up."""
    loop = asyncio.get_running_loop()
    begun_at_s = loop.time()
    for turn in range(1, _TRIES + 1 if targets else 0):
        for target in targets:
            for mac in macs:
                sock.send(arp.probe(target, mac))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(begun_at_s + turn * _TRY_S):
                while loop.time() < begun_at_s + turn * _TRY_S:
                    answer = _answer(await loop.sock_recv(sock, _READ_LENGTH), macs, targets)
                    answers |= answer
                    if any(mac == macs[0] for mac, _neighbour in answer):
                        return
                    # sock_recv returns a frame that has arrived without yielding to other tasks.
                    await asyncio.sleep(0)


def _verdict(link: str, foreign: MacAddress, answers: Answers) -> tuple[MacMode, str]:
    for mac, neighbour in answers:
        if mac == foreign:
            return MacMode.VIRTUAL, f"{neighbour} answers a foreign MAC address on {link}"
    if answers:
        why = f"frames from foreign MAC addresses get no answer on {link}, e.g. a hypervisor forbids them"
        return MacMode.INTERFACE, why
    return MacMode.VIRTUAL, f"{NOBODY} on {link}"


def _answer(octets: bytes, macs: tuple[MacAddress, ...], targets: tuple[IPv4Address, ...]) -> Answers:
    """Return the answer in a frame, or nothing; an answer to another IP address than 0.0.0.0 is the kernel's."""
    try:
        frame = ethernet.decode(octets)
        reply = arp.decode(frame.payload)
    except DecodeError:
        return set()
    is_ours = frame.destination in macs and reply.operation is arp.Operation.REPLY and reply.target == _NOBODY
    return {(frame.destination, reply.sender)} if is_ours and reply.sender in targets else set()


def _opened(link: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.setblocking(False)
        sock.bind((link, ethernet.ETHERTYPE_ARP))
    except OSError:
        sock.close()
        raise
    return sock


def _rows(path: Path) -> list[list[str]]:
    """Return the rows of a table in ``/proc``, without its heading; none if the table is absent."""
    with contextlib.suppress(FileNotFoundError):
        return [line.split() for line in path.read_text().splitlines()[1:]]
    return []


def _little_endian(digits: str) -> IPv4Address:
    """Return an address that ``/proc/net/route`` shows as a number in the byte order of this machine."""
    return IPv4Address(struct.pack("=I", int(digits, 16)))
