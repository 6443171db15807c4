"""Nodes on a memory bus, and a station that hears and says what they do."""

import asyncio
import itertools
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_interface
from typing import Self

from pycarp import HostConfig, Node, Settings
from pycarp.actuators.actuator import Actuator
from pycarp.actuators.null import NullActuator
from pycarp.core.advertisement_codec import AdvertisementCodec
from pycarp.dialects.dialect import Claim
from pycarp.monitors.link_monitor import Monitor
from pycarp.monitors.static import StaticMonitor
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import Address, LinkFacts, Outgoing
from pycarp.wire import advertisement as wire

LINK = "em0"
SHARED = "192.0.2.10/24"


def config(
    *,
    vhid: int = 1,
    advskew: int = 0,
    preempt: bool = False,
    address: str = SHARED,
    interface: str = LINK,
    name: str = "",
) -> HostConfig:
    """Return the settings of a host; those of the same vhid understand each other."""
    return HostConfig(
        interface=interface,
        vhid=vhid,
        passphrase="testpass",
        addresses=[address],
        advskew=advskew,
        preempt=preempt,
        name=name,
    )


def link(host: int, *, name: str = LINK, is_up: bool = True) -> LinkFacts:
    """Return the facts of a link whose own address is 192.0.2.HOST."""
    return LinkFacts(name=name, is_up=is_up, addresses=(ip_interface(f"192.0.2.{host}/24"),))


def node(
    bus: MemoryBus,
    *,
    host: int = 1,
    actuator: Actuator | None = None,
    monitor: Monitor | None = None,
    settings: Settings | None = None,
    close_timeout_s: float = 5.0,
) -> Node:
    """Return a node with one link, attached to a bus as ``host-N``."""
    return Node(
        transport=bus.port(f"host-{host}"),
        actuator=actuator or NullActuator(),
        monitor=monitor or StaticMonitor([link(host)]),
        settings=settings,
        close_timeout_s=close_timeout_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An advertisement on the bus, and when it arrived."""

    at_s: float
    source: Address
    advert: wire.Advertisement

    @property
    def is_bow_out(self) -> bool:
        """True for the 255/255 of a MASTER that leaves."""
        return (self.advert.advbase, self.advert.advskew) == (wire.BOW_OUT, wire.BOW_OUT)


class Peer:
    """A station on a bus that hears everything, and can speak for a host with the same vhid, password and addresses."""

    def __init__(self, bus: MemoryBus, config: HostConfig, *, host: int = 9) -> None:
        self.heard: list[Heard] = []
        self._port = bus.port(f"peer-{host}")
        self._config = config
        self._own = IPv4Address(f"192.0.2.{host}")
        numbers = itertools.count(1)
        self._codec = AdvertisementCodec(config, lambda: next(numbers))

    async def open(self) -> Self:
        """Begin to listen."""
        await self._port.open_link(self._config.interface, self._listen)
        return self

    @property
    def bow_outs(self) -> list[Heard]:
        """The advertisements with which somebody left."""
        return [each for each in self.heard if each.is_bow_out]

    def adverts_of(self, vhid: int) -> list[Heard]:
        """What was heard for a vhid."""
        return [each for each in self.heard if each.advert.vhid == vhid]

    def outgoing(self, *, advskew: int = 0) -> Outgoing:
        """Return a signed advertisement."""
        (outgoing,) = self._codec.compose(Claim(advbase=1, advskew=advskew), (self._own,), 0)
        return outgoing

    def speak(self, *, advskew: int = 0) -> None:
        """Send an advertisement now; it arrives 50 us later."""
        self._port.send(self.outgoing(advskew=advskew))

    async def speak_every_second(self, *, advskew: int = 0) -> None:
        """Be a MASTER until cancelled."""
        while True:
            self.speak(advskew=advskew)
            await asyncio.sleep(1)

    def _listen(self) -> None:
        for datagram in self._port.drain(64):
            advert = wire.decode(datagram.payload)
            at_s = asyncio.get_running_loop().time()
            self.heard.append(Heard(at_s=at_s, source=datagram.source, advert=advert))
