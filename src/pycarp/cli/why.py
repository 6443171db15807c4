"""``pycarp why``: why a host is what it is, and what would have to happen for another state."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from pycarp.cli.daemons import one_for
from pycarp.cli.host_words import in_effect, interval_s
from pycarp.cli.options import control_option, exit_status
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import HostStatus, OutlookStatus, Peer, WhyReply, WhyRequest


@click.command(
    epilog="""\b
Examples:
  pycarp why web
  pycarp why web --json | jq '.outlook[0]'

\b
Of an earlier time: pycarp events, and pycarp replay FILE --why with a file of the flight recorder."""
    + exit_status("1 is that no daemon answers, 2 that there is no such host.")
)
@click.argument("host")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@control_option
def why(*, host: str, as_json: bool, control: Path) -> None:
    """Explain HOST: its state, what it claims and why, what it heard, and what can happen next."""
    reply = request(one_for(control, host), WhyRequest(host), WhyReply)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(reply), indent=2))
        return
    for line in _lines(reply):
        click.echo(line)


def _lines(reply: WhyReply) -> Iterator[str]:
    host, change = reply.host, reply.host.last_change
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
    for number, each in enumerate(reply.outlook):
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
