"""Examines a machine: reads the facts, and hands them to those who judge them."""

import asyncio
import errno
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, ip_network
from pathlib import Path

import msgspec

from pycarp.doctor import (
    address_findings,
    alarm_findings,
    firewall_findings,
    kernel_settings,
    link_findings,
    managers,
    neighbour_findings,
    permissions,
    segment,
    unit_file,
)
from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.subject import Subject
from pycarp.errors import ActuatorError, TransportError
from pycarp.inspection.answers import masters_of
from pycarp.inspection.authenticity import SharedSecret
from pycarp.inspection.captured import CapturedPacket
from pycarp.inspection.scan import Scan
from pycarp.inspection.scan_report import ScanReport
from pycarp.system.addresses import address_conflicts, mac_probe, sysctl_files
from pycarp.system.addresses.interfaces import interfaces, is_administratively_up, why_unfit
from pycarp.system.sniffer import Sniffer
from pycarp.transports.ip_sockets import membership
from pycarp.vocabulary import Address, LinkFacts

_NEAR = 24
"""The prefix length of the part of a subnet in which neighbours are looked for."""

Secrets = Mapping[int, Sequence[SharedSecret]]


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What to examine: ``listen_s`` is how long each segment is listened to, 0 to send and hear nothing.

    ``secrets`` verify what is heard, by interface and vhid; none are needed. ``is_at_ip_layer`` is whether the hosts
    read and send where the rules of a firewall count. ``udp_port`` is 0 unless they speak CARP in UDP. ``file`` is what
    the hosts are from, as it is typed; empty if they are from no file.
    """

    subjects: tuple[Subject, ...]
    listen_s: float
    secrets: Mapping[str, Secrets] = msgspec.field(default_factory=dict)
    is_at_ip_layer: bool = False
    udp_port: int = 0
    file: str = ""

    def findings(self) -> Iterator[Finding]:
        """Yield all findings, those of the machine first; what cannot be examined is a finding, too."""
        found: list[Finding] = []
        for each in self._findings(found):
            found.append(each)
            yield each
        kinds = {each.kind for each in found}
        for subject in self.subjects:
            yield from alarm_findings.findings(subject, kinds)

    def _findings(self, so_far: Sequence[Finding]) -> Iterator[Finding]:
        """Yield what is examined; ``so_far`` has those that were yielded before."""
        yield from permissions.findings(Path("/proc/self/status").read_text())
        found = link_findings.Links.read()
        facts = interfaces()
        indexes = {name: index for index, name in socket.if_nameindex()}
        if any(each.has_devices for each in self.subjects):
            missing = link_findings.macvlan_finding(os.uname().release)
            yield from [missing] if missing else []
        if not found.by_name:
            yield link_findings.UNKNOWN
        for subject in self.subjects:
            yield from link_findings.findings(subject, found) if found.by_name else ()
            if subject.interface in indexes:
                yield from kernel_settings.findings(subject, _sysctl, others=_others(subject, facts))
                yield from managers.findings(subject, indexes)
                yield from address_findings.findings(subject, facts)
                entries = neighbour_findings.read(subject.interface) if subject.hosts else []
                yield from neighbour_findings.findings(subject.interface, subject.shared, entries)
        yield from firewall_findings.findings(
            self.subjects, bridges=found.bridges, is_at_ip_layer=self.is_at_ip_layer, udp_port=self.udp_port
        )
        yield from managers.kin_findings(managers.processes_here())
        yield from unit_file.findings()
        for subject in self.subjects:
            if self.listen_s and _can_be_listened_to(subject.interface):
                yield from self._of_segment(subject, facts, so_far)

    def _of_segment(
        self, subject: Subject, facts: tuple[LinkFacts, ...], so_far: Sequence[Finding]
    ) -> Iterator[Finding]:
        try:
            report = _report(subject.interface, self.listen_s, self.secrets.get(subject.interface))
            yield from segment.scan_findings(subject, report, config=self.file)
            yield from firewall_findings.of_senders(
                firewall_findings.read(),
                subject,
                segment.heard_elsewhere(subject, report),
                found={each.words for each in so_far},
                is_at_ip_layer=self.is_at_ip_layer,
            )
            answers = _answers(subject, report)
            here = frozenset(each.mac for each in facts if each.mac is not None)
            known = {each: macs for each, macs in answers.items() if each not in subject.shared}
            held = address_findings.held_here(subject, facts)
            yield from segment.conflict_findings(subject, answers, known, report, here=here, held=held)
            yield from segment.foreign_group_findings(subject, report, answers, known)
            yield from segment.peer_findings(subject, answers)
            targets = segment.virtual_macs_of_others(subject, answers, held=held)
            if targets:
                reached = asyncio.run(address_conflicts.reached(subject.interface, targets))
                yield from segment.unreached_findings(subject, targets, reached)
            if subject.has_devices:
                others = [each for each in answers if isinstance(each, IPv4Address)] or _neighbours(subject)
                mode, reason = asyncio.run(mac_probe.probe(subject.interface, others=others))
                found = segment.mac_finding(subject.interface, mode, reason)
                yield from [found] if found else []
        except (TransportError, ActuatorError) as exc:
            yield Finding(
                kind="segment-unknown",
                severity=Severity.ADVICE,
                subject=subject.interface,
                words=f"the segment could not be examined: {exc}",
                reason="duplicate addresses, other MASTERs and locked MAC addresses would be overlooked",
                command=f"tc -s qdisc show dev {subject.interface}   # a queue that is full, or shaped too narrowly"
                if os.strerror(errno.ENOBUFS) in str(exc)
                else "sudo pycarp doctor",
            )


def _answers(subject: Subject, report: ScanReport) -> address_conflicts.Answers:
    """Ask for the shared addresses, the own ones, and those of the MASTERs that were heard."""
    asked = dict.fromkeys([*subject.shared, *(each.ip for each in subject.own)])
    asked |= dict.fromkeys([*subject.peers, *(each.source for each in masters_of(report))])
    asked |= dict.fromkeys(each.source for each in segment.signing_otherwise(subject, report))
    return asyncio.run(address_conflicts.find(subject.interface, asked)) if asked else {}


def _neighbours(subject: Subject) -> list[IPv4Address]:
    """Return machines of the subnet that answer, of at most 254 addresses near the own one; none if some are known."""
    if mac_probe.neighbours(subject.interface):
        return []
    asked: dict[Address, None] = {}
    for own in subject.own:
        if isinstance(own, IPv4Interface):
            near = own.network if own.network.prefixlen >= _NEAR else ip_network(f"{own.ip}/{_NEAR}", strict=False)
            asked |= dict.fromkeys(near.hosts())
    found = asyncio.run(address_conflicts.find(subject.interface, asked, tries=1)) if asked else {}
    return [each for each in found if isinstance(each, IPv4Address)]


def _report(interface: str, listen_s: float, secrets: Secrets | None) -> ScanReport:
    scan = Scan(secrets=secrets)
    with membership(interface), Sniffer(interface) as sniffer:
        for frame in sniffer.frames(for_s=listen_s):
            scan.add(CapturedPacket(frame.at_ns, sniffer.link_type, frame.octets, len(frame.octets)))
    return scan.report(time.time_ns())


def _can_be_listened_to(interface: str) -> bool:
    return is_administratively_up(interface) and not why_unfit(interface, needs_multicast=False)


def _others(subject: Subject, facts: tuple[LinkFacts, ...]) -> tuple[str, ...]:
    """Return the other interfaces from which packets may come back: neither the loopback nor devices of hosts."""
    devices = {each.name for each in subject.hosts}
    names = [
        each.name
        for each in facts
        if each.name not in {subject.interface, "lo", *devices} and any(one.version == 4 for one in each.addresses)
    ]
    return tuple(dict.fromkeys(names))


def _sysctl(path: str) -> str | None:
    try:
        return sysctl_files.read(path)
    except OSError:
        return None
