"""The pages on transports and actuators are true: what they define works as they say."""

from pathlib import Path
from random import Random

from pycarp import MemoryBus
from pycarp.testing import check_transport
from tests.support.pages import DOCS, block, names_of
from tests.support.virtual import in_virtual_time

TRANSPORT = DOCS / "howto" / "write-a-transport.md"
ACTUATOR = DOCS / "howto" / "write-an-actuator.md"


@in_virtual_time
async def test_the_transport_of_the_page_keeps_the_promises_of_one() -> None:
    names = names_of(block(TRANSPORT, "a transport") + block(TRANSPORT, "the test"))

    await check_transport(names["pair_of_lossy_transports"])


def test_the_transport_of_the_page_loses_the_share_that_it_was_given() -> None:
    sent: list[object] = []

    class Counting:
        def send(self, outgoing: object) -> None:
            sent.append(outgoing)

    lossy = names_of(block(TRANSPORT, "a transport"))["LossyTransport"](Counting(), 0.25, chance=Random(1))
    for number in range(1000):
        lossy.send(number)

    assert 700 < len(sent) < 800


def test_a_node_takes_the_transport_of_the_page() -> None:
    names = names_of(block(TRANSPORT, "a transport"))

    assert names["pycarp"].Node(transport=names["LossyTransport"](MemoryBus().port("a"), share=0.2)) is not None


@in_virtual_time
async def test_the_actuator_of_the_page_announces_and_withdraws(tmp_path: Path) -> None:
    names = names_of(block(ACTUATOR, "an actuator") + block(ACTUATOR, "the test"))

    await names["test_the_route_follows_the_master"](tmp_path)
