"""Network namespaces with a cable between them, always removed, and a way to open sockets inside."""

import contextlib
import ctypes
import itertools
import os
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import cast

from pycarp import transports
from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.transports.transport import Transport
from pycarp.transports.udp import UdpTransport
from pycarp.vocabulary import Address, Datagram, Outgoing
from tests.support.transports import SocketTransport

LINK = "eth0"
"""What the one real link of a namespace is called."""

_CARRIER_S = 5.0
_CLONE_NEWNET = 0x40000000
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A namespace whose link ``eth0`` is up and has addresses of its own: IPv4, IPv6 of the site, IPv6 of the link."""

    name: str
    own: IPv4Interface
    own6: IPv6Interface
    link_local: IPv6Interface

    @property
    def address(self) -> IPv4Address:
        """The own address, without its prefix."""
        return self.own.ip

    @property
    def address6(self) -> IPv6Address:
        """The own IPv6 address, without its prefix."""
        return self.own6.ip

    @property
    def address6_of_link(self) -> IPv6Address:
        """The link-local address, which advertisements to a group come from."""
        return self.link_local.ip

    @property
    def own_addresses(self) -> tuple[Address, ...]:
        """All addresses that the link has from the beginning."""
        return self.address, self.address6, self.address6_of_link

    def ip(self, *arguments: str) -> str:
        """Run ``ip`` inside and return what it prints."""
        return _run("ip", "-n", self.name, *arguments)

    def switch_off_ipv6(self) -> None:
        """Let the link know no IPv6 any more."""
        with entered(self):
            Path(f"/proc/sys/net/ipv6/conf/{LINK}/disable_ipv6").write_text("1")

    def ip_batch(self, commands: str) -> None:
        """Run many commands of ``ip``, one a line."""
        argv = ["ip", "-n", self.name, "-batch", "-"]
        done = subprocess.run(argv, input=commands, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr.strip()

    def wait_for_carrier(self, link: str = LINK) -> None:
        """Return when a link carries; until the kernel has noticed, it loses what is sent."""
        ends_s = time.monotonic() + _CARRIER_S
        while "state UP" not in self.ip("link", "show", "dev", link):
            assert time.monotonic() < ends_s, f"{link} does not carry"
            time.sleep(0.01)

    def addresses(self) -> set[str]:
        """Return the IPv4 addresses of ``eth0``, with their prefixes."""
        words = self.ip("-o", "-4", "addr", "show", "dev", LINK).split()
        return {after for word, after in itertools.pairwise(words) if word == "inet"}


@contextlib.contextmanager
def joined_namespaces() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces whose links are the ends of one cable."""
    with _namespace(1) as left, _namespace(2) as right:
        left.ip("link", "add", LINK, "type", "veth", "peer", "name", LINK, "netns", right.name)
        for each in (left, right):
            each.ip("link", "set", "lo", "up")
            each.ip("addr", "add", str(each.own), "dev", LINK)
            # None but those given, so that tests know them all.
            each.ip("link", "set", LINK, "addrgenmode", "none")
            for own6 in (each.own6, each.link_local):
                each.ip("addr", "add", str(own6), "dev", LINK, "nodad")
            each.ip("link", "set", LINK, "up")
        for each in (left, right):
            each.wait_for_carrier()
        yield left, right


@contextlib.contextmanager
def entered(namespace: Namespace | str) -> Iterator[None]:
    """Be inside with the current thread; sockets stay in the namespace in which they were made."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        name = namespace if isinstance(namespace, str) else namespace.name
        inside = os.open(f"/run/netns/{name}", os.O_RDONLY)
        try:
            _set_namespace(inside)
        finally:
            os.close(inside)
        try:
            yield
        finally:
            _set_namespace(before)
    finally:
        os.close(before)


class TransportInside:
    """A transport whose sockets are opened in a namespace; all else goes through."""

    def __init__(self, transport: Transport, namespace: Namespace) -> None:
        self._transport = cast("SocketTransport", transport)
        self._namespace = namespace

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open inside: the socket transports do not give way while they open."""
        with entered(self._namespace):
            await self._transport.open_link(link, wake)

    async def join(self, link: str, group: Address) -> None:
        """Join inside: the name of the link means something there only."""
        with entered(self._namespace):
            await self._transport.join(link, group)

    async def close_link(self, link: str) -> None:
        """Pass on."""
        await self._transport.close_link(link)

    def send(self, outgoing: Outgoing) -> None:
        """Pass on."""
        self._transport.send(outgoing)

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket | None:
        """Ask inside: link and MAC mean something there only."""
        with entered(self._namespace):
            return self._transport.prepared_packet(outgoing)

    def drain(self, limit: int) -> list[Datagram]:
        """Pass on."""
        return self._transport.drain(limit)

    async def close(self) -> None:
        """Pass on."""
        await self._transport.close()


class UdpInside(TransportInside):
    """The same for udp, which listens to addresses."""

    def __init__(self, transport: UdpTransport, namespace: Namespace) -> None:
        super().__init__(transport, namespace)
        self._udp = transport

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open inside, and listen to the addresses of the namespace."""
        await super().open_link(link, wake)
        self.follow_addresses(link, self._namespace.own_addresses)

    def follow_addresses(self, link: str, own: Collection[Address]) -> None:
        """Bind inside."""
        with entered(self._namespace):
            self._udp.follow_addresses(link, own)


def inside(name: str, namespace: Namespace) -> TransportInside:
    """Return one of pycarp's own transports in a namespace."""
    if name == "udp":
        return UdpInside(UdpTransport(), namespace)
    return TransportInside(transports.by_name(name), namespace)


@contextlib.contextmanager
def _namespace(host: int) -> Iterator[Namespace]:
    namespace = Namespace(
        name=f"pycarp-t{os.getpid()}-{next(_numbers)}",
        own=IPv4Interface(f"10.77.0.{host}/24"),
        own6=IPv6Interface(f"fd77::{host}/64"),
        link_local=IPv6Interface(f"fe80::{host}/64"),
    )
    _run("ip", "netns", "add", namespace.name)
    try:
        yield namespace
    finally:
        _run("ip", "netns", "del", namespace.name)
        assert not Path(f"/run/netns/{namespace.name}").exists()


def _set_namespace(descriptor: int) -> None:
    # os.setns() came with Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr.strip()}"
    return done.stdout
