"""Netmasks in the place of addresses, and addresses that nobody can share: what every grammar finds in its words."""

from ipaddress import IPv4Address, ip_network

from pycarp.vocabulary import Address

_RESERVED = ip_network("240.0.0.0/4")


def prefix_of_mask(text: str) -> int | None:
    """Return the prefix length of ``255.255.255.0`` or ``0xffffff00``; None if it is no netmask."""
    try:
        mask = int(text, 16) if text.lower().startswith("0x") else int(IPv4Address(text))
    except ValueError:
        return None
    inverse = mask ^ 0xFFFF_FFFF
    if not 0 <= mask <= 0xFFFF_FFFF or inverse & (inverse + 1):
        return None
    return 32 - inverse.bit_length()


def netmask_length(address: Address) -> int | None:
    """Return the length of a netmask that stands where an address should; None for an address."""
    if not isinstance(address, IPv4Address) or not int(address) >> 31 or address.is_multicast:
        return None
    return prefix_of_mask(str(address)) if int(address) >= int(IPv4Address("255.0.0.0")) else None


def why_no_host_has(address: Address) -> str:
    """Return why an address cannot be shared; empty if it can, or if the settings of its host report that."""
    if isinstance(address, IPv4Address) and address in _RESERVED:
        return f"{address} is not an address that a host can have"
    return ""
