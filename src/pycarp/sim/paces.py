"""A cast at another pace: the same machines with another advbase."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pycarp.core.host_config import HostConfig
from pycarp.sim.story import Member
from pycarp.vocabulary import HostKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """An advbase in whole seconds; with 0 the advskews are multiples of ``step``, in the order of eagerness."""

    advbase: int
    step: int = 0

    def __str__(self) -> str:
        return f"{self.advbase}" if self.advbase else f"0, advskew {self.step}, {2 * self.step} ..."


PACES = (
    Pace(advbase=0, step=10),
    Pace(advbase=0, step=25),
    Pace(advbase=0, step=60),
    *(Pace(advbase=each) for each in (1, 2, 3, 5, 10)),
)
"""From the fastest to the slowest."""


def at_pace(members: Sequence[Member], pace: Pace) -> tuple[Member, ...]:
    """Return the machines at a pace; ConfigError where a dialect does not allow it."""
    ranks = _ranks(members)
    return tuple(
        replace(member, hosts=tuple(_at_pace(host, pace, ranks[member.name, host.key]) for host in member.hosts))
        for member in members
    )


def _at_pace(host: HostConfig, pace: Pace, rank: int) -> HostConfig:
    if pace.advbase:
        return replace(host, advbase=pace.advbase)
    return replace(host, advbase=0, advskew=pace.step * (rank + 1))


def _ranks(members: Sequence[Member]) -> dict[tuple[str, HostKey], int]:
    """Return the place of each host among those of its key, the most eager first."""
    ranks: dict[tuple[str, HostKey], int] = {}
    for key in {host.key for member in members for host in member.hosts}:
        ours = [
            (host.advbase, host.advskew, member.name) for member in members for host in member.hosts if host.key == key
        ]
        for rank, (_advbase, _advskew, name) in enumerate(sorted(ours)):
            ranks[name, key] = rank
    return ranks
