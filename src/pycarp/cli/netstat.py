"""``pycarp netstat``: the counters of packets, and why packets were dropped."""

from pathlib import Path

import click
import msgspec

from pycarp.cli.daemons import ask_all, merged
from pycarp.cli.options import control_option, exit_status
from pycarp.core.statistics import DropReason, Statistic
from pycarp.daemon.control_messages import LinkStatus, StatusReply
from pycarp.errors import UsageError

_LINES = {
    Statistic.RECEIVED_IPV4: "\t{} packet(s) received (IPv4)",
    Statistic.RECEIVED_IPV6: "\t{} packet(s) received (IPv6)",
    Statistic.BAD_INTERFACE: "\t\t{} discarded for bad interface",
    Statistic.BAD_TTL: "\t\t{} discarded for wrong TTL",
    Statistic.HEADER_DROPS: "\t\t{} shorter than header",
    Statistic.BAD_CHECKSUM: "\t\t{} discarded for bad checksum",
    Statistic.BAD_VERSION: "\t\t{} discarded for bad version",
    Statistic.BAD_LENGTH: "\t\t{} discarded because packet too short",
    Statistic.BAD_AUTHENTICATION: "\t\t{} discarded for bad authentication",
    Statistic.UNKNOWN_VHID: "\t\t{} discarded for bad vhid",
    Statistic.BAD_ADDRESS_LIST: "\t\t{} discarded because of a bad address list",
    Statistic.SENT_IPV4: "\t{} packet(s) sent (IPv4)",
    Statistic.SENT_IPV6: "\t{} packet(s) sent (IPv6)",
    Statistic.SEND_FAILED: "\t\t{} send(s) failed",
    Statistic.STATES_SENT: "\t{} state update(s) sent",
    Statistic.PREEMPTED: "\t{} transition(s) to MASTER",
}


@click.command(
    epilog="""\b
Examples:
  pycarp netstat                  the counters of the node
  pycarp netstat -s -p carp       the same in the words of FreeBSD
  pycarp netstat -I fxp0          those of one interface
  pycarp netstat -I carp0         those of the interface that carp0 is on
  pycarp netstat --json | jq .counters.badauth

\b
Bad vhid is no error: it grows wherever other groups share the segment. What is discarded
for a bad address list is among what is discarded for bad authentication."""
    + exit_status()
)
@click.option("-I", "--interface", metavar="NAME", help="Count on this interface only, or on that of this host.")
@click.option("-s", "is_statistics", is_flag=True, help="Show the counters, as without it: for FreeBSD's netstat -s.")
@click.option("-p", "protocol", type=click.Choice(["carp"]), help="The protocol: only carp is counted here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@control_option
def netstat(  # is_statistics and protocol are accepted for FreeBSD's syntax; the command always behaves so
    *,
    interface: str | None,
    is_statistics: bool,
    protocol: str | None,
    as_json: bool,
    control: Path,
) -> None:
    """Show the counters of a running daemon as netstat -s -p carp does, and why packets were dropped."""
    counted = _chosen(merged(ask_all(control).daemons), interface)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(counted), indent=2))
    else:
        click.echo(render(counted))


def render(counted: LinkStatus) -> str:
    """Return the counters as lines, and below them the reasons for which packets were dropped."""
    lines = ["carp:"] + [line.format(counted.counters.get(name.value, 0)) for name, line in _LINES.items()]
    if counted.drops:
        lines.append("dropped:")
        lines += [f"\t{count} {_words(name)}" for name, count in counted.drops.items()]
    if counted.floods:
        lines.append(f"flooded {counted.floods} time(s); during a flood only samples are counted")
    return "\n".join(lines)


def _words(name: str) -> str:
    """Return a reason in words, or its name if only the daemon knows it: it may be of a later version."""
    known = {reason.name.lower().replace("_", "-"): reason.words for reason in DropReason}
    return known.get(name, name)


def _chosen(reply: StatusReply, interface: str | None) -> LinkStatus:
    if interface is None:
        drops: dict[str, int] = {}
        for link in reply.links.values():
            for name, count in link.drops.items():
                drops[name] = drops.get(name, 0) + count
        return LinkStatus(reply.counters, drops, sum(link.floods for link in reply.links.values()))
    if interface not in reply.links:
        of_host = next((host.interface for host in reply.hosts if host.name == interface), interface)
        interface = reply.renames.get(of_host, of_host)
    if interface not in reply.links:
        known = ", ".join(reply.links) or "none yet"
        raise UsageError(f"nothing was counted on interface {interface!r}; there are: {known}")
    return reply.links[interface]
