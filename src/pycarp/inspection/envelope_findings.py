"""Judges what an advertisement travelled in: TTL, destination, and the MAC addresses of its frame."""

from collections.abc import Iterator

from pycarp.inspection.explanation import Finding, Remark
from pycarp.vocabulary import CARP_GROUPS, CARP_TTL, Address, MacAddress, family_of
from pycarp.wire import ethernet

_Findings = Iterator[Finding]


def ttl_findings(ttl: int | None) -> _Findings:
    """Yield a problem for another TTL than 255."""
    if ttl != CARP_TTL:
        yield Finding(
            Remark.TTL, f"TTL or hop limit {ttl} instead of {CARP_TTL}: it crossed a router, or is forged; dropped"
        )


def destination_findings(destination: Address, mac: MacAddress | None) -> _Findings:
    """Yield what is odd or remarkable about where a packet is sent; ``mac`` None is unknown."""
    group = CARP_GROUPS[family_of(destination)]
    if mac is not None and destination.is_multicast != bool(mac.octets[0] & 1):
        yield Finding(
            Remark.DESTINATION, f"sent to {destination} in a frame to {mac}: a kernel shows CARP no such packet"
        )
        return
    if destination.is_multicast:
        if destination != group:
            words = f"sent to {destination}, not to {group}: only ucarp with --mcastip={destination} hears it"
            yield Finding(Remark.DESTINATION, words)
        elif mac == ethernet.BROADCAST:
            yield Finding(Remark.BROADCAST_MAC, "sent to the Ethernet broadcast, as ucarp --nomcast does")
        elif mac is not None and mac != ethernet.group_mac(destination):
            words = (
                f"sent to {mac}, but {destination} has {ethernet.group_mac(destination)}: switches may not deliver it"
            )
            yield Finding(Remark.DESTINATION, words)
    elif str(destination) == "255.255.255.255":
        yield Finding(Remark.DESTINATION, f"sent to {destination}: CARP goes to {group} or to one peer")
    else:
        yield Finding(Remark.UNICAST, f"unicast to {destination}: a configured peer (FreeBSD 14, OpenBSD's carppeer)")


def source_mac_findings(vhid: int, destination: Address, mac: MacAddress | None) -> _Findings:
    """Yield what is odd or remarkable about the MAC address from which a vhid advertises."""
    if mac is None or mac == ethernet.virtual_mac(vhid):
        return
    if mac == ethernet.ucarp_mac(vhid):
        yield Finding(Remark.UCARP_MAC, f"source MAC {mac} is ucarp's, not the virtual {ethernet.virtual_mac(vhid)}")
    elif not destination.is_multicast:
        yield Finding(Remark.REAL_MAC, f"source MAC {mac} is the sender's own, as with FreeBSD's unicast peers")
    elif mac.octets[:4] == ethernet.virtual_mac(vhid).octets[:4]:
        yield Finding(
            Remark.SOURCE_MAC,
            f"source MAC {mac} is the virtual one of another id, not {ethernet.virtual_mac(vhid)}: receivers do not "
            "care, but switches look for that one here",
        )
    else:
        words = f"source MAC {mac} is the sender's own: switches learn from its ARP alone where the virtual MAC is"
        yield Finding(Remark.REAL_MAC, words)
