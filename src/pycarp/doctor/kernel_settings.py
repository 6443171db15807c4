"""Judges the sysctls that decide who answers for shared addresses. Source: the kernel's ``ip-sysctl``."""

from collections.abc import Callable, Iterator

import msgspec

from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.subject import Subject
from pycarp.system.addresses import sysctl_files
from pycarp.vocabulary import Family

Read = Callable[[str], str | None]
"""Returns the value of a path below ``/proc/sys``, None if there is none."""

_STRICT = 1
_SAME_SUBNET, _EVERYWHERE, _NEVER = 2, 3, 8


class _Sysctls(msgspec.Struct, frozen=True):
    """The values that count for an interface: the larger one of ``all`` and its own."""

    interface: str
    read: Read

    def of(self, name: str, *, family: str = "ipv4") -> int:
        return max(self.own(name, family=family), self.of_all(name, family=family))

    def own(self, name: str, *, family: str = "ipv4") -> int:
        return _number(self.read(f"net/{family}/conf/{self.interface}/{name}"))

    def of_all(self, name: str, *, family: str = "ipv4") -> int:
        return _number(self.read(f"net/{family}/conf/all/{name}"))

    def where(self, name: str) -> str:
        """Return whose value is the larger one."""
        return "all" if self.of_all(name) >= self.own(name) else self.interface

    def name(self, where: str, name: str, *, family: str = "ipv4") -> str:
        """Return a setting as ``sysctl`` takes it: the name of an interface may have dots."""
        return sysctl_files.name_of(f"net/{family}/conf/{where}/{name}")


def findings(subject: Subject, read: Read, *, others: tuple[str, ...]) -> Iterator[Finding]:
    """Yield what is set so that shared addresses do not work; ``others`` are further interfaces with IPv4 addresses."""
    sysctls = _Sysctls(subject.interface, read)
    if Family.IPV4 in subject.families:
        yield from _of_arp(subject, sysctls)
        yield from _of_reverse_path(subject, sysctls, others)
    if Family.IPV6 in subject.families and subject.hosts:
        yield from _of_ipv6(subject, sysctls)


def _of_arp(subject: Subject, sysctls: _Sysctls) -> Iterator[Finding]:
    # With a device of its own an address is answered for there, and what is set for all counts.
    value = sysctls.of_all("arp_ignore") if subject.has_devices else sysctls.of("arp_ignore")
    where = "all" if subject.has_devices else sysctls.where("arp_ignore")
    is_alone = any(
        each.network.prefixlen == 32 for host in subject.hosts for each in host.addresses if each.version == 4
    )
    reason = ""
    if value == _NEVER or (value == _SAME_SUBNET and is_alone):
        reason = "the kernel answers no ARP request for the shared addresses, so nobody finds the MASTER"
    elif value == _EVERYWHERE and subject.has_devices:
        reason = f"{subject.interface} answers for the addresses of the devices on it as well: clients learn two MACs"
    if reason:
        yield _sysctl_finding(
            subject,
            name=sysctls.name(where, "arp_ignore"),
            value=value,
            wanted=1,
            severity=Severity.PROBLEM,
            reason=reason,
        )
    if (sysctls.of_all("arp_filter") if subject.has_devices else sysctls.of("arp_filter")) == 1:
        where = "all" if subject.has_devices else sysctls.where("arp_filter")
        yield _sysctl_finding(
            subject,
            name=sysctls.name(where, "arp_filter"),
            value=1,
            wanted=0,
            severity=Severity.PROBLEM if subject.has_devices else Severity.WARNING,
            reason="the kernel answers ARP only where its route back leads, which is not the device of the address",
        )
    if sysctls.of("proxy_arp") == 1:
        where = sysctls.where("proxy_arp")
        yield _sysctl_finding(
            subject,
            name=sysctls.name(where, "proxy_arp"),
            value=1,
            wanted=0,
            severity=Severity.ADVICE,
            reason="the kernel answers ARP for addresses that it routes elsewhere, perhaps for shared ones",
        )


def _of_reverse_path(subject: Subject, sysctls: _Sysctls, others: tuple[str, ...]) -> Iterator[Finding]:
    if sysctls.of("rp_filter") != _STRICT:
        return
    several = f"this machine has {' and '.join(others)} besides" if others else "this machine has no other network"
    where = sysctls.where("rp_filter")
    # The larger of all and the interface's own counts, so the own one is raised in either case.
    yield Finding(
        kind="sysctl",
        severity=Severity.WARNING if others else Severity.ADVICE,
        subject=subject.interface,
        words=f"{sysctls.name(where, 'rp_filter')} is 1: reverse-path filtering is strict",
        reason="packets to shared addresses are dropped if the route back to their sender leads elsewhere; " + several,
        command=f"sysctl -w {sysctls.name(subject.interface, 'rp_filter')}=2",
    )


def _of_ipv6(subject: Subject, sysctls: _Sysctls) -> Iterator[Finding]:
    if sysctls.own("disable_ipv6", family="ipv6"):
        yield _sysctl_finding(
            subject,
            name=sysctls.name(subject.interface, "disable_ipv6", family="ipv6"),
            value=1,
            wanted=0,
            severity=Severity.PROBLEM,
            reason="hosts with IPv6 addresses can neither advertise nor answer",
        )
    elif subject.has_devices and _number(sysctls.read("net/ipv6/conf/default/disable_ipv6")):
        yield _sysctl_finding(
            subject,
            name="net.ipv6.conf.default.disable_ipv6",
            value=1,
            wanted=0,
            severity=Severity.PROBLEM,
            reason="the devices of hosts are made without IPv6, so that they cannot hold their IPv6 addresses",
        )


def _sysctl_finding(
    subject: Subject, *, name: str, value: int, wanted: int, severity: Severity, reason: str
) -> Finding:
    return Finding(
        kind="sysctl",
        severity=severity,
        subject=subject.interface,
        words=f"{name} is {value}",
        reason=reason,
        command=f"sysctl -w {name}={wanted}",
    )


def _number(text: str | None) -> int:
    try:
        return int(text or "0")
    except ValueError:
        return 0
