"""Notices other daemons that change addresses or devices: systemd-networkd, NetworkManager, and kin of CARP.

Sources: systemd.network(5), networkctl(1), NetworkManager.conf(5).
"""

import configparser
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.subject import Subject

_NETWORKD, _NETWORK_MANAGER = "run/systemd/netif/links", "run/NetworkManager/devices"
_NETWORK_FOLDERS = ("etc/systemd/network", "run/systemd/network", "usr/lib/systemd/network", "lib/systemd/network")
_KEEPING = ("yes", "true", "on", "1", "static")
"""Values of KeepConfiguration= that keep what networkd has not configured itself."""

_KIN = {"ucarp": "ucarp", "keepalived": "keepalived", "vrrpd": "FRR's vrrpd", "vrrpd-ipv6": "vrrpd", "carpd": "carpd"}


def findings(subject: Subject, indexes: Mapping[str, int], *, root: Path = Path("/")) -> Iterator[Finding]:
    """Yield what other daemons may do to the addresses of an interface; ``indexes`` are those of all interfaces."""
    yield from _of_networkd(subject, indexes, root)
    yield from _of_network_manager(subject, indexes, root)


def _of_networkd(subject: Subject, indexes: Mapping[str, int], root: Path) -> Iterator[Finding]:
    links = root / _NETWORKD
    if not links.is_dir():
        return
    has_addresses_itself = not subject.has_devices or any(not each.has_device for each in subject.hosts)
    state = _assignments(links / str(indexes.get(subject.interface, 0)))
    file = state.get("NETWORK_FILE", "")
    if has_addresses_itself and file and not _keeps(root, file):
        yield Finding(
            kind="networkd",
            severity=Severity.PROBLEM,
            subject=subject.interface,
            words=f"systemd-networkd manages {subject.interface} by {file}, and keeps no foreign addresses",
            reason="it removes the shared addresses when it restarts or configures the interface again",
            command=f"mkdir -p /etc/systemd/network/{Path(file).name}.d && "
            f"printf '[Network]\\nKeepConfiguration=yes\\n' > /etc/systemd/network/{Path(file).name}.d/pycarp.conf && "
            "networkctl reload",
        )
    for host in subject.hosts:
        matching = _matching(root, host.name) if host.has_device else None
        if matching is not None:
            yield Finding(
                kind="networkd",
                severity=Severity.PROBLEM,
                subject=host.name,
                words=f"systemd-networkd configures the device {host.name} as well, by {matching}",
                reason="it sets the device down or removes the shared addresses",
                command=f"printf '[Match]\\nName={host.name}\\n[Link]\\nUnmanaged=yes\\n' > "
                f"/etc/systemd/network/00-{host.name}.network && networkctl reload",
            )


def _of_network_manager(subject: Subject, indexes: Mapping[str, int], root: Path) -> Iterator[Finding]:
    devices = root / _NETWORK_MANAGER
    if not devices.is_dir():
        return
    names = {each.name for each in subject.hosts if each.has_device}
    if any(not each.has_device for each in subject.hosts):
        names.add(subject.interface)
    for name in sorted(names):
        if _assignments(devices / str(indexes.get(name, 0))).get("managed") != "true":
            continue
        is_device = name != subject.interface
        yield Finding(
            kind="network-manager",
            severity=Severity.PROBLEM if is_device else Severity.WARNING,
            subject=name,
            words=f"NetworkManager manages {name}",
            reason="it removes addresses that it has not configured when the connection is activated again",
            command=f"printf '[keyfile]\\nunmanaged-devices=interface-name:{name}\\n' > "
            "/etc/NetworkManager/conf.d/pycarp.conf && nmcli general reload"
            if is_device
            else f'use mac_mode = "virtual", which gives the addresses a device of their own instead of {name}',
        )


def kin_findings(processes: Mapping[int, str]) -> Iterator[Finding]:
    """Yield the other programs that share addresses; ``processes`` are names by number, of this network namespace."""
    for name, words in _KIN.items():
        numbers = sorted(pid for pid, each in processes.items() if each == name)
        if numbers:
            yield Finding(
                kind="kin",
                severity=Severity.ADVICE,
                subject=name,
                words=f"{words} runs here as well (process {', '.join(map(str, numbers))})",
                reason="two programs must not have the same vhid or VRID, nor the same address, on one interface",
                command=f"ps -o args= -p {','.join(map(str, numbers))}",
            )


def processes_here(proc: Path = Path("/proc")) -> dict[int, str]:
    """Return the names of the processes of this network namespace that may be read."""
    try:
        ours = (proc / "self/ns/net").readlink()
    except OSError:
        return {}
    found = {}
    for folder in proc.glob("[0-9]*"):
        try:
            if (folder / "ns/net").readlink() == ours:
                found[int(folder.name)] = (folder / "comm").read_text().strip()
        except OSError:
            continue
    return found


def _keeps(root: Path, file: str) -> bool:
    """Return whether a .network file, or a drop-in of it, keeps foreign addresses; the last word counts."""
    name = Path(file).name
    drop_ins = [each for folder in _NETWORK_FOLDERS for each in (root / folder / f"{name}.d").glob("*.conf")]
    kept = ""
    for each in [root / file.lstrip("/"), *sorted(drop_ins, key=lambda path: path.name)]:
        kept = _option(each, "Network", "KeepConfiguration") or kept
    return kept.lower() in _KEEPING


def _matching(root: Path, device: str) -> str | None:
    """Return the .network file that networkd takes for a device, the first in the order of names; None for none."""
    files: dict[str, Path] = {}
    for folder in _NETWORK_FOLDERS:
        for path in (root / folder).glob("*.network"):
            files.setdefault(path.name, path)
    for _name, path in sorted(files.items()):
        wanted = (_option(path, "Match", "Name") or "").split()
        if wanted and any(fnmatchcase(device, pattern) for pattern in wanted):
            is_left_alone = (_option(path, "Link", "Unmanaged") or "").lower() in ("yes", "true", "on", "1")
            return None if is_left_alone else f"/{path.relative_to(root)}"
    return None


def _option(path: Path, section: str, name: str) -> str | None:
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text(errors="replace"))
        return parser.get(section, name, fallback=None)
    except (OSError, configparser.Error):
        return None


def _assignments(path: Path) -> dict[str, str]:
    """Return the lines NAME=VALUE of a file, none if it cannot be read."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value for name, equals, value in (line.partition("=") for line in lines) if equals}
