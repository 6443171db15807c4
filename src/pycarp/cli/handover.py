"""``pycarp handover``: leave the addresses of a MASTER to the next host, for planned work."""

from pathlib import Path

import click
import msgspec

from pycarp.aio.virtual_host import HAND_OVER_TIMEOUT_S
from pycarp.cli.daemons import one_for
from pycarp.cli.options import control_option, exit_status
from pycarp.daemon.control_client import TIMEOUT_S, request
from pycarp.daemon.control_messages import HandoverReply, HandoverRequest


@click.command(
    epilog="""\b
Examples:
  pycarp handover carp0                 leave the addresses to the next host, now
  pycarp handover carp0 --timeout 2     with ucarp on the segment, which takes up to a second
  pycarp handover carp0 --back          the work is done: with preempt, take them back
  pycarp handover 1@eth0 --json         by vhid and interface; one JSON object, for scripts

\b
The addresses are dropped first, then a bow-out lets the next host take over: a few milliseconds.
This host stays demoted, so that it takes nothing back by itself, until --back or a restart.
When nobody is heard to be MASTER in time, it takes the addresses back."""
    + exit_status(
        "1 is that nobody took over or no daemon answers, 2 that this host is not MASTER, or handed nothing over."
    )
)
@click.argument("host")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.05, 60),
    default=HAND_OVER_TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long the next host is waited for.",
)
@click.option("--back", is_flag=True, help="Take the demotion of an earlier hand-over back.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@control_option
def handover(*, host: str, timeout_s: float, back: bool, as_json: bool, control: Path) -> None:
    """Leave the addresses of HOST, which is MASTER here, to the next host."""
    message = HandoverRequest(host=host, timeout_s=timeout_s, is_back=back)
    reply = request(one_for(control, host), message, HandoverReply, timeout_s=TIMEOUT_S + timeout_s)
    if as_json:
        click.echo(msgspec.json.encode(reply).decode())
    elif back:
        click.echo(f"{reply.host}: demoted by the hand-over no longer")
    else:
        click.echo(f"{reply.host}: {reply.master} is MASTER after {reply.took_s * 1000:.1f} ms")
