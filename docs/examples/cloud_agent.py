"""An agent for clouds, where an address moves by a call of an API: it moves with the MASTER, and a service with it.

It brings what a cloud needs and pycarp has not: a transport over Unix sockets, an actuator that calls the API, and
callbacks that start and stop the service. ``test_cloud_agent.py`` tests each of them. Try it in two terminals::

    CARP_NAME=a CARP_ADVSKEW=0 python cloud_agent.py
    CARP_NAME=b CARP_ADVSKEW=100 python cloud_agent.py
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import IPv4Address, ip_address, ip_interface
from pathlib import Path
from typing import Protocol

import pycarp

log = logging.getLogger("agent")


# The transport: advertisements from process to process, through sockets in a folder


class FolderTransport:
    """Sends to all other sockets in ``FOLDER/LINK``, where each host has one with its name; needs no privileges.

    It receives every group, and no guardian can send for it: so it has the five methods of ``pycarp.Transport`` alone.
    """

    _HEADER = struct.Struct("!B16s16s")

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._sockets: dict[str, socket.socket] = {}

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Listen in the folder of a link."""
        if link in self._sockets:
            raise pycarp.TransportError(f"link {link} is open already")
        path = self._path(link)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # Left by a process that was killed.
            sock.bind(str(path))
        except OSError as exc:
            sock.close()
            raise pycarp.TransportError(f"cannot listen on {path}: {exc.strerror}") from exc
        self._sockets[link] = sock
        asyncio.get_running_loop().add_reader(sock, wake)

    async def close_link(self, link: str) -> None:
        """Listen no more."""
        sock = self._sockets.pop(link, None)
        if sock is not None:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
            self._path(link).unlink(missing_ok=True)

    def send(self, outgoing: pycarp.Outgoing) -> None:
        """Send to every other host at once; OSError if the link is not open."""
        sock = self._sockets.get(outgoing.link)
        if sock is None:
            raise OSError(f"link {outgoing.link} is not open")
        ends = (outgoing.source.packed.ljust(16), outgoing.destination.packed.ljust(16))
        packet = self._HEADER.pack(outgoing.family, *ends) + outgoing.payload
        for path in self._path(outgoing.link).parent.iterdir():
            if path.name != self._name:
                # A host that is gone, or does not read, misses it.
                with contextlib.suppress(OSError):
                    sock.sendto(packet, str(path))

    def drain(self, limit: int) -> list[pycarp.Datagram]:
        """Return what has arrived, without waiting."""
        received: list[pycarp.Datagram] = []
        for link, sock in self._sockets.items():
            with contextlib.suppress(BlockingIOError):
                while len(received) < limit:
                    packet = sock.recv(4096)
                    if len(packet) > self._HEADER.size:
                        received.append(self._datagram(link, packet))
        return received

    async def close(self) -> None:
        """Close every link."""
        for link in list(self._sockets):
            await self.close_link(link)

    def _path(self, link: str) -> Path:
        return self._folder / link / self._name

    def _datagram(self, link: str, packet: bytes) -> pycarp.Datagram:
        number, *ends = self._HEADER.unpack_from(packet)
        family = pycarp.Family(number)
        octets = 4 if family is pycarp.Family.IPV4 else 16
        source, destination = (ip_address(each[:octets]) for each in ends)
        payload = packet[self._HEADER.size :]
        return pycarp.Datagram(link, family, source, destination, ttl=255, payload=payload)


# The actuator: floating addresses of a cloud


class CloudError(Exception):
    """The API refused a call, or did not answer."""


class Cloud(Protocol):
    """The API of a cloud. Both calls may be repeated; machines have names."""

    async def assign(self, address: str, machine: str) -> None:
        """Give an address to a machine, whoever had it; raises CloudError."""

    async def release(self, address: str, machine: str) -> None:
        """Take an address from a machine, if that has it; raises CloudError."""


class FloatingAddresses(pycarp.Actuator):
    """Holds and drops by calls of the API; what fails is repeated by the node, and another host takes over."""

    def __init__(self, cloud: Cloud, machine: str) -> None:
        self._cloud = cloud
        self._machine = machine

    async def hold(
        self, key: pycarp.HostKey, addresses: tuple[pycarp.InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Give this machine the addresses."""
        for address in addresses:
            await self._call(self._cloud.assign, address)

    async def drop(self, key: pycarp.HostKey, addresses: tuple[pycarp.InterfaceAddress, ...]) -> None:
        """Release the addresses, unless the next MASTER has them already."""
        for address in addresses:
            await self._call(self._cloud.release, address)

    def location(self, key: pycarp.HostKey) -> str:
        """Say where the addresses are."""
        return f"floating addresses of {self._machine}"

    async def _call(self, call: Callable[[str, str], Awaitable[None]], address: pycarp.InterfaceAddress) -> None:
        try:
            await call(str(address.ip), self._machine)
        except CloudError as exc:
            raise pycarp.ActuatorError(f"{address.ip}: {exc}") from exc


class FakeCloud:
    """Stands in for the API: who has which address is a file each, and every call takes a while."""

    def __init__(self, folder: Path, *, latency_s: float = 0.05) -> None:
        self.is_out_of_order = False
        self._folder = folder
        self._latency_s = latency_s

    def owner(self, address: str) -> str:
        """Return who has an address; empty if nobody has."""
        path = self._folder / address
        return path.read_text() if path.exists() else ""

    async def assign(self, address: str, machine: str) -> None:
        """Give an address to a machine."""
        await self._answer()
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / address).write_text(machine)

    async def release(self, address: str, machine: str) -> None:
        """Take an address from a machine, if that has it."""
        await self._answer()
        if self.owner(address) == machine:
            (self._folder / address).unlink()

    async def _answer(self) -> None:
        await asyncio.sleep(self._latency_s)
        if self.is_out_of_order:
            raise CloudError("503 Service Unavailable")


# The callbacks: a service beside the addresses


class Service:
    """What runs on the MASTER; here it only counts."""

    def __init__(self) -> None:
        self.starts = 0
        self.is_running = False

    async def start(self, change: pycarp.StateChange) -> None:
        """Start; called at each takeover."""
        self.starts += 1
        self.is_running = True
        log.info("serving since %s", change.reason)

    def stop(self, change: pycarp.StateChange) -> bool:
        """Stop, if it runs, and return whether it did: what a callback returns is ignored."""
        was_running, self.is_running = self.is_running, False
        if was_running:
            log.info("not serving: %s", change.reason)
        return was_running


async def serve(host: pycarp.VirtualHost, service: Service) -> None:
    """Let the service run while the host is MASTER and holds the addresses, until cancelled."""
    host.before_hold(service.start)
    host.on_lost(service.stop, replay_current=True)
    await asyncio.get_running_loop().create_future()


# The program


def settings_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a host: ``CARP_VHID=7`` is vhid."""
    defaults = {"interface": "cloud0", "vhid": "1", "passphrase": "secret", "addresses": "192.0.2.10", "advbase": "1"}
    given = {name.removeprefix("CARP_").lower(): value for name, value in environment.items() if name[:5] == "CARP_"}
    return defaults | given


async def main(folder: Path, environment: Mapping[str, str]) -> None:
    """Take part, and serve, until cancelled; raises SettingProblems for wrong settings."""
    config = pycarp.HostConfig.parse(**settings_in(environment))
    # Nobody sends to this address, but hosts of the same advskew are told apart by it.
    own = ip_interface(IPv4Address("198.51.100.0") + 1 + config.advskew)
    link = pycarp.LinkFacts(name=config.interface, is_up=True, addresses=(own,))
    node = pycarp.Node(
        transport=FolderTransport(folder / "links", config.name),
        actuator=FloatingAddresses(FakeCloud(folder / "cloud"), config.name),
        monitor=pycarp.StaticMonitor([link]),
    )
    async with node:
        await serve(await node.add(config), Service())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    try:
        asyncio.run(main(Path(tempfile.gettempdir()) / "cloud-agent", os.environ))
    except pycarp.SettingProblems as wrong:
        sys.exit(f"cloud_agent: {wrong}")
    except KeyboardInterrupt:
        pass
