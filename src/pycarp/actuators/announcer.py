"""Sends gratuitous ARP on a link, with the link's own MAC as owner of the addresses."""

import socket

from pycarp.dialects.base import ArpForm
from pycarp.vocabulary import Interface, MacAddress
from pycarp.wire import arp


def announce(link: str, addresses: tuple[Interface, ...], form: ArpForm) -> None:
    """Broadcast one gratuitous ARP an address, in the form the dialect wants; raises OSError."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.setblocking(False)
        sock.bind((link, 0))
        owner = MacAddress(sock.getsockname()[4])
        for frame in frames(addresses, owner, form):
            sock.send(frame)


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
