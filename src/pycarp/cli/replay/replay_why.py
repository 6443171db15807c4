"""Explains a host at an instant of a recording: its state, who was MASTER, and what would have come next."""

from collections.abc import Iterable
from typing import Any

import click

from pycarp.aio.log_records import explain
from pycarp.cli.replay.output import Clock, print_objects
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import State
from pycarp.errors import CarpError, UsageError
from pycarp.recording import Played, Replay
from pycarp.recording.lines import Head
from pycarp.vocabulary import NS_PER_S


def show_why(
    name: str, replay: Replay, head: Head, steps: Iterable[Played], at_ns: int | None, *, as_json: bool
) -> None:
    """Play the steps, then explain the host; at ``at_ns``, None for the time of the last step.

    Raises UsageError if there is no such host then, CarpError if an earlier step differs.
    """
    last_ns = head.at
    for played in steps:
        last_ns = played.at_ns
        if played.difference is not None:
            what = f"line {played.difference.line}: {played.difference.what}"
            raise CarpError(f"the replay differs from what was recorded before that, at {what}")
    clock = Clock(head)
    at_ns = last_ns if at_ns is None else at_ns
    host = replay.host(name)
    if host is None:
        there = ", ".join(sorted(each.config.name for each in replay.snapshot().hosts)) or "none"
        raise UsageError(f"no host {name!r} at {clock.seconds(at_ns)} s; there are: {there}")
    if as_json:
        print_objects([_object(host, clock, at_ns)])
    else:
        for line in why(host, clock, at_ns):
            click.echo(line)


def why(host: HostSnapshot, clock: Clock, at_ns: int) -> list[str]:
    """Return the explanation of a host, in lines."""
    name = host.config.name if host.config.name == str(host.key) else f"{host.config.name} ({host.key})"
    lines = [f"{name} at {clock.seconds(at_ns)} s, {clock.of_day(at_ns)}: {host.state}"]
    change = host.last_change
    if change is not None:
        for_s = (at_ns - change.at_ns) / NS_PER_S
        lines.append(f"  since {clock.seconds(change.at_ns)} s, for {for_s:.3f} s: {explain(change)}")
    lines.append(f"  MASTER: {_master(host)}")
    if host.peer is not None:
        claim = host.peer.claim
        values = f"advbase {claim.advbase} advskew {claim.advskew}" + (
            f" demote {claim.demote}" if claim.demote else ""
        )
        lines.append(f"  heard last: {host.peer.source} at {clock.seconds(host.peer.at_ns)} s, {values}")
    lines.append(f"  next: {_next(host, clock, at_ns)}")
    lines += [f"  demoted by {amount}: {cause}" for cause, amount in host.demotion]
    lines += [f"  restricted to {restriction}: {cause}" for cause, restriction in host.restrictions]
    return lines


def _master(host: HostSnapshot) -> str:
    if host.state is State.MASTER:
        return "this host"
    if host.state is State.INIT:
        return "unknown: a host in INIT does not listen"
    return str(host.peer.source) if host.peer else "unknown: nobody was heard"


def _next(host: HostSnapshot, clock: Clock, at_ns: int) -> str:
    if host.deadline_ns is None:
        return _waiting(host)
    when = f"at {clock.seconds(host.deadline_ns)} s, in {(host.deadline_ns - at_ns) / NS_PER_S:.3f} s"
    if host.state is State.MASTER:
        return f"advertises {when}"
    return f"takes over {when}, unless a MASTER is heard"


def _waiting(host: HostSnapshot) -> str:
    if not host.admin_is_up:
        return "nothing until the administrator sets it up"
    if not host.link_is_up:
        return "nothing until the link is up"
    if host.state is State.BACKUP:
        return "nothing while it is restricted to backup"
    return "becomes BACKUP when its addresses are reported to be dropped"


def _object(host: HostSnapshot, clock: Clock, at_ns: int) -> dict[str, Any]:
    change = host.last_change
    return {
        "host": host.config.name,
        "vhid": host.key.vhid,
        "interface": host.key.link,
        "s": clock.since_ns(at_ns) / NS_PER_S,
        "time": clock.local(at_ns).isoformat(timespec="microseconds"),
        "state": host.state.value,
        "since_s": clock.since_ns(change.at_ns) / NS_PER_S if change else None,
        "explanation": explain(change) if change else None,
        "master": "self" if host.state is State.MASTER else _heard(host) if host.state is State.BACKUP else None,
        "next": _next(host, clock, at_ns),
        "deadline_s": None if host.deadline_ns is None else clock.since_ns(host.deadline_ns) / NS_PER_S,
        "demotion": [{"cause": cause, "amount": amount} for cause, amount in host.demotion],
        "restrictions": [{"cause": cause, "restriction": each.value} for cause, each in host.restrictions],
    }


def _heard(host: HostSnapshot) -> str | None:
    return str(host.peer.source) if host.peer else None
