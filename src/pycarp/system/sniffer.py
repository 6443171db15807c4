"""Captures every CARP frame that an interface receives or sends; it sends nothing."""

import errno
import math
import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple, Self

from pycarp.errors import TransportError
from pycarp.system.frame_sockets import SOL_PACKET, receive_for
from pycarp.system.rtnetlink import socket_filter
from pycarp.system.rtnetlink.socket_filter import ACCEPT, JUMP_EQUAL, LOAD_HALF, LOAD_OCTET, RETURN
from pycarp.vocabulary import CARP_GROUPS, CARP_PROTOCOL, NS_PER_S
from pycarp.wire import ethernet

ARPHRD_ETHERNET, ARPHRD_LOOPBACK = 1, 772
ARPHRD_NO_HEADER = (512, 768, 769, 776, 778, 823, 65534)
"""PPP, tunnels and tun devices: frames are IP packets without a header. Source: ``linux/if_arp.h``."""

_LINKTYPE_ETHERNET, _LINKTYPE_RAW = 1, 101
"""Source: tcpdump.org, "Link-layer header types"."""

_ETH_P_ALL = 0x0003
_PACKET_OUTGOING = 4
_PACKET_AUXDATA = 8
_VLAN_IS_VALID = 1 << 4
_AUXDATA = struct.Struct("=IIIHHHH")
_PACKET_STATISTICS = 6
_STATISTICS = struct.Struct("=II")
_SO_TIMESTAMPNS = 35
_TIMESTAMP = struct.Struct("@ll")
_AUXILIARY_LENGTH = socket.CMSG_SPACE(_AUXDATA.size) + socket.CMSG_SPACE(_TIMESTAMP.size)
_LONGEST = 65535
_MACS_LENGTH = 12

_AUTHENTICATION_HEADER = 51
_FILTER = (
    (LOAD_HALF, 0, 0, 12),  # the Ethernet type
    (JUMP_EQUAL, 0, 3, ethernet.ETHERTYPE_IPV4),
    (LOAD_OCTET, 0, 0, 23),  # the IPv4 protocol
    (JUMP_EQUAL, 8, 0, CARP_PROTOCOL),
    (JUMP_EQUAL, 7, 8, _AUTHENTICATION_HEADER),  # VRRP version 2 may be inside
    (JUMP_EQUAL, 0, 2, ethernet.ETHERTYPE_IPV6),
    (LOAD_OCTET, 0, 0, 20),  # the IPv6 next header
    (JUMP_EQUAL, 4, 5, CARP_PROTOCOL),
    (JUMP_EQUAL, 3, 0, 0x8100),  # tagged: anything
    (JUMP_EQUAL, 2, 0, 0x88A8),
    (JUMP_EQUAL, 1, 0, 0x9100),
    (RETURN, 0, 0, 0),
    (RETURN, 0, 0, ACCEPT),
    (RETURN, 0, 0, 0),
)
"""Drops in the kernel what cannot be CARP. Source: the classic BPF of ``SO_ATTACH_FILTER``, ``man 7 socket``."""

_NO_PERMISSION = "no permission: run as root or give the process CAP_NET_RAW"


class Frame(NamedTuple):
    """A frame and the time at which the kernel got it, in nanoseconds since 1970."""

    at_ns: int
    octets: bytes


class Sniffer:
    """An open packet socket on one interface, a member of both CARP groups; not promiscuous.

    ``device_type`` is an ``ARPHRD`` number, ``link_type`` says what its frames begin with. Raises
    TransportError when it cannot be opened.
    """

    def __init__(self, link: str) -> None:
        self._link = link
        try:
            self._socket = _opened(link)
        except PermissionError as exc:
            raise TransportError(f"cannot listen on {link}: {_NO_PERMISSION}") from exc
        except OSError as exc:
            raise TransportError(f"cannot listen on {link}: {exc.strerror or exc}") from exc
        self.device_type = int(self._socket.getsockname()[3])
        self.link_type = _LINKTYPE_RAW if self.device_type in ARPHRD_NO_HEADER else _LINKTYPE_ETHERNET

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._socket.close()

    def frames(self, *, for_s: float | None = None) -> Iterator[Frame]:
        """Yield frames for so long, or for ever; raises TransportError when the interface is gone."""
        ends_s = math.inf if for_s is None else time.monotonic() + for_s
        # The time is looked at before every frame: in a flood there is always one more.
        while (left_s := ends_s - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], None if for_s is None else left_s)[0]:
                return
            try:
                octets, auxiliary, _flags, address = self._socket.recvmsg(_LONGEST, _AUXILIARY_LENGTH)
            except OSError as exc:
                self._survive(exc)
                continue
            # The loopback device shows every packet twice, as sent and as received.
            if self.device_type != ARPHRD_LOOPBACK or address[2] != _PACKET_OUTGOING:
                yield Frame(_arrival_ns(auxiliary), _tagged(octets, auxiliary))

    def lost(self) -> int:
        """Return how many frames the kernel could not keep since the last call, because they were read too slowly."""
        statistics = self._socket.getsockopt(SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        _packets, drops = _STATISTICS.unpack(statistics)
        return int(drops)

    def _survive(self, exc: OSError) -> None:
        """Return if the interface only went down, because it may come up again; else raise TransportError."""
        try:
            socket.if_nametoindex(self._link)
        except OSError:
            raise TransportError(f"cannot listen on {self._link} any more: the interface is gone") from exc
        if exc.errno not in (errno.ENETDOWN, errno.EINTR, errno.EAGAIN):
            raise TransportError(f"cannot listen on {self._link} any more: {exc.strerror}") from exc


def _opened(link: str) -> socket.socket:
    """Return a bound socket; it is bound last, because no unfiltered frame may be queued."""
    index = socket.if_nametoindex(link)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.bind((link, 0))
        device_type = int(sock.getsockname()[3])
        if device_type not in (ARPHRD_ETHERNET, ARPHRD_LOOPBACK, *ARPHRD_NO_HEADER):
            raise OSError(errno.EOPNOTSUPP, f"its frames are of kind {device_type}, neither Ethernet nor plain IP")
        if device_type == ARPHRD_ETHERNET:
            _join_groups(sock, index)
        if device_type in (ARPHRD_ETHERNET, ARPHRD_LOOPBACK):
            socket_filter.attach(sock, _FILTER)
        sock.setsockopt(SOL_PACKET, _PACKET_AUXDATA, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.bind((link, _ETH_P_ALL))
    except OSError:
        sock.close()
        raise
    return sock


def _join_groups(sock: socket.socket, index: int) -> None:
    for group in CARP_GROUPS.values():
        receive_for(sock, index, ethernet.group_mac(group))


def _arrival_ns(auxiliary: list[tuple[int, int, bytes]]) -> int:
    """Return the kernel's time of a frame, now if it has none. Source: ``SO_TIMESTAMPNS``, ``man 7 socket``."""
    for level, kind, data in auxiliary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(data) >= _TIMESTAMP.size:
            seconds, nanoseconds = _TIMESTAMP.unpack_from(data)
            return int(seconds) * NS_PER_S + int(nanoseconds)
    return time.time_ns()


def _tagged(octets: bytes, auxiliary: list[tuple[int, int, bytes]]) -> bytes:
    """Insert the VLAN tag that the kernel stripped. Source: ``tpacket_auxdata``, ``man 7 packet``."""
    for level, kind, data in auxiliary:
        if (level, kind) != (SOL_PACKET, _PACKET_AUXDATA) or len(data) < _AUXDATA.size:
            continue
        status, _length, _kept, _mac, _net, tag, tag_type = _AUXDATA.unpack_from(data)
        if status & _VLAN_IS_VALID:
            inserted = struct.pack("!HH", tag_type or 0x8100, tag)
            return octets[:_MACS_LENGTH] + inserted + octets[_MACS_LENGTH:]
    return octets
