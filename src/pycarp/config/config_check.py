"""Finds what will not work in configurations, besides mistakes in them, before a daemon is started.

Pure: the caller has read the files, the devices of the machine, and the permissions.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import combinations
from pathlib import PurePath

import msgspec

from pycarp.auth.key import Passphrase
from pycarp.config.hostname_if import PREFIX
from pycarp.config.model import NodeConfig
from pycarp.config.parents import likely_link
from pycarp.config.problems import Problem
from pycarp.config.toml import SYSCTL_PREFIX
from pycarp.core.host_config import HostConfig, device_in_the_way, device_note, interval_warning
from pycarp.dialects.dialect import Claim, Verdict
from pycarp.vocabulary import HostKey, InterfaceAddress, LinkFacts

_NOTE = re.compile(r"(?P<file>.*?):(?P<line>\d+): (?P<text>.*)", re.DOTALL)
_MOST_DEMOTED = 255
"""An advskew above that of every host: no dialect can advertise it."""

_FACTORS = ("senderr_demotion_factor", "ifdown_demotion_factor")
_OF_A_FOLDER = (PREFIX, "vip-")
"""Grammars of which all files of a folder belong to one machine."""


class Severity(StrEnum):
    """How serious a finding is."""

    ERROR = "error"
    """``pycarp run`` refuses it."""

    WARNING = "warning"
    """It is accepted, but will not do what was probably meant."""

    NOTE = "note"
    """It is understood, but ignored or done in another way."""


class Finding(msgspec.Struct, frozen=True):
    """A problem, its place, and the way out."""

    severity: Severity
    problem: Problem

    def __str__(self) -> str:
        place, text = f"{self.problem.file}:{self.problem.line}:{self.problem.column}", self.problem.text
        hint = f" ({self.problem.hint})" if self.problem.hint else ""
        return f"{place}: {self.severity}: {text}{hint}"


class CheckedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read: its configuration, or the problems for which there is none.

    ``exposed`` are the files with passwords in them that everybody on the machine can read. ``says_preempt`` is True
    if the grammar has a word for preempt; the BSDs set it by sysctl.
    """

    path: str
    config: NodeConfig | None = None
    problems: tuple[Problem, ...] = ()
    exposed: tuple[str, ...] = ()
    says_preempt: bool = False


def check(
    files: Sequence[CheckedFile],
    links: Sequence[LinkFacts] = (),
    *,
    obstacle: Callable[[HostConfig], str] = lambda _host: "",
    no_program: Callable[[str], str] = lambda _name: "",
) -> list[Finding]:
    """Return what is wrong or will not work, by file and place.

    ``links`` are the devices of the machine for which the files are meant, without the addresses that pycarp has put
    there; without any, nothing is said about devices. ``obstacle`` says why a host cannot work on its device, empty if
    it can, and ``no_program`` why a program cannot be run.
    """
    found = [Finding(Severity.ERROR, problem) for file in files for problem in file.problems]
    for file in files:
        found += _of_one(file, links)
        found += _of_obstacles(file, obstacle) if links else ()
        found += _of_programs(file, no_program)
    machines = _machines(files)
    for members in machines:
        found += _of_a_machine(members)
    for one, other in combinations(machines, 2):
        found += _of_two(one, other)
    order = {file.path: number for number, file in enumerate(files)}
    unique = list(dict.fromkeys(found))
    return sorted(unique, key=lambda each: (order.get(each.problem.file, 0), each.problem.line, each.problem.column))


# One file


def _of_one(file: CheckedFile, links: Sequence[LinkFacts]) -> Iterator[Finding]:
    for path in file.exposed:
        yield _warning(path, (1, 1), "everybody on this machine can read the password", f"chmod o-rwx {path}")
    if file.config is None:
        return
    for note in file.config.notes:
        match = _NOTE.fullmatch(note)
        where = (match["file"], int(match["line"]), match["text"]) if match else (file.path, 1, note)
        yield Finding(Severity.NOTE, Problem(where[0], where[1], 1, where[2]))
    yield from _of_macs(file.path, file.config)
    yield from _of_intervals(file.path, file.config)
    yield from _of_devices(file.path, file.config, links)
    yield from _of_names(file.path, file.config)
    yield from _of_passwords(file.path, file.config)
    yield from _of_sysctls(file.path, file.config)


def _of_programs(file: CheckedFile, no_program: Callable[[str], str]) -> Iterator[Finding]:
    """Warn of hooks and checks whose program cannot be run on this machine."""
    if file.config is None:
        return
    hooks = [(f"hook {each.item.name}", each.table.get("run"), each.place) for each in file.config.hooks]
    checks = [(f"check {each.item.name}", each.table.get("exec"), each.place) for each in file.config.checks]
    for what, words, place in hooks + checks:
        if words and (why := no_program(words[0])):
            yield _warning(file.path, place, f"{what} fails: {why}", "write the path of a program that may be executed")


def _of_macs(path: str, config: NodeConfig) -> Iterator[Finding]:
    for host in config.hosts:
        if host.clients_may_be_misled:
            text = f"vhid {host.vhid} has peers and the virtual MAC, which FreeBSD never sends from to a peer"
            hint = 'after its takeover switches send clients here until they forget; use mac_mode = "auto"'
            yield _warning(path, _place(config, host), text, hint)


def _of_intervals(path: str, config: NodeConfig) -> Iterator[Finding]:
    for host in config.hosts:
        text, _semicolon, hint = interval_warning(host).partition("; ")
        if text:
            yield _warning(path, _place(config, host), text, hint)


def _of_devices(path: str, config: NodeConfig, links: Sequence[LinkFacts]) -> Iterator[Finding]:
    names = dict.fromkeys(facts.name.partition(":")[0] for facts in links)
    for host in config.hosts if names else ():
        if host.interface not in names:
            text = f"interface {host.interface} does not exist on this machine; there are: {', '.join(names)}"
            likely = likely_link(host.interface, links)
            yield _warning(path, _place(config, host), text, f"--map {host.interface}={likely}")
    yield from _of_device_names(path, config, links)
    for host in config.hosts:
        for address in () if host.neutral else host.addresses:
            link = _owner(address, host, links)
            if link is not None:
                text = f"{address.ip} is this machine's own address, on {link}: pycarp run refuses to share it"
                yield _warning(path, _place(config, host), text, "share another address, or take it from the machine")


def _of_device_names(path: str, config: NodeConfig, links: Sequence[LinkFacts]) -> Iterator[Finding]:
    macs = {facts.name: facts.mac for facts in links}
    for host in config.hosts:
        if host.device in macs and (why := device_in_the_way(host, macs[host.device])):
            text, _semicolon, hint = why.partition("; ")
            yield _warning(path, _place(config, host), f"{text}: pycarp run refuses it", hint)
        if note := device_note(host):
            yield Finding(Severity.NOTE, Problem(path, *_place(config, host), note))


def _owner(address: InterfaceAddress, host: HostConfig, links: Sequence[LinkFacts]) -> str | None:
    """Return the device that has a shared address; a link-local one may be on any other link than the host's."""
    names = (facts.name.partition(":")[0] for facts in links if address.ip in [each.ip for each in facts.addresses])
    return next((name for name in names if name == host.interface or not address.ip.is_link_local), None)


def _of_obstacles(file: CheckedFile, obstacle: Callable[[HostConfig], str]) -> Iterator[Finding]:
    if file.config is None:
        return
    for host in file.config.hosts:
        if why := obstacle(host):
            yield _warning(file.path, _place(file.config, host), why, "use an Ethernet device of the segment")


def _of_names(path: str, config: NodeConfig) -> Iterator[Finding]:
    owners: dict[str, HostKey] = {}
    for host in config.hosts:
        owner = owners.setdefault(host.name, host.key)
        if owner != host.key:
            hint = "commands take the name: give each host one of its own"
            yield _warning(path, _place(config, host), f"{host.name} is the name of {owner} already", hint)


def _of_passwords(path: str, config: NodeConfig) -> Iterator[Finding]:
    for host in config.hosts:
        if host.passphrase == Passphrase(""):
            hint = "write the same one on every host, with up to 19 octets"
            yield _warning(path, _place(config, host), "the password is empty: anybody could take the address", hint)


def _of_sysctls(path: str, config: NodeConfig) -> Iterator[Finding]:
    values = dict(config.sysctls)
    for name in _FACTORS:
        if values.get(SYSCTL_PREFIX + name) == 0:
            text = f"{name} 0: such a failure never moves an address"
            yield _warning(path, (1, 1), text, "leave it out, or write 240")


# Two machines


class _Member(msgspec.Struct, frozen=True):
    """A virtual host of a machine, and its file."""

    path: str
    config: NodeConfig
    host: HostConfig
    says_preempt: bool

    @property
    def place(self) -> tuple[int, int]:
        """Line and column."""
        return _place(self.config, self.host)

    @property
    def claim(self) -> Claim:
        """Its claim without demotions."""
        return self.host.dialect.claim(self.host.advbase, self.host.advskew, 0)

    def __str__(self) -> str:
        return f"{self.path}:{self.place[0]}"


def _machines(files: Sequence[CheckedFile]) -> list[list[_Member]]:
    """Return the virtual hosts by machine; files of one folder that are each a single host are one machine."""
    machines: dict[str, list[_Member]] = {}
    for file in files:
        members = (
            [_Member(file.path, file.config, host, file.says_preempt) for host in file.config.hosts]
            if file.config
            else []
        )
        path = PurePath(file.path)
        name = str(path.parent) if path.name.startswith(_OF_A_FOLDER) else file.path
        machines.setdefault(name, []).extend(members)
    return list(machines.values())


def _of_a_machine(members: Sequence[_Member]) -> Iterator[Finding]:
    """Yield settings that two files of one machine both have; within one file that is an error."""
    for theirs, ours in combinations(members, 2):
        if theirs.path == ours.path:
            continue
        if theirs.host.key == ours.host.key:
            text = f"vhid {ours.host.vhid} is used on {ours.host.interface} by {theirs} already"
            yield _warning(ours.path, ours.place, text, "give each virtual host of an interface a vhid of its own")
        common = {each.ip for each in theirs.host.addresses} & {each.ip for each in ours.host.addresses}
        for address in sorted(str(each) for each in common if not each.is_link_local):
            text = f"{address} is shared by vhid {theirs.host.vhid} in {theirs} already"
            yield _warning(ours.path, ours.place, text, "give each vhid addresses of its own")


def _of_two(one: Sequence[_Member], other: Sequence[_Member]) -> Iterator[Finding]:
    for theirs in one:
        for ours in other:
            if ours.host.vhid == theirs.host.vhid and _share_a_segment(theirs.host, ours.host):
                yield from _of_pair(theirs, ours)


def _share_a_segment(one: HostConfig, other: HostConfig) -> bool:
    """Return whether two hosts of a vhid are meant to be one: with common addresses, a common subnet or device."""
    if {each.ip for each in one.addresses} & {each.ip for each in other.addresses}:
        return True
    if one.interface == other.interface:
        return True
    return any(
        ours.ip in theirs.network or theirs.ip in ours.network
        for ours in one.addresses
        for theirs in other.addresses
        if ours.version == theirs.version
    )


def _of_pair(theirs: _Member, ours: _Member) -> Iterator[Finding]:
    """Yield conflicts of two hosts that share a vhid, at the place of the second."""
    vhid, there = ours.host.vhid, str(theirs)
    if ours.host.passphrase != theirs.host.passphrase:
        hint = "hosts hear only those with the same password"
        yield _warning(ours.path, ours.place, f"vhid {vhid} has another password than in {there}", hint)
    yield from _of_addresses(theirs, ours)
    if ours.host.advbase != theirs.host.advbase:
        text = f"vhid {vhid} has advbase {ours.host.advbase}, and {theirs.host.advbase} in {there}"
        hint = "a smaller advbase wins whatever advskew says; give all hosts of a vhid the same"
        yield _warning(ours.path, ours.place, text, hint)
    elif ours.claim == theirs.claim:
        text = f"vhid {vhid} has the same advskew {ours.host.advskew} as in {there}, so that nobody is preferred"
        yield _warning(ours.path, ours.place, text, "give the backup a larger one than the preferred host")
    for preferred, backup in ((theirs, ours), (ours, theirs)):
        yield from _of_demotion(preferred, backup)
        yield from _of_checks(preferred, backup)


def _of_addresses(theirs: _Member, ours: _Member) -> Iterator[Finding]:
    here, there = ({each.ip for each in member.host.addresses} for member in (ours, theirs))
    if here == there:
        return
    parts = [
        f"only {where}: {', '.join(map(str, sorted(each, key=lambda ip: (ip.version, int(ip)))))}"
        for where, each in (("here", here - there), ("there", there - here))
        if each
    ]
    text = f"vhid {ours.host.vhid} shares other addresses than in {theirs}; {'; '.join(parts)}"
    hint = "the addresses are signed: hosts hear only those with the same"
    yield _warning(ours.path, ours.place, text, hint)


def _of_demotion(preferred: _Member, backup: _Member) -> Iterator[Finding]:
    """Warn where a demoted MASTER would still be better than its backup, or where the backup never preempts."""
    dialect = backup.host.dialect
    if dialect.compare(backup.claim, preferred.claim) is not Verdict.WEAKER:
        return
    demoted = preferred.host.dialect.claim(preferred.host.advbase, preferred.host.advskew, _MOST_DEMOTED)
    if dialect.compare(backup.claim, demoted) is not Verdict.STRONGER:
        text = (
            f"a demotion of vhid {preferred.host.vhid} in {preferred} can never move the address here: even demoted, "
            f"it announces advbase {demoted.advbase} advskew {demoted.advskew}, which is not slower than this host"
        )
        yield _warning(backup.path, backup.place, text, "give this host the same advbase and an advskew below 240")
    elif _never_preempts(backup):
        text = f"a demotion of vhid {preferred.host.vhid} in {preferred} never moves the address here without preempt"
        counts_on_it = any("demotion" in name for member in (preferred, backup) for name, _ in member.config.sysctls)
        severity = Severity.WARNING if counts_on_it else Severity.NOTE
        yield Finding(severity, Problem(backup.path, *backup.place, text, "turn preempt on"))


def _never_preempts(member: _Member) -> bool:
    """Return whether a host waits for the end of a demoted MASTER, and its grammar has a word to change that."""
    said = dict(member.config.sysctls).get(f"{SYSCTL_PREFIX}preempt", 0)
    return member.says_preempt and not (member.host.dialect.preempts_demoted or member.host.preempt or said)


def _of_checks(preferred: _Member, backup: _Member) -> Iterator[Finding]:
    """Warn of checks that demote a host by an amount that leaves it better than its backup, or better than none."""
    dialect = backup.host.dialect
    if dialect.compare(backup.claim, preferred.claim) is not Verdict.WEAKER:
        return
    host = preferred.host
    for each in preferred.config.checks:
        by = each.item.by
        if by is None or each.host not in (None, host.key):
            continue
        demoted = host.dialect.claim(host.advbase, host.advskew, by)
        if dialect.compare(backup.claim, demoted) is not Verdict.STRONGER:
            text = (
                f"check {each.item.name} never moves the address of vhid {host.vhid}: demoted by {by} this host "
                f"announces advbase {demoted.advbase} advskew {demoted.advskew}, and {backup} advbase "
                f"{backup.claim.advbase} advskew {backup.claim.advskew}"
            )
            hint = "leave by out, so that this host is the last of all while the check fails"
            if backup.host.advbase == host.advbase:
                hint = f"demote by {backup.host.advskew - host.advskew + 1} or more, or {hint}"
            yield _warning(preferred.path, each.place, text, hint)
        elif _never_preempts(backup):
            text = f"check {each.item.name} never moves the address of vhid {host.vhid}: {backup} does not preempt"
            yield _warning(preferred.path, each.place, text, "leave by out, or turn preempt on there")


# Both


def _place(config: NodeConfig, host: HostConfig) -> tuple[int, int]:
    places = {HostKey(*key): place for key, place in config.places.items()}
    return places.get(host.key, (1, 1))


def _warning(path: str, place: tuple[int, int], text: str, hint: str) -> Finding:
    return Finding(Severity.WARNING, Problem(path, *place, text, hint))


def count(findings: Iterable[Finding], severity: Severity) -> int:
    """Return the number of findings of a severity."""
    return sum(each.severity is severity for each in findings)
