"""``pycarp release``: removes what a dead daemon left on this machine."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from pycarp.cli.options import exit_status, state_option
from pycarp.daemon.dead_sockets import remove_dead_sockets
from pycarp.errors import ActuatorError
from pycarp.system.recovery import state_folder
from pycarp.system.recovery.dead_daemons import Report, clean


@click.command(
    epilog="""\b
Examples:
  pycarp release                  after kill -9, a crash, or before uninstalling
  pycarp release --dry-run        what it would do
  pycarp release --json | jq '.released[].what'
  ip netns exec left pycarp release    what was left in another network namespace

\b
A daemon does the same when it starts. What running daemons have is named and left
alone, and so is whatever looks otherwise than it was noted in the state folder."""
    + exit_status("1 is that something could not be undone.")
)
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def release(*, state: Path, as_json: bool, dry_run: bool) -> None:
    """Remove the devices and addresses that a dead daemon left, and restore the sysctls that it had set."""
    report = asyncio.run(clean(state, is_rehearsal=dry_run))
    sockets = asyncio.run(_dead_sockets(state, is_rehearsal=dry_run))
    if not dry_run:
        with contextlib.suppress(OSError):
            state_folder.remove_locks(state)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(as_object(report, sockets)), indent=2))
    else:
        click.echo("\n".join(render(report, sockets, is_rehearsal=dry_run)))
    if report.failed:
        raise ActuatorError("\npycarp: ".join(str(each) for each in report.failed))


async def _dead_sockets(state: Path, *, is_rehearsal: bool) -> list[Path]:
    # A socket that stays does no harm: the next process of its interface and vhid replaces it.
    with contextlib.suppress(OSError):
        return await remove_dead_sockets(state, is_rehearsal=is_rehearsal)
    return []


def render(report: Report, sockets: Sequence[Path] = (), *, is_rehearsal: bool = False) -> list[str]:
    """Return a line for each removal and restoration that succeeded."""
    lines = [f"would {each.verb} {each.what}" if is_rehearsal else str(each) for each in report.undone]
    lines += [f"{'would remove' if is_rehearsal else 'removed'} control socket {each}" for each in sockets]
    lines += [str(each) for each in report.spared]
    if not lines and not report.failed:
        lines.append("nothing to release")
    return lines + [str(each) for each in report.held]


def as_object(report: Report, sockets: Sequence[Path] = ()) -> dict[str, object]:
    """Return the report for ``--json``."""
    undone = [{"verb": each.verb, "what": each.what} for each in report.undone]
    return {
        "released": [*undone, *({"verb": "remove", "what": f"control socket {each}"} for each in sockets)],
        "left_alone": [{"what": str(each.resource), "reason": each.reason} for each in report.spared],
        "failed": [{"what": str(each.what), "reason": each.reason} for each in report.failed],
        "held": [{"pid": each.pid, "what": [str(one) for one in each.resources]} for each in report.held],
    }
