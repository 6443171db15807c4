"""Warns of neighbours that answer for shared addresses and are no CARP peer: two machines would have the address.

A MASTER that gets an answer from the virtual MAC address is not alone either: another one is there, and is not heard.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from pycarp.aio.log_records import logger
from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import State
from pycarp.daemon.alarms import DUPLICATE_ADDRESS, UNHEARD_MASTER, is_alive
from pycarp.daemon.control_messages import Alarm
from pycarp.daemon.warnings import Warnings
from pycarp.errors import CarpError
from pycarp.system.addresses import address_conflicts
from pycarp.system.addresses.address_conflicts import Answers
from pycarp.system.addresses.interfaces import interfaces
from pycarp.vocabulary import NS_PER_S, Address, HostKey, MacAddress
from pycarp.wire.ethernet import is_virtual_mac, virtual_mac

GATHER_S = 0.1
"""How long to wait for further hosts, so that one query per link covers all that start together, in seconds."""

MARGIN_S = 1.0
"""How much longer than a master-down time to listen for a MASTER before assuming that there is none, in seconds."""

EVERY_S = 15.0
"""How often to query again, in seconds."""

AGAIN_S = 2.0
"""How long to wait before checking an unexplained answer again, since an old MASTER may still have the address, and
how often to query while something is wrong; in seconds.
"""

AT_ONCE = 16
"""How many hosts of a link one query covers; with more hosts each has its turn less often."""

_JUDGED_AT_ONCE, _JUDGED_EVERY_S = 32, 0.02
"""How many hosts of a link are judged in one turn of the loop, because forty links may be at once."""

Find = Callable[[str, Collection[Address]], Awaitable[Answers]]
Tell = Callable[[HostKey, Sequence[Alarm]], None]


class ConflictWatch:
    """Asks when a host begins to take part, and again and again; nothing waits for the answers.

    A MASTER answers for the addresses as well, from the virtual MAC address or from its own: who is heard to be a peer
    explains these. ``run`` it as long as hosts may come. ``find`` asks a link who answers for addresses, and ``glance``
    does so with fewer packets, because it is called again and again; without it ``find`` is. ``hosts``
    returns those that run, and ``tell`` is called with what is wrong with a host now; ``present_name`` returns what an
    interface is called now.
    """

    def __init__(
        self,
        warnings: Warnings,
        find: Find = address_conflicts.find,
        *,
        glance: Find | None = None,
        hosts: Callable[[], Sequence[VirtualHost]] = tuple,
        tell: Tell = lambda _key, _alarms: None,
        present_name: Callable[[str], str] = str,
    ) -> None:
        self._warnings = warnings
        self._find = find
        self._glance = glance or find
        self._hosts = hosts
        self._tell = tell
        self._present_name = present_name
        self._waiting: dict[HostKey, VirtualHost] = {}
        self._arrival = asyncio.Event()
        self._turns: dict[str, int] = defaultdict(int)
        self._reported: dict[HostKey, list[str]] = {}

    def add(self, host: VirtualHost) -> None:
        """Watch the addresses of a host from now on."""
        self._reported.pop(host.key, None)
        self._waiting[host.key] = host
        self._arrival.set()

    async def run(self) -> None:
        """Query new hosts until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_again())
            while True:
                await self._arrival.wait()
                await asyncio.sleep(GATHER_S)
                self._arrival.clear()
                by_link = _by_link(self._waiting.values())
                self._waiting.clear()
                for link, hosts in by_link.items():
                    group.create_task(self._look(link, hosts))
                    # One in each turn of the loop: to open its sockets and to ask takes milliseconds.
                    await asyncio.sleep(0)

    async def _look(self, link: str, hosts: list[VirtualHost]) -> None:
        found = await self._answers_of(link, hosts)
        async with asyncio.TaskGroup() as group:
            for number, (host, of_host) in enumerate(found.items()):
                if of_host:
                    group.create_task(self._judge(host, of_host, later_s=number // _JUDGED_AT_ONCE * _JUDGED_EVERY_S))

    async def _judge(self, host: VirtualHost, found: Answers, *, later_s: float) -> None:
        """Warn of answers that no CARP peer explains; a MASTER that exists has been heard by then."""
        await asyncio.sleep(host.config.master_down_ns / NS_PER_S + MARGIN_S + later_s)
        # The host may have become MASTER meanwhile, but who answered did so while it was none.
        if alarms := await self._alarms(host, found, was_master=False):
            self._report(host, alarms)

    async def _look_again(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + EVERY_S
        while True:
            await asyncio.sleep(AGAIN_S if any(self._reported.values()) else EVERY_S)
            suspects = [host for host in self._hosts() if self._reported.get(host.key)]
            if loop.time() >= due_s or not suspects:
                due_s, suspects = loop.time() + EVERY_S, []
            for link, hosts in _by_link(suspects or self._hosts()).items():
                await self._review(link, self._next(link, hosts))

    def _next(self, link: str, hosts: list[VirtualHost]) -> list[VirtualHost]:
        """Return those whose turn it is."""
        first = self._turns[link] % len(hosts)
        self._turns[link] = first + AT_ONCE
        return (hosts[first:] + hosts[:first])[:AT_ONCE]

    async def _review(self, link: str, hosts: list[VirtualHost]) -> None:
        """Report what is wrong with each host, if it still is after a while."""
        for host in hosts:
            if host.state is State.INIT:
                self._report(host, [])
        suspects = []
        for host, found in (await self._answers_of(link, hosts, self._glance)).items():
            if await self._alarms(host, found, was_master=host.state is State.MASTER):
                suspects.append(host)
            else:
                self._report(host, [])
        if not suspects:
            return
        await asyncio.sleep(AGAIN_S)
        for host, found in (await self._answers_of(link, suspects)).items():
            self._report(host, await self._alarms(host, found, was_master=host.state is State.MASTER))

    def _report(self, host: VirtualHost, alarms: list[Alarm]) -> None:
        """Say what is wrong now, and take back what is not any more."""
        texts = [each.text for each in alarms]
        if not texts and not self._reported.get(host.key):
            return
        for text in self._reported.get(host.key, ()):
            if text not in texts:
                self._warnings.take_back(host.key, text)
        for text in texts:
            self._warnings.tell(host.key, text)
        self._reported[host.key] = texts
        self._tell(host.key, alarms)

    async def _answers_of(
        self, link: str, hosts: Iterable[VirtualHost], find: Find | None = None
    ) -> dict[VirtualHost, Answers]:
        """Return who answers for the addresses of each host that takes part."""
        present = [host for host in hosts if host.state is not State.INIT]
        wanted = {host: tuple(dict.fromkeys(each.ip for each in host.config.addresses)) for host in present}
        answers = await self._answers(link, [each for addresses in wanted.values() for each in addresses], find)
        return {host: {each: answers[each] for each in wanted[host] if each in answers} for host in present}

    async def _alarms(self, host: VirtualHost, found: Answers, *, was_master: bool) -> list[Alarm]:
        """Return what is wrong with the answers: a machine that is not heard as a peer has the address as well."""
        try:
            snapshot = host.snapshot()
        except CarpError:
            return []
        now_s = asyncio.get_running_loop().time()
        peers = {
            each.source: is_alive(each, now_s) or not was_master
            for each in snapshot.peers
            if not each.source.is_unspecified
        }
        theirs = {virtual_mac(host.config.vhid)} if any(peers.values()) else set()
        sources: dict[MacAddress, Address] = {}
        if peers and any(macs - theirs for macs in found.values()):
            for source, macs in (await self._answers(host.key.link, peers)).items():
                sources |= dict.fromkeys(macs, source)
        theirs |= {mac for mac, source in sources.items() if peers[source]}
        unexplained = [(address, mac) for address, macs in found.items() for mac in sorted(macs - theirs, key=str)]
        here = _macs_here() if unexplained else frozenset()
        link = self._present_name(host.key.link)
        return [_alarm(snapshot, link, address, mac, sources) for address, mac in unexplained if mac not in here]

    async def _answers(self, link: str, addresses: Collection[Address], find: Find | None = None) -> Answers:
        try:
            return await (find or self._find)(self._present_name(link), addresses)
        except CarpError as exc:
            logger.debug("carp: %s: cannot find out who answers for shared addresses: %s", link, exc)
            return {}


def _alarm(
    host: HostSnapshot, link: str, address: Address, mac: MacAddress, sources: Mapping[MacAddress, Address]
) -> Alarm:
    if mac == virtual_mac(host.config.vhid):
        text = f"{mac} answers for {address}: another host is MASTER as well, and this one does not hear it"
        return Alarm(name=UNHEARD_MASTER, text=text, command=f"pycarp doctor -i {link}   # on both hosts")
    if mac in sources:
        text = f"{mac} answers for {address}: {sources[mac]} is not MASTER, and has not dropped the address"
    else:
        text = (
            f"{mac} answers for {address}, and no CARP peer explains that: take the address from it, or share another; "
            f"else two machines have it"
        )
    return Alarm(name=DUPLICATE_ADDRESS, text=text, command=f"pycarp who {address} -i {link}")


def _by_link(hosts: Iterable[VirtualHost]) -> dict[str, list[VirtualHost]]:
    found: dict[str, list[VirtualHost]] = defaultdict(list)
    for host in hosts:
        found[host.key.link].append(host)
    return found


def _macs_here() -> frozenset[MacAddress]:
    """Return the MAC addresses of this machine, without virtual ones, which others have as well."""
    return frozenset(each.mac for each in interfaces() if each.mac is not None and not is_virtual_mac(each.mac))
