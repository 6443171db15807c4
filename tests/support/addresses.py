"""An actuator at work in a namespace, and what is heard of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from pycarp.actuators.netlink_actuator import NetlinkActuator
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import AddressesDisturbed, AdminChanged
from pycarp.vocabulary import MacMode
from tests.support.namespaces import LINK, Namespace, entered

Notice = AddressesDisturbed | AdminChanged

HEARD_S = 1.0


def config(
    *addresses: str, vhid: int = 1, link: str = LINK, mac_mode: MacMode = MacMode.VIRTUAL, name: str = ""
) -> HostConfig:
    """Return a host that shares one address of each family, unless told otherwise."""
    return HostConfig(
        interface=link,
        vhid=vhid,
        passphrase="secret",
        addresses=addresses or ("10.77.0.50/24", "fd77::50/64"),
        mac_mode=mac_mode,
        name=name,
    )


@contextlib.asynccontextmanager
async def actuator_in(namespace: Namespace, **options: Any) -> AsyncIterator[NetlinkActuator]:
    """Open an actuator inside; its thread stays there."""
    actuator = NetlinkActuator(**options)
    with entered(namespace):
        await actuator.open()
    try:
        yield actuator
    finally:
        await actuator.close()


class BoundSocket:
    """What an actuator's watch told."""

    def __init__(self) -> None:
        self.heard: list[Notice] = []
        self._news = asyncio.Event()

    def notice(self, notice: Notice) -> None:
        """Take in."""
        self.heard.append(notice)
        self._news.set()

    async def until(self, is_so: Callable[[list[Notice]], bool], *, within_s: float = HEARD_S) -> None:
        """Return when what was heard is so; TimeoutError when it is not in time."""
        async with asyncio.timeout(within_s):
            while not is_so(self.heard):
                self._news.clear()
                await self._news.wait()

    def forget(self) -> None:
        """Begin anew."""
        self.heard.clear()


@contextlib.asynccontextmanager
async def ear_on(actuator: NetlinkActuator) -> AsyncIterator[BoundSocket]:
    """Listen to an actuator."""
    bound = BoundSocket()
    watching = asyncio.create_task(actuator.watch(bound.notice))
    await asyncio.sleep(0.1)
    try:
        yield bound
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def on(namespace: Namespace, link: str) -> set[str]:
    """Return the addresses of a link, with their prefixes."""
    if link not in links(namespace):
        return set()
    lines = namespace.ip("-o", "addr", "show", "dev", link).splitlines()
    return {str(ip_interface(line.split()[3])) for line in lines}


def links(namespace: Namespace) -> set[str]:
    """Return the names of all links."""
    return {line.split(": ")[1].split("@")[0] for line in namespace.ip("-o", "link").splitlines()}


def switch(namespace: Namespace, path: str, text: str | None = None) -> str:
    """Return a value below ``/proc/sys/net``, after setting it if there is a text."""
    with entered(namespace):
        file = Path("/proc/sys/net") / path
        if text is not None:
            file.write_text(text)
        return file.read_text().strip()
