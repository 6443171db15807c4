"""Sends gratuitous ARP and unsolicited neighbour advertisements for the link's own MAC address or a virtual one."""

import contextlib
import fcntl
import socket
import struct

from pycarp.dialects.dialect import ArpForm
from pycarp.system.addresses import sysctl_files
from pycarp.system.frame_sockets import close_aside
from pycarp.vocabulary import InterfaceAddress, MacAddress
from pycarp.wire import arp, ndp

_SIOCGIFHWADDR = 0x8927
_INTERFACE_REQUEST = struct.Struct("16sH6s232x")


class Announcer:
    """Announces on any link through one socket.

    The socket stays open, because the kernel takes some ten milliseconds to close a packet socket. It is not bound, so
    it also works on a link that was deleted and created again.
    """

    def __init__(self) -> None:
        # With protocol 0 the socket only sends: the kernel queues no packets on it.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setblocking(False)

    def announce(
        self, link: str, addresses: tuple[InterfaceAddress, ...], form: ArpForm, *, owner: MacAddress | None = None
    ) -> None:
        """Announce each address, in the form of the dialect; raises OSError.

        ``owner`` is the MAC address that answers for them; None stands for the link's own.
        """
        link_mac = self._mac_of(link)
        is_router = any(each.version == 6 for each in addresses) and _forwards(link)
        for frame in frames(addresses, owner or link_mac, form, link_mac=link_mac, is_router=is_router):
            self._socket.sendto(frame, (link, 0))

    def close(self) -> None:
        """Close the socket, in a thread of its own."""
        close_aside(self._socket)

    def _mac_of(self, link: str) -> MacAddress:
        answer = fcntl.ioctl(self._socket, _SIOCGIFHWADDR, _INTERFACE_REQUEST.pack(link.encode(), 0, b""))
        _name, _kind, mac = _INTERFACE_REQUEST.unpack(answer)
        return MacAddress(mac)


def frames(
    addresses: tuple[InterfaceAddress, ...],
    owner: MacAddress,
    form: ArpForm,
    *,
    link_mac: MacAddress | None = None,
    is_router: bool = False,
) -> list[bytes]:
    """Return the frames that announce ``addresses`` at ``owner``: ARP requests, then replies, then advertisements.

    ``link_mac`` is the link's own MAC address, if it is not the owner; ``is_router`` sets the router flag of RFC 4861.
    """
    operations = [arp.Operation.REQUEST] + [arp.Operation.REPLY] * form.with_reply
    source = link_mac if form.link_source and link_mac else owner
    arps = [
        arp.gratuitous(
            address.ip,
            owner,
            operation=operation,
            target_mac=owner if form.own_target_mac else arp.ZERO_MAC,
            ethernet_source=source,
        )
        for operation in operations
        for address in addresses
        if address.version == 4
    ]
    # The BSDs send these from the carp interface, even where they send ARP from another. Source: carp.md section 7.
    return arps + [
        ndp.unsolicited(address.ip, owner, is_router=is_router) for address in addresses if address.version == 6
    ]


def _forwards(link: str) -> bool:
    """Return whether this machine is an IPv6 router on a link."""
    with contextlib.suppress(OSError):
        return sysctl_files.read(f"net/ipv6/conf/{link}/forwarding") == "1"
    return False
