"""``pycarp drain``, ``undrain``, ``demote``, ``restore``, ``failback``: take hosts out of service, and back."""

from pathlib import Path

import click
import msgspec

from pycarp.aio.virtual_host import DRAIN_TIMEOUT_S
from pycarp.cli.daemons import one_for
from pycarp.cli.options import Duration, control_option, exit_status
from pycarp.core.engine import FULL_DEMOTION
from pycarp.daemon.control_client import TIMEOUT_S, request
from pycarp.daemon.control_messages import (
    DemoteRequest,
    DoneReply,
    DrainedHost,
    DrainReply,
    DrainRequest,
    FailbackRequest,
    RestoreRequest,
    UndrainRequest,
)
from pycarp.daemon.maintenance_bounds import check_demotion
from pycarp.errors import UsageError

ANSWERS_S = 2.0
"""Seconds that the daemon may ask the segment who answers for the addresses."""

_MOST_S = 365 * 24 * 3600

_all_option = click.option("--all", "is_all", is_flag=True, help="Every host of the daemon, and those to come.")
_for_option = click.option(
    "--for",
    "for_s",
    type=Duration(most_s=_MOST_S),
    metavar="TIME",
    help="End it by itself after so long, such as 30m or 2h.",
)
_host_argument = click.argument("host", required=False, metavar="[HOST]")


@click.command(
    epilog="""\b
Examples:
  pycarp drain web                           the next host takes over; this one stays the last of all
  pycarp drain --all --reason "new kernel"   the whole machine, with what status and log say of it
  pycarp drain --all --persist               also after a reboot, until pycarp undrain --all
  pycarp drain web --for 2h                  by itself back after two hours
  pycarp drain web --json                    one JSON object, for scripts

\b
It returns when the next host is MASTER, and says whether that one answers for the addresses.
It is refused when nobody takes over; with --force the host goes on serving until another one comes.
A drained host takes the addresses only when no other host is there. A restart of the daemon keeps
the drain, a reboot with --persist."""
    + exit_status("1 is that nobody took over or no daemon answers, 2 that there is no such host.")
)
@_host_argument
@_all_option
@click.option("--reason", default="", metavar="TEXT", help="What status and log say of it.")
@_for_option
@click.option("--persist", is_flag=True, help="Survive a reboot of the machine.")
@click.option("--force", is_flag=True, help="Drain also when nobody takes over.")
@click.option(
    "--timeout",
    "timeout_s",
    type=Duration(most_s=60),
    default=f"{DRAIN_TIMEOUT_S:g}s",
    show_default=True,
    metavar="TIME",
    help="How long the next host is waited for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@control_option
def drain(
    *,
    host: str | None,
    is_all: bool,
    reason: str,
    for_s: float | None,
    persist: bool,
    force: bool,
    timeout_s: float,
    as_json: bool,
    control: Path,
) -> None:
    """Leave the addresses of HOST to other hosts, and stay the last of all."""
    _one_or_all(host, is_all=is_all)
    message = DrainRequest(
        host=host,
        reason=" ".join(reason.split()),
        for_s=for_s,
        survives_reboot=persist,
        is_forced=force,
        timeout_s=timeout_s,
    )
    reply = request(one_for(control, host), message, DrainReply, timeout_s=TIMEOUT_S + timeout_s + ANSWERS_S)
    if as_json:
        click.echo(msgspec.json.encode(reply).decode())
        return
    for each in reply.hosts:
        click.echo(f"{each.host}: drained; {fate_of(each, reply.took_s)}")
    _warn(reply.warning)


def fate_of(host: DrainedHost, took_s: float) -> str:
    """Return what became of the addresses of a host that was drained."""
    if not host.was_master:
        return f"it was not MASTER; {host.master} is" if host.master else "it was not MASTER"
    if host.master is None:
        return "nobody took over: it serves until another host comes"
    answers = {True: "and answers", False: "BUT NOBODY ANSWERS for the addresses", None: ""}[host.answers]
    return f"{host.master} is MASTER after {took_s * 1000:.1f} ms {answers}".rstrip()


@click.command(
    epilog="""\b
Examples:
  pycarp undrain web
  pycarp undrain --all"""
    + exit_status("2 is that nothing was drained.")
)
@_host_argument
@_all_option
@control_option
def undrain(*, host: str | None, is_all: bool, control: Path) -> None:
    """Take HOST back into service: with preempt it takes its addresses back, else it is ready to."""
    _one_or_all(host, is_all=is_all)
    reply = request(one_for(control, host), UndrainRequest(host), DoneReply)
    click.echo(f"{host or 'every host'}: the drain has ended")
    _warn(reply.warning)


@click.command(
    epilog="""\b
Examples:
  pycarp demote web --by 100 --cause "backup runs" --for 1h
  pycarp demote web --last --cause "disk is full"
  pycarp demote --all --by 20 --cause slow

\b
The amount is added to the advskew that is advertised; the address moves only if that makes this host
slower than one that preempts. --last moves it to any host that is there."""
    + exit_status("2 is that there is no such host.")
)
@_host_argument
@_all_option
@click.option("--by", type=int, metavar="N", help=f"The amount, 1-{FULL_DEMOTION}.")
@click.option("--last", is_flag=True, help="Be the last of all instead.")
@click.option("--cause", required=True, metavar="TEXT", help="Why; the same cause again replaces its amount.")
@_for_option
@control_option
def demote(
    *, host: str | None, is_all: bool, by: int | None, last: bool, cause: str, for_s: float | None, control: Path
) -> None:
    """Demote HOST for a named cause; asking again for the same cause changes its amount."""
    _one_or_all(host, is_all=is_all)
    if (by is None) is not last:
        raise UsageError("say by how much: either --by N or --last")
    if by is not None:
        check_demotion(by)
    reply = request(one_for(control, host), DemoteRequest(host=host, cause=cause, by=by, for_s=for_s), DoneReply)
    click.echo(f"{host or 'every host'}: {'the last of all' if by is None else f'demoted by {by}'}: {cause}")
    _warn(reply.warning)


@click.command(
    epilog="""\b
Examples:
  pycarp restore web --cause "backup runs"
  pycarp restore --all --cause slow"""
    + exit_status()
)
@_host_argument
@_all_option
@click.option("--cause", required=True, metavar="TEXT", help="What pycarp demote was told; pycarp status shows it.")
@control_option
def restore(*, host: str | None, is_all: bool, cause: str, control: Path) -> None:
    """End a demotion of HOST that pycarp demote began; warn if there is none."""
    _one_or_all(host, is_all=is_all)
    reply = request(one_for(control, host), RestoreRequest(host=host, cause=cause), DoneReply)
    if not reply.warning:
        click.echo(f"{host or 'every host'}: not demoted any more: {cause}")
    _warn(reply.warning)


@click.command(
    epilog="""\b
Examples:
  pycarp failback web

\b
For a host that preempts and whose failback policy holds it back: manual, at night only, after a delay,
or because it failed. The policy is in force again once the host is MASTER."""
    + exit_status("2 is that the host has no failback policy.")
)
@click.argument("host")
@control_option
def failback(*, host: str, control: Path) -> None:
    """Let HOST take its addresses back now, whatever its failback policy says."""
    request(one_for(control, host), FailbackRequest(host), DoneReply)
    click.echo(f"{host}: its failback policy does not hold it back any more")


def _one_or_all(host: str | None, *, is_all: bool) -> None:
    if (host is None) is not is_all:
        raise UsageError("name one HOST, or say --all")


def _warn(warning: str) -> None:
    if warning:
        click.echo(f"pycarp: warning: {warning}", err=True)
