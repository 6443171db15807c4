"""Explains who the hosts are that answer for an address, by the CARP and VRRP groups that were heard meanwhile."""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from pycarp.inspection.explanation import Protocol
from pycarp.inspection.scan_report import ScannedSender, ScanReport
from pycarp.inspection.timeline import Group
from pycarp.vocabulary import Address, MacAddress
from pycarp.wire import ethernet


class Mastership(msgspec.Struct, frozen=True, kw_only=True):
    """A group whose MASTER answers; ``announces`` is whether it is VRRP and lists the address."""

    group: Group
    source: Address
    announces: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One MAC address that answers for the address; ``device`` is that of this machine, None elsewhere."""

    mac: MacAddress
    device: str | None
    masterships: tuple[Mastership, ...]

    @property
    def words(self) -> str:
        """Who that is, for people; empty if nothing is known."""
        parts = [f"this machine, on {self.device}"] if self.device else []
        parts += [f"{each.source}, MASTER of {each.group}" for each in self.masterships]
        if not parts and ethernet.is_virtual_mac(self.mac):
            parts = [f"the virtual MAC address of vhid or VRID {self.mac.octets[5]}, whose MASTER was not heard"]
        return "; ".join(parts)


def answers_of(
    address: Address,
    macs: Mapping[MacAddress, str | None],
    *,
    report: ScanReport,
    known: Mapping[Address, Collection[MacAddress]],
) -> tuple[Answer, ...]:
    """Return an answer for each MAC address, in their order.

    ``macs`` maps those that answer to the device of this machine that has the address, None for others. ``known`` maps
    addresses from which groups are advertised to the MAC addresses that answer for these: some hosts advertise from a
    MAC address other than that with which they answer.
    """
    return tuple(
        Answer(mac=mac, device=device, masterships=_relevant(tuple(_masterships(address, mac, report, known))))
        for mac, device in sorted(macs.items(), key=lambda each: each[0].octets)
    )


def _masterships(
    address: Address, mac: MacAddress, report: ScanReport, known: Mapping[Address, Collection[MacAddress]]
) -> Iterator[Mastership]:
    for scanned in report.groups:
        for sender in scanned.masters:
            virtual = _virtual(scanned.group)
            if mac in (sender.source_mac, virtual) or (
                not ethernet.is_virtual_mac(mac) and mac in known.get(sender.source, ())
            ):
                announces = sender.details is not None and address in sender.details.addresses
                yield Mastership(group=scanned.group, source=sender.source, announces=announces)


def _relevant(found: tuple[Mastership, ...]) -> tuple[Mastership, ...]:
    """Return those that announce the address if any does: a router may be MASTER of others besides."""
    announcing = tuple(each for each in found if each.announces)
    return announcing or found


def _virtual(group: Group) -> MacAddress:
    return (
        ethernet.virtual_mac(group.id) if group.protocol is Protocol.CARP else ethernet.vrrp_mac(group.id, group.family)
    )


def masters_of(report: ScanReport) -> tuple[ScannedSender, ...]:
    """Return the MASTERs of all groups."""
    return tuple(each for scanned in report.groups for each in scanned.masters)
