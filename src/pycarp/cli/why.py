"""``pycarp why``: why a host is what it is, and what would have to happen for another state."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import click
import msgspec

from pycarp.cli.daemons import one_for
from pycarp.cli.host_words import in_effect, interval_s
from pycarp.cli.options import control_option, exit_status
from pycarp.cli.past_time import FORM, parse_past_time
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import HostStatus, OutlookStatus, Peer, WhyReply, WhyRequest
from pycarp.errors import UsageError


@click.command(
    epilog="""\b
Examples:
  pycarp why web
  pycarp why web --last                    its last transition: what led to it
  pycarp why web --at 02:14:07             what it was then, and why
  pycarp why web --at "5m ago"
  pycarp why web --at 2026-01-02T02:14:07 --json
  pycarp why web --json | jq '.outlook[0]'

\b
The daemon knows every step of the last two minutes, and in files of its flight recorder the minutes
before transitions that nobody asked for; of earlier times it knows the events. A whole recording, of
pycarp run --record: pycarp replay FILE --why web --at TIME."""
    + exit_status("1 is that no daemon answers, 2 that there is no such host, or nothing is known of that time.")
)
@click.argument("host")
@click.option("--at", "at", metavar="TIME", help=f"Explain an earlier time: {FORM}.")
@click.option("--last", is_flag=True, help="Explain the last transition.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@control_option
def why(*, host: str, at: str | None, last: bool, as_json: bool, control: Path) -> None:
    """Explain HOST: its state, what it claims and why, what it heard, and what can happen next."""
    if at is not None and last:
        raise UsageError("--at and --last exclude each other")
    when = None if at is None else parse_past_time(at, datetime.now().astimezone())
    path = one_for(control, host)
    reply = request(path, WhyRequest(host), WhyReply)
    if when is None and not last:
        _show(reply, _lines(reply.host, reply.outlook), as_json=as_json)
        return
    # Imported here, because of the engine in it: it takes a tenth of a second.
    from pycarp.cli.past_why import last_transition_at, lines_of, past_why  # noqa: PLC0415

    past = past_why(path, reply.host, last_transition_at(path, reply.host) if when is None else when)
    if past.host is not None:
        about = list(_lines(past.host, past.outlook or []))
    else:
        about = [f"{reply.host.name} ({reply.host.vhid}@{reply.host.interface}) is {past.state}"]
    _show(past, lines_of(past, about), as_json=as_json)


def _show(reply: msgspec.Struct, lines: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(reply), indent=2))
        return
    for line in lines:
        click.echo(line)


def _lines(host: HostStatus, outlook: Iterable[OutlookStatus]) -> Iterator[str]:
    change = host.last_change
    since = "" if change is None else f" for {change.s_ago:.1f} s: {change.explanation}"
    yield f"{host.name} ({host.vhid}@{host.interface}) is {host.state}{since}"
    yield ""
    yield f"It claims:  {_claim(host)}"
    for line in _reasons(host):
        yield f"            {line}"
    heard = host.heard or []
    for number, peer in enumerate(heard):
        yield f"{'It heard:   ' if number == 0 else ' ' * 12}{_peer(peer)}"
    if not heard:
        yield "It heard:   no other host"
    for number, alarm in enumerate(host.alarms):
        command = f"; next: {alarm.command}" if alarm.command else ""
        yield f"{'Alarm:      ' if number == 0 else ' ' * 12}{alarm.name}: {alarm.text}{command}"
    for number, each in enumerate(outlook):
        yield f"{'Next:       ' if number == 0 else ' ' * 12}{_outlook(each)}"


def _claim(host: HostStatus) -> str:
    every_s = interval_s(host.effective_advbase, host.effective_advskew)
    own = f"every {every_s:.3f} s (advbase {host.effective_advbase} advskew {host.effective_advskew})"
    if (host.advbase, host.advskew) == (host.effective_advbase, host.effective_advskew):
        return own
    return f"{own} instead of advbase {host.advbase} advskew {host.advskew}, because it is demoted"


def _reasons(host: HostStatus) -> Iterator[str]:
    for cause in host.demotion:
        ends = "" if cause.ends_in_s is None else f", for another {cause.ends_in_s:.0f} s"
        yield f"demoted by {cause.amount}: {cause.cause}{ends}"
    for restriction in in_effect(host):
        ends = "" if restriction.ends_in_s is None else f", for another {restriction.ends_in_s:.0f} s"
        yield f"restricted to {restriction.to}: {restriction.cause}{ends}"
    for check in host.checks:
        if not check.passes:
            yield f"check {check.name} fails: {check.detail or 'it has not passed yet'}"
    if host.missing:
        yield f"without {', '.join(host.missing)}, which it should have"
    if host.address_error:
        yield host.address_error


def _peer(peer: Peer) -> str:
    every = f"every {interval_s(peer.advbase, peer.advskew):.3f} s (advbase {peer.advbase} advskew {peer.advskew})"
    return f"{peer.source}, {peer.heard_s_ago:.3f} s ago, which claims {every}: {peer.decision}"


def _outlook(each: OutlookStatus) -> str:
    when = "as soon as" if each.in_s is None else f"in {max(each.in_s, 0):.3f} s if"
    return f"{each.state} {when} {each.condition} ({each.reason})"
