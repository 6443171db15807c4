"""``pycarp events``: prints what happened to the hosts of a daemon, and follows what happens."""

import contextlib
import json
from pathlib import Path
from typing import Any

import click
import msgspec

from pycarp.cli.daemons import one_for
from pycarp.cli.options import control_option, exit_status
from pycarp.cli.stream_reading import event_text, replies
from pycarp.daemon.control_messages import EventRecord, EventsRequest


@click.command(
    epilog="""\b
Examples:
  pycarp events                          what is kept: the last 4000 transitions, and 4000 others
  pycarp events --last 20                the last twenty of them
  pycarp events web --follow             as it happens, until Ctrl-C
  pycarp events --json | jq -r 'select(.about.state == "MASTER") | "\\(.at) \\(.text)"'
  pycarp events --since 1723 --json      what came after that number

\b
Each event has a number, which grows; with --since a script reads on where it was. A daemon that was
started again begins with 1. A number that is missing was of an event that is kept no longer."""
    + exit_status("1 is that no daemon answers, or that it ended while it was followed.")
)
@click.argument("host", required=False, metavar="[HOST]")
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens from now on.")
@click.option("--since", type=click.IntRange(min=0), metavar="SEQ", help="Begin after this number.")
@click.option("--last", "-n", type=click.IntRange(min=0), metavar="N", help="Begin with the last N that are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for scripts.")
@control_option
def events(
    *, host: str | None, follow: bool, since: int | None, last: int | None, as_json: bool, control: Path
) -> None:
    """Print what happened: transitions, decisions, demotions, checks, hooks and conflicts, each with its cause."""
    message = EventsRequest(host=host, after=since or 0, follow=follow, last=last)
    with contextlib.suppress(KeyboardInterrupt):
        for each in replies(one_for(control, host), message, is_endless=follow):
            if isinstance(each, EventRecord):
                click.echo(_json(each) if as_json else f"{each.seq:>5}  {event_text(each)}")


def _json(event: EventRecord) -> str:
    found: dict[str, Any] = msgspec.to_builtins(event)
    del found["type"]
    return json.dumps(found, ensure_ascii=False)
