"""Judges the addresses of this machine: shared ones that somebody else configured, and hosts on the wrong interface."""

from collections.abc import Iterator

from pycarp.core.state import State
from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.subject import ExaminedHost, Subject
from pycarp.vocabulary import Address, LinkFacts
from pycarp.wire.ethernet import is_virtual_mac


def held_here(subject: Subject, facts: tuple[LinkFacts, ...]) -> frozenset[Address]:
    """Return the shared addresses that this machine has now."""
    return frozenset(each.ip for link in facts for each in link.addresses) & frozenset(subject.shared)


def findings(subject: Subject, facts: tuple[LinkFacts, ...]) -> Iterator[Finding]:
    """Yield what is wrong with where the shared addresses are, or ought to be; ``facts`` are those of all interfaces.

    An address on the interface itself is lawful for a host without a device of its own, while it is MASTER.
    """
    for host in subject.hosts:
        yield from _by_hand(host, facts)
        yield from _elsewhere(subject, host, facts)


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
