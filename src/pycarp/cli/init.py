"""``pycarp init``: a first configuration for every host of a set, from a few questions and a look at the network."""

import json
import os
import shlex
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from pycarp.cli.confirmation import can_ask
from pycarp.cli.network_survey import HIGHEST_ID, Machine, Segment, look_at_machine, look_at_segment, refuse_own
from pycarp.cli.options import Duration, exit_status
from pycarp.cli.refusals import file_error
from pycarp.cli.scan_output import ranges_of
from pycarp.config.proposal import (
    CONFIGURATION,
    Proposal,
    check_hosts,
    password,
    with_prefix,
)
from pycarp.errors import ConfigError, UsageError
from pycarp.system.files.new_files import NewFile, write_all
from pycarp.vocabulary import Address

_PRIVATE, _PUBLIC = 0o600, 0o644
_FOLDER = Path(CONFIGURATION).parent
_MAKE_PASSWORD = "(umask 077; head -c 12 /dev/urandom | base64 > {})"  # noqa: S105  (a command that makes one)


@click.command(
    epilog="""\b
Examples:
  pycarp init                                             asks what it needs to know
  pycarp init --address 192.0.2.10/24 --hosts a,b         takes what it proposes for the rest
  pycarp init --address 192.0.2.10 --address 2001:db8::10/64 --hosts a,b --output pair
  pycarp init --address 192.0.2.10/24 --unicast a=192.0.2.1,b=192.0.2.2
  pycarp init --address 192.0.2.10/24 --hosts a,b --interface a=eth0 --interface b=ens3 --vhid 7
  pycarp init --address 192.0.2.10/24 --hosts a,b --print

\b
It writes HOST.toml for each host, and NAME.password with a password that it makes, readable
by its owner only; it starts nothing, and replaces no file without --force. As root it listens
on the segment for ids that are in use, and asks whether somebody has the addresses.
Without a terminal it asks nothing: --address and --hosts (or --unicast) are required then."""
    + exit_status("2 is also a file that is there already, and an option that is missing.")
)
@click.option(
    "--address", "texts", multiple=True, metavar="ADDRESS", help="Shared address, IPv4 or IPv6; may be repeated."
)
@click.option("--hosts", metavar="A,B", help="Names of the hosts that share it, the preferred one first.")
@click.option(
    "--interface",
    "interfaces",
    multiple=True,
    metavar="[HOST=]IFACE",
    help="Where clients reach the address, on all hosts or on one.  [default: that of its network or default route]",
)
@click.option("--vhid", type=click.IntRange(1, HIGHEST_ID), help="The id of the set.  [default: one that is free]")
@click.option("--name", help="What the virtual host is called.  [default: carpVHID]")
@click.option("--preempt/--no-preempt", default=None, help="Whether a preferred host takes the address back.")
@click.option(
    "--advbase", type=click.IntRange(1, 255), default=1, show_default=True, help="Seconds between advertisements."
)
@click.option(
    "--unicast",
    "unicast",
    multiple=True,
    metavar="HOST=ADDRESS,...",
    help="Own addresses of the hosts, if there is no multicast between them; also names them.",
)
@click.option(
    "--password-file",
    "given_password",
    metavar="PATH",
    help="Where the hosts have a password already; makes none.",
)
@click.option(
    "--for",
    "for_s",
    type=Duration(most_s=3600),
    default="4s",
    show_default=True,
    metavar="TIME",
    help="How long to listen on the segment.",
)
@click.option("--no-scan", is_flag=True, help="Do not listen on the segment, and ask nobody there.")
@click.option("--output", type=click.Path(path_type=Path), default=".", metavar="DIR", help="Folder for the files.")
@click.option("--print", "is_printed", is_flag=True, help="Print the files, and write none; makes no password.")
@click.option("--force", is_flag=True, help="Replace files that are there; the password, too.")
@click.option("--yes", "is_sure", is_flag=True, help="Take what is proposed, and ask only for what has no proposal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
def init(
    *,
    texts: tuple[str, ...],
    hosts: str | None,
    interfaces: tuple[str, ...],
    vhid: int | None,
    name: str | None,
    preempt: bool | None,
    advbase: int,
    unicast: tuple[str, ...],
    given_password: str | None,
    for_s: float,
    no_scan: bool,
    output: Path,
    is_printed: bool,
    force: bool,
    is_sure: bool,
    as_json: bool,
) -> None:
    """Write a first configuration for every host of a set: commented TOML, and a password.

    What is not said by an option is proposed from what this machine and its segment look like; at a terminal each
    proposal is asked about.
    """
    own = _unicast(unicast)
    asking = _Asking(is_possible=can_ask(), accepts=is_sure)
    machine = look_at_machine()
    wanted = texts or tuple(asking.required("Shared addresses", "--address ADDRESS").replace(",", " ").split())
    named = _names(hosts) if hosts else tuple(own) or asking.hosts()
    links = _links(interfaces, named, lambda: asking.interface(machine, wanted[0]))
    link = next((each for each in links.values() if each in machine.networks), next(iter(links.values())))
    addresses = tuple(with_prefix(each, machine.addresses_of(link), link) for each in wanted)
    refuse_own(addresses, machine)
    segment = look_at_segment(link, addresses, machine, for_s=0 if no_scan else for_s)
    id_ = vhid or asking.vhid(segment, link)
    if vhid in segment.used:
        segment.notes.append(
            f"vhid {vhid} is in use on {link}: right if these hosts join that set, else choose another"
        )
    proposal = Proposal(
        hosts=named,
        interfaces=links,
        vhid=id_,
        addresses=addresses,
        name=name or f"carp{id_}",
        password_file=given_password or f"{name or f'carp{id_}'}.password",
        preempt=asking.preempt(named) if preempt is None else preempt,
        advbase=advbase,
        own=own,
    )
    files = {f"{host}.toml": NewFile(proposal.text_of(host), _PUBLIC) for host in proposal.hosts}
    if given_password is None and not is_printed:
        files[proposal.password_file] = NewFile(f"{password()}\n", _PRIVATE)
    if not is_printed:
        _write(output, files, replaces=force)
    next_ = _next_steps(proposal, output, makes_password=given_password is None, is_printed=is_printed)
    if as_json:
        click.echo(_json(proposal, files, segment, next_, None if is_printed else output))
        return
    for note in segment.notes:
        click.echo(f"pycarp: note: {note}", err=True)
    _show(proposal, files, next_, output, is_printed=is_printed)


# What is asked


class _Asking:
    """Asks at a terminal; elsewhere takes what is proposed, and names the option that is missing where that is nothing.

    With ``accepts`` what is proposed is taken at a terminal, too.
    """

    def __init__(self, *, is_possible: bool, accepts: bool) -> None:
        self._is_possible = is_possible
        self._accepts = accepts

    def required(self, what: str, option: str) -> str:
        """Return what has no proposal; UsageError without a terminal."""
        if not self._is_possible:
            raise UsageError(f"{option} is missing, and there is no terminal to ask at")
        return str(click.prompt(what, err=True))

    def hosts(self) -> tuple[str, ...]:
        if not self._is_possible:
            raise UsageError("--hosts A,B is missing, and there is no terminal to ask at")
        here = socket.gethostname().partition(".")[0]
        return _names(str(click.prompt(f"Hosts, the preferred one first (this one is {here})", "a,b", err=True)))

    def interface(self, machine: Machine, address: str) -> str:
        found = machine.link_for(address)
        if not found and not self._is_possible:
            there = ", ".join(each for each in machine.networks if each != "lo") or "none"
            why = f"{address} is in no network here, and no default route leads out"
            raise UsageError(f"--interface IFACE is missing: {why}; there are: {there}")
        return str(self._proposed("Interface on which clients reach it", found or None))

    def vhid(self, segment: Segment, link: str) -> int:
        free = segment.free
        if free is None:
            raise ConfigError(f"all of the ids 1-{HIGHEST_ID} are in use on {link}; say --vhid to join one of the sets")
        in_use = f" ({ranges_of(sorted(segment.used))} in use)" if segment.used else ""
        return int(self._proposed(f"Id of the set, 1-{HIGHEST_ID}{in_use}", free, click.IntRange(1, HIGHEST_ID)))

    def preempt(self, hosts: Sequence[str]) -> bool:
        if not self._is_possible or self._accepts:
            return True
        return click.confirm(f"Shall {hosts[0]} take the addresses back when it returns?", default=True, err=True)

    def _proposed(self, what: str, proposed: Any, kind: click.IntRange | None = None) -> Any:
        if proposed is not None and (self._accepts or not self._is_possible):
            return proposed
        return click.prompt(what, proposed, err=True, type=kind)


# What options say


def _names(text: str) -> tuple[str, ...]:
    names = tuple(each.strip() for each in text.split(","))
    check_hosts(names)
    return names


def _unicast(texts: Sequence[str]) -> dict[str, tuple[Address, ...]]:
    """Return the own addresses of each host."""
    found: dict[str, tuple[Address, ...]] = {}
    for part in [part.strip() for text in texts for part in text.split(",")]:
        host, equals, address = part.partition("=")
        if not (host and equals):
            raise UsageError(f"--unicast {part!r} is not HOST=ADDRESS, as in a=192.0.2.1")
        try:
            found[host] = (*found.get(host, ()), ip_address(address))
        except ValueError:
            raise UsageError(f"--unicast {part!r}: {address!r} is no IPv4 or IPv6 address") from None
    return found


def _links(texts: Sequence[str], hosts: Sequence[str], proposed: Callable[[], str]) -> dict[str, str]:
    """Return the interface of each host; ``proposed`` is asked for those that no option names."""
    everywhere: str | None = None
    named: dict[str, str] = {}
    for text in texts:
        host, equals, link = text.partition("=")
        if not equals:
            everywhere = text
        elif host not in hosts:
            raise UsageError(f"--interface {text}: {host} is no host of the set; it has {', '.join(hosts)}")
        else:
            named[host] = link
    if any(each not in named for each in hosts) and everywhere is None:
        everywhere = proposed()
    return {each: named.get(each) or everywhere or "" for each in hosts}


# What comes of it


def _write(folder: Path, files: dict[str, NewFile], *, replaces: bool) -> None:
    try:
        write_all(folder, files, replaces=replaces, owner=_owner())
    except FileExistsError as exc:
        is_plain = Path(exc.filename or folder).is_file()
        way_out = "--force replaces it, --output DIR names another folder" if is_plain else "choose another --output"
        raise ConfigError(f"{exc.filename or folder} is there already, and nothing was written; {way_out}") from exc
    except OSError as exc:
        raise file_error(f"nothing was written: cannot write into {folder}", exc) from exc


def _owner() -> tuple[int, int] | None:
    """Return user and group of the caller of sudo, who goes on with the files; None without sudo."""
    try:
        return (int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])) if os.geteuid() == 0 else None
    except (KeyError, ValueError):
        return None


def _next_steps(
    proposal: Proposal, folder: Path, *, makes_password: bool, is_printed: bool
) -> list[tuple[str, list[str]]]:
    """Return what to do: a sentence, and commands."""
    here = socket.gethostname().partition(".")[0]
    steps: list[tuple[str, list[str]]] = []
    secret = shlex.quote(str(folder / proposal.password_file))
    if is_printed:
        steps.append(("Put each text into its file.", [_MAKE_PASSWORD.format(secret)] if makes_password else []))
    for host in proposal.hosts:
        file = shlex.quote(str(folder / f"{host}.toml"))
        if host == here:
            copying = [f"sudo install -D -m 644 {file} {CONFIGURATION}"]
            if makes_password:
                copying.append(f"sudo install -m 600 {secret} {_FOLDER}/")
            steps.append((f"This machine is {host}:", [" && ".join(copying)]))
        else:
            copying = [f"ssh root@{host} mkdir -p {_FOLDER}", f"scp -p {file} root@{host}:{CONFIGURATION}"]
            if makes_password:
                copying.append(f"scp -p {secret} root@{host}:{_FOLDER}/")
            steps.append((f"Copy to {host}:", [" && ".join(copying)]))
    steps.append(
        (
            "Then on each of them:",
            [f"sudo pycarp {verb} {CONFIGURATION}" for verb in ("check", "run", "service install --now")],
        )
    )
    return steps


def _show(
    proposal: Proposal,
    files: dict[str, NewFile],
    steps: Sequence[tuple[str, list[str]]],
    folder: Path,
    *,
    is_printed: bool,
) -> None:
    if is_printed:
        for name, file in files.items():
            click.echo(f"# {name}\n{file.text}")
    else:
        for name, file in files.items():
            click.echo(f"{folder / name}" + (" (the password, for its owner only)" if file.mode == _PRIVATE else ""))
    shared = " ".join(map(str, proposal.addresses))
    ranks = ", ".join(f"{host} advskew {advskew}" for host, advskew in proposal.advskews.items())
    click.echo(f"\n{proposal.name}: vhid {proposal.vhid} shares {shared}; {ranks}\n", err=is_printed)
    for sentence, commands in steps:
        click.echo(sentence, err=is_printed)
        for each in commands:
            click.echo(f"  {each}", err=is_printed)


def _json(
    proposal: Proposal,
    files: dict[str, NewFile],
    segment: Segment,
    steps: Sequence[tuple[str, list[str]]],
    folder: Path | None,
) -> str:
    hosts = [
        {
            "name": host,
            "file": str(folder / f"{host}.toml") if folder else None,
            "interface": proposal.interfaces[host],
            "advskew": proposal.advskews[host],
            "peers": [str(each) for each in proposal.peers_of(host)],
            "text": files[f"{host}.toml"].text,
        }
        for host in proposal.hosts
    ]
    return json.dumps(
        {
            "type": "init",
            "name": proposal.name,
            "vhid": proposal.vhid,
            "addresses": [str(each) for each in proposal.addresses],
            "password_file": str(folder / proposal.password_file)
            if proposal.password_file in files and folder
            else None,
            "hosts": hosts,
            "ids_in_use": sorted(segment.used),
            "listened": segment.is_heard,
            "notes": segment.notes,
            "next": [each for _sentence, commands in steps for each in commands],
        },
        indent=2,
    )
