"""Where this machine is in its network, as the kernel's tables in /proc say: default routes, and ids that are met."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pycarp.vocabulary import MacAddress
from pycarp.wire.ethernet import is_virtual_mac

_PROC = Path("/proc/net")
_UP = 0x1
_ANY6 = "0" * 32


def default_route_links(proc: Path = _PROC) -> tuple[str, ...]:
    """Return the interfaces with a default route, those of IPv4 first, the smallest metric first in each family."""
    ipv4 = [
        (int(metric), link)
        for link, destination, _gateway, flags, _count, _use, metric, mask, *_rest in _rows(proc / "route", skipped=1)
        if int(destination, 16) == int(mask, 16) == 0 and int(flags, 16) & _UP
    ]
    ipv6 = [
        (int(row[5], 16), row[9])
        for row in _rows(proc / "ipv6_route", skipped=0)
        if row[0] == _ANY6 and row[1] == "00" and int(row[8], 16) & _UP and row[9] != "lo"
    ]
    return tuple(dict.fromkeys(link for _metric, link in [*sorted(ipv4), *sorted(ipv6)]))


def neighbour_ids(link: str, proc: Path = _PROC) -> frozenset[int]:
    """Return the vhids and VRIDs whose virtual MAC address a neighbour of this machine has."""
    macs = [MacAddress.parse(row[3]) for row in _rows(proc / "arp", skipped=1) if row[5] == link and len(row[3]) == 17]
    return frozenset(mac.octets[5] for mac in macs if is_virtual_mac(mac))


def _rows(path: Path, *, skipped: int) -> Iterator[list[str]]:
    with contextlib.suppress(FileNotFoundError):
        yield from (line.split() for line in path.read_text().splitlines()[skipped:])
