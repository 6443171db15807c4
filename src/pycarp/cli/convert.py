"""``pycarp convert``: writes a configuration in another grammar."""

import json
import secrets
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import click
from msgspec import structs

from pycarp.auth.key import Passphrase
from pycarp.cli.config_options import map_option
from pycarp.cli.options import exit_status
from pycarp.cli.refusals import file_error, refusal
from pycarp.config import grammars, toml
from pycarp.config.dump import Document
from pycarp.config.grammars import TARGETS, Grammar
from pycarp.config.model import NodeConfig
from pycarp.errors import ConfigError
from pycarp.system.addresses.interfaces import interfaces
from pycarp.system.files import safe_files
from pycarp.system.files.bounded_read import read_first_line

_STAND_IN = f"x{secrets.token_hex(9)}"
_PASSWORD_LINE_MAX = 4096
_NOT_SHOWN = "PASSWORD-IS-NOT-SHOWN"
"""The placeholder for passwords: longer than a password can be, so that it is never used by mistake."""


def _show_schema(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value:
        click.echo(json.dumps(toml.schema(), indent=2))
        context.exit()


@click.command(
    epilog="""\b
Examples:
  pycarp convert /etc/rc.conf --to toml --output /etc/pycarp.toml
  pycarp convert hostname.carp0 --to rc.conf --show-secrets
  pycarp convert /etc/network/interfaces --to toml
  pycarp convert /etc/keepalived/keepalived.conf --to toml --output /etc/pycarp.toml
  pycarp convert config.xml --to toml --map lan=eth0 --output /etc/pycarp.toml
  pycarp convert start-ucarp.sh --from ucarp --to rc.conf9 --lossy
  pycarp convert --schema > pycarp.schema.json

\b
Passwords are not shown on standard output without --show-secrets; files that --output
makes have them, and can be read by their owner only."""
    + exit_status("2 is also what the other grammar cannot express.")
)
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option("--to", "target", type=click.Choice(TARGETS), required=True, help="The grammar to write.")
@click.option(
    "--from",
    "source",
    type=click.Choice([each.value for each in Grammar]),
    help="The grammar of FILE; without it its name or its text tells.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="File to write, or folder for several; standard output without it.",
)
@click.option("--show-secrets", is_flag=True, help="Print passwords on standard output.")
@click.option("--lossy", is_flag=True, help="Leave out what the other grammar has no words for, and name it.")
@click.option("--srcip", metavar="ADDRESS", help="This machine's own address, which ucarp must be told.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, readable=False),
    metavar="PATH",
    help="File whose first line is the password of instances of keepalived.conf that have none.",
)
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_schema,
    help="Print the JSON Schema of pycarp's TOML, and exit.",
)
@map_option
def convert(
    file: Path,
    target: str,
    source: str | None,
    output: Path | None,
    show_secrets: bool,  # noqa: FBT001  (click passes by name)
    lossy: bool,  # noqa: FBT001  (click passes by name)
    srcip: str | None,
    password_file: Path | None,
    renames: dict[str, str],
) -> None:
    """Write the configuration in FILE in another grammar: rc.conf, hostname.carp, toml or ucarp.

    FILE may also be a keepalived.conf, the config.xml of OPNsense or pfSense, Debian's interfaces or a vip-001.conf of
    ucarp, which cannot be written.
    What of a keepalived.conf has no equal is named on standard error, with what to do instead.
    Its interfaces need not exist on this machine.
    """
    text = grammars.load(file)
    grammar = Grammar(source) if source else grammars.recognise(str(file), text)
    password = None if password_file is None else _password(password_file, grammar)
    config = grammars.read(text, grammar, file=str(file), renames=renames, password=password)
    own = _own_address(srcip)
    links = {host.interface for host in config.hosts}
    sources = dict.fromkeys(links, own) if own else _live_addresses()
    documents = grammars.write(config, target, sources=sources)
    is_hidden = output is None and not show_secrets
    if is_hidden:
        documents = [_without(each) for each in grammars.write(_masked(config), target, sources=sources)]
    lost = list(dict.fromkeys(each for document in documents for each in document.lost))
    if lost and not lossy:
        raise ConfigError(f"{target} has no words for this; --lossy leaves it out:\n" + "\n".join(lost))
    hidden = ["passwords are not shown; print them with --show-secrets, or use --output"] if is_hidden else []
    for note in (*config.notes, *hidden, *(f"not expressed: {each}" for each in lost)):
        click.echo(f"pycarp: {note}", err=True)
    _write(documents, output)


def _password(path: Path, grammar: Grammar) -> str:
    if grammar is not Grammar.KEEPALIVED:
        raise ConfigError(f"--password-file is for {Grammar.KEEPALIVED} only; {grammar} says the password itself")
    try:
        return read_first_line(path, _PASSWORD_LINE_MAX).removesuffix(b"\n").decode()
    except UnicodeDecodeError:
        raise ConfigError(f"the password in {path} is not UTF-8; choose one of plain letters") from None
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise ConfigError(f"cannot read {path}: {why}") from exc


def _masked(config: NodeConfig) -> NodeConfig:
    """Return the configuration with a placeholder for each password that no grammar has to quote."""
    return replace(config, hosts=tuple(replace(host, passphrase=Passphrase(_STAND_IN)) for host in config.hosts))


def _without(document: Document) -> Document:
    return structs.replace(document, text=document.text.replace(_STAND_IN, _NOT_SHOWN))


def _own_address(srcip: str | None) -> IPv4Address | None:
    try:
        return None if srcip is None else IPv4Address(srcip)
    except ValueError:
        raise ConfigError(f"--srcip {srcip!r} is not an IPv4 address") from None


def _live_addresses() -> dict[str, IPv4Address]:
    """Return the first own IPv4 address of each device of this machine."""
    found: dict[str, IPv4Address] = {}
    try:
        links = interfaces()
    except OSError as exc:
        click.echo(f"pycarp: warning: cannot see the interfaces of this machine: {refusal(exc)}", err=True)
        return {}
    for facts in links:
        for each in facts.addresses:
            if isinstance(each.ip, IPv4Address):
                found.setdefault(facts.name, each.ip)
    return found


def _write(documents: list[Document], output: Path | None) -> None:
    if output is None:
        for document in documents:
            click.echo(_headed(document, is_alone=len(documents) == 1), nl=False)
        return
    try:
        output = safe_files.resolved(output)
    except OSError as exc:
        raise file_error(f"cannot write {output}", exc) from exc
    is_folder = output.is_dir() or len(documents) > 1
    for document in documents:
        path = output / document.name if is_folder else output
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            safe_files.write(path, _headed(document, is_alone=True).encode())
        except OSError as exc:
            raise file_error(f"cannot write {path}", exc) from exc


def _headed(document: Document, *, is_alone: bool) -> str:
    """Return the text with comments about the file's name and what is not in it."""
    first, newline, rest = document.text.partition("\n")
    keeps_first = first.startswith("#!")
    comments = [] if is_alone else [f"# {document.name}"]
    comments += [f"# not expressed: {each}" for each in document.lost]
    head = "".join(f"{each}\n" for each in comments)
    return f"{first}{newline}{head}{rest}" if keeps_first else head + document.text
