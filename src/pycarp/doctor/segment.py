"""Judges the segment: who has the shared addresses, what is advertised, and whether the virtual MAC is carried."""

from collections.abc import Iterator, Mapping

from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.subject import Subject
from pycarp.inspection.answers import answers_of
from pycarp.inspection.explanation import Protocol
from pycarp.inspection.scan_report import ScanProblem, ScanReport
from pycarp.system.addresses.address_conflicts import Answers
from pycarp.system.addresses.mac_probe import NOBODY
from pycarp.vocabulary import Address, MacAddress, MacMode
from pycarp.wire.ethernet import virtual_mac

_PROBLEMS = frozenset(
    {"two-masters", "collision", "digest", "checksum-mixed", "two-macs", "flood", "missed", "ttl", "replay", "interval"}
)
"""Kinds of a scan that keep hosts from working; the scan alone reports the others."""


def scan_findings(subject: Subject, report: ScanReport) -> Iterator[Finding]:
    """Yield what is wrong with the groups of the hosts, or with all where no host is known."""
    ours = {each.vhid for each in subject.hosts}
    for problem in report.problems:
        if problem.kind in _PROBLEMS and (not ours or problem.group is None or problem.group.id in ours):
            yield _of_problem(subject.interface, problem)
    routers = {each.group.id: each for each in report.groups if each.group.protocol is Protocol.VRRP}
    for host in subject.hosts:
        router = routers.get(host.vhid)
        if router is not None and router.masters:
            yield Finding(
                kind="collision",
                severity=Severity.PROBLEM,
                subject=host.name,
                words=f"vhid {host.vhid} is the VRID of the VRRP router {router.masters[0].source}",
                reason=f"both have the MAC address {virtual_mac(host.vhid)}, and switches mix them up",
                command=f"pycarp scan {subject.interface}   # names the ids that are free",
            )


def _of_problem(interface: str, problem: ScanProblem) -> Finding:
    where = f"{problem.group}: " if problem.group else ""
    return Finding(
        kind=problem.kind,
        severity=Severity.WARNING if problem.kind in ("missed", "interval") else Severity.PROBLEM,
        subject=interface,
        words=f"{where}{problem.words}",
        reason="heard on the segment just now",
        command=f"pycarp decode -i {interface} --config FILE"
        if problem.kind in ("digest", "two-masters")
        else f"pycarp scan {interface}",
    )


def conflict_findings(
    subject: Subject,
    answers: Answers,
    known: Mapping[Address, set[MacAddress]],
    report: ScanReport,
    *,
    here: frozenset[MacAddress],
) -> Iterator[Finding]:
    """Yield the addresses that the wrong machine answers for; ``here`` are the MAC addresses of this machine."""
    for address in subject.shared:
        macs = dict.fromkeys(answers.get(address, ()))
        found = answers_of(address, macs, report=report, known=known)
        vhids = {each.vhid for each in subject.hosts if any(one.ip == address for one in each.addresses)}
        strangers = [
            each
            for each in found
            if each.mac not in here
            and each.mac not in {virtual_mac(vhid) for vhid in vhids}
            and not any(one.group.id in vhids for one in each.masterships)
        ]
        for each in strangers:
            yield Finding(
                kind="duplicate-address",
                severity=Severity.PROBLEM,
                subject=subject.interface,
                words=f"{each.mac} answers for the shared address {address}"
                + (f": {each.words}" if each.words else ""),
                reason="it is no MASTER of this vhid that was heard, so clients reach now one machine, now another",
                command=f"pycarp who {address} --interface {subject.interface}",
            )
        if len(found) - len(strangers) > 1:
            yield Finding(
                kind="two-masters",
                severity=Severity.PROBLEM,
                subject=subject.interface,
                words=f"{len(found) - len(strangers)} hosts answer for the shared address {address}",
                reason="they do not hear each other, or have another password or address list",
                command=f"pycarp who {address} --interface {subject.interface}",
            )
    for own in subject.own:
        others = answers.get(own.ip, set()) - here
        if own.ip not in subject.shared and others:
            yield Finding(
                kind="duplicate-address",
                severity=Severity.PROBLEM,
                subject=subject.interface,
                words=f"{' and '.join(map(str, others))} answers for {own.ip}, which is this machine's own",
                reason="two machines have it: advertisements from it are taken for those of one host",
                command=f"ip addr del {own} dev {subject.interface}   # on one of the two",
            )


def mac_finding(interface: str, mode: MacMode, reason: str) -> Finding | None:
    """Return the finding that a probe for the virtual MAC address failed, or found nobody to ask; None if it passed."""
    if mode is MacMode.INTERFACE:
        return Finding(
            kind="mac-lock",
            severity=Severity.PROBLEM,
            subject=interface,
            words=reason,
            reason="the virtual MAC address is not reachable, so clients lose the shared addresses",
            command='use mac_mode = "interface" in the configuration, or allow forged transmits and MAC changes '
            "(hypervisor), or lift the port security (switch)",
        )
    if reason.startswith(NOBODY):
        return Finding(
            kind="mac-unknown",
            severity=Severity.ADVICE,
            subject=interface,
            words=f"whether {interface} carries a foreign MAC address is unknown: {reason}",
            reason="hypervisors and switches with port security may not",
            command=f"ping -c 1 -I {interface} NEIGHBOUR; pycarp doctor -i {interface}",
        )
    return None
