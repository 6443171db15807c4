"""Sends gratuitous ARP on a link, with the link's own MAC as owner of the addresses."""

import fcntl
import socket
import struct

from pycarp.dialects.base import ArpForm
from pycarp.vocabulary import Interface, MacAddress
from pycarp.wire import arp

_SIOCGIFHWADDR = 0x8927
_INTERFACE_REQUEST = struct.Struct("16sH6s232x")


class Announcer:
    """Announces on any link through one socket.

    It is kept open, because the kernel takes some ten milliseconds to close a packet socket, and the whole process
    would wait for it; and it is not bound, so that a link that was made anew under the old name is no special case.
    """

    def __init__(self) -> None:
        # Protocol 0: it sends, and nothing is ever queued on it.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setblocking(False)

    def announce(self, link: str, addresses: tuple[Interface, ...], form: ArpForm) -> None:
        """Broadcast one gratuitous ARP an address, in the form the dialect wants; raises OSError."""
        for frame in frames(addresses, self._mac_of(link), form):
            self._socket.sendto(frame, (link, 0))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _mac_of(self, link: str) -> MacAddress:
        answer = fcntl.ioctl(self._socket, _SIOCGIFHWADDR, _INTERFACE_REQUEST.pack(link.encode(), 0, b""))
        _name, _kind, mac = _INTERFACE_REQUEST.unpack(answer)
        return MacAddress(mac)


def frames(addresses: tuple[Interface, ...], owner: MacAddress, form: ArpForm) -> list[bytes]:
    """Return the frames that announce ``addresses`` at ``owner``, requests before replies."""
    operations = [arp.Operation.REQUEST] + [arp.Operation.REPLY] * form.with_reply
    return [
        arp.gratuitous(
            address.ip,
            owner,
            operation=operation,
            target_mac=owner if form.own_target_mac else arp.ZERO_MAC,
        )
        for operation in operations
        for address in addresses
        if address.version == 4
    ]
