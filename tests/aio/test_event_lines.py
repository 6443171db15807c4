"""A node logs the events of its hosts, by what they are about, unless it is told not to."""

import logging

import pytest

from pycarp.actuators import Actuator
from pycarp.aio.log_records import EventLines
from pycarp.aio.node import Node
from pycarp.core.events import AddressesChangedByOthers, Event, FloodChange, LoopStalled
from pycarp.core.state import State
from pycarp.errors import ConfigError
from pycarp.monitors import StaticMonitor
from pycarp.transports import MemoryBus
from pycarp.vocabulary import HostKey, InterfaceAddress
from tests.support.nodes import LINK, config, link
from tests.support.virtual import in_virtual_time

SHARED_LINK = (HostKey(LINK, 1), HostKey(LINK, 2))


def node(*, actuator: str | Actuator = "null", logs_events: bool = True) -> Node:
    monitor = StaticMonitor([link(1)])
    return Node(transport=MemoryBus().port("a"), actuator=actuator, monitor=monitor, logs_events=logs_events)


class Refusing(Actuator):
    """Cannot hold."""

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Fail."""
        raise KeyError("token")

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Succeed."""


@in_virtual_time
async def test_each_event_is_logged_on_the_logger_of_what_it_is_about(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pycarp")
    async with node() as here:
        web = await here.add(config())
        await web.wait_for(State.MASTER)
        web.demote("maintenance", by=40)

    lines = [(each.name, each.levelname, each.getMessage()) for each in caplog.records]
    assert ("pycarp.state", "INFO", "carp: 1@em0: BACKUP -> MASTER (master timed out)") in lines
    assert ("pycarp.settings", "INFO", "carp: 1@em0: demotion is 40 (maintenance +40)") in lines


@in_virtual_time
async def test_an_actuator_that_fails_is_logged_as_an_error_without_any_configuration(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with node(actuator=Refusing()) as here:
        web = await here.add(config())
        await web.wait_for(State.MASTER)
        await web.wait_for(State.INIT)

    errors = [(each.name, each.levelname, each.getMessage()) for each in caplog.records]
    assert errors[0] == (
        *("pycarp.addresses", "ERROR"),
        "carp: 1@em0: cannot hold addresses, will try again: KeyError: 'token'",
    )


@in_virtual_time
async def test_a_node_that_is_told_so_logs_no_events(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pycarp")
    async with node(actuator=Refusing(), logs_events=False) as here:
        web = await here.add(config())
        await web.wait_for(State.MASTER)
        await web.wait_for(State.INIT)

    assert not [each for each in caplog.records if each.name.startswith("pycarp.")]


def test_whether_events_are_logged_is_true_or_false() -> None:
    with pytest.raises(ConfigError, match="logs_events 'no' is neither True nor False"):
        node(logs_events="no")  # type: ignore[arg-type]  # that is the mistake


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([LoopStalled(key=key, at_ns=5, late_ns=300_000_000) for key in SHARED_LINK],
         ["carp: this process was not scheduled for 300 ms"]),
        ([FloodChange(key=key, at_ns=5, is_on=False, rate=0, every=1) for key in SHARED_LINK],
         ["carp: em0: all packets are looked at again"]),
        ([AddressesChangedByOthers(key=SHARED_LINK[0], at_ns=n, what="gone", count=n) for n in range(1, 201)],
         [f"carp: 1@em0: gone (changed by others {n} times so far)" for n in (1, 2, 3, 4, 5, 100, 200)]),
    ],
    ids=["stall", "flood", "external changes"],
)  # fmt: skip
def test_what_all_hosts_have_in_common_and_what_is_repeated_makes_few_lines(
    events: list[Event], expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pycarp")
    lines = EventLines()
    for event in events:
        lines.log(event)

    assert [each.getMessage() for each in caplog.records] == expected
