"""Judges the segment: who has the shared addresses, what is advertised, and whether the virtual MAC is carried."""

from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address

from pycarp.core.state import State
from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.subject import ExaminedHost, Subject
from pycarp.inspection.answers import Answer, answers_of
from pycarp.inspection.explanation import Protocol
from pycarp.inspection.scan_report import ScannedSender, ScanProblem, ScanReport
from pycarp.inspection.timeline import Group
from pycarp.system.addresses.address_conflicts import Answers
from pycarp.system.addresses.mac_probe import NOBODY
from pycarp.vocabulary import Address, MacAddress, MacMode
from pycarp.wire.ethernet import virtual_mac

_PROBLEMS = frozenset(
    {"two-masters", "collision", "digest", "checksum", "checksum-mixed", "two-macs", "flood", "missed", "ttl", "replay"}
    | {"interval"}
)
"""Kinds of a scan that keep hosts from working; the scan alone reports the others."""

_CHANGED = {
    "ttl": "a router, a tunnel or a rule on the way changes them",
    "checksum": "they are damaged on the way, or the sender's network card leaves the checksum out",
}
"""Kinds of a scan that tell of advertisements which did not arrive as they were sent, and of what does that."""

_LAST = 255
"""The advbase of a host that goes last, or leaves."""


def scan_findings(subject: Subject, report: ScanReport, *, config: str = "") -> Iterator[Finding]:
    """Yield what is wrong with the groups of the hosts, or with all where no host is known.

    ``config`` is the file that the hosts are from, empty if there is none.
    """
    ours = {each.vhid for each in subject.hosts}
    own = {each.ip for each in subject.own}
    split = {each.group for each in report.problems if each.kind == "two-masters"}
    damaged = {(each.group, each.source) for each in report.problems if each.kind == "checksum"}
    for problem in report.problems:
        if problem.kind not in _PROBLEMS or not (not ours or problem.group is None or problem.group.id in ours):
            continue
        if problem.kind == "replay" and problem.group in split:
            continue  # Two MASTERs that do not hear each other count on from the same number.
        if problem.kind == "digest" and (problem.group, problem.source) in damaged:
            continue  # What was changed on the way has no digest that is right.
        if problem.kind == "replay" and problem.source in own:
            yield _of_loop(subject.interface, problem)
        else:
            yield _of_problem(subject.interface, problem, config)
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
    yield from _of_senders(subject, report)


def heard_elsewhere(subject: Subject, report: ScanReport) -> Iterator[Address]:
    """Yield the addresses of other machines from which the vhids of the hosts are advertised."""
    ours = {each.vhid for each in subject.hosts}
    own = _own_of(subject)
    for group in report.groups:
        if group.group.protocol is Protocol.CARP and group.group.id in ours and not group.group.vlans:
            yield from (each.source for each in group.senders if each.source not in own)


def _of_problem(interface: str, problem: ScanProblem, config: str) -> Finding:
    where = f"{problem.group}: " if problem.group else ""
    source = f"{problem.source}: " if problem.source and str(problem.source) not in problem.words else ""
    reason, command = "heard on the segment just now", f"pycarp scan {interface}"
    if problem.kind == "two-masters":
        reason = "one of them does not hear the other: a firewall, a switch, another password or address list"
        command = f"pycarp doctor {config or f'-i {interface}'}   # on the other host"
    elif problem.kind == "digest":
        reason = "hosts that sign otherwise do not hear each other, and all become MASTER"
        command = f"pycarp decode -i {interface} --config {config}"
    elif problem.kind in _CHANGED:
        reason = f"every host drops such advertisements, and becomes MASTER: {_CHANGED[problem.kind]}"
        command = f"tcpdump -n -v -i {interface} proto 112   # here and on the sender: how it left, and how it arrives"
    return Finding(
        kind=problem.kind,
        severity=Severity.WARNING if problem.kind in ("missed", "interval") else Severity.PROBLEM,
        subject=interface,
        words=f"{where}{source}{problem.words}",
        reason=reason,
        command=command,
    )


def _of_loop(interface: str, problem: ScanProblem) -> Finding:
    return Finding(
        kind="loop",
        severity=Severity.PROBLEM,
        subject=interface,
        words=f"{problem.group}: advertisements from {problem.source}, an address of this machine, come in again",
        reason="a loop, or a port of the switch that reflects (hairpin); or another machine has the address",
        command=f"pycarp who {problem.source} -i {interface}   # nobody else: look for the loop, bridge -d link show",
    )


def _of_senders(subject: Subject, report: ScanReport) -> Iterator[Finding]:
    """Yield hosts of a vhid that claim another advbase, or that advertise with our password on another VLAN."""
    own = {each.ip for each in subject.own}
    for host in subject.hosts:
        groups = [each for each in report.groups if each.group.protocol is Protocol.CARP and each.group.id == host.vhid]
        for group in groups:
            for sender in group.senders:
                if sender.source in own or not sender.is_believed or sender.is_authentic is False:
                    continue
                if group.group.vlans and sender.is_authentic:
                    yield _of_vlan(subject, host, group.group, sender)
                elif sender.is_master and host.advbase is not None:
                    yield from _of_advbase(host, host.advbase, sender)


def _of_vlan(subject: Subject, host: ExaminedHost, group: Group, sender: ScannedSender) -> Finding:
    tags = ".".join(map(str, group.vlans))
    return Finding(
        kind="vlan",
        severity=Severity.PROBLEM,
        subject=host.name,
        words=f"{sender.source} advertises for vhid {host.vhid} with the same password, but on VLAN {tags}",
        reason=f"{subject.interface} takes frames without that tag alone, so they do not hear each other",
        command=f"ip link add link {subject.interface} name {subject.interface}.{tags} type vlan id {group.vlans[-1]}"
        "   # and name it in the configuration",
    )


def _of_advbase(host: ExaminedHost, ours: int, sender: ScannedSender) -> Iterator[Finding]:
    theirs = sender.advertisement.advbase if sender.advertisement else ours
    if theirs in (ours, _LAST):
        return
    slow = max(theirs, ours)
    yield Finding(
        kind="advbase",
        severity=Severity.WARNING,
        subject=host.name,
        words=f"advbase is {ours} here, and {theirs} at {sender.source}",
        reason=f"the host with {slow} takes over {3 * slow} s after a MASTER falls silent, and never keeps the "
        "addresses from a host with the smaller advbase",
        command=f"pycarp ifconfig {host.name} advbase {theirs}   # and in the configuration",
    )


def signing_otherwise(subject: Subject, report: ScanReport) -> Iterator[ScannedSender]:
    """Yield the senders for the vhids of the hosts whose advertisements are not authentic."""
    ours = {each.vhid for each in subject.hosts}
    for group in report.groups:
        if group.group.protocol is Protocol.CARP and group.group.id in ours and not group.group.vlans:
            yield from (each for each in group.senders if each.is_authentic is False)


def foreign_group_findings(
    subject: Subject, report: ScanReport, answers: Answers, known: Mapping[Address, set[MacAddress]]
) -> Iterator[Finding]:
    """Yield hosts that sign otherwise and do not answer for the shared addresses: those of another group."""
    for host in subject.hosts:
        macs = {mac for each in host.addresses for mac in answers.get(each.ip, ())}
        for sender in signing_otherwise(subject, report):
            is_of_host = sender.advertisement is not None and sender.advertisement.vhid == host.vhid
            virtual = virtual_mac(host.vhid)
            # From the virtual MAC address a MASTER that is heard may answer as well as this one.
            is_its_virtual = host.state is State.MASTER or sender.source_mac == virtual
            has_ours = macs & {*known.get(sender.source, ()), *([virtual] if is_its_virtual else [])}
            if is_of_host and known.get(sender.source) and not has_ours:
                yield Finding(
                    kind="foreign-group",
                    severity=Severity.PROBLEM,
                    subject=host.name,
                    words=f"{sender.source} advertises for vhid {host.vhid}, and answers for none of its addresses",
                    reason="another group of hosts uses the vhid, so that both have the same MAC address: give one of "
                    "them another vhid",
                    command=f"pycarp scan {subject.interface}   # names the ids that are free",
                )


def peer_findings(subject: Subject, answers: Answers) -> Iterator[Finding]:
    """Yield the peers of the configuration that are on this segment, and do not answer."""
    networks = [each.network for each in subject.own]
    own = {each.ip for each in subject.own}
    for peer in subject.peers:
        is_near = any(peer in network for network in networks) or peer.is_link_local
        if is_near and peer not in own and peer not in answers:
            yield Finding(
                kind="no-peer",
                severity=Severity.PROBLEM,
                subject=subject.interface,
                words=f"nobody has the address {peer}, to which advertisements are sent as to a peer",
                reason="the host that is meant hears nothing, and becomes MASTER as well",
                command=f"ping -c 1 -I {subject.interface} {peer}   # then correct peers in the configuration",
            )


def virtual_macs_of_others(
    subject: Subject, answers: Answers, *, held: frozenset[Address]
) -> dict[IPv4Address, MacAddress]:
    """Return the shared addresses for which another machine answers from the virtual MAC address, with that."""
    found = {}
    for host in subject.hosts:
        virtual = virtual_mac(host.vhid)
        for each in host.addresses:
            if isinstance(each.ip, IPv4Address) and each.ip not in held and virtual in answers.get(each.ip, ()):
                found[each.ip] = virtual
    return found


def unreached_findings(
    subject: Subject, targets: Mapping[IPv4Address, MacAddress], reached: Collection[IPv4Address]
) -> Iterator[Finding]:
    """Yield a finding for each virtual MAC address that broadcasts find, and frames to itself do not reach."""
    unreached: dict[MacAddress, IPv4Address] = {mac: each for each, mac in targets.items() if each not in reached}
    for mac, address in unreached.items():
        yield Finding(
            kind="mac-unreached",
            severity=Severity.PROBLEM,
            subject=subject.interface,
            words=f"{mac} answers for {address}, but not to what is sent to {mac} itself",
            reason="clients find the address and do not reach it: a rule of a bridge, or a switch that has the virtual "
            "MAC address at another port",
            command=f"bridge fdb show | grep -i {mac}; nft list ruleset bridge   # on the switch, if it is a bridge",
        )


def conflict_findings(
    subject: Subject,
    answers: Answers,
    known: Mapping[Address, set[MacAddress]],
    report: ScanReport,
    *,
    here: frozenset[MacAddress],
    held: frozenset[Address] = frozenset(),
) -> Iterator[Finding]:
    """Yield the addresses that the wrong machine answers for.

    ``here`` are the MAC addresses of this machine, ``held`` the shared addresses that it has now.
    """
    echoed = {each.source for each in report.problems if each.kind == "replay"} & {each.ip for each in subject.own}
    # Own frames that come back bring own answers with them.
    is_echoed = bool(echoed) or any(each.name == "own-address" for host in subject.hosts for each in host.alarms)
    for address in subject.shared:
        hosts = [host for host in subject.hosts if any(one.ip == address for one in host.addresses)]
        vhids = {each.vhid for each in hosts}
        virtual = {virtual_mac(each) for each in vhids}
        macs = dict.fromkeys(each for each in answers.get(address, ()) if each not in here or each in virtual)
        found = answers_of(address, macs, report=report, known=known)
        peers = {mac: peer for host in hosts for peer in host.peers for mac in answers.get(peer, ())}
        masters = [
            each for each in found if each.mac in virtual or any(one.group.id in vhids for one in each.masterships)
        ]
        masters += [each for each in found if each.mac in peers and each not in masters]
        for each in found:
            if each not in masters:
                yield _duplicate(subject.interface, address, each)
        is_heard = any(one.source not in _own_of(subject) for each in masters for one in each.masterships)
        if address in held and masters and not is_heard and not is_echoed:
            yield _unheard_master(subject, address, masters[0], peers.get(masters[0].mac))
        elif len(masters) > 1:
            yield Finding(
                kind="two-masters",
                severity=Severity.PROBLEM,
                subject=subject.interface,
                words=f"{len(masters)} hosts answer for the shared address {address}",
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


def _own_of(subject: Subject) -> frozenset[Address]:
    return frozenset(each.ip for each in subject.own)


def _duplicate(interface: str, address: Address, answer: Answer) -> Finding:
    return Finding(
        kind="duplicate-address",
        severity=Severity.PROBLEM,
        subject=interface,
        words=f"{answer.mac} answers for the shared address {address}" + (f": {answer.words}" if answer.words else ""),
        reason="it is no MASTER of this vhid that was heard, so clients reach now one machine, now another",
        command=f"pycarp who {address} --interface {interface}   # then on that machine: ip addr del",
    )


def _unheard_master(subject: Subject, address: Address, answer: Answer, peer: Address | None) -> Finding:
    who = f"{peer} ({answer.mac})" if peer else str(answer.mac)
    return Finding(
        kind="unheard-master",
        severity=Severity.PROBLEM,
        subject=subject.interface,
        words=f"{who} answers for {address}, which this host holds: another host is MASTER as well, and is not heard",
        reason="a firewall or a switch between the hosts drops advertisements, but not ARP",
        command=f"pycarp doctor -i {subject.interface}   # on the other host; then look at the switch between them",
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
