"""Options of ``AF_PACKET`` sockets that Python's ``socket`` does not name (``man 7 packet``)."""

import socket
import struct
import threading

from pycarp.vocabulary import MacAddress

SOL_PACKET = 263

_PACKET_ADD_MEMBERSHIP = 1
_PACKET_MR_MULTICAST, _PACKET_MR_UNICAST = 0, 3
_MULTICAST_BIT = 1


def receive_for(sock: socket.socket, index: int, mac: MacAddress) -> None:
    """Make the device of that index accept frames to one more MAC address, until the socket is closed.

    The address is that of a multicast group, or one of a host as for a macvlan. Raises OSError.
    """
    kind = _PACKET_MR_MULTICAST if mac.octets[0] & _MULTICAST_BIT else _PACKET_MR_UNICAST
    membership = struct.pack("iHH8s", index, kind, len(mac.octets), mac.octets)
    sock.setsockopt(SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)


def close_aside(sock: socket.socket) -> None:
    """Close a packet socket in a thread: the kernel takes some ten milliseconds (``synchronize_net``)."""
    threading.Thread(target=sock.close, name="pycarp-close", daemon=True).start()
