"""Raw IP sockets of protocol 112: the kernel adds the Ethernet header.

Frames have the source MAC address of the link. An advertisement that a dialect sends to the Ethernet broadcast address
goes to that of its group.
"""

import contextlib
import socket

from pycarp.core.flood import PacketFilter
from pycarp.system.capabilities import refusal_of_socket
from pycarp.system.rtnetlink import socket_filter
from pycarp.transports import filters, ip_sockets
from pycarp.transports.sockets import SocketTransport
from pycarp.vocabulary import CARP_GROUPS, CARP_PROTOCOL, Address, Datagram, Family, Outgoing


def refusal() -> str | None:
    """Return None if this process can use the transport, else the reason why it cannot."""
    if not hasattr(socket, "SO_BINDTODEVICE"):
        return "binding a socket to a device is possible on Linux only"
    return refusal_of_socket(socket.AF_INET, socket.SOCK_RAW, CARP_PROTOCOL)


def raw_transport() -> SocketTransport:
    """Return a transport of IP packets."""
    return SocketTransport(_RawPort, uses_link_mac=True)


class _RawPort:
    """Packets of one family on one link.

    One socket is bound to the link; another sends to peers, because the route to a peer may use another link.
    """

    def __init__(self, link: str, family: Family) -> None:
        self._link = link
        self._family = family
        self._index = socket.if_nametoindex(link)
        with contextlib.ExitStack() as stack:
            self._on_link = stack.enter_context(ip_sockets.receiving_socket(family, link, self._index))
            self._to_peers = stack.enter_context(ip_sockets.sending_socket(family))
            self.join(CARP_GROUPS[family])
            self._sockets = stack.pop_all()

    def fileno(self) -> int:
        return self._on_link.fileno()

    def receive(self) -> Datagram | None:
        return ip_sockets.receive(self._on_link, self._link, self._family)

    def send(self, outgoing: Outgoing) -> None:
        sock = self._on_link if outgoing.destination.is_multicast else self._to_peers
        ip_sockets.send(sock, self._index, outgoing)

    def join(self, group: Address) -> None:
        ip_sockets.join(self._on_link, self._index, group)

    def set_packet_filter(self, packet_filter: PacketFilter | None) -> None:
        if packet_filter is None:
            socket_filter.detach(self._on_link)
        else:
            socket_filter.attach(self._on_link, filters.filtered_packets(self._family, packet_filter))

    def close(self) -> None:
        self._sockets.close()
