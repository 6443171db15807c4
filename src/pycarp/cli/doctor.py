"""``pycarp doctor``: finds what keeps virtual hosts from working on this machine and network, and what mends it."""

import json
import sys
from collections.abc import Sequence
from ipaddress import ip_address, ip_interface
from pathlib import Path

import click
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from pycarp.cli.config_options import format_option, map_option
from pycarp.cli.config_reading import ANY_INTERFACE, read_config, shared_secret
from pycarp.cli.daemons import ask_all
from pycarp.cli.interface_argument import InterfaceName
from pycarp.cli.options import EXIT_NOT_WELL, Duration, control_option, exit_status
from pycarp.config import NodeConfig
from pycarp.core.state import State
from pycarp.doctor.examination import Examination
from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.subject import ExaminedHost, Subject, subjects_of
from pycarp.errors import ControlError, UsageError
from pycarp.inspection.authenticity import SharedSecret
from pycarp.system.addresses.interfaces import is_administratively_up, own_interfaces, why_unfit
from pycarp.transports.udp import DEFAULT_PORT as UDP_PORT
from pycarp.vocabulary import InterfaceAddress, MacMode
from pycarp.wire.ethernet import is_virtual_mac

_AT_IP_LAYER, _IN_UDP = "raw", "udp"
_STYLES = {Severity.PROBLEM: "red", Severity.WARNING: "yellow", Severity.ADVICE: "cyan"}
_ORDER = tuple(Severity)


@click.command(
    epilog="""\b
Examples:
  sudo pycarp doctor                        the hosts that run here, or every interface
  sudo pycarp doctor /etc/pycarp.toml       those of a configuration, before it is started
  sudo pycarp doctor -i eth0 --for 10s
  sudo pycarp doctor --json | jq -r '.findings[] | "\\(.severity) \\(.text): \\(.command)"'

\b
It changes nothing. It sends ARP probes and neighbour solicitations, from no address of its
own and once from a foreign MAC address; if it knows no neighbour, for the 254 addresses of
the subnet that are nearest. --offline sends nothing, and hears nothing.
With a configuration it also says who advertises with another password or address list."""
    + exit_status("3 is problems or warnings; advice alone is 0.")
)
@click.argument("file", required=False, type=click.Path(path_type=Path, readable=False), metavar="[FILE]")
@click.option(
    "-i",
    "--interface",
    "names",
    multiple=True,
    type=InterfaceName(),
    metavar="IFACE",
    help="Only this; may be repeated.",
)
@click.option(
    "--for",
    "for_s",
    type=Duration(most_s=3600),
    default="3s",
    show_default=True,
    metavar="TIME",
    help="How long to listen.",
)
@click.option("--offline", is_flag=True, help="Send nothing and listen to nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@format_option
@map_option
@control_option
def doctor(
    *,
    file: Path | None,
    names: tuple[str, ...],
    for_s: float,
    offline: bool,
    as_json: bool,
    grammar: str | None,
    renames: dict[str, str],
    control: Path,
) -> None:
    """Find what of this machine and its network keeps virtual hosts from working, and say what mends it.

    The hosts are those of FILE, or those of the daemons that run here.
    """
    if file is None and (grammar is not None or renames):
        raise UsageError("--format and --map are about FILE")
    config = read_config(file, grammar=grammar, renames=renames) if file else None
    subjects = _subjects(config, names, control)
    examination = Examination(
        subjects=subjects,
        listen_s=0 if offline else for_s,
        secrets=_secrets(config) if config else {},
        is_at_ip_layer=config is not None and config.transport == _AT_IP_LAYER,
        udp_port=UDP_PORT if config is not None and config.transport == _IN_UDP else 0,
        file=str(file or ""),
    )
    # Two examinations may have the same finding.
    found = sorted(dict.fromkeys(examination.findings()), key=lambda each: _ORDER.index(each.severity))
    if as_json:
        click.echo(_json(subjects, found))
    else:
        _print(subjects, found)
    if any(each.severity is not Severity.ADVICE for each in found):
        sys.exit(EXIT_NOT_WELL)


def _subjects(config: NodeConfig | None, names: tuple[str, ...], control: Path) -> tuple[Subject, ...]:
    own = _own_addresses()
    running = _running(control)
    hosts = [_as_running(ExaminedHost.of(each), running) for each in config.hosts] if config else running
    if any(each.interface == ANY_INTERFACE for each in hosts):
        raise UsageError("the hosts of the file are in the subnet of no interface here; --map OLD=NEW names one")
    if names:
        hosts = [each for each in hosts if each.interface in names]
    found = subjects_of(hosts, names, own)
    usable = [name for name, its in own.items() if its and is_administratively_up(name) and not why_unfit(name)]
    return found or subjects_of((), usable, own)


def _as_running(host: ExaminedHost, running: Sequence[ExaminedHost]) -> ExaminedHost:
    """Return a host of a file with what the daemon says that runs it here, if one does."""
    for each in running:
        if (each.interface, each.vhid) == (host.interface, host.vhid):
            return replace(host, state=each.state, alarms=each.alarms)
    return host


def _own_addresses() -> dict[str, tuple[InterfaceAddress, ...]]:
    """Return the addresses of every interface that is not a device of a host, including those with a label."""
    found: dict[str, tuple[InterfaceAddress, ...]] = {}
    for facts in own_interfaces():
        if not is_virtual_mac(facts.mac):
            name = facts.name.partition(":")[0]
            found[name] = (*found.get(name, ()), *facts.addresses)
    return found


def _running(control: Path) -> list[ExaminedHost]:
    """Return the hosts of the daemons that run here, none if no daemon answers."""
    try:
        answers = ask_all(control)
    except ControlError:
        return []
    return [
        ExaminedHost(
            name=each.name,
            interface=each.interface,
            vhid=each.vhid,
            addresses=tuple(map(ip_interface, each.addresses)),
            has_device=each.mac_mode != MacMode.INTERFACE,
            peers=tuple(map(ip_address, each.peers)),
            advbase=each.advbase,
            state=State(each.state),
            alarms=tuple(each.alarms),
        )
        for daemon in answers.daemons
        for each in daemon.reply.hosts
    ]


def _secrets(config: NodeConfig) -> dict[str, dict[int, list[SharedSecret]]]:
    found: dict[str, dict[int, list[SharedSecret]]] = {}
    for host in config.hosts:
        found.setdefault(host.interface, {}).setdefault(host.vhid, []).append(shared_secret(host))
    return found


def _print(subjects: Sequence[Subject], found: Sequence[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for each in found:
        severity = (f"{each.severity.value}: ", _STYLES[each.severity])
        console.print(Text.assemble(severity, f"{each.subject}: {each.words}"))
        console.print(Text(f"    because {each.reason}"))
        if each.command:
            console.print(Text.assemble("    mend it: ", (each.command, "bold")))
    examined = ", ".join(each.interface for each in subjects) or "no interface"
    hosts = sum(len(each.hosts) for each in subjects)
    console.print(Text(f"{examined}, {_number(hosts, 'virtual host')} examined: {_summary(found)}"))


def _summary(found: Sequence[Finding]) -> str:
    numbers = {severity: sum(each.severity is severity for each in found) for severity in Severity}
    words = [
        _number(numbers[Severity.PROBLEM], "problem"),
        _number(numbers[Severity.WARNING], "warning"),
        f"{numbers[Severity.ADVICE] or 'no'} advice",
    ]
    return ", ".join(words)


def _number(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'s' * (number != 1)}"


def _json(subjects: Sequence[Subject], found: Sequence[Finding]) -> str:
    return json.dumps(
        {
            "type": "doctor",
            "interfaces": [each.interface for each in subjects],
            "hosts": [
                {"name": host.name, "interface": each.interface, "vhid": host.vhid}
                for each in subjects
                for host in each.hosts
            ],
            "findings": [
                {
                    "kind": each.kind,
                    "severity": each.severity.value,
                    "subject": each.subject,
                    "text": each.words,
                    "reason": each.reason,
                    "command": each.command or None,
                }
                for each in found
            ],
        },
        indent=2,
    )
