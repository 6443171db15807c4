"""What an administrator changes in a running node."""

from collections.abc import Callable

import pytest

from pycarp.aio.node import Node
from pycarp.core.state import State
from pycarp.daemon.administration import Administration
from pycarp.daemon.control_messages import GroupReply, IfconfigRequest
from pycarp.errors import CarpError, ConfigError, UsageError
from pycarp.monitors import StaticMonitor
from pycarp.testing import run
from pycarp.transports import MemoryBus
from tests.support.actuators import RecordingActuator
from tests.support.hosts import config, link

SHARED = "192.168.1.50/24"
MORE = "192.168.1.51/24"


def administered(*acts: Callable[[Administration], object]) -> tuple[Node, list[object]]:
    """Let an administrator act on a MASTER (1@fxp0) and another host (2@fxp0); return the node and the answers."""

    async def story() -> tuple[Node, list[object]]:
        actuator = RecordingActuator()
        async with Node(transport=MemoryBus().port("a"), actuator=actuator, monitor=StaticMonitor([link()])) as node:
            host = await node.add(config(addresses=(SHARED,)))
            await node.add(config(vhid=2, addresses=("192.168.1.60/24",), groups=("carp", "lan")))
            await host.wait_for(State.MASTER)
            answers = [act(Administration(node)) for act in acts]
            answers.append((host.state, [str(each) for each in host.config.shared], host.snapshot().demotion))
            return node, answers

    return run(story())


def change(**what: object) -> Callable[[Administration], object]:
    return lambda administration: administration.change(IfconfigRequest(host="1@fxp0", **what))  # type: ignore[arg-type]


def after(*acts: Callable[[Administration], object]) -> object:
    return administered(*acts)[1][-1]


def refused(error: type[CarpError], act: Callable[[Administration], object], match: str) -> None:
    with pytest.raises(error, match=match):
        administered(act)


def test_an_address_is_added_without_a_change_of_state() -> None:
    assert after(change(add=[MORE])) == (State.MASTER, [SHARED, MORE], ())


def test_an_address_is_removed_by_its_number_alone() -> None:
    assert after(change(add=[MORE]), change(remove=["192.168.1.50"])) == (State.MASTER, [MORE], ())


def test_an_address_that_is_shared_already_is_refused() -> None:
    refused(UsageError, change(add=["192.168.1.50/32"]), "192.168.1.50 is shared by 1@fxp0 already")
    refused(UsageError, change(add=["192.168.1.60/24"]), "192.168.1.60 is shared by 2@fxp0 already")


def test_an_address_that_is_not_shared_cannot_be_removed() -> None:
    refused(UsageError, change(remove=[MORE]), f"1@fxp0 does not share 192.168.1.51; it shares {SHARED}")


def test_the_last_address_cannot_be_removed() -> None:
    refused(ConfigError, change(remove=[SHARED]), "at least one shared address")


def test_what_is_no_address_is_refused() -> None:
    refused(UsageError, change(add=["192.168.1"]), "'192.168.1' is not an IP address")


def test_a_rolling_time_has_a_bound() -> None:
    refused(ConfigError, change(add=[MORE], rolling_s=86401.0), "rolling time 86401 s is outside 0-86400")


def test_a_request_that_is_refused_changes_nothing() -> None:
    def attempt(administration: Administration) -> None:
        with pytest.raises(UsageError):
            administration.change(IfconfigRequest(host="1@fxp0", add=[MORE], state="init"))

    assert after(attempt) == (State.MASTER, [SHARED], ())


def test_a_group_is_demoted_by_steps() -> None:
    """Source: carpdemote and -carpdemote, carp.md 6.4."""
    _node, answers = administered(
        lambda administration: administration.demote_group("carp", 50),
        lambda administration: administration.demote_group("carp", -20),
    )

    members = ["1@fxp0", "2@fxp0"]
    assert answers == [
        GroupReply("carp", 0, 50, members),
        GroupReply("carp", 50, 30, members),
        (State.MASTER, [SHARED], (("carpdemote", 30),)),
    ]


def test_a_group_that_no_host_is_in_is_refused_with_the_known_ones() -> None:
    refused(
        UsageError,
        lambda each: each.demote_group("wan", 1),
        "no virtual host is in interface group 'wan'; there are: carp, lan",
    )


@pytest.mark.parametrize("by", [-1, 256])
def test_a_groups_demotion_has_bounds(by: int) -> None:
    refused(UsageError, lambda each: each.demote_group("lan", by), f"demotion {by} of group lan is outside 0-255")
