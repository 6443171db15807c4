"""Repeats the probe of a link for foreign MAC addresses if no neighbour was known the first time."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from pycarp.actuators.actuator import Actuator
from pycarp.aio.log_records import logger
from pycarp.aio.virtual_host import VirtualHost
from pycarp.daemon.warnings import Warnings
from pycarp.errors import CarpError
from pycarp.system.addresses import mac_probe
from pycarp.vocabulary import MacMode

EVERY_S = 30.0

Probe = Callable[[str], Awaitable[tuple[MacMode, str]]]


class MacWatch:
    """Looks whether neighbours have been met meanwhile, and asks them; ``run`` it as long as hosts may come.

    A MASTER keeps its addresses where they are: the reader of the warning knows when they may move. ``hosts`` returns
    those that run, ``probe`` and ``neighbours`` are those of ``pycarp.system.addresses.mac_probe``.
    """

    def __init__(
        self,
        warnings: Warnings,
        actuator: Actuator,
        hosts: Callable[[], Sequence[VirtualHost]],
        *,
        probe: Probe = mac_probe.probe,
        neighbours: Callable[[str], Collection[object]] = mac_probe.neighbours,
    ) -> None:
        self._warnings = warnings
        self._actuator = actuator
        self._hosts = hosts
        self._probe = probe
        self._neighbours = neighbours
        self._certain: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            doubtful = {host.key.link for host in self._hosts() if self._is_doubtful(host)}
            for link in sorted(doubtful - self._certain):
                if self._neighbours(link):
                    await self._ask(link)

    def _is_doubtful(self, host: VirtualHost) -> bool:
        return mac_probe.NOBODY in self._actuator.location(host.key)

    async def _ask(self, link: str) -> None:
        try:
            mode, reason = await self._probe(link)
        except CarpError as exc:
            logger.debug("carp: %s: cannot probe again: %s", link, exc)
            return
        if reason.startswith(mac_probe.NOBODY):
            return
        self._certain.add(link)
        if mode is MacMode.INTERFACE:
            for host in self._hosts():
                if host.key.link == link and self._is_doubtful(host):
                    text = (
                        'the addresses and advertisements have the virtual MAC: set mac_mode = "interface", and reload'
                    )
                    self._warnings.tell(host.key, f"{reason}, as was found out after the start; {text}")
