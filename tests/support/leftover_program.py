"""A program that does to its network namespace what a daemon does, notes it first, and dies when it is told to.

Its arguments are the state folder and the number of the effect after which it kills itself, 0 for none: then it says
``ready`` when all is there, and undoes it at the end of its input.
"""

import os
import signal
import sys
from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from pycarp.system import kernel_switches
from pycarp.system.journal import Device, Journal, Resource, Shared

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


class Effects:
    """Counts what has been done, and is killed after as many as wished."""

    def __init__(self, last: int) -> None:
        self._last = last
        self._count = 0

    def do(self, effect: Callable[..., Any], *what: Any, **how: Any) -> Any:
        """Do something that outlives the process."""
        done = effect(*what, **how)
        self._count += 1
        if self._count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        return done


class Mortal(Journal):
    """A journal whose writer may die after every line."""

    effects: Effects

    def record(self, resource: Resource) -> None:
        """Count it."""
        self.effects.do(super().record, resource)

    def strike(self, resource: Resource) -> None:
        """Count it."""
        self.effects.do(super().strike, resource)


def main(folder: str, last: str) -> None:
    """Come, stay, and go."""
    effects = Effects(int(last))
    Mortal.effects = effects
    journal: Journal = effects.do(Mortal.begin, Path(folder))
    with IPRoute() as kernel:
        come(journal, kernel, effects)
        print("ready", flush=True)
        if last == "0":
            sys.stdin.read()
        go(journal, kernel, effects)
    effects.do(journal.end)
    print("gone", flush=True)


def come(journal: Journal, kernel: IPRoute, effects: Effects) -> None:
    """Do it all, in a daemon's order."""
    for path, value in SWITCHES.items():
        effects.do(journal.impose, path, value)
    journal.record(DEVICE)
    parent = kernel.link_lookup(ifname=LINK)[0]
    effects.do(kernel.link, "add", ifname=DEVICE.name, kind="macvlan", link=parent, address=DEVICE.mac,
               macvlan_mode="bridge")  # fmt: skip
    effects.do(kernel_switches.write, f"net/ipv6/conf/{DEVICE.name}/disable_ipv6", "1")
    effects.do(kernel_switches.write, f"net/ipv6/conf/{DEVICE.name}/addr_gen_mode", "1")
    effects.do(kernel.link, "set", index=kernel.link_lookup(ifname=DEVICE.name)[0], state="up")
    effects.do(kernel_switches.write, f"net/ipv6/conf/{DEVICE.name}/disable_ipv6", "0")
    for shared in ADDRESSES:
        journal.record(shared)
        effects.do(change_address, kernel, "add", shared)


def go(journal: Journal, kernel: IPRoute, effects: Effects) -> None:
    """Undo it all."""
    for shared in reversed(ADDRESSES):
        effects.do(change_address, kernel, "del", shared)
        journal.strike(shared)
    effects.do(kernel.link, "del", ifname=DEVICE.name)
    journal.strike(DEVICE)
    for path in reversed(SWITCHES):
        effects.do(journal.restore, path)


def change_address(kernel: IPRoute, verb: str, shared: Shared) -> None:
    """Add an address as the address plane does, or delete it."""
    address = ip_interface(shared.address)
    flags = _IFA_F_NOPREFIXROUTE | (_IFA_F_NODAD if address.version == 6 else 0)
    marks = {"proto": _OURS, "flags": flags} if verb == "add" else {}
    index = kernel.link_lookup(ifname=shared.link)[0]
    kernel.addr(verb, index=index, address=str(address.ip), prefixlen=address.network.prefixlen, **marks)


if __name__ == "__main__":
    main(*sys.argv[1:])
