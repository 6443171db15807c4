"""``pycarp scan``: lists every CARP and VRRP group of a segment, its MASTER, and its problems."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from pycarp.cli.config_options import format_option, map_option
from pycarp.cli.config_reading import config_option, secrets_of
from pycarp.cli.interface_argument import InterfaceName
from pycarp.cli.options import EXIT_NOT_WELL, Duration, exit_status
from pycarp.cli.scan_output import Scanned, as_json_text, print_for_people
from pycarp.errors import TransportError, UsageError
from pycarp.inspection.authenticity import SharedSecret
from pycarp.inspection.captured import CapturedPacket
from pycarp.inspection.scan import Scan
from pycarp.system.addresses.interfaces import interfaces, is_administratively_up
from pycarp.system.sniffer import Sniffer
from pycarp.transports.ip_sockets import membership
from pycarp.vocabulary import NS_PER_S, Address


@click.command(
    epilog="""\b
Examples:
  sudo pycarp scan eth0                     listen for ten seconds
  sudo pycarp scan eth0 --for 1m            also hear who advertises seldom
  sudo pycarp scan eth0 --config /etc/pycarp.toml         verify the hosts of a configuration
  sudo pycarp scan eth0 --json | jq '.groups[] | "\\(.name) \\(.masters)"'
  sudo pycarp scan eth0 --json | jq '.free[0].ids[0]'     an id for a new vhid

\b
It sends nothing, but IGMP and MLD reports with --join: without, switches that snoop may keep
IPv6 advertisements away. It needs no password; only with --config can it say whether
advertisements of CARP are authentic, and what differs if not. Ctrl-C ends it early. Who advertises less often than it
listens is not heard, and a BACKUP never is."""
    + exit_status("1 is that it cannot listen, 3 is problems, which are listed.")
)
@click.argument("interface", type=InterfaceName(), metavar="IFACE")
@click.option(
    "--for",
    "for_s",
    type=Duration(most_s=7 * 24 * 3600),
    default="10s",
    show_default=True,
    metavar="TIME",
    help="How long to listen.",
)
@click.option("--join", "joins", is_flag=True, help="Join the groups, so that switches that snoop forward them.")
@config_option
@format_option
@map_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
def scan(
    interface: str,
    *,
    for_s: float,
    joins: bool,
    config_file: Path | None,
    grammar: str | None,
    renames: dict[str, str],
    as_json: bool,
) -> None:
    """Listen on IFACE, and report every CARP and VRRP group that advertises there.

    Each with its MASTER and what it claims, how regularly it is heard, two masters, ids that CARP and VRRP share,
    ids that are free, and traffic that looks forged.
    """
    if config_file is None and (grammar is not None or renames):
        raise UsageError("--format and --map are about the file of --config")
    secrets = secrets_of(config_file, interface, grammar=grammar, renames=renames) if config_file else None
    if not is_administratively_up(interface):
        raise TransportError(f"cannot listen on {interface}: it is down; ip link set {interface} up")
    with membership(interface) if joins else contextlib.nullcontext():
        found = listen(interface, for_s, secrets)
    if as_json:
        click.echo(as_json_text(found))
    else:
        print_for_people(found)
    if not found.is_well:
        sys.exit(EXIT_NOT_WELL)


def listen(interface: str, for_s: float, secrets: Mapping[int, Sequence[SharedSecret]] | None = None) -> Scanned:
    """Listen for so long, or until Ctrl-C, and return what was found; raises TransportError."""
    collected = Scan(secrets=secrets)
    with Sniffer(interface) as sniffer:
        begun_ns = time.time_ns()
        begun_s = time.monotonic()
        try:
            for packet in _packets(sniffer, for_s):
                collected.add(packet)
        except KeyboardInterrupt:
            pass  # the user ends it early
        listened_s = time.monotonic() - begun_s
        lost = sniffer.lost()
    report = collected.report(begun_ns + round(listened_s * NS_PER_S))
    return Scanned(interface=interface, listened_s=listened_s, lost=lost, report=report, own=_own_addresses(interface))


def _packets(sniffer: Sniffer, for_s: float) -> Iterator[CapturedPacket]:
    for frame in sniffer.frames(for_s=for_s):
        yield CapturedPacket(frame.at_ns, sniffer.link_type, frame.octets, len(frame.octets))


def _own_addresses(interface: str) -> frozenset[Address]:
    return frozenset(each.ip for facts in interfaces() if facts.name == interface for each in facts.addresses)
