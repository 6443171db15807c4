"""``pycarp who``: which host answers for an address, asked on the segment itself."""

import asyncio
import json
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address, ip_address
from typing import Any

import click

from pycarp.cli.interface_argument import InterfaceName
from pycarp.cli.options import EXIT_NOT_WELL, Duration, exit_status
from pycarp.cli.scan import listen
from pycarp.errors import TransportError, UsageError
from pycarp.inspection.answers import Answer, answers_of, masters_of
from pycarp.system.addresses import address_conflicts
from pycarp.system.addresses.interfaces import interfaces, is_administratively_up, why_unfit
from pycarp.transports.ip_sockets import membership
from pycarp.vocabulary import Address, LinkFacts, MacAddress
from pycarp.wire.ethernet import is_virtual_mac

_EXIT_NOBODY = 1


@click.command(
    epilog="""\b
Examples:
  sudo pycarp who 192.168.1.50
  sudo pycarp who fd00::50 --interface eth0
  sudo pycarp who 192.168.1.50 --json | jq -r '.answers[].mac'

\b
It sends what a host sends before it uses an address, from no address of its own: ARP probes,
or neighbour solicitations. No neighbour changes its cache. Meanwhile it listens for CARP and
VRRP, so that it can say which group the host that answers is MASTER of."""
    + exit_status("1 is that nobody answers or that it cannot ask, 3 that more than one host answers.")
)
@click.argument("address", metavar="ADDRESS")
@click.option(
    "-i", "--interface", type=InterfaceName(), metavar="IFACE", help="Ask there; otherwise where its subnet is."
)
@click.option(
    "--for",
    "for_s",
    type=Duration(most_s=60),
    default="3s",
    show_default=True,
    metavar="TIME",
    help="How long to listen.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
def who(address: str, *, interface: str | None, for_s: float, as_json: bool) -> None:
    """Ask the segment who answers for ADDRESS, and say which CARP or VRRP group that host is MASTER of."""
    wanted, scope = _parsed(address)
    link = interface or scope or _link_of(wanted, interfaces())
    if reason := why_unfit(link, needs_multicast=False):
        raise UsageError(f"{reason}; nobody can be asked there")
    if not is_administratively_up(link):
        raise TransportError(f"cannot ask on {link}: it is down; ip link set {link} up")
    answers = _ask(link, wanted, for_s)
    click.echo(_json(wanted, link, answers) if as_json else "\n".join(_lines(wanted, link, answers)))
    if not answers:
        sys.exit(_EXIT_NOBODY)
    if len(answers) > 1:
        sys.exit(EXIT_NOT_WELL)


def _ask(link: str, address: Address, for_s: float) -> tuple[Answer, ...]:
    """Ask in a thread, because Ctrl-C ends the listening in this one; raises ActuatorError and TransportError."""
    with ThreadPoolExecutor(1) as asking:
        answering = asking.submit(_find, link, [address])
        with membership(link):
            report = listen(link, for_s).report
        found = answering.result()
    macs: dict[MacAddress, str | None] = dict.fromkeys(found.get(address, ()))
    macs |= {
        facts.mac: facts.name
        for facts in interfaces()
        if facts.mac is not None and any(each.ip == address for each in facts.addresses)
    }
    sources = {each.source for each in masters_of(report)} - {address} if macs else set()
    return answers_of(address, macs, report=report, known=_find(link, sources) if sources else {})


def _find(link: str, addresses: Collection[Address]) -> address_conflicts.Answers:
    return asyncio.run(address_conflicts.find(link, addresses))


def _parsed(text: str) -> tuple[Address, str]:
    """Return an address, and the interface behind a % of an IPv6 one."""
    bare, _percent, scope = text.partition("%")
    try:
        address = ip_address(bare)
    except ValueError:
        raise UsageError(f"{text!r} is no IPv4 or IPv6 address; write it as 192.0.2.10") from None
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise UsageError(f"{text} is not an address of a host on a segment")
    if scope and not isinstance(address, IPv6Address):
        raise UsageError(f"{text!r}: only an IPv6 address is followed by % and an interface")
    return address, InterfaceName().convert(scope, None, None) if scope else ""


def _link_of(address: Address, links: tuple[LinkFacts, ...]) -> str:
    """Return the interface in whose subnet an address is; UsageError unless there is exactly one."""
    fitting = [
        each.name.partition(":")[0]
        for each in links
        if not is_virtual_mac(each.mac)
        and any(address in one.network for one in each.addresses if one.network.num_addresses > 1)
    ]
    names = list(dict.fromkeys(fitting))
    if len(names) == 1:
        return names[0]
    if names:
        raise UsageError(f"{address} is in the subnets of {' and '.join(names)}; say which with --interface")
    known = ", ".join(each.name for each in links)
    raise UsageError(f"{address} is in the subnet of no interface; name one with --interface; there are: {known}")


def _lines(address: Address, link: str, answers: tuple[Answer, ...]) -> list[str]:
    if not answers:
        return [f"nobody answers for {address} on {link}"]
    lines = [f"{address} is at {each.mac}" + (f": {each.words}" if each.words else "") for each in answers]
    if len(answers) > 1:
        lines.append(
            f"problem: {len(answers)} hosts answer for {address}: clients reach now one of them, now another; "
            f"pycarp scan {link} says who is MASTER"
        )
    return lines


def _json(address: Address, link: str, answers: tuple[Answer, ...]) -> str:
    return json.dumps(
        {
            "type": "who",
            "address": str(address),
            "interface": link,
            "answers": [_object(each) for each in answers],
            "problems": ["several-answers"] if len(answers) > 1 else [],
        },
        indent=2,
    )


def _object(answer: Answer) -> dict[str, Any]:
    return {
        "mac": str(answer.mac),
        "device": answer.device,
        "masters": [
            {
                "group": str(each.group),
                "protocol": each.group.protocol.value,
                "id": each.group.id,
                "source": str(each.source),
                "announces": each.announces,
            }
            for each in answer.masterships
        ],
        "text": answer.words,
    }
