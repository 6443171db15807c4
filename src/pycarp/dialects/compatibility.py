"""Decides from their fields which dialects can share a vhid. Source: the table at the end of ``dialects.md``."""

from collections.abc import Sequence

from pycarp.auth.digest import DigestLayout
from pycarp.dialects.dialect import Dialect
from pycarp.vocabulary import Address, Family, family_of


def incompatibilities(ours: Dialect, theirs: Dialect, addresses: Sequence[Address]) -> tuple[str, ...]:
    """Return why hosts of two dialects cannot share these addresses; empty when they can.

    Each side must accept what the other one signs, and the form in which the other one advertises each family. Equal
    intervals are no incompatibility, and not reported here.
    """
    return tuple(
        dict.fromkeys([*_alone(ours, addresses), *_alone(theirs, addresses), *_between(ours, theirs, addresses)])
    )


def _alone(dialect: Dialect, addresses: Sequence[Address]) -> list[str]:
    limits = dialect.limits
    found = []
    if limits.addresses is not None and len(addresses) > limits.addresses:
        found.append(f"{dialect.name} signs exactly {limits.addresses} address, and here are {len(addresses)}")
    if any(family_of(each) not in limits.families for each in addresses):
        found.append(f"{dialect.name} knows IPv4 only")
    return found


def _between(ours: Dialect, theirs: Dialect, addresses: Sequence[Address]) -> list[str]:
    found = []
    shares_ipv6 = any(family_of(each) is Family.IPV6 for each in addresses)
    if shares_ipv6 and ours.v6_checksum is not theirs.v6_checksum:
        found.append(f"{ours.name} and {theirs.name} sum IPv6 advertisements differently and drop each other's")
    if any(each.version == 6 and each.is_link_local for each in addresses):
        found += [
            f"{listener.name} does not accept a digest without link-local addresses, which {sender.name} sends"
            for sender, listener in ((ours, theirs), (theirs, ours))
            if sender.layouts[0] is DigestLayout.WITHOUT_LINK_LOCAL and sender.layouts[0] not in listener.layouts
        ]
    return found
