"""Reads configurations that need not be for this machine."""

from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import click

from pycarp import dialects
from pycarp.config import ConfigProblems, NodeConfig, grammars
from pycarp.config.grammars import Grammar
from pycarp.core.host_config import HostConfig
from pycarp.errors import ConfigError
from pycarp.inspection.authenticity import SharedSecret
from pycarp.system.addresses.interfaces import own_interfaces
from pycarp.vocabulary import LinkFacts

config_option = click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration with which to verify: every vhid with its own password and addresses.",
)

ANY_INTERFACE = "any"
"""The interface of hosts whose file selects it by a subnet that this machine is not in."""

_EVERYWHERE = LinkFacts(name=ANY_INTERFACE, is_up=True, addresses=(IPv4Interface("0.0.0.1/0"), IPv6Interface("::1/0")))


def read_config(path: Path, *, grammar: str | None, renames: dict[str, str]) -> NodeConfig:
    """Return the configuration in a file; raises ConfigError with each problem on a line of its own."""
    text = grammars.load(path)
    chosen = Grammar(grammar) if grammar else grammars.recognise(str(path), text)
    try:
        config = read_as_it_stands(text, chosen, str(path), None, renames, own_interfaces())
    except ConfigProblems:
        config = grammars.read(text, chosen, file=str(path), renames=renames, links=[_EVERYWHERE])
    if not config.hosts:
        raise ConfigError(f"{path} has no virtual host")
    return config


def secrets_of(
    path: Path, interface: str | None, *, grammar: str | None, renames: dict[str, str]
) -> dict[int, list[SharedSecret]]:
    """Return the settings of each vhid, on one interface or on all; raises ConfigError if there are none."""
    hosts = read_config(path, grammar=grammar, renames=renames).hosts
    found: dict[int, list[SharedSecret]] = {}
    for host in hosts:
        if interface in (None, host.interface) or host.interface == ANY_INTERFACE:
            found.setdefault(host.vhid, []).append(shared_secret(host))
    if not found:
        there = ", ".join(sorted({host.interface for host in hosts}))
        raise ConfigError(f"{path} has no virtual host on {interface}, but on {there}; --map OLD=NEW renames one")
    return found


def shared_secret(host: HostConfig) -> SharedSecret:
    """Return the settings that the hosts of a vhid share."""
    addresses = tuple(each.ip for each in host.addresses)
    return SharedSecret(passphrase=host.passphrase, addresses=addresses, lladdr=host.lladdr)


def read_as_it_stands(
    text: str,
    grammar: Grammar,
    file: str,
    dialect: str | None,
    renames: dict[str, str],
    links: Sequence[LinkFacts],
) -> NodeConfig:
    """Read a file without this machine's interfaces, so that a missing one is only a warning; else with them."""
    wanted = dialects.by_name(dialect) if dialect else None
    try:
        return grammars.read(text, grammar, file=file, renames=renames, dialect=wanted)
    except ConfigProblems as first:
        if not links:
            raise
        try:
            return grammars.read(text, grammar, file=file, renames=renames, dialect=wanted, links=links)
        except ConfigProblems as second:
            raise min(first, second, key=lambda each: len(each.problems)) from None
