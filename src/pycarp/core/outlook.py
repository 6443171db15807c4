"""Predicts how a host can change its state, and when at the earliest: computed from a snapshot.

Each ``Outlook`` is one possible change. This module decides nothing: the states in ``core/host`` do, and tests compare
the two.
"""

from collections.abc import Iterator

import msgspec

from pycarp.core.restriction import Restriction
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import Reason, State
from pycarp.dialects.dialect import Claim, Verdict
from pycarp.vocabulary import NS_PER_S


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """A possible change of the state: the new state, the reason, the condition, and the time.

    ``at_ns`` is when the change happens if nothing else does, in the engine's clock; None for as soon as the condition
    holds.
    """

    state: State
    reason: Reason
    condition: str
    at_ns: int | None = None


def outlook(host: HostSnapshot) -> tuple[Outlook, ...]:
    """Return the possible changes of a host's state, the earliest first, those without a time last."""
    ways = {State.INIT: _from_init, State.BACKUP: _from_backup, State.MASTER: _from_master}[host.state](host)
    return tuple(sorted(ways, key=lambda way: (way.at_ns is None, way.at_ns or 0)))


def _from_init(host: HostSnapshot) -> Iterator[Outlook]:
    if host.last_change is not None and host.last_change.reason is Reason.NODE_FAILED:
        return
    missing = [
        words
        for words, is_there in (
            (f"{host.config.interface} is up", host.link_is_up),
            ("the administrator sets the host up", host.admin_is_up),
        )
        if not is_there
    ]
    condition = " and ".join(missing) or "the addresses are dropped"
    yield Outlook(state=State.BACKUP, reason=Reason.READY, condition=condition)


def _from_backup(host: HostSnapshot) -> Iterator[Outlook]:
    if host.restriction is Restriction.BACKUP_ONLY:
        condition = (
            f"nothing restricts it to backup ({_causes(host, Restriction.BACKUP_ONLY)}) and no master advertises"
        )
        yield Outlook(state=State.MASTER, reason=Reason.MASTER_SILENT, condition=condition)
        return
    for family, at_ns in host.master_down_at_ns.items():
        condition = f"no advertisement over IPv{family.value} until then"
        yield Outlook(state=State.MASTER, reason=Reason.MASTER_SILENT, condition=condition, at_ns=at_ns)
    condition = "the master bows out" + (" and no other host takes over" if host.goes_last else "")
    yield Outlook(state=State.MASTER, reason=Reason.MASTER_LEFT, condition=condition)
    if host.goes_last:
        return
    if host.config.dialect.preempts_demoted:
        condition = f"the master advertises a demotion above {host.claim.demote}"
        yield Outlook(state=State.MASTER, reason=Reason.MASTER_DEMOTED, condition=condition)
    if host.wants_preempt:
        restrained = _causes(host, Restriction.NO_PREEMPT)
        condition = f"nothing keeps it from preempting ({restrained}) and " if restrained else ""
        condition += f"the only master advertises less often than every {_every(host.claim)}"
        yield Outlook(state=State.MASTER, reason=Reason.PREEMPTING, condition=condition)
    tolerated = f"{host.config.tolerated_ns / NS_PER_S:.3f} s"
    condition = f"the master advertises less often than every {tolerated}"
    yield Outlook(state=State.MASTER, reason=Reason.MASTER_TOO_SLOW, condition=condition)


def _from_master(host: HostSnapshot) -> Iterator[Outlook]:
    condition = f"another host advertises more often than every {_every(host.claim)}"
    yield Outlook(state=State.BACKUP, reason=Reason.BETTER_MASTER, condition=condition)
    rivals = [peer for peer in host.peers if not peer.has_left]
    compare = host.config.dialect.compare
    if any(compare(host.claim, peer.claim) is Verdict.TIE for peer in rivals):
        condition = "the peer with an equal claim advertises, and the tie is not ours"
        yield Outlook(state=State.BACKUP, reason=Reason.TIE_LOST, condition=condition)


def _causes(host: HostSnapshot, kind: Restriction) -> str:
    return ", ".join(cause for cause, restriction in host.restrictions if restriction is kind)


def _every(claim: Claim) -> str:
    return f"{claim.interval_ns / NS_PER_S:.3f} s"
