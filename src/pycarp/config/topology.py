"""Several configurations as the machines of a plan: who they are, which segments they share, their own addresses.

Nothing of the machine that reads them matters. Interfaces of different machines that carry a common vhid are one
segment, whatever they are called. Own addresses are those that a file speaks of, else they are invented.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network, IPv6Interface, ip_interface, ip_network
from itertools import islice
from pathlib import PurePath

import msgspec
from msgspec import structs

from pycarp.config import grammars
from pycarp.config.grammars import Grammar
from pycarp.config.hostname_if import PREFIX
from pycarp.config.model import NodeConfig
from pycarp.config.problems import ConfigProblems
from pycarp.core.host_config import HostConfig
from pycarp.core.settings import Settings
from pycarp.dialects import Dialect
from pycarp.errors import ConfigError
from pycarp.placement.isolation import Isolation
from pycarp.placement.policy import FailbackPolicy
from pycarp.placement.share import SyncGroupConfig
from pycarp.sim.faults.fault_plan import Member
from pycarp.vocabulary import Address, Family, HostKey, InterfaceAddress, LinkFacts, family_of

COPY_STEP = 100
"""By how much each copy of a machine has a greater advskew than the one before."""

_HALVES = ("0.0.0.1/1", "128.0.0.1/1", "::1/1", "8000::1/1")
_ANYWHERE = LinkFacts(name="net0", is_up=True, addresses=tuple(map(ip_interface, _HALVES)))
"""Stands for the interface that a file takes for granted: every address is in one of its subnets."""

_PREFIXES = {Family.IPV4: 24, Family.IPV6: 64}
"""Of the subnet around a shared address that comes without one."""

_SYSCTLS = "net.inet.carp."
_CANDIDATES = 4096

_Where = tuple[int, str]
"""An interface: of which machine, and its name there."""


class ConfigFile(msgspec.Struct, frozen=True):
    """A file, and what is in it."""

    path: str
    text: str


class Topology(msgspec.Struct, frozen=True):
    """The machines, and in words what was passed over."""

    members: tuple[Member, ...]
    notes: tuple[str, ...]


def read_topology(
    files: Sequence[ConfigFile],
    *,
    grammar: Grammar | None = None,
    dialect: Dialect | None = None,
    copies: int = 1,
    sysctls: Mapping[str, int] | None = None,
) -> Topology:
    """Return the machines that files configure, one each, ``copies`` times; ``sysctls`` hold for all, by full name.

    OpenBSD's hostname.carp0, hostname.carp1 of one folder are one machine. Raises ConfigProblems with what is wrong in
    a file, and ConfigError when there is only one machine, or copies cannot be made.
    """
    configs = [_read(file, grammar, dialect) for file in files]
    notes = tuple(note for config in configs for note in config.notes)
    machines = _machines(files, configs)
    machines = [copied for machine in machines for copied in _copies(machine, copies)]
    if len(machines) < 2:
        raise ConfigError(
            f"{files[0].path} is one machine, and a second one is needed: "
            "give the files of the others as well, or --copies 2"
        )
    machines = _on_segments(machines)
    names = _unique([machine.name for machine in machines])
    owns = _own_addresses(machines)
    settings = [_settings(machine, sysctls or {}) for machine in machines]
    members = tuple(
        Member(
            name=name,
            hosts=machine.hosts,
            own=own,
            settings=each,
            failbacks=dict(machine.failbacks),
            groups=machine.groups,
            isolations=machine.isolations,
        )
        for name, machine, own, each in zip(names, machines, owns, settings, strict=True)
    )
    return Topology(members, notes)


class _Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One machine before segments and addresses are settled; ``config`` is where its switches stand."""

    name: str
    hosts: tuple[HostConfig, ...]
    own: Mapping[str, tuple[InterfaceAddress, ...]]
    config: NodeConfig
    failbacks: Mapping[HostKey, FailbackPolicy]
    groups: tuple[SyncGroupConfig, ...]
    isolations: tuple[Isolation, ...]


# Files to machines


def _read(file: ConfigFile, grammar: Grammar | None, dialect: Dialect | None) -> NodeConfig:
    """Read a file as it stands; if it takes an interface for granted that it does not configure, invent one."""
    which = grammar or grammars.recognise(file.path, file.text)
    try:
        return grammars.read(file.text, which, file=file.path, dialect=dialect)
    except ConfigProblems as first:
        try:
            config = grammars.read(file.text, which, file=file.path, dialect=dialect, links=(_ANYWHERE,))
        except ConfigProblems as second:
            raise min(first, second, key=lambda each: len(each.problems)) from None
        return replace(config, hosts=tuple(_narrowed(host) for host in config.hosts))


def _narrowed(host: HostConfig) -> HostConfig:
    """Give addresses that took their prefix from the invented interface a usual one."""
    shared = [_in_usual_subnet(each.ip) if each.network.prefixlen == 1 else each for each in host.addresses]
    return replace(host, addresses=tuple(shared))


def _in_usual_subnet(ip: Address) -> InterfaceAddress:
    return ip_interface(f"{ip}/{_PREFIXES[family_of(ip)]}")


def _machines(files: Sequence[ConfigFile], configs: Sequence[NodeConfig]) -> list[_Machine]:
    machines: list[_Machine] = []
    folders: dict[str, int] = {}
    for file, config in zip(files, configs, strict=True):
        path = PurePath(file.path)
        machine = _Machine(
            name=_name(path, config),
            hosts=config.hosts,
            own=config.own,
            config=config,
            failbacks=_failbacks(config),
            groups=tuple(each.item for each in config.sync_groups),
            isolations=tuple(_isolations(config)),
        )
        at = folders.get(str(path.parent)) if path.name.startswith(PREFIX) else None
        if at is not None and not _keys(machines[at].hosts) & _keys(config.hosts):
            machines[at] = structs.replace(machines[at], hosts=machines[at].hosts + config.hosts)
            continue
        if path.name.startswith(PREFIX):
            folders[str(path.parent)] = len(machines)
        machines.append(machine)
    return machines


def _failbacks(config: NodeConfig) -> dict[HostKey, FailbackPolicy]:
    """Return the policy of each host: its own one, or that of every host."""
    of_all = {each.host: each.item for each in config.failbacks}
    policies = {host.key: of_all.get(host.key, of_all.get(None)) for host in config.hosts}
    return {key: policy for key, policy in policies.items() if policy is not None}


def _isolations(config: NodeConfig) -> Iterator[Isolation]:
    """Yield the checks of witnesses that let go; those of every host ask on the link of the first one."""
    for each in config.checks:
        if each.item.release and "witness" in each.table and config.hosts:
            yield Isolation(
                name=each.item.name,
                host=each.host,
                link=config.hosts[0].interface if each.host is None else each.host.link,
                every_s=each.item.every_s,
                timeout_s=each.item.timeout_s,
                rise=each.item.rise,
                fall=each.item.fall,
            )


def _keys(hosts: Iterable[HostConfig]) -> set[HostKey]:
    return {host.key for host in hosts}


def _name(path: PurePath, config: NodeConfig) -> str:
    """Return the hostname without its domain, else what the file is called, else its folder."""
    if config.hostname:
        return config.hostname.partition(".")[0]
    if path.name.startswith(PREFIX) or path.name in ("rc.conf", "pycarp.toml"):
        return path.parent.name or path.name
    return path.name.partition(".")[0] or path.name


def _unique(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        numbered = (f"{name}-{number}" for number in range(2, len(names) + 2))
        found.append(name if name not in found else next(each for each in numbered if each not in found))
    return found


def _copies(machine: _Machine, copies: int) -> Iterator[_Machine]:
    yield machine
    for number in range(1, copies):
        hosts = tuple(_less_preferred(host, number) for host in machine.hosts)
        yield structs.replace(machine, hosts=hosts, own=dict.fromkeys(machine.own, ()))


def _less_preferred(host: HostConfig, number: int) -> HostConfig:
    advskew, most = host.advskew + number * COPY_STEP, host.dialect.limits.advskew_max
    if advskew > most:
        raise ConfigError(
            f"copy {number + 1} of {host.name} would have advskew {advskew}, which is above {most}; "
            f"--copies {number} is the most"
        )
    return replace(host, advskew=advskew)


def _settings(machine: _Machine, sysctls: Mapping[str, int]) -> Settings:
    said = {**dict(machine.config.sysctls), **sysctls}
    values = {name.removeprefix(_SYSCTLS): value for name, value in said.items()}
    limit = machine.config.external_change_limit
    return Settings(
        allow=bool(values.get("allow", True)),
        preempt=bool(values.get("preempt", False)),
        senderr_demotion_factor=values.get("senderr_demotion_factor"),
        ifdown_demotion_factor=values.get("ifdown_demotion_factor"),
        external_change_limit=Settings().external_change_limit if limit is None else limit,
    )


# Segments


def _on_segments(machines: Sequence[_Machine]) -> list[_Machine]:
    """Give interfaces that share a segment one name, and every segment a name of its own."""
    segments = _segments(machines)
    names = _segment_names(segments)
    called = {where: name for segment, name in zip(segments, names, strict=True) for where in segment}
    return [
        structs.replace(
            machine,
            hosts=tuple(_on(host, called[number, host.interface]) for host in machine.hosts),
            own={called[number, link]: own for link, own in machine.own.items() if (number, link) in called},
            failbacks={_key_on(key, called[number, key.link]): each for key, each in machine.failbacks.items()},
            groups=tuple(
                structs.replace(group, hosts=tuple(_key_on(key, called[number, key.link]) for key in group.hosts))
                for group in machine.groups
            ),
            isolations=tuple(
                structs.replace(
                    each,
                    link=called[number, each.link],
                    host=None if each.host is None else _key_on(each.host, called[number, each.host.link]),
                )
                for each in machine.isolations
            ),
        )
        for number, machine in enumerate(machines)
    ]


def _on(host: HostConfig, link: str) -> HostConfig:
    name = "" if host.name == str(host.key) else host.name
    return replace(host, interface=link, name=name)


def _key_on(key: HostKey, link: str) -> HostKey:
    return HostKey(link, key.vhid)


def _segments(machines: Sequence[_Machine]) -> list[list[_Where]]:
    """Return interfaces by segment: what has a vhid in common is one, unless a machine were in it twice."""
    segments: list[list[_Where]] = []
    for number, machine in enumerate(machines):
        for link in dict.fromkeys(host.interface for host in machine.hosts):
            joined = [(number, link)]
            for segment in sorted(segments, key=partial(_likeness, machines, joined), reverse=True):
                if _likeness(machines, segment, joined)[0] and _are_disjoint(segment, joined):
                    segments.remove(segment)
                    joined = segment + joined
            segments.append(joined)
    return segments


def _are_disjoint(segment: Sequence[_Where], other: Sequence[_Where]) -> bool:
    return not {number for number, _link in segment} & {number for number, _link in other}


def _likeness(machines: Sequence[_Machine], segment: Sequence[_Where], other: Sequence[_Where]) -> tuple[int, int]:
    """Return how many vhids two sets of interfaces have in common, and how many subnets."""
    ours, theirs = _hosts_on(machines, other), _hosts_on(machines, segment)
    vhids = {host.vhid for host in ours} & {host.vhid for host in theirs}
    subnets = _subnets(ours) & _subnets(theirs)
    return len(vhids), len(subnets)


def _hosts_on(machines: Sequence[_Machine], segment: Iterable[_Where]) -> list[HostConfig]:
    return [host for number, link in segment for host in machines[number].hosts if host.interface == link]


def _subnets(hosts: Iterable[HostConfig]) -> set[str]:
    return {str(_in_usual_subnet(each.ip).network) for host in hosts for each in host.addresses}


def _segment_names(segments: Sequence[Sequence[_Where]]) -> list[str]:
    names: list[str] = []
    for segment in segments:
        usual = segment[0][1]
        numbered = (f"{usual[:11]}.{number}" for number in range(2, len(segments) + 2))
        names.append(usual if usual not in names else next(each for each in numbered if each not in names))
    return names


# Own addresses


def _own_addresses(machines: Sequence[_Machine]) -> list[dict[str, tuple[InterfaceAddress, ...]]]:
    """Return each machine's own addresses by segment; those that no file says are invented, and all are distinct."""
    taken = {each.ip for machine in machines for owns in machine.own.values() for each in owns}
    taken |= {each.ip for machine in machines for host in machine.hosts for each in host.addresses}
    found: list[dict[str, tuple[InterfaceAddress, ...]]] = []
    for number, machine in enumerate(machines):
        own: dict[str, tuple[InterfaceAddress, ...]] = {}
        for link in dict.fromkeys(host.interface for host in machine.hosts):
            hosts = [host for host in machine.hosts if host.interface == link]
            said = machine.own.get(link, ())
            invented = _invented(machines, number, hosts, said, taken)
            own[link] = (*said, *invented)
            taken |= {each.ip for each in own[link]}
        found.append(own)
    return found


def _invented(
    machines: Sequence[_Machine],
    number: int,
    hosts: Sequence[HostConfig],
    said: Sequence[InterfaceAddress],
    taken: set[Address],
) -> list[InterfaceAddress]:
    invented: list[InterfaceAddress] = []
    for family in sorted({family for host in hosts for family in host.families}):
        if any(family_of(each) is family for each in said):
            continue
        as_peer = _as_others_call(machines, number, hosts, family, taken)
        if as_peer is not None:
            invented.append(_in_usual_subnet(as_peer))
        elif family is Family.IPV4:
            shared = next(each for host in hosts for each in host.addresses if each.version == 4)
            invented.append(_free(shared, taken))
        if family is Family.IPV6:
            invented.append(IPv6Interface(f"fe80::{number + 1:x}/64"))
    return invented


def _as_others_call(
    machines: Sequence[_Machine], number: int, hosts: Sequence[HostConfig], family: Family, taken: set[Address]
) -> Address | None:
    """Return the address to which other machines send what is meant for this one, if they have unicast peers."""
    keys, mine = _keys(hosts), {peer for host in hosts for peer in host.peers}
    for other, machine in enumerate(machines):
        for host in machine.hosts:
            if other != number and host.key in keys:
                for peer in host.peers:
                    if family_of(peer) is family and peer not in taken and peer not in mine:
                        return peer
    return None


def _free(shared: InterfaceAddress, taken: set[Address]) -> InterfaceAddress:
    """Return an address beside a shared one, of whose subnet nobody has it."""
    network = shared.network
    if network.num_addresses < 4 or network.prefixlen == 0:
        network = ip_network(f"{shared.ip}/{_PREFIXES[family_of(shared)]}", strict=False)
    assert isinstance(network, IPv4Network)
    for ip in islice(network.hosts(), _CANDIDATES):
        if ip not in taken:
            return ip_interface(f"{ip}/{network.prefixlen}")
    raise ConfigError(f"{network} has no address left for a machine of its own; give the files own addresses")
