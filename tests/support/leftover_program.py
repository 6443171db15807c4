"""A program that does to its network namespace what a daemon does, and notes it first.

Its argument is the state folder. It says ``ready`` when all is there, and undoes it at the end of its input.
"""

import sys
from ipaddress import ip_interface
from pathlib import Path

from pyroute2 import IPRoute

from pycarp.system.addresses import sysctl_files
from pycarp.system.recovery.journal import Device, Journal, Shared

LINK = "eth0"
DEVICE = Device("carp0", LINK, "00:00:5e:00:01:07")
SWITCHES = {f"net/ipv4/conf/{LINK}/arp_ignore": "1", f"net/ipv4/conf/{LINK}/arp_announce": "2"}
ADDRESSES = (
    Shared(DEVICE.name, "10.77.0.50/24"),
    Shared(DEVICE.name, "fd77::50/64"),
    Shared(LINK, "10.88.0.50/24"),
    Shared(LINK, "fd88::50/64"),
)
_OURS, _IFA_F_NODAD, _IFA_F_NOPREFIXROUTE = 112, 0x2, 0x200


def main(folder: str) -> None:
    """Make everything, wait, and undo it."""
    journal = Journal.begin(Path(folder))
    with IPRoute() as kernel:
        come(journal, kernel)
        print("ready", flush=True)
        sys.stdin.read()
        go(journal, kernel)
    journal.end()
    print("gone", flush=True)


def come(journal: Journal, kernel: IPRoute) -> None:
    """Make everything, in a daemon's order."""
    for path, value in SWITCHES.items():
        journal.impose(path, value)
    journal.record(DEVICE)
    parent = kernel.link_lookup(ifname=LINK)[0]
    kernel.link("add", ifname=DEVICE.name, kind="macvlan", link=parent, address=DEVICE.mac,
               macvlan_mode="bridge")  # fmt: skip
    sysctl_files.write(f"net/ipv6/conf/{DEVICE.name}/disable_ipv6", "1")
    sysctl_files.write(f"net/ipv6/conf/{DEVICE.name}/addr_gen_mode", "1")
    kernel.link("set", index=kernel.link_lookup(ifname=DEVICE.name)[0], state="up")
    sysctl_files.write(f"net/ipv6/conf/{DEVICE.name}/disable_ipv6", "0")
    for shared in ADDRESSES:
        journal.record(shared)
        change_address(kernel, "add", shared)


def go(journal: Journal, kernel: IPRoute) -> None:
    """Undo everything."""
    for shared in reversed(ADDRESSES):
        change_address(kernel, "del", shared)
        journal.strike(shared)
    kernel.link("del", ifname=DEVICE.name)
    journal.strike(DEVICE)
    for path in reversed(SWITCHES):
        journal.restore(path)


def change_address(kernel: IPRoute, verb: str, shared: Shared) -> None:
    """Add an address as the address plane does, or delete it."""
    address = ip_interface(shared.address)
    flags = _IFA_F_NOPREFIXROUTE | (_IFA_F_NODAD if address.version == 6 else 0)
    marks = {"proto": _OURS, "flags": flags} if verb == "add" else {}
    index = kernel.link_lookup(ifname=shared.link)[0]
    kernel.addr(verb, index=index, address=str(address.ip), prefixlen=address.network.prefixlen, **marks)


if __name__ == "__main__":
    main(*sys.argv[1:])
