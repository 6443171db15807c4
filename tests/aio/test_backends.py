"""What a node wants of a transport, an actuator and a monitor, and what it says of an object that is none."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from pycarp.actuators import Actuator
from pycarp.aio.node import Node
from pycarp.core.events import ActuationFailed
from pycarp.core.state import State
from pycarp.errors import ConfigError
from pycarp.monitors import StaticMonitor
from pycarp.transports import MemoryBus, MemoryTransport
from pycarp.vocabulary import Datagram, HostKey, InterfaceAddress, LinkFacts, Outgoing
from tests.support.nodes import config, link
from tests.support.virtual import in_virtual_time


def node(**backends: Any) -> Node:
    return Node(
        **{"transport": MemoryBus().port("a"), "actuator": "null", "monitor": StaticMonitor([link(1)]), **backends}
    )


def complaint(**backends: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        node(**backends)
    return re.sub(r"<.*?object at 0x[0-9a-f]+>", "IT", str(caught.value))


class LeastTransport:
    """Has what a transport must have."""

    def __init__(self, port: MemoryTransport) -> None:
        self._port = port

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open."""
        await self._port.open_link(link, wake)

    async def close_link(self, link: str) -> None:
        """Close."""
        await self._port.close_link(link)

    def send(self, outgoing: Outgoing) -> None:
        """Send."""
        self._port.send(outgoing)

    def drain(self, limit: int) -> list[Datagram]:
        """Receive."""
        return self._port.drain(limit)

    async def close(self) -> None:
        """Close everything."""
        await self._port.close()


class LeastActuator(Actuator):
    """Has what an actuator must have."""

    def __init__(self) -> None:
        self.held: set[InterfaceAddress] = set()

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Hold."""
        self.held.update(addresses)

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Drop."""
        self.held.difference_update(addresses)


@in_virtual_time
async def test_the_least_that_must_be_written_makes_a_pair() -> None:
    bus, first, second = MemoryBus(), LeastActuator(), LeastActuator()
    async with node(transport=LeastTransport(bus.port("a")), actuator=first) as here:
        web = await here.add(config())
        await web.wait_for(State.MASTER)
        others = StaticMonitor([link(2)])
        async with node(transport=LeastTransport(bus.port("b")), actuator=second, monitor=others) as there:
            peer = await there.add(config(advskew=100))
            await web.hand_over()

            assert (peer.state, first.held, second.held) == (State.MASTER, set(), set(peer.config.addresses))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "transport",
            "transport IT has no open_link, close_link, send, drain, close; pycarp.Transport says what they do",
        ),
        ("monitor", "monitor IT has no open, watch, run, close; pycarp.Monitor says what they do"),
        ("actuator", "actuator IT is no pycarp.Actuator; make a subclass of it, with hold and drop"),
    ],
)
def test_an_object_that_is_none_is_told_what_it_lacks(what: str, said: str) -> None:
    assert complaint(**{what: object()}) == said


@pytest.mark.parametrize(
    ("what", "kind"), [("transport", LeastTransport), ("monitor", StaticMonitor), ("actuator", LeastActuator)]
)
def test_a_class_in_the_place_of_an_object_is_told(what: str, kind: type) -> None:
    assert complaint(**{what: kind}).endswith(f"is a class; pass an object of it: {kind.__name__}()")


def test_an_actuator_that_takes_other_arguments_is_told_at_once() -> None:
    class Mistaken(LeastActuator):
        async def hold(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:  # type: ignore[override]
            """Lack an argument."""

    assert complaint(actuator=Mistaken()) == (
        "actuator IT cannot be called as hold(key, addresses, lifetime_s=...): "
        "got an unexpected keyword argument 'lifetime_s'"
    )


def test_an_optional_part_that_takes_other_arguments_is_told_at_once() -> None:
    class Mistaken(LeastTransport):
        async def join(self, group: str) -> None:
            """Lack an argument."""

    said = complaint(transport=Mistaken(MemoryBus().port("a")))

    assert said == "transport IT cannot be called as join(link, group): too many positional arguments"


def test_a_monitor_whose_method_takes_other_arguments_is_told_at_once() -> None:
    class Mistaken(StaticMonitor):
        async def watch(self) -> LinkFacts:  # type: ignore[override]
            """Lack an argument."""
            raise NotImplementedError

    assert complaint(monitor=Mistaken([])).startswith("monitor IT cannot be called as watch(link): too many")


@in_virtual_time
async def test_a_method_that_is_no_coroutine_is_named_when_it_is_called() -> None:
    class Plain(LeastActuator):
        def hold(self, *_arguments: Any, **_settings: Any) -> None:  # type: ignore[override]
            """Return nothing to await."""

    async with node(actuator=Plain()) as here:
        web = await here.add(config())
        async with web.events() as events:
            error = await anext(event.error async for event in events if isinstance(event, ActuationFailed))

    assert error == "hold of Plain returned None, which cannot be awaited; write async def hold"
