"""Random sequences of calls, cancellations and faults of every backend: nothing is left behind, and leaving ends."""

import asyncio
import contextlib
import random
from collections.abc import Callable

import pytest

from pycarp import CarpError, State, VirtualHost
from pycarp.vocabulary import LinkFacts
from tests.support.backends import Foreign, Hang
from tests.support.faulty_nodes import FaultyNode
from tests.support.nodes import LINK, config, link
from tests.support.virtual import Complaints, in_virtual_time, now_s

SEEDS = 60
STEPS = 40
CLOSE_TIMEOUT_S = 4.0
CALLS = ("watch", "open_link", "join", "prepare", "hold", "drop", "release", "close_link", "set_up")
FAULTS: tuple[BaseException | Hang, ...] = (
    OSError(5, "no"),
    ValueError("a bug"),
    asyncio.CancelledError(),
    Foreign(),
    Hang.UNTIL_CANCELLED,
)


class RandomUse:
    """Calls, cancels and breaks one thing after another at random."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.here = FaultyNode(close_timeout_s=CLOSE_TIMEOUT_S)
        self.tasks: list[asyncio.Task[object]] = []
        self._index = 1

    async def step(self) -> None:
        """Do one random action, then wait for a random time."""
        choices: list[Callable[[], None]] = [
            self.add,
            self.add,
            self.remove,
            self.cancel,
            self.fault,
            self.mend,
            self.force,
            self.flap,
            self.reconfigure,
            self.hand_over,
            self.move,
        ]
        with contextlib.suppress(CarpError):
            self.dice.choice(choices)()
        if self.dice.random() < 0.5:
            for _ in range(self.dice.randrange(8)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.dice.choice([0.001, 0.1, 1, 5]))

    def add(self) -> None:
        """Add one of three hosts."""
        vhid = self.dice.randint(1, 3)
        added = self.here.node.add(config(vhid=vhid, address=f"192.0.2.{vhid + 100}/24"))
        self.tasks.append(asyncio.create_task(added))

    def remove(self) -> None:
        """Remove a host."""
        if host := self._host():
            self.tasks.append(asyncio.create_task(self.here.node.remove(host)))

    def hand_over(self) -> None:
        """Hand a host over."""
        if host := self._host():
            self.tasks.append(asyncio.create_task(host.hand_over()))

    def cancel(self) -> None:
        """Cancel a running call."""
        under_way = [each for each in self.tasks if not each.done()]
        if under_way:
            self.dice.choice(under_way).cancel()

    def fault(self) -> None:
        """Make a call of a backend fail, hang or take long."""
        self.here.faults.wrong[self.dice.choice(CALLS)] = self.dice.choice(FAULTS)

    def mend(self) -> None:
        """End every fault."""
        self.here.faults.wrong.clear()
        self.here.faults.released.set()
        self.here.faults.released = asyncio.Event()

    def force(self) -> None:
        """Force a state."""
        if host := self._host():
            host.force(self.dice.choice([State.MASTER, State.BACKUP]))

    def flap(self) -> None:
        """Set a host up or down."""
        if host := self._host():
            self.dice.choice([host.up, host.down])()

    def reconfigure(self) -> None:
        """Share other addresses."""
        if host := self._host():
            first = f"192.0.2.{host.key.vhid + 100}/24"
            host.reconfigure(addresses=[first, *(["192.0.2.200/24"] if self.dice.random() < 0.5 else [])])

    def move(self) -> None:
        """Delete the link, or create it again."""
        self._index += 1
        up = LinkFacts(name=LINK, is_up=True, addresses=link(1).addresses, index=self._index)
        self.here.monitor.change(self.dice.choice([up, LinkFacts(name=LINK, is_up=False)]))

    def _host(self) -> VirtualHost | None:
        hosts = self.here.node.hosts
        return self.dice.choice(hosts) if hosts else None


@pytest.mark.parametrize("seed", range(SEEDS))
@in_virtual_time
async def test_whatever_happens_the_node_leaves_in_time_and_leaves_nothing(seed: int) -> None:
    Complaints()
    use = RandomUse(seed)
    here = use.here
    async with here.node:
        for _ in range(STEPS):
            await use.step()
        assert here.node.failure is None
        use.mend()
        began_s = now_s()

    assert now_s() - began_s <= CLOSE_TIMEOUT_S * 1.1 + 0.01
    await asyncio.wait(use.tasks, timeout=CLOSE_TIMEOUT_S)
    assert [each for each in use.tasks if not each.done()] == []
    results = [each.exception() for each in use.tasks if not each.cancelled()]
    assert [each for each in results if not isinstance(each, CarpError | OSError | ValueError | Foreign | None)] == []
    assert here.actuator.held == set()
    assert here.actuator.adopted == set()
    assert here.guardian.armed == set()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("seed", range(SEEDS))
@in_virtual_time
async def test_whatever_happens_every_vhid_can_be_used_again(seed: int) -> None:
    Complaints()
    use = RandomUse(seed)
    node = use.here.node
    async with node:
        for _ in range(STEPS):
            await use.step()
        use.mend()
        use.here.monitor.change(link(1))
        await asyncio.sleep(60)
        for host in node.hosts:
            await node.remove(host)
        assert use.here.transport.opened == []
        for vhid in range(1, 4):
            again = await node.add(config(vhid=vhid, address=f"192.0.2.{vhid + 100}/24"))
            await again.wait_for(State.MASTER)
