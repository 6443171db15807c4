"""A link that nobody could be asked about at the start is probed again when somebody has been met."""

import asyncio

import pytest

from pycarp.actuators.null import NullActuator
from pycarp.daemon.mac_watch import EVERY_S, MacWatch
from pycarp.daemon.warnings import Warnings
from pycarp.errors import ActuatorError
from pycarp.system.addresses.mac_probe import NOBODY
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import HostKey, MacMode
from tests.support.nodes import LINK, config, node
from tests.support.virtual import in_virtual_time

IN_DOUBT = f"carp1 (virtual MAC: {NOBODY} on {LINK})"
CERTAIN = "carp1 (virtual MAC: 192.0.2.9 answers a foreign MAC address)"
FORBIDDEN = (MacMode.INTERFACE, "frames from foreign MAC addresses get no answer")
CARRIED = (MacMode.VIRTUAL, "192.0.2.9 answers")
NO_ANSWER = (MacMode.VIRTUAL, f"{NOBODY} on {LINK}")

Verdict = tuple[MacMode, str] | ActuatorError


class Placed(NullActuator):
    """Says where the addresses are, and why."""

    def __init__(self, place: str) -> None:
        self._place = place

    def location(self, key: HostKey) -> str:
        return self._place


async def watched(place: str, verdicts: list[Verdict], *, met_after_s: float = 0.0) -> tuple[list[str], int]:
    """Have one host watched for six rounds; return the warnings, and how often was probed."""
    asked: list[str] = []

    async def probe(link: str) -> tuple[MacMode, str]:
        asked.append(link)
        verdict = verdicts[min(len(asked), len(verdicts)) - 1]
        if isinstance(verdict, ActuatorError):
            raise verdict
        return verdict

    def neighbours(_link: str) -> list[str]:
        return ["192.0.2.9"] if loop.time() - began_s >= met_after_s else []

    loop, warnings, actuator = asyncio.get_running_loop(), Warnings(), Placed(place)
    began_s = loop.time()
    async with node(MemoryBus(), actuator=actuator) as ours:
        await ours.add(config())
        watch = MacWatch(warnings, actuator, lambda: ours.hosts, probe=probe, neighbours=neighbours)
        running = asyncio.create_task(watch.run())
        await asyncio.sleep(6.5 * EVERY_S)
        running.cancel()
    return warnings.about(config().key), len(asked)


@in_virtual_time
async def test_what_is_found_out_later_is_warned_of_once() -> None:
    told, count = await watched(IN_DOUBT, [FORBIDDEN])

    assert [each.partition(",")[0] for each in told] == [FORBIDDEN[1]]
    assert count == 1


@in_virtual_time
async def test_nobody_is_asked_before_somebody_has_been_met() -> None:
    told, count = await watched(IN_DOUBT, [FORBIDDEN], met_after_s=4.5 * EVERY_S)

    assert (len(told), count) == (1, 1)


@pytest.mark.parametrize("first", [NO_ANSWER, ActuatorError("cannot probe")])
@in_virtual_time
async def test_as_long_as_it_is_in_doubt_it_is_tried_again(first: Verdict) -> None:
    assert await watched(IN_DOUBT, [first, first, CARRIED]) == ([], 3)


@in_virtual_time
async def test_a_link_about_which_something_is_known_is_left_alone() -> None:
    assert await watched(CERTAIN, [FORBIDDEN]) == ([], 0)
