"""A probe of several neighbours: it passes if any of them answers, by ARP, neighbour discovery or ping. Linux.

A machine that reaches none of its witnesses is probably cut off itself, and not its peers.
"""

import asyncio
import socket
from collections.abc import Collection, Sequence
from functools import partial
from ipaddress import ip_network
from typing import NamedTuple

from pycarp.errors import CarpError, ConfigError
from pycarp.health.blocking import BlockingCall
from pycarp.health.health_check import Answer, Finding, Probe, Request
from pycarp.health.ping import ping, target_in
from pycarp.health.probes import reason_of
from pycarp.system.addresses import address_conflicts
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.system.rtnetlink.routes import NextHop, next_hop_for, next_hops_to
from pycarp.vocabulary import Address

GATEWAY = "gateway"
"""The next hop of each default route."""

_DEFAULTS = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class _Neighbour(NamedTuple):
    """An address, and the interface behind which it is on the same segment; empty if it is behind a router."""

    address: Address
    link: str


def witness(*witnesses: Address | str) -> Probe:
    """Return a probe that passes if one of some witnesses answers, and fails if none does.

    A witness is an address, or ``"gateway"`` for the next hop of each default route. One on a segment of this machine
    is asked by ARP or neighbour discovery as well as by ping, because many do not answer a ping. Raises ConfigError
    without a witness, and for what is none.
    """
    wanted = witnesses_in("witness", witnesses)
    asking = BlockingCall(partial(_neighbours, wanted))

    async def look() -> Finding:
        try:
            neighbours = await asking.result()
        except OSError as exc:
            return Finding(Answer.UNKNOWN, f"the kernel does not answer: {reason_of(exc)}")
        if not neighbours:
            return Finding(Answer.FAIL, "there is no default route, and so no gateway")
        return await _first_answer(neighbours)

    return Request(look, f"none of {', '.join(map(str, wanted))} answered")


def witnesses_in(key: str, value: object) -> tuple[Address | str, ...]:
    """Return witnesses as they are written, as one or a list; raises ConfigError for what is none."""
    each = [value] if isinstance(value, str) or not isinstance(value, Collection) else list(value)
    if not each:
        raise ConfigError(f'{key} names nobody; write {key} = ["gateway", "192.0.2.1"]')
    return tuple(GATEWAY if one == GATEWAY else target_in(key, one) for one in each)


def _neighbours(witnesses: Sequence[Address | str]) -> list[_Neighbour]:
    found: list[_Neighbour] = []
    with RouteSocket() as kernel:
        for each in witnesses:
            if isinstance(each, str):
                hops = [hop for network in _DEFAULTS for hop in next_hops_to(kernel, network)]
                found += [_Neighbour(hop.gateway, _name_of(hop)) for hop in hops if hop.gateway is not None]
            else:
                hop = next_hop_for(kernel, each)
                found.append(_Neighbour(each, _name_of(hop) if hop is not None and hop.gateway is None else ""))
    return found


def _name_of(hop: NextHop) -> str:
    try:
        return socket.if_indextoname(hop.link_index)
    except OSError:
        return ""


async def _first_answer(neighbours: Sequence[_Neighbour]) -> Finding:
    """Ask all at once; return the first good answer, or that nobody answered."""
    asking = [asyncio.ensure_future(_ping(each.address)) for each in neighbours]
    asking += [asyncio.ensure_future(_resolve(each)) for each in neighbours if each.link]
    try:
        for answer in asyncio.as_completed(asking):
            name = await answer
            if name:
                return Finding(Answer.OK, name)
    finally:
        for each in asking:
            each.cancel()
        await asyncio.wait(asking)
    return Finding(Answer.FAIL, f"none of {', '.join(str(each.address) for each in neighbours)} answers")


async def _ping(address: Address) -> str:
    found = await ping(address)()
    return found.detail if isinstance(found, Finding) and found.answer is Answer.OK else ""


async def _resolve(neighbour: _Neighbour) -> str:
    try:
        answers = await address_conflicts.find(neighbour.link, [neighbour.address], stops_early=True)
    except CarpError:
        return ""
    return f"{neighbour.address} is there on {neighbour.link}" if answers else ""
