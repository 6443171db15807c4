"""``pycarp lab``: three hosts with real packets, in network namespaces."""

import contextlib
import json
import signal
import sys
import time

import click
from rich.console import Console

from pycarp.cli import EXIT_FAILED
from pycarp.cli.options import EXIT_NOT_WELL, exit_status
from pycarp.errors import CarpError
from pycarp.lab import lab_report
from pycarp.lab.exclusive import alone, made_folder, remove_folders
from pycarp.lab.lab_network import Segment, check_requirements
from pycarp.lab.machines import CLIENT, HOSTS, SITE, Machines, segment
from pycarp.lab.stalls import StallWatch
from pycarp.lab.trial import Trial

_PIPE_WIDTH = 160


@click.command(
    epilog="""\b
Examples:
  sudo pycarp lab               play the trial, half a minute
  sudo pycarp lab --json        the same, one JSON object at the end
  sudo pycarp lab --keep        set everything up and leave it running until Ctrl-C
  sudo pycarp lab --clean       remove what a killed run left behind"""
    + exit_status("1 is that something expected did not happen, 3 that this machine stalled too long to tell.")
)
@click.option("--keep", is_flag=True, help="Leave the machines running and tell how to enter them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@click.option("--clean", is_flag=True, help="Remove the namespaces of an earlier run, and what runs in them.")
def lab(*, keep: bool, as_json: bool, clean: bool) -> None:
    """Make one of three hosts fail for real: namespaces, packets, web servers, and a client that never stops asking.

    Needs root, Linux, iproute2 and dnsmasq. Everything is removed again at the end, also after Ctrl-C.
    """
    check_requirements("dnsmasq")
    _clean_up_when_terminated()
    where = segment()
    with alone(), StallWatch() as stalls:
        if clean:
            removed = [*where.remove(), *remove_folders()]
            click.echo(f"removed: {', '.join(removed) or 'nothing, nothing was left'}")
            return
        try:
            with where, made_folder() as folder, Machines(where, folder) as machines:
                status = _keep(where, machines) if keep else _play(where, machines, stalls, as_json=as_json)
        except KeyboardInterrupt:
            click.echo("\ninterrupted; everything has been removed", err=True)
            status = EXIT_FAILED
        except CarpError as exc:
            if not keep and stalls.longest_s():
                click.echo(f"pycarp: inconclusive: {exc}\npycarp: {_stalled(stalls)}", err=True)
                sys.exit(EXIT_NOT_WELL)
            raise
    sys.exit(status)


def _clean_up_when_terminated() -> None:
    """Clean up on SIGTERM and when the terminal closes, as on Ctrl-C; nohup keeps its meaning."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: sys.exit(1))


def _stalled(stalls: StallWatch) -> str:
    return f"this machine stalled for up to {stalls.longest_s() * 1000:.0f} ms; run the lab again when it is less busy"


def _play(where: Segment, machines: Machines, stalls: StallWatch, *, as_json: bool) -> int:
    """Run the trial and print the result; return the exit status."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    began_s = time.time()

    def tell(line: str) -> None:
        click.echo(f"{time.time() - began_s:8.3f} s  {line}", err=as_json)

    result = Trial(where, machines, tell, stalls.longest_s).play()
    if as_json:
        click.echo(json.dumps(lab_report.as_json(result), indent=2))
    else:
        lab_report.show(console, result, {host: machines.log(host).read_text() for host in HOSTS})
    failed = [each for each in result.expectations if not each.is_met]
    if any(each.is_inconclusive for each in failed):
        click.echo(f"pycarp: inconclusive: {_stalled(stalls)}", err=True)
    if all(each.is_inconclusive for each in failed):
        return EXIT_NOT_WELL if failed else 0
    return EXIT_FAILED


def _keep(where: Segment, machines: Machines) -> int:
    Trial(where, machines, click.echo, lambda _since_s: 0).reach_usual_states()
    # From now on, Ctrl-C is the intended end.
    with contextlib.suppress(KeyboardInterrupt):
        _describe(where, machines)
        signal.pause()
    click.echo("\nremoving everything")
    return 0


def _describe(where: Segment, machines: Machines) -> None:
    """Print how to enter the machines."""
    click.echo("\nEverything runs. Ctrl-C removes it. In another terminal, as root:\n")
    for host in HOSTS:
        click.echo(f"  ip netns exec {where.namespace(host)} bash")
        click.echo(f"      pycarp status --control {machines.control(host)}    (log: {machines.log(host)})")
    switch = where.namespace("switch")
    click.echo(f"  ip netns exec {where.namespace(CLIENT)} curl http://{SITE}/")
    click.echo(f"  ip -n {switch} link set hosta down          pull hosta's cable; up puts it back")
    click.echo(f"  ip netns exec {switch} tcpdump -n -T carp -i br0\n")
