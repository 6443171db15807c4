"""``pycarp decode``: every CARP packet of a capture, or of an interface, explained."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import BinaryIO

import click

from pycarp.auth.key import Passphrase
from pycarp.cli.config_options import format_option, map_option
from pycarp.cli.config_reading import config_option, secrets_of
from pycarp.cli.decode_output import HumanOutput, JsonOutput
from pycarp.cli.options import exit_status
from pycarp.cli.refusals import file_error
from pycarp.cli.secret_input import of_environment, of_file
from pycarp.errors import CaptureError, ConfigError, UsageError
from pycarp.inspection.authenticity import SharedSecret
from pycarp.inspection.capture_file import packets_of
from pycarp.inspection.captured import CapturedPacket, LinkType
from pycarp.inspection.inspector import Inspector
from pycarp.system.files.bounded_read import open_to_read
from pycarp.system.sniffer import Sniffer
from pycarp.vocabulary import Address, MacAddress

EXIT_PROBLEMS = 3
_SEEN_BY_ALL = (
    "every user of this machine could read a password on the command line; write --password-file FILE, "
    "--password-file - for standard input, or set PYCARP_PASSWORD"
)
_LINK_TYPES = frozenset(LinkType)


@click.command(
    epilog="""\b
Examples:
  pycarp decode carp.pcap                           explain a capture
  pycarp decode carp.pcap --password-file /etc/carp.pass --address 192.168.1.50
                                                    verify the digests, and say why one is wrong
  sudo pycarp decode -i eth0                        watch an interface
  sudo tcpdump -i eth0 -U -w - proto 112 | pycarp decode -
  sudo pycarp decode -i eth0 --config /etc/pycarp.toml
                                                    verify every vhid of a configuration
  pycarp decode --json carp.pcap | jq 'select(.problems != [])'
  pycarp decode --strict --vhid 7 --password-file - --address 192.168.1.50 carp.pcap

\b
Reads pcap and pcapng; of Ethernet (with VLAN tags), Linux cooked, raw IP and loopback.
The password file's first line is the password, as with ucarp: all of it but the line feed.
PYCARP_PASSWORD may have it instead.
Give every shared address of the vhid, and --vhid where the capture has several vhids;
or a configuration, which has the password and the addresses of each."""
    + exit_status("1 is that a capture is cut short or partly unknown, 3 is packets with problems, with --strict.")
)
@click.argument("capture", required=False, metavar="[FILE|-]")
@click.option("-i", "--interface", metavar="IFACE", help="Listen on an interface instead; needs CAP_NET_RAW.")
@click.option("-p", "--password", hidden=True)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="File with the password to verify with, - for standard input; without it PYCARP_PASSWORD.",
)
@click.option(
    "-a", "--address", "addresses", multiple=True, metavar="ADDRESS", help="A shared address; repeat for each."
)
@click.option("--lladdr", metavar="MAC", help="Link-layer address in the digest: OpenBSD with lladdr set.")
@config_option
@format_option
@map_option
@click.option("--vhid", type=click.IntRange(0, 255), help="Show this vhid only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for scripts; no summary.")
@click.option("--strict", is_flag=True, help="Exit with 3 when a packet has problems.")
def decode(
    *,
    capture: str | None,
    interface: str | None,
    password: str | None,
    password_file: Path | None,
    addresses: tuple[str, ...],
    lladdr: str | None,
    config_file: Path | None,
    grammar: str | None,
    renames: dict[str, str],
    vhid: int | None,
    as_json: bool,
    strict: bool,
) -> None:
    """Explain every CARP packet of a capture, or of an interface: what it says, and what is wrong with it."""
    if capture == "-" and password_file == Path("-"):
        raise UsageError("standard input cannot be both the capture and the password; name a file, or PYCARP_PASSWORD")
    if config_file is not None and (password is not None or password_file is not None or addresses or lladdr):
        raise UsageError("--config has passwords and addresses: --password-file, --address and --lladdr go without it")
    if config_file is None and (grammar is not None or renames):
        raise UsageError("--format and --map are about the file of --config")
    secret = None if config_file else _secret(password, password_file, addresses, lladdr)
    if (capture is None) == (interface is None):
        raise UsageError("give either a capture file (- for standard input) or -i IFACE")
    secrets = secrets_of(config_file, interface, grammar=grammar, renames=renames) if config_file else None
    inspector = Inspector(secret=secret, secrets=secrets, vhid=vhid)
    output = JsonOutput() if as_json else HumanOutput(is_live=interface is not None)
    try:
        has_problems = _explain_all(_packets(capture, interface), inspector, output)
    except BrokenPipeError:
        _forget_stdout()
        return
    if strict and has_problems:
        sys.exit(EXIT_PROBLEMS)


def _explain_all(packets: Iterable[CapturedPacket], inspector: Inspector, output: HumanOutput | JsonOutput) -> bool:
    """Print explanations until the packets end or the user interrupts; return True if there were problems."""
    has_problems = False
    last_ns = None
    try:
        for packet in packets:
            last_ns = packet.at_ns
            explanation = inspector.explain(packet)
            if explanation is not None:
                has_problems |= bool(explanation.problems)
                output.show(explanation)
    except KeyboardInterrupt:
        pass  # the usual end of a live capture
    except CaptureError:
        if last_ns is not None:  # the packets that could be read get a summary
            output.finish(last_ns)
        raise
    finally:
        output.close()
    output.finish(last_ns or 0)
    return has_problems


def _packets(capture: str | None, interface: str | None) -> Iterator[CapturedPacket]:
    if interface is not None:
        yield from _packets_of_link(interface)
    elif capture == "-":
        yield from _packets_of_stream(sys.stdin.buffer, "standard input")
    else:
        assert capture is not None
        with contextlib.ExitStack() as stack:
            try:
                stream = stack.enter_context(open_to_read(Path(capture)))
            except OSError as exc:
                raise file_error(f"cannot read {capture}", exc) from exc
            yield from _packets_of_stream(stream, capture)


def _packets_of_stream(stream: BinaryIO, name: str) -> Iterator[CapturedPacket]:
    unknown: set[int] = set()
    try:
        for packet in packets_of(stream):
            if packet.link_type in _LINK_TYPES:
                yield packet
            else:
                unknown.add(packet.link_type)
    except CaptureError as exc:
        raise type(exc)(f"cannot read {name}: {exc}") from exc
    except OSError as exc:
        raise CaptureError(f"cannot read {name}: {exc.strerror or exc}") from exc
    if unknown:
        kinds = ", ".join(map(str, sorted(unknown)))
        raise CaptureError(
            f"cannot read {name} wholly: packets of link type {kinds} were left out; "
            "Ethernet, Linux cooked, raw IP and loopback can be read"
        )


def _packets_of_link(interface: str) -> Iterator[CapturedPacket]:
    with Sniffer(interface) as sniffer:
        for frame in sniffer.frames():
            yield CapturedPacket(frame.at_ns, sniffer.link_type, frame.octets, len(frame.octets))


def _secret(
    password: str | None, password_file: Path | None, addresses: tuple[str, ...], lladdr: str | None
) -> SharedSecret | None:
    """Return the settings to verify with, None for no verification; raises UsageError if half of them is missing."""
    if password is not None:
        raise UsageError(_SEEN_BY_ALL)
    secret = of_environment() if password_file is None else _of_file(password_file)
    if secret is None or (password_file is None and not addresses):
        if addresses or lladdr:
            raise UsageError(
                "--address and --lladdr need --password-file, or PYCARP_PASSWORD: the digest covers all of them"
            )
        return None
    if not addresses:
        raise UsageError("a password needs --address for every shared address: the digest covers both")
    parsed = tuple(_address(each) for each in addresses)
    return SharedSecret(passphrase=secret, addresses=parsed, lladdr=None if lladdr is None else _mac(lladdr))


def _of_file(path: Path) -> Passphrase:
    try:
        return of_file(path)
    except OSError as exc:
        raise file_error(f"cannot read the password file {path}", exc) from exc


def _address(text: str) -> Address:
    try:
        return ip_address(text.partition("/")[0])
    except ValueError as exc:
        raise ConfigError(f"--address {text!r} is no IPv4 or IPv6 address") from exc


def _mac(text: str) -> MacAddress:
    try:
        return MacAddress.parse(text)
    except ValueError as exc:
        raise ConfigError(f"--lladdr {text!r} is no MAC address like 00:11:22:33:44:55") from exc


def _forget_stdout() -> None:
    """End quietly if the reader of the output has gone: discard what Python would flush at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
