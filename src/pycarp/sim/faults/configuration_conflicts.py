"""Finds configuration conflicts between machines by comparing their settings; nothing is simulated."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import combinations

import msgspec

from pycarp.core.host_config import HostConfig
from pycarp.dialects.compatibility import incompatibilities
from pycarp.sim import bounds
from pycarp.sim.faults.experiments import keys_of
from pycarp.sim.faults.fault_plan import Member
from pycarp.vocabulary import NS_PER_S, HostKey


class ConfigurationConflict(StrEnum):
    """The kinds of conflict; with those up to DIALECT hosts never hear each other."""

    PASSWORD = "password"  # noqa: S105  the word, no password
    ADDRESSES = "addresses"
    WAY = "way"
    DIALECT = "dialect"
    TOO_SLOW = "too slow"
    EQUAL_CLAIM = "equal claim"
    ALONE = "alone"
    PREFERENCES = "preferences"
    GROUPS = "groups"


DEAFNESS = frozenset(
    {
        ConfigurationConflict.PASSWORD,
        ConfigurationConflict.ADDRESSES,
        ConfigurationConflict.WAY,
        ConfigurationConflict.DIALECT,
    }
)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One conflict; ``words`` name machines and values, never a password."""

    conflict: ConfigurationConflict
    key: HostKey
    machines: tuple[str, ...]
    words: str

    @property
    def is_deafness(self) -> bool:
        """True if the machines never hear each other, so that both become MASTER."""
        return self.conflict in DEAFNESS


def configuration_conflicts(members: Sequence[Member]) -> tuple[Finding, ...]:
    """Return all conflicts; first those with which hosts never hear each other."""
    found = [finding for key in keys_of(members) for finding in _of_host(key, members)]
    found += _of_groups(members)
    return tuple(sorted(found, key=lambda each: not each.is_deafness))


def _of_host(key: HostKey, members: Sequence[Member]) -> Iterator[Finding]:
    ours = [(member.name, host) for member in members for host in member.hosts if host.key == key]
    if len(ours) == 1:
        name = ours[0][0]
        words = f"vhid {key.vhid} is on {name} alone: nobody takes over from it"
        yield Finding(conflict=ConfigurationConflict.ALONE, key=key, machines=(name,), words=words)
    for (a, host_a), (b, host_b) in combinations(ours, 2):
        for conflict, words in _between(a, host_a, b, host_b):
            yield Finding(conflict=conflict, key=key, machines=(a, b), words=f"vhid {key.vhid} of {a} and {b}: {words}")


def _of_groups(members: Sequence[Member]) -> Iterator[Finding]:
    """Yield what keeps machines from agreeing on the place of a sync group."""
    for hosts in dict.fromkeys(group.hosts for member in members for group in member.groups):
        name = next(group.name for member in members for group in member.groups if group.hosts == hosts)
        vhids = ", ".join(str(key.vhid) for key in hosts)
        without = [
            member.name
            for member in members
            if any(host.key in hosts for host in member.hosts) and hosts not in [group.hosts for group in member.groups]
        ]
        if without:
            words = (
                f"vhids {vhids} are the group {name}, but not on {' and '.join(without)}; write the same group there"
            )
            yield Finding(conflict=ConfigurationConflict.GROUPS, key=hosts[0], machines=tuple(without), words=words)
        preferred = {key.vhid: _preferred(key, members) for key in hosts}
        if len(set(preferred.values())) > 1:
            who = ", ".join(f"{machine} for vhid {vhid}" for vhid, machine in preferred.items())
            words = f"the group {name} prefers {who}; give the hosts of one machine the same advbase and advskew"
            machines = tuple(dict.fromkeys(preferred.values()))
            yield Finding(conflict=ConfigurationConflict.PREFERENCES, key=hosts[0], machines=machines, words=words)


def _preferred(key: HostKey, members: Sequence[Member]) -> str:
    ours = [(host.advbase, host.advskew, member.name) for member in members for host in member.hosts if host.key == key]
    return min(ours)[2]


def _between(a: str, host_a: HostConfig, b: str, host_b: HostConfig) -> Iterator[tuple[ConfigurationConflict, str]]:
    if host_a.passphrase != host_b.passphrase:
        yield (
            ConfigurationConflict.PASSWORD,
            "the passwords differ; they never hear each other, and both will be MASTER",
        )
    yield from _addresses(a, host_a, b, host_b)
    groups = {host.group_of(family) for host in (host_a, host_b) for family in host.families}
    if len(groups) > len({family for host in (host_a, host_b) for family in host.families}):
        yield ConfigurationConflict.WAY, "the multicast groups differ; they never hear each other"
    for family in host_a.families:
        if host_a.has_peers_in(family) is not host_b.has_peers_in(family):
            uses, uses_not = (a, b) if host_a.has_peers_in(family) else (b, a)
            yield ConfigurationConflict.WAY, f"{uses} sends to peers and {uses_not} to a group"
    ips = [each.ip for each in host_a.addresses]
    for words in incompatibilities(host_a.dialect, host_b.dialect, ips):
        yield ConfigurationConflict.DIALECT, words
    yield from _intervals(a, host_a, b, host_b)


def _addresses(a: str, host_a: HostConfig, b: str, host_b: HostConfig) -> Iterator[tuple[ConfigurationConflict, str]]:
    ours, theirs = ({each.ip for each in host.addresses} for host in (host_a, host_b))
    if ours == theirs:
        return
    only = [
        f"{', '.join(map(str, sorted(ips, key=lambda ip: (ip.version, ip.packed))))} only on {name}"
        for name, ips in ((a, ours - theirs), (b, theirs - ours))
        if ips
    ]
    yield (
        ConfigurationConflict.ADDRESSES,
        f"the addresses differ ({', '.join(only)}); they are signed, so they never hear each other",
    )


def _intervals(a: str, host_a: HostConfig, b: str, host_b: HostConfig) -> Iterator[tuple[ConfigurationConflict, str]]:
    interval_a, interval_b = (host.advbase * 256 + host.advskew for host in (host_a, host_b))
    if interval_a == interval_b:
        words = f"both have advbase {host_a.advbase} and advskew {host_a.advskew}, so chance decides who is MASTER"
        yield ConfigurationConflict.EQUAL_CLAIM, f"{words}; raise the advskew of one"
    for slow, slow_host, quick, quick_host in ((a, host_a, b, host_b), (b, host_b, a, host_a)):
        interval_ns = slow_host.dialect.claim(slow_host.advbase, slow_host.advskew, 0).interval_ns
        timeout_ns = bounds.master_down_ns(quick_host)
        if interval_ns > timeout_ns:
            intervals = (
                f"{slow} advertises every {interval_ns / NS_PER_S:.3f} s, {quick} waits {timeout_ns / NS_PER_S:.3f} s"
            )
            yield (
                ConfigurationConflict.TOO_SLOW,
                f"{intervals} and takes over from a MASTER that lives; bring their advbase together",
            )
