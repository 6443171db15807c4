"""Reads the rules of nftables, and says which of them drop advertisements, and why that matters."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.firewall import Direction, Drop, Followed, Kind, Ruleset
from pycarp.doctor.subject import Subject
from pycarp.vocabulary import Family, family_of

_NFT_S = 10
_LEGACY = (Path("/proc/net/ip_tables_names"), Path("/proc/net/ip6_tables_names"))
_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

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
            command="apt install nftables" if shutil.which("nft", path=_PATH) is None else "",
        )
    else:
        yield from judged(listing, subjects, bridges=bridges, is_at_ip_layer=is_at_ip_layer, udp_port=udp_port)
    if tables := _legacy_tables():
        yield Finding(
            kind="firewall-legacy",
            severity=Severity.ADVICE,
            subject="iptables",
            words=f"the older iptables has tables as well: {', '.join(tables)}",
            reason="nft does not show their rules, which may drop protocol 112",
            command="iptables-legacy -S; ip6tables-legacy -S",
        )


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
    program = shutil.which("nft", path=_PATH)
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


def _legacy_tables() -> list[str]:
    found: list[str] = []
    for path in _LEGACY:
        try:
            found += [f"{name} ({path.name.partition('_')[0]})" for name in path.read_text().split()]
        except OSError:
            continue
    return found
