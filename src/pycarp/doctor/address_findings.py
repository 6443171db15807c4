"""Judges the addresses of this machine: shared ones that somebody else configured, and hosts on the wrong interface."""

from collections.abc import Iterator
from ipaddress import IPv6Address

from pycarp.core.state import State
from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.subject import ExaminedHost, Subject
from pycarp.vocabulary import Address, Family, LinkFacts, MacAddress
from pycarp.wire.ethernet import is_virtual_mac

_LINK_LOCAL = bytes.fromhex("fe80000000000000")
_UNIVERSAL = 0x02


def held_here(subject: Subject, facts: tuple[LinkFacts, ...]) -> frozenset[Address]:
    """Return the shared addresses that this machine has now."""
    return frozenset(each.ip for link in facts for each in link.addresses) & frozenset(subject.shared)


def findings(subject: Subject, facts: tuple[LinkFacts, ...]) -> Iterator[Finding]:
    """Yield what is wrong with where the shared addresses are, or ought to be; ``facts`` are those of all interfaces.

    An address on the interface itself is lawful for a host without a device of its own, while it is MASTER.
    """
    for host in subject.hosts:
        yield from _by_hand(host, facts)
        elsewhere = [*_elsewhere(subject, host, facts)]
        yield from elsewhere or _outside(subject, host)
    yield from _without_link_local(subject, facts)


def _outside(subject: Subject, host: ExaminedHost) -> Iterator[Finding]:
    """Yield advice if the interface has addresses, and none of them is in the subnet of a shared one."""
    own = [each.network for each in subject.own if not each.is_link_local]
    for shared in host.addresses:
        near = [each for each in own if each.version == shared.version]
        if near and not shared.is_link_local and not any(shared.ip in each for each in near):
            yield Finding(
                kind="other-subnet",
                severity=Severity.ADVICE,
                subject=host.name,
                words=f"{shared.ip} is in no subnet of {subject.interface}, which has {', '.join(map(str, near))}",
                reason="if that is no second network on the segment it is a mistake, and clients do not find it",
                command=f"ip -br addr show dev {subject.interface}   # then correct addresses in the configuration",
            )
            return


def _without_link_local(subject: Subject, facts: tuple[LinkFacts, ...]) -> Iterator[Finding]:
    """Yield a finding if hosts share IPv6 on an interface without a link-local address."""
    links = [each for each in facts if each.name == subject.interface]
    if not subject.hosts or Family.IPV6 not in subject.families or not links:
        return
    if any(each.version == Family.IPV6.value and each.is_link_local for link in links for each in link.addresses):
        return
    mac = links[0].mac
    address = "fe80::1" if mac is None else str(link_local(mac))
    yield Finding(
        kind="no-link-local",
        severity=Severity.PROBLEM,
        subject=subject.interface,
        words=f"{subject.interface} has no link-local IPv6 address, from which advertisements are sent",
        reason="other hosts cannot tell who sends in IPv6; addr_gen_mode, disable_ipv6 or a network manager may be the "
        "cause",
        command=f"ip addr add {address}/64 dev {subject.interface}",
    )


def link_local(mac: MacAddress) -> IPv6Address:
    """Return the link-local address that is made of a MAC address; source: RFC 4291, appendix A."""
    first, *rest = mac.octets
    return IPv6Address(_LINK_LOCAL + bytes([first ^ _UNIVERSAL, *rest[:2], 0xFF, 0xFE, *rest[2:]]))


def _by_hand(host: ExaminedHost, facts: tuple[LinkFacts, ...]) -> Iterator[Finding]:
    for link in facts:
        device = link.name.partition(":")[0]
        is_own_device = is_virtual_mac(link.mac) if host.has_device else device == host.interface
        if is_own_device and host.state in (None, State.MASTER):
            continue
        for each in link.addresses:
            if each.ip in {one.ip for one in host.addresses} and not (is_own_device and host.has_device):
                yield Finding(
                    kind="by-hand",
                    severity=Severity.PROBLEM,
                    subject=device,
                    words=f"{device} has the shared address {each.ip}, which pycarp has not put there",
                    reason="this machine answers for it whoever is MASTER: an entry of the network configuration, "
                    "another program, or a command",
                    command=f"ip addr del {each} dev {device}",
                )


def _elsewhere(subject: Subject, host: ExaminedHost, facts: tuple[LinkFacts, ...]) -> Iterator[Finding]:
    """Yield a finding if the shared addresses belong to the subnet of another interface, and to none of this one."""
    own = [each.network for each in subject.own]
    wanted = [each.ip for each in host.addresses if not each.is_link_local]
    if not wanted or any(address in network for address in wanted for network in own):
        return
    for link in facts:
        device = link.name.partition(":")[0]
        networks = [each.network for each in link.addresses if each.network.num_addresses > 1]
        if device in (host.interface, "lo") or is_virtual_mac(link.mac):
            continue
        if any(address in network for address in wanted for network in networks):
            yield Finding(
                kind="wrong-interface",
                severity=Severity.PROBLEM,
                subject=host.name,
                words=f"{wanted[0]} is in the subnet of {device}, and the host is on {host.interface}",
                reason="its peers and clients are on the other segment, so that every host becomes MASTER",
                command=f"pycarp scan {device}   # hears the others: name {device} in the configuration",
            )
            return
