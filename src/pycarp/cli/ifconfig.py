"""``pycarp ifconfig``: virtual hosts in FreeBSD's words."""

import itertools
import re
from collections.abc import Callable
from ipaddress import IPv6Interface, ip_interface
from pathlib import Path

import click

from pycarp.auth.key import Passphrase
from pycarp.cli import secret_input
from pycarp.cli.confirmation import ask, can_ask, confirm, yes_option
from pycarp.cli.daemons import ask_all, chosen_of, is_meant, merged, one_for
from pycarp.cli.options import control_option, exit_status
from pycarp.config.carp_words import number_of
from pycarp.config.netmask_words import prefix_of_mask
from pycarp.daemon.administration import last_address
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import (
    DoneReply,
    GroupReply,
    GroupRequest,
    HostStatus,
    IfconfigRequest,
    StatusReply,
    StatusRequest,
)
from pycarp.daemon.planning import unheard
from pycarp.errors import UsageError
from pycarp.spelling import guess

_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_NUMBER = re.compile(r"-?[0-9]{1,9}")
_SYNTAX = (
    "up, down, state master, state backup, advbase N, advskew N, alias ADDRESS/LENGTH, -alias ADDRESS, pass, "
    "rolling SECONDS"
)
_ALL = "-a"
"""Not an option of click, which would also find it in ``-alias``."""

_MORE = ("alias", "add")
_FIRST_WORDS = (
    *("up", "down", "state", "advbase", "advskew", "rolling", "inet", "inet6", "pass"),
    *("alias", "add", "-alias", "delete", "remove"),
)
_LENGTHS = ("netmask", "prefixlen")
_ADDRESS = "an address such as 192.0.2.10/24 or 2001:db8::10/64"
_VALUES = {
    "state": "master or backup",
    "advbase": "a number of 0 to 255",
    "advskew": "a number of 0 to 254",
    "vhid": "a number of 1 to 255, in front of all other words",
    "rolling": "a number of seconds such as 60",
    "netmask": "a netmask such as 255.255.255.0 or 0xffffff00, behind an address",
    "prefixlen": "a number of 0 to 128, behind an address",
    **dict.fromkeys(("alias", "add", "-alias", "delete", "remove", "inet", "inet6"), _ADDRESS),
}
"""The argument of a word."""

_SEEN_BY_ALL = (
    "every user of this machine could read a password on the command line; write pass alone: it is asked for, or is "
    "the first line of standard input"
)
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")


@click.command(
    context_settings={"ignore_unknown_options": True},  # -1 is a number that is out of range, no option
    epilog="""\b
Examples:
  pycarp ifconfig                          show all, as -a does
  pycarp ifconfig carp0                    show one
  pycarp ifconfig carp0 down               leave: drop the addresses, bow out
  pycarp ifconfig carp0 down && pycarp ifconfig carp0 up
                                           give the addresses back to their owner
  pycarp ifconfig carp0 state master       take the addresses now
  pycarp ifconfig carp0 advskew 50         change how preferred it is
  pycarp ifconfig fxp0 vhid 1 state backup the same in the words of FreeBSD 10 and newer
  pycarp ifconfig carp0 alias 192.168.1.52/24 rolling 60
                                           share one more address: say so on every
                                           host within 60 s, and nothing is lost
  pycarp ifconfig carp0 alias 192.168.1.52 netmask 255.255.255.0 rolling 60
                                           the same in older words
  pycarp ifconfig carp0 -alias 192.168.1.52 rolling 60
  pycarp ifconfig carp0 -alias 192.168.1.50 --force
                                           the last address: carp0 leaves with it
  pycarp ifconfig carp0 pass rolling 60    the new password is asked for
  pycarp ifconfig carp0 pass rolling 60 < /etc/pycarp/new.secret
  pycarp ifconfig -g carp                  show the demotion of an interface group
  pycarp ifconfig -g carp carpdemote 50    demote its hosts; -carpdemote 50 takes it back

\b
rolling is understood by pycarp alone: with other systems on the segment leave it out.
They stop hearing us until they have the same addresses and the same password: while others are
heard, or may listen, a change without it asks in a terminal and warns elsewhere."""
    + exit_status(),
)
@click.argument("name", required=False)
@click.argument("words", nargs=-1, metavar="[up|down|state STATE|advskew N|advbase N|alias ADDRESS|...]...")
@click.option("-g", "group", metavar="GROUP", help="Show or change the demotion of an interface group.")
@yes_option
@control_option
def ifconfig(name: str | None, words: tuple[str, ...], *, group: str | None, is_sure: bool, control: Path) -> None:
    """Show virtual hosts as FreeBSD's ifconfig does, or change one."""
    if misspelt := next((each for each in (name, *words) if each is not None and each.startswith("--")), None):
        raise click.NoSuchOption(misspelt)
    if name == _ALL:
        if words or group is not None:
            raise UsageError(f"{_ALL} shows all virtual hosts; leave it out to show or change one")
        name = None
    if group is not None:
        by = parse_demotion(() if name is None else (name, *words))
        reply = request(one_for(control), GroupRequest(group, by), GroupReply)
        click.echo(f"{reply.group}: carp demote count {reply.demotion} ({', '.join(reply.hosts)})")
        if reply.warning:
            click.echo(f"pycarp: warning: {reply.warning}", err=True)
        return
    vhid, rest = _leading_vhid(words)
    if rest:
        assert name is not None
        change = parse(name if vhid is None else _name_of(control, name, vhid), rest)
        control = one_for(control, change.host)
        change.is_forced = is_sure or _is_confirmed(change, control)
        if not change.is_forced:
            confirm(_warnings(change, control), is_sure=is_sure)
        done = request(control, change, DoneReply)
        if done.warning:
            click.echo(f"pycarp: warning: {done.warning}", err=True)
        return
    click.echo("\n".join(render(host) for host in chosen_of(merged(ask_all(control).daemons), name, vhid)))


def _name_of(control: Path, name: str, vhid: int) -> str:
    """Return the daemon's name of the host with a vhid and this name, or on this interface."""
    host = chosen_of(merged(ask_all(control).daemons), name, vhid)[0]
    return name if name == host.name else f"{vhid}@{name}"


def _is_confirmed(change: IfconfigRequest, control: Path) -> bool:
    """Ask on a terminal whether a host may lose its last address; elsewhere the daemon refuses it."""
    if not change.remove or change.add or not can_ask():
        return False
    gone = {ip_interface(each).ip for each in change.remove}
    for host in _changed(change, control):
        if {ip_interface(each).ip for each in host.addresses} <= gone:
            return ask(f"{last_address(host.name, change.remove)}.")
    return False


def _changed(change: IfconfigRequest, control: Path) -> list[HostStatus]:
    status = request(control, StatusRequest(), StatusReply)
    return [host for host in status.hosts if is_meant(host, change.host, None, status.renames)]


def _warnings(change: IfconfigRequest, control: Path) -> list[str]:
    """Return the warning that hosts which are heard will not authenticate this one any longer."""
    if change.rolling_s or not (change.add or change.remove or change.passphrase is not None):
        return []
    meant = _changed(change, control)
    return [text for host in meant for text in unheard(host.name, host.state, (each.source for each in host.heard))]


def parse(
    host: str, words: tuple[str, ...], *, password: Callable[[str], Passphrase] = secret_input.ask
) -> IfconfigRequest:
    """Return the change that the words ask for; UsageError names the word that does not fit.

    ``password`` is asked for the word ``pass``, when all else is understood.
    """
    change = IfconfigRequest(host=host)
    rest = _with_prefix_lengths(_without_pass(words))
    while rest:
        match rest:
            case ["up" | "down" as direction, *_]:
                change.is_up = direction == "up"
                rest = rest[1:]
            case ["state", "master" | "backup" | "MASTER" | "BACKUP" as state, *_]:
                change.state = state
                rest = rest[2:]
            case ["advbase" | "advskew" as setting, number, *_] if _NUMBER.fullmatch(number):
                setattr(change, setting, int(number))
                rest = rest[2:]
            case ["rolling", span, *_] if _SECONDS.fullmatch(span):
                change.rolling_s = float(span)
                rest = rest[2:]
            case ["inet" | "inet6", _, *_]:
                rest = rest[1:]
            case [("alias" | "add" | "-alias" | "delete" | "remove") as word, address, *_] if _is_address(address):
                (change.add if word in _MORE else change.remove).append(address)
                rest = rest[2:]
            case [address, ("alias" | "add" | "-alias" | "delete" | "remove") as word, *_] if _is_address(address):
                (change.add if word in _MORE else change.remove).append(address)
                rest = rest[2:]
            case _:
                raise UsageError(_complaint(rest))
    if "pass" in words:
        change.passphrase = _text_of(password(f"New password of {host}"))
    return change


def _complaint(words: list[str]) -> str:
    """Return the problem of the first word, and the way out.

    What follows an unknown word is not shown, because it may be a password.
    """
    match words:
        case [word] if word in _VALUES:
            return f"{word} has no value; write {word} and {_VALUES[word]}"
        case [word, value, *_] if word in _VALUES:
            return f"{word} {value!r} is not {_VALUES[word]}"
        case [address, *_] if _is_address(address):
            return f"{address} stands alone; write alias {address} to share it, -alias {address} to share it no longer"
        case [text, ("alias" | "add" | "-alias" | "delete" | "remove") as word, *_]:
            return f"{word} {text!r} is not {_ADDRESS}"
        case _:
            return f"{words[0]!r} is not understood; possible are: {_SYNTAX}{guess(words[0], _FIRST_WORDS)}"


def _without_pass(words: tuple[str, ...]) -> list[str]:
    """Return the words without ``pass``; UsageError, which does not show it, when a password follows."""
    for word, following in itertools.pairwise(words):
        if word == "pass" and following not in _FIRST_WORDS and not _is_address(following):
            raise UsageError(_SEEN_BY_ALL)
    return [each for each in words if each != "pass"]


def _with_prefix_lengths(words: list[str]) -> list[str]:
    """Return the words with ``ADDRESS netmask MASK`` and ``ADDRESS prefixlen N`` as ``ADDRESS/N``; UsageError."""
    joined: list[str] = []
    rest = iter(words)
    for word in rest:
        if word not in _LENGTHS or not joined or not _is_address(joined[-1]):
            joined.append(word)
            continue
        value = next(rest, None)
        if value is None:
            raise UsageError(f"{word} has no value; write {word} and {_VALUES[word]}")
        joined[-1] = _with_length(joined[-1], word, value)
    return joined


def _with_length(address: str, word: str, value: str) -> str:
    if "/" in address:
        raise UsageError(f"{address} has a prefix length already; leave out {word} {value}")
    version, most = ip_interface(address).version, ip_interface(address).max_prefixlen
    if word == "netmask" and version == 6:
        raise UsageError(f"netmask is for IPv4; write {address} prefixlen 64, or {address}/64")
    length = prefix_of_mask(value) if word == "netmask" else number_of(value)
    if length is None or length > most:
        allowed = _VALUES[word] if version == 6 or word == "netmask" else f"a number of 0 to {most}"
        raise UsageError(f"{word} {value!r} is not {allowed}")
    return f"{address}/{length}"


def _text_of(passphrase: Passphrase) -> str:
    try:
        return passphrase.key.rstrip(b"\x00").decode()
    except UnicodeDecodeError:
        raise UsageError("the password is not UTF-8; write it into the configuration, and reload") from None


def parse_demotion(words: tuple[str, ...]) -> int:
    """Return by how much ``carpdemote N`` or ``-carpdemote N`` changes a group, 0 for no words; UsageError."""
    match words:
        case ():
            return 0
        case ("carpdemote" | "-carpdemote" as word, *number) if len(number) < 2 and all(map(_is_number, number)):
            amount = int(number[0]) if number else 1
            return amount if word == "carpdemote" else -amount
        case _:
            raise UsageError(f"{' '.join(words)!r} is not understood; possible are: carpdemote N, -carpdemote N")


def render(host: HostStatus) -> str:
    """Return a host as FreeBSD's ifconfig prints it: as ``carp0``, or by its interface if it has no name."""
    is_named = host.name != f"{host.vhid}@{host.interface}"
    flags = _IFF_UP * host.is_up | _IFF_RUNNING * host.link_is_up
    words = [word for word, is_set in (("UP", host.is_up), ("RUNNING", host.link_is_up)) if is_set]
    lines = [f"{host.name if is_named else host.interface}: flags={flags:x}<{','.join(words)}>"]
    lines += [f"\t{_address(each)}" + ("" if is_named else f" vhid {host.vhid}") for each in host.addresses]
    lines.append(f"\tcarp: {host.state} vhid {host.vhid} advbase {host.advbase} advskew {host.advskew}")
    if host.peers:
        lines.append("\t      " + " ".join(_peer(each) for each in host.peers))
    return "\n".join(lines)


def _address(text: str) -> str:
    address = ip_interface(text)
    if isinstance(address, IPv6Interface):
        return f"inet6 {address.ip} prefixlen {address.network.prefixlen}"
    return f"inet {address.ip} netmask 0x{int(address.netmask):08x}"


def _peer(text: str) -> str:
    return f"peer{6 if ':' in text else ''} {text}"


def _is_address(text: str) -> bool:
    try:
        ip_interface(text)
    except ValueError:
        return False
    return True


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 10


def _leading_vhid(words: tuple[str, ...]) -> tuple[int | None, tuple[str, ...]]:
    if len(words) >= 2 and words[0] == "vhid" and _is_number(words[1]):
        return int(words[1]), words[2:]
    return None, words
