"""Warns of neighbours that answer for shared addresses and are no CARP peer: two machines would have the address."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection

from pycarp.aio.log_records import logger
from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.state import State
from pycarp.daemon.warnings import Warnings
from pycarp.errors import CarpError
from pycarp.system.addresses import address_conflicts
from pycarp.system.addresses.address_conflicts import Answers
from pycarp.vocabulary import NS_PER_S, Address, HostKey, MacAddress
from pycarp.wire.ethernet import virtual_mac

GATHER_S = 0.1
"""How long to wait for further hosts, so that one query per link covers all that start together, in seconds."""

MARGIN_S = 1.0
"""How much longer than a master-down time to listen for a MASTER before assuming that there is none, in seconds."""

Find = Callable[[str, Collection[Address]], Awaitable[Answers]]


class ConflictWatch:
    """Asks once, when a host begins to take part; nothing waits for the answer. ``run`` it as long as hosts may come.

    A MASTER answers for the addresses as well, from the virtual MAC address or from its own: who is heard to be a peer
    explains these. ``find`` asks a link who answers for addresses.
    """

    def __init__(self, warnings: Warnings, find: Find = address_conflicts.find) -> None:
        self._warnings = warnings
        self._find = find
        self._waiting: dict[HostKey, VirtualHost] = {}
        self._arrival = asyncio.Event()

    def add(self, host: VirtualHost) -> None:
        """Watch the addresses of a host from now on."""
        self._waiting[host.key] = host
        self._arrival.set()

    async def run(self) -> None:
        """Query new hosts until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._arrival.wait()
                await asyncio.sleep(GATHER_S)
                self._arrival.clear()
                by_link: dict[str, list[VirtualHost]] = defaultdict(list)
                for host in self._waiting.values():
                    by_link[host.key.link].append(host)
                self._waiting.clear()
                for link, hosts in by_link.items():
                    group.create_task(self._look(link, hosts))

    async def _look(self, link: str, hosts: list[VirtualHost]) -> None:
        present = [host for host in hosts if host.state is not State.INIT]
        wanted = {host: tuple(dict.fromkeys(each.ip for each in host.config.addresses)) for host in present}
        answers = await self._answers(link, [each for addresses in wanted.values() for each in addresses])
        found = {host: {each: answers[each] for each in wanted[host] if each in answers} for host in present}
        async with asyncio.TaskGroup() as group:
            for host, of_host in found.items():
                if of_host:
                    group.create_task(self._judge(host, of_host))

    async def _judge(self, host: VirtualHost, found: Answers) -> None:
        """Warn of answers that no CARP peer explains; a MASTER that exists has been heard by then."""
        await asyncio.sleep(host.config.master_down_ns / NS_PER_S + MARGIN_S)
        try:
            peers = {each.source for each in host.snapshot().peers if not each.source.is_unspecified}
        except CarpError:
            return
        theirs = {virtual_mac(host.config.vhid)} if peers else set()
        if peers and any(macs - theirs for macs in found.values()):
            for macs in (await self._answers(host.key.link, peers)).values():
                theirs |= macs
        for address, macs in found.items():
            for mac in sorted(macs - theirs, key=str):
                self._warnings.tell(host.key, _text(address, mac))

    async def _answers(self, link: str, addresses: Collection[Address]) -> Answers:
        try:
            return await self._find(link, addresses)
        except CarpError as exc:
            logger.debug("carp: %s: cannot find out who answers for shared addresses: %s", link, exc)
            return {}


def _text(address: Address, mac: MacAddress) -> str:
    return (
        f"{mac} answers for {address}, and no CARP peer explains that: take the address from it, or share another; "
        f"else two machines have it"
    )
