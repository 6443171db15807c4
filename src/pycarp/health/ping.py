"""A probe that sends an echo request of ICMP, in this process: as an ordinary user where that is allowed. Linux.

Source: RFC 792 and 4443; icmp(7) and ``net/ipv4/ping.c`` for the datagram sockets.
"""

import asyncio
import contextlib
import os
import socket
import struct
from ipaddress import ip_address

from pycarp.errors import ConfigError
from pycarp.health.health_check import Answer, Finding, Probe, Request
from pycarp.health.probes import reason_of
from pycarp.vocabulary import Address
from pycarp.wire.checksum import internet_checksum

_HEADER = struct.Struct("!BBHHH")
_REQUEST, _REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
_TOKEN_OCTETS = 16
_SIZE_MAX = 2048
_SOL_RAW, _ICMP_FILTER, _ICMPV6_FILTER, _IP_RECVERR, _IPV6_RECVERR = 255, 1, 1, 11, 25

_WAY_OUT = "it needs CAP_NET_RAW, or a group in net.ipv4.ping_group_range"


def ping(address: Address | str) -> Probe:
    """Return a probe that passes if an address answers an echo request, and fails if it cannot be reached.

    It is unknown where this process may not ping. Raises ConfigError for anything but an address, and for a link-local
    one of IPv6 without its interface.
    """
    target = target_in("ping", address)

    async def look() -> Finding:
        try:
            sock = _socket(target)
        except PermissionError:
            return Finding(Answer.UNKNOWN, f"this process may not ping; {_WAY_OUT}")
        except OSError as exc:
            return Finding(Answer.UNKNOWN, f"cannot ping: {reason_of(exc)}")
        with sock:
            try:
                sock.connect(_place(target))
                await _exchange(sock, target)
            except OSError as exc:
                return Finding(Answer.FAIL, f"cannot reach {target}: {reason_of(exc)}")
        return Finding(Answer.OK, f"{target} answers")

    return Request(look, f"{target} did not answer")


def target_in(key: str, value: object) -> Address:
    """Return the address to ping; raises ConfigError for what cannot be one."""
    try:
        found = ip_address(value if isinstance(value, str) else str(value))
    except ValueError:
        way_out = 'write one such as "192.0.2.1" or "2001:db8::1"'
        raise ConfigError(f"{key} {value!r} is no address; {way_out}") from None
    if found.version == 6 and found.is_link_local and not found.scope_id:
        raise ConfigError(f'{key} {value!r} is on every segment; name the interface, as in "{found}%eth0"')
    if found.is_multicast:
        raise ConfigError(f"{key} {value!r} is a group; write the address of one machine")
    return found


def _socket(target: Address) -> socket.socket:
    """Return a socket for echo requests: one for datagrams if the system allows it, else a raw one; raises OSError."""
    family, protocol = _family(target), socket.IPPROTO_ICMP if target.version == 4 else socket.IPPROTO_ICMPV6
    try:
        made = socket.socket(family, socket.SOCK_DGRAM, protocol)
    except OSError:
        made = socket.socket(family, socket.SOCK_RAW, protocol)
    try:
        made.setblocking(False)
        _prepare(made, target)
    except OSError:
        made.close()
        raise
    return made


def _prepare(sock: socket.socket, target: Address) -> None:
    """Filter a socket so that it receives nothing but replies, and errors of the network."""
    level, option = (socket.IPPROTO_IP, _IP_RECVERR) if target.version == 4 else (socket.IPPROTO_IPV6, _IPV6_RECVERR)
    # Without it the kernel keeps most errors, such as that of a neighbour who is not there, to itself.
    sock.setsockopt(level, option, 1)
    if sock.type != socket.SOCK_RAW:
        return
    # A bit for each type that is not wanted.
    if target.version == 4:
        sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", 0xFFFFFFFF ^ 1 << _REPLY[4]))
    else:
        blocked = [0xFFFFFFFF] * 8
        blocked[_REPLY[6] // 32] ^= 1 << _REPLY[6] % 32
        sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, struct.pack("=8I", *blocked))


async def _exchange(sock: socket.socket, target: Address) -> None:
    """Send a request and wait for its reply; raises OSError."""
    loop = asyncio.get_running_loop()
    # What comes back is recognised by it: the kernel chooses the identifier of a socket for datagrams.
    token = os.urandom(_TOKEN_OCTETS)
    await loop.sock_sendall(sock, _request(target, token))
    while True:
        octets = await loop.sock_recv(sock, _SIZE_MAX)
        if sock.type == socket.SOCK_RAW and target.version == 4 and octets:
            octets = octets[(octets[0] & 0x0F) * 4 :]
        if octets[:1] == bytes([_REPLY[target.version]]) and octets[_HEADER.size :] == token:
            return


def _request(target: Address, token: bytes) -> bytes:
    kind, identifier = _REQUEST[target.version], int.from_bytes(token[:2], "big")
    without = _HEADER.pack(kind, 0, 0, identifier, 1) + token
    # The kernel computes the checksum of ICMPv6 itself.
    checksum = internet_checksum(without) if target.version == 4 else 0
    return _HEADER.pack(kind, 0, checksum, identifier, 1) + token


def _family(target: Address) -> socket.AddressFamily:
    return socket.AF_INET if target.version == 4 else socket.AF_INET6


def _place(target: Address) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return the address for a socket; raises OSError if its interface does not exist."""
    if target.version == 4:
        return str(target), 0
    index = 0
    if target.scope_id:
        with contextlib.suppress(ValueError):
            return str(target).partition("%")[0], 0, 0, int(target.scope_id)
        index = socket.if_nametoindex(target.scope_id)
    return str(target).partition("%")[0], 0, 0, index
