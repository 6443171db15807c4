"""Reads the rules of nftables, and says which of them drop advertisements, and why that matters."""

import json
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.firewall import Direction, Drop, Followed, Kind, Ruleset
from pycarp.doctor.legacy_rules import listing_of
from pycarp.doctor.program_path import PROGRAM_PATH
from pycarp.doctor.subject import Subject
from pycarp.vocabulary import CARP_PROTOCOL, Address, Family, family_of

_NFT_S = 10
_LEGACY = {"iptables-legacy": Family.IPV4, "ip6tables-legacy": Family.IPV6}
_LEGACY_MATCHES = {
    Kind.CARP: f"-p {CARP_PROTOCOL} ",
    Kind.UDP: "-p udp --dport PORT ",
    Kind.DISCOVERY: "-p icmpv6 ",
    Kind.MEMBERSHIP: "-p icmpv6 ",
    Kind.ARP: "",
}

_REASONS = {
    Direction.IN: "hosts that read at the IP layer (transport raw, ucarp's and keepalived's kin) hear no MASTER and "
    "become one; pycarp's transport packet reads before it",
    Direction.OUT: "hosts that send at the IP layer (transport raw) are not heard, and others become MASTER as well; "
    "pycarp's transport packet sends behind it",
    Direction.THROUGH: "hosts on different ports of the bridge do not hear each other, and all become MASTER",
}
_AT_THE_DEVICE = "no host on this interface hears another, or is heard, and all become MASTER"


def findings(
    subjects: tuple[Subject, ...], *, bridges: frozenset[str], is_at_ip_layer: bool = False, udp_port: int = 0
) -> Iterator[Finding]:
    """Yield what the firewall of this network namespace drops; ``bridges`` are interfaces that are bridges or ports.

    It matters more if the hosts read and send at the IP layer. ``udp_port`` is 0 unless they speak CARP in UDP.
    """
    listing = read()
    if isinstance(listing, str):
        yield Finding(
            kind="firewall-unknown",
            severity=Severity.ADVICE,
            subject="nftables",
            words=f"the rules of the firewall could not be read: {listing}",
            reason="rules that drop protocol 112 would be overlooked",
            command="apt install nftables" if shutil.which("nft", path=PROGRAM_PATH) is None else "",
        )
    else:
        yield from judged(listing, subjects, bridges=bridges, is_at_ip_layer=is_at_ip_layer, udp_port=udp_port)
    for program, family in _LEGACY.items():
        if tables := _legacy_tables(family):
            yield from _of_legacy(program, family, tables, subjects, is_at_ip_layer=is_at_ip_layer, udp_port=udp_port)


def _of_legacy(
    program: str,
    family: Family,
    tables: list[str],
    subjects: tuple[Subject, ...],
    *,
    is_at_ip_layer: bool,
    udp_port: int,
) -> Iterator[Finding]:
    """Yield what the older iptables drops, which nft does not show."""
    text = _printed(f"{program}-save")
    if text is None:
        yield Finding(
            kind="firewall-legacy",
            severity=Severity.ADVICE,
            subject=program,
            words=f"the older iptables has tables as well: {', '.join(tables)}",
            reason="nft does not show their rules, which may drop protocol 112",
            command=f"{program} -S",
        )
        return
    ruleset = Ruleset.of(listing_of(text, "ip6" if family is Family.IPV6 else "ip"))
    for subject in subjects:
        for packet in _packets(subject, is_bridged=False, udp_port=udp_port):
            for drop in ruleset.drops(packet) if packet.family is family else ():
                finding = _finding(packet, drop, is_at_ip_layer=is_at_ip_layer)
                match = _LEGACY_MATCHES[packet.kind].replace("PORT", str(packet.port))
                command = f"{program} -t {drop.table} -I {drop.chain} {match}-j ACCEPT"
                yield msgspec.structs.replace(finding, words=f"{finding.words} of {program}", command=command)


def _printed(program: str) -> str | None:
    """Return what a program prints; None if it is not installed or fails."""
    found = shutil.which(program, path=PROGRAM_PATH)
    if found is None:
        return None
    try:
        done = subprocess.run([found], capture_output=True, text=True, timeout=_NFT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def of_senders(
    listing: object,
    subject: Subject,
    senders: Iterable[Address],
    *,
    found: Collection[str],
    is_at_ip_layer: bool = False,
) -> Iterator[Finding]:
    """Yield the rules that drop advertisements of hosts that were heard at the device; not those in ``found``."""
    ruleset = Ruleset.of(listing)
    for sender in senders:
        packet = Followed(subject.interface, family_of(sender), Direction.IN, subject.own, senders=(sender,))
        for drop in ruleset.drops(packet):
            finding = _finding(packet, drop, is_at_ip_layer=is_at_ip_layer)
            if finding.words not in found:
                yield msgspec.structs.replace(finding, words=f"{finding.words}, for one that is from {sender}")


def judged(
    listing: object,
    subjects: tuple[Subject, ...],
    *,
    bridges: frozenset[str],
    is_at_ip_layer: bool = False,
    udp_port: int = 0,
) -> Iterator[Finding]:
    """Yield a finding for each rule or policy of a listing that drops advertisements."""
    ruleset = Ruleset.of(listing)
    seen: set[tuple[str, Direction, Kind, Drop]] = set()
    for subject in subjects:
        for packet in _packets(subject, is_bridged=subject.interface in bridges, udp_port=udp_port):
            for drop in ruleset.drops(packet):
                key = (subject.interface, packet.direction, packet.kind, drop)
                if key not in seen:
                    seen.add(key)
                    yield _finding(packet, drop, is_at_ip_layer=is_at_ip_layer)


def _packets(subject: Subject, *, is_bridged: bool, udp_port: int) -> Iterator[Followed]:
    """Yield what must pass: advertisements, and the requests and answers by which clients find the addresses.

    Hosts that listen to the group of IPv6 must also hear the queries of switches, and answer them.
    """
    advertising = Kind.UDP if udp_port else Kind.CARP
    for direction in Direction:
        if direction is Direction.THROUGH and not is_bridged:
            continue
        for family in subject.families:
            peers = tuple(each for each in subject.peers if family_of(each) is family)
            yield Followed(subject.interface, family, direction, subject.own, advertising, peers, udp_port)
            if subject.hosts and direction is not Direction.THROUGH:
                kind = Kind.ARP if family is Family.IPV4 else Kind.DISCOVERY
                yield Followed(subject.interface, family, direction, subject.own, kind)
            if family is Family.IPV6 and subject.hosts and not peers and direction is not Direction.THROUGH:
                yield Followed(subject.interface, family, direction, subject.own, Kind.MEMBERSHIP)


def read() -> object:
    """Return what ``nft -j list ruleset`` prints, as JSON; a text says why it could not be read."""
    program = shutil.which("nft", path=PROGRAM_PATH)
    if program is None:
        return "nft is not installed"
    try:
        done = subprocess.run(  # noqa: S603  a fixed command
            [program, "-j", "list", "ruleset"], capture_output=True, text=True, timeout=_NFT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"nft cannot be run: {exc}"
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["nft failed"])[-1]
    try:
        found: Any = json.loads(done.stdout or "{}")
    except ValueError:
        return "nft printed no JSON: a version without it"
    return found


def _finding(packet: Followed, drop: Drop, *, is_at_ip_layer: bool) -> Finding:
    is_at_device = drop.hook in ("ingress", "egress")
    is_fatal = is_at_device or is_at_ip_layer or packet.direction is Direction.THROUGH or packet.kind is Kind.UDP
    reason = _AT_THE_DEVICE if is_at_device else _REASONS[packet.direction]
    if packet.kind is Kind.UDP and not is_at_device:
        reason = "hosts do not hear each other, and all become MASTER"
    if packet.kind is Kind.MEMBERSHIP:
        is_fatal, reason = False, "switches that snoop forget this host, and keep IPv6 advertisements from it"
    elif packet.kind not in (Kind.CARP, Kind.UDP):
        is_fatal, reason = True, "clients do not find the shared addresses, whoever is MASTER"
    return Finding(
        kind="firewall",
        severity=Severity.PROBLEM if is_fatal else Severity.WARNING,
        subject=packet.interface,
        words=f"the firewall drops {packet.kind.value} {packet.direction.value}: {drop.words}",
        reason=reason,
        command=drop.mending(packet.kind, packet.port),
    )


def _legacy_tables(family: Family) -> list[str]:
    path = Path(f"/proc/net/ip{'6' if family is Family.IPV6 else ''}_tables_names")
    try:
        return path.read_text().split()
    except OSError:
        return []
