"""Gives the machines of a topology other advbases, to find the fastest one without false takeovers."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
from msgspec import structs

from pycarp.core.host_config import HostConfig
from pycarp.sim.faults.fault_plan import Member
from pycarp.vocabulary import HostKey


class AdvbaseVariant(msgspec.Struct, frozen=True, kw_only=True):
    """An advbase in whole seconds; with 0 the advskews are multiples of ``step``, in the order of preference."""

    advbase: int
    step: int = 0

    def __str__(self) -> str:
        return f"{self.advbase}" if self.advbase else f"0, advskew {self.step}, {2 * self.step} ..."


ADVBASES = (
    AdvbaseVariant(advbase=0, step=10),
    AdvbaseVariant(advbase=0, step=25),
    AdvbaseVariant(advbase=0, step=60),
    *(AdvbaseVariant(advbase=each) for each in (1, 2, 3, 5, 10)),
)
"""From the fastest to the slowest."""


def with_advbase(members: Sequence[Member], variant: AdvbaseVariant) -> tuple[Member, ...]:
    """Return the machines with another advbase; ConfigError if a dialect does not allow it."""
    ranks = _ranks(members)
    return tuple(
        structs.replace(
            member, hosts=tuple(_with_advbase(host, variant, ranks[member.name, host.key]) for host in member.hosts)
        )
        for member in members
    )


def _with_advbase(host: HostConfig, variant: AdvbaseVariant, rank: int) -> HostConfig:
    if variant.advbase:
        return replace(host, advbase=variant.advbase)
    return replace(host, advbase=0, advskew=variant.step * (rank + 1))


def _ranks(members: Sequence[Member]) -> dict[tuple[str, HostKey], int]:
    """Return the rank of each host among those of its key, 0 for the preferred one."""
    ranks: dict[tuple[str, HostKey], int] = {}
    for key in {host.key for member in members for host in member.hosts}:
        ours = [
            (host.advbase, host.advskew, member.name) for member in members for host in member.hosts if host.key == key
        ]
        for rank, (_advbase, _advskew, name) in enumerate(sorted(ours)):
            ranks[name, key] = rank
    return ranks
