"""What the control socket says of hosts."""

from pycarp import State
from pycarp.daemon.status import Place, host_status
from pycarp.transports.memory import MemoryBus
from tests.support.nodes import config, node
from tests.support.virtual import in_virtual_time


@in_virtual_time
async def test_a_host_that_handed_over_says_so_and_to_whom() -> None:
    bus = MemoryBus()
    async with node(bus) as first, node(bus, host=2) as second:
        here = await first.add(config())
        await second.add(config(advskew=100))
        await here.wait_for(State.MASTER)
        await here.hand_over()

        change = host_status(here.snapshot(), 0, Place()).last_change

        assert change is not None
        assert (change.reason, change.explanation) == ("handed-over", "handed over to 192.0.2.2")


@in_virtual_time
async def test_once_that_is_taken_back_it_is_a_backup_as_any_other() -> None:
    bus = MemoryBus()
    async with node(bus) as first, node(bus, host=2) as second:
        here = await first.add(config())
        await second.add(config(advskew=100))
        await here.wait_for(State.MASTER)
        await here.hand_over()
        here.restore("handed over")

        change = host_status(here.snapshot(), 0, Place()).last_change

        assert change is not None
        assert change.explanation == "initialization complete"
