"""A look at this machine and its segment before a first configuration: interfaces, ids in use, who has an address."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address

import click
import msgspec

from pycarp.cli.refusals import refusal
from pycarp.cli.scan import listen
from pycarp.errors import CarpError, ConfigError
from pycarp.system import local_network
from pycarp.system.addresses import address_conflicts
from pycarp.system.addresses.interfaces import is_administratively_up, own_interfaces, why_unfit
from pycarp.vocabulary import InterfaceAddress
from pycarp.wire.ethernet import is_virtual_mac

HIGHEST_ID = 255


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of this machine: the networks of its interfaces, and those that a default route leads out of."""

    networks: dict[str, tuple[InterfaceAddress, ...]]
    default_links: tuple[str, ...]

    def addresses_of(self, link: str) -> tuple[InterfaceAddress, ...]:
        """Return the own addresses of an interface, none for an unknown one."""
        return self.networks.get(link, ())

    def link_for(self, text: str) -> str:
        """Return the interface in whose network an address is, else that with the default route; empty for neither."""
        try:
            address = ip_address(text.partition("/")[0])
        except ValueError:
            return ""
        inside = [
            link for link, its in self.networks.items() if any(address in each.network for each in its if link != "lo")
        ]
        preferred = [*(each for each in self.default_links if each in inside), *inside, *self.default_links]
        return preferred[0] if preferred else ""


@dataclass(slots=True, kw_only=True)
class Segment:
    """What was found on the segment: ids in use, and what a person should know; ``is_heard`` says it was listened."""

    used: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    is_heard: bool = False

    @property
    def free(self) -> int | None:
        """The lowest id that nobody was found to use; None if all are in use."""
        return next((each for each in range(1, HIGHEST_ID + 1) if each not in self.used), None)


def look_at_machine() -> Machine:
    """Return what is known of this machine; nothing, with a warning, where a sandbox hides it."""
    try:
        links = own_interfaces()
    except OSError as exc:
        click.echo(f"pycarp: warning: cannot see the interfaces of this machine: {refusal(exc)}", err=True)
        links = ()
    networks: dict[str, tuple[InterfaceAddress, ...]] = {}
    for each in links:
        if not is_virtual_mac(each.mac):
            device = each.name.partition(":")[0]
            its = tuple(one for one in each.addresses if not one.ip.is_link_local)
            networks[device] = (*networks.get(device, ()), *its)
    return Machine(networks=networks, default_links=local_network.default_route_links())


def refuse_own(addresses: Sequence[InterfaceAddress], machine: Machine) -> None:
    """Raise ConfigError if a shared address is an own one of this machine."""
    for address in addresses:
        for link, its in machine.networks.items():
            if address.ip in {each.ip for each in its}:
                raise ConfigError(
                    f"{address.ip} is an address of {link} of this machine, which would lose it; "
                    f"choose one that no machine has"
                )


def look_at_segment(link: str, addresses: Sequence[InterfaceAddress], machine: Machine, *, for_s: float) -> Segment:
    """Return what is on the segment of an interface; where it cannot be looked at, a note says why."""
    found = Segment(used=set(local_network.neighbour_ids(link)))
    if not for_s:
        return found
    why_not = _why_not_heard(link, machine)
    if not why_not:
        click.echo(f"pycarp: listening on {link} for {for_s:g} s", err=True)
        try:
            _listen(link, addresses, for_s, found)
        except CarpError as exc:
            why_not = str(exc)
    if why_not:
        way_out = "sudo pycarp scan IFACE on one of the hosts says which ids are in use"
        found.notes.append(f"the segment was not looked at: {why_not}; {way_out}")
    return found


def _why_not_heard(link: str, machine: Machine) -> str:
    if link not in machine.networks:
        return f"there is no interface {link} here"
    if not is_administratively_up(link):
        return f"{link} is down"
    return why_unfit(link, needs_multicast=False)


def _listen(link: str, addresses: Sequence[InterfaceAddress], for_s: float, found: Segment) -> None:
    """Listen, and meanwhile ask who has the addresses; raises CarpError."""
    with ThreadPoolExecutor(1) as asking:
        answering = asking.submit(lambda: asyncio.run(address_conflicts.find(link, [each.ip for each in addresses])))
        report = listen(link, for_s).report
        answers = answering.result()
    found.is_heard = True
    found.used |= {each.group.id for each in report.groups}
    found.notes += [f"{link}: {each.group}: {each.words}" for each in report.problems if each.group is not None]
    for address, macs in answers.items():
        who = " and ".join(map(str, sorted(macs, key=str)))
        found.notes.append(f"{address} is answered by {who} now: take it from there before you run pycarp")
