"""Judges the interface itself: whether it is there, up and fit, its MTU, and the bridge that it belongs to."""

import json
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.program_path import PROGRAM_PATH
from pycarp.doctor.subject import Subject
from pycarp.system.addresses.interfaces import why_unfit
from pycarp.vocabulary import Family

_IP_S = 10
_LEAST_MTU = {Family.IPV4: 576, Family.IPV6: 1280}
_MODULES = Path("/lib/modules")
_TAKERS = {
    "bridge": "a port of the bridge",
    "bond": "a port of the bond",
    "team": "a port of the team",
    "openvswitch": "a port of Open vSwitch,",
}
"""Which devices take the frames of their ports, by what the kernel calls the ports."""


UNKNOWN = Finding(
    kind="links-unknown",
    severity=Severity.ADVICE,
    subject="links",
    words="ip -j -d link show printed no links",
    reason="interfaces that are down, bridges and locked ports would be overlooked",
    command="apt install iproute2",
)
"""Every machine has links, the loopback at least."""


class Links(msgspec.Struct, frozen=True):
    """What ``ip -j -d link show`` prints, by name."""

    by_name: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)

    @classmethod
    def read(cls) -> "Links":
        """Return the links of this network namespace; none if ``ip`` cannot tell."""
        program = shutil.which("ip", path=PROGRAM_PATH)
        if program is None:
            return cls()
        try:
            done = subprocess.run(  # noqa: S603  a fixed command
                [program, "-j", "-d", "link", "show"], capture_output=True, text=True, timeout=_IP_S, check=False
            )
            return cls.of(json.loads(done.stdout or "[]"))
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return cls()

    @classmethod
    def of(cls, listing: object) -> "Links":
        """Return the links of a listing; what is no link is left out."""
        entries = listing if isinstance(listing, list) else []
        return cls({each["ifname"]: each for each in entries if isinstance(each, dict) and "ifname" in each})

    def bridge_of(self, name: str) -> str | None:
        """Return the bridge that an interface is, or belongs to; None if there is none."""
        link = self.by_name.get(name, {})
        if _kind(link) == "bridge":
            return name
        master = link.get("master")
        return master if isinstance(master, str) and _kind(self.by_name.get(master, {})) == "bridge" else None

    @property
    def bridges(self) -> frozenset[str]:
        """The interfaces that are bridges, or ports of one."""
        return frozenset(name for name in self.by_name if self.bridge_of(name))


def findings(subject: Subject, links: Links) -> Iterator[Finding]:
    """Yield what is wrong with an interface."""
    name = subject.interface
    link = links.by_name.get(name)
    if link is None:
        yield Finding(
            kind="no-interface",
            severity=Severity.PROBLEM,
            subject=name,
            words=f"there is no interface {name}; there are: {', '.join(links.by_name) or 'none'}",
            reason="its hosts wait for it; perhaps the file calls it otherwise than this machine",
            command="ip -br link",
        )
        return
    if reason := why_unfit(name):
        yield Finding(
            kind="unfit-interface",
            severity=Severity.PROBLEM,
            subject=name,
            words=reason,
            reason="hosts cannot work on it",
            command=_command_for_flags(name, link.get("flags") or ()),
        )
    yield from _of_state(name, link)
    yield from _of_mtu(subject, link)
    yield from _of_membership(name, link) if subject.hosts else ()
    bridge = links.bridge_of(name)
    if bridge is not None:
        yield from _of_bridge(name, bridge, links)


def _command_for_flags(name: str, flags: Collection[str]) -> str:
    """Return what sets the flags that make an interface unfit; empty if they are not the cause."""
    words = (["arp on"] if "NOARP" in flags else []) + (["multicast on"] if "MULTICAST" not in flags else [])
    return f"ip link set {name} {' '.join(words)}" if words and "LOOPBACK" not in flags else ""


def _of_state(name: str, link: Mapping[str, Any]) -> Iterator[Finding]:
    flags = link.get("flags") or ()
    if "UP" not in flags:
        yield Finding(
            kind="down",
            severity=Severity.PROBLEM,
            subject=name,
            words=f"{name} is set down",
            reason="its hosts stay INIT",
            command=f"ip link set {name} up",
        )
    elif "NO-CARRIER" in flags or link.get("operstate") in ("DOWN", "LOWERLAYERDOWN"):
        yield Finding(
            kind="no-carrier",
            severity=Severity.PROBLEM,
            subject=name,
            words=f"{name} has no carrier",
            reason="its hosts stay INIT until the cable, or the port of the switch, is up",
            command=f"ip -s link show {name}",
        )


def _of_membership(name: str, link: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding if another device takes the frames of an interface, as a bridge does; a VRF takes none."""
    info, master = link.get("linkinfo"), link.get("master")
    kind = info.get("info_slave_kind") if isinstance(info, dict) else None
    if kind not in _TAKERS or not isinstance(master, str):
        return
    yield Finding(
        kind="port",
        severity=Severity.PROBLEM,
        subject=name,
        words=f"{name} is {_TAKERS[kind]} {master}, which takes all frames that arrive",
        reason="addresses on it are not reached, and no device for the virtual MAC address can be made: hosts belong "
        f"on {master}",
        command=f"pycarp scan {master}   # hears the others: name {master} in the configuration",
    )


def _of_mtu(subject: Subject, link: Mapping[str, Any]) -> Iterator[Finding]:
    mtu = link.get("mtu")
    if not isinstance(mtu, int):
        return
    for family in subject.families if subject.hosts else (Family.IPV4,):
        if mtu < _LEAST_MTU[family]:
            yield Finding(
                kind="mtu",
                severity=Severity.PROBLEM if family is Family.IPV6 else Severity.WARNING,
                subject=subject.interface,
                words=f"the MTU of {subject.interface} is {mtu}, and IPv{family.value} needs {_LEAST_MTU[family]}",
                reason="the kernel switches IPv6 off on such a link"
                if family is Family.IPV6
                else "larger packets are fragmented or lost, while advertisements still pass",
                command=f"ip link set {subject.interface} mtu 1500",
            )


def _of_bridge(name: str, bridge: str, links: Links) -> Iterator[Finding]:
    facts = _data(links.by_name[bridge], "info_data")
    if facts.get("mcast_snooping") and not facts.get("mcast_querier"):
        yield Finding(
            kind="no-querier",
            severity=Severity.WARNING,
            subject=bridge,
            words=f"{bridge} snoops multicast, and is no querier itself",
            reason="without a querier on the segment, switches forget after minutes who wants ff02::12, and drop "
            "IPv6 advertisements",
            command=f"ip link set {bridge} type bridge mcast_querier 1",
        )
    ports = [each for each, link in links.by_name.items() if link.get("master") == bridge]
    for port in [name] if name in ports else ports:
        yield from _of_port(port, _data(links.by_name[port], "info_slave_data"))


def _of_port(port: str, facts: Mapping[str, Any]) -> Iterator[Finding]:
    if facts.get("locked"):
        yield Finding(
            kind="mac-lock",
            severity=Severity.PROBLEM,
            subject=port,
            words=f"the bridge port {port} is locked: it takes frames only from MAC addresses that it was told of",
            reason="frames from the virtual MAC address are dropped",
            command=f"bridge link set dev {port} locked off",
        )
    if facts.get("mcast_flood") is False:
        yield Finding(
            kind="mcast-flood",
            severity=Severity.WARNING,
            subject=port,
            words=f"the bridge port {port} does not flood multicast",
            reason="advertisements do not leave by it unless a host behind it was heard to want them",
            command=f"bridge link set dev {port} mcast_flood on",
        )
    if facts.get("learning") is False:
        yield Finding(
            kind="no-learning",
            severity=Severity.ADVICE,
            subject=port,
            words=f"the bridge port {port} does not learn MAC addresses",
            reason="the virtual MAC address is found only by flooding",
            command=f"bridge link set dev {port} learning on",
        )


def macvlan_finding(release: str, *, modules: Path = _MODULES, loaded: Path = Path("/sys/module")) -> Finding | None:
    """Return the finding that this kernel has no macvlan; None if it has, or if nothing here can tell."""
    folder = modules / release
    try:
        known = (folder / "modules.dep").read_text() + (folder / "modules.builtin").read_text()
    except OSError:
        return None
    if "/macvlan.ko" in known or (loaded / "macvlan").exists():
        return None
    return Finding(
        kind="no-macvlan",
        severity=Severity.PROBLEM,
        subject="kernel",
        words=f"the kernel {release} has no macvlan",
        reason="shared addresses cannot have a device with the virtual MAC address",
        command='use mac_mode = "interface" in the configuration, or install the modules of the kernel',
    )


def _kind(link: Mapping[str, Any]) -> object:
    info = link.get("linkinfo")
    return info.get("info_kind") if isinstance(info, dict) else None


def _data(link: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    info = link.get("linkinfo")
    found = info.get(key) if isinstance(info, dict) else None
    return found if isinstance(found, dict) else {}
