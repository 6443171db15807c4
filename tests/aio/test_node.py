"""A process's set of hosts: opening, adding, removing, failing and leaving."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable

import pytest

from pycarp import ActuatorError, ConfigError, LoopStalled, Node, Settings, State, TransportError, UsageError
from pycarp.core.events import ActuationFailed
from pycarp.core.inputs import Action
from pycarp.monitors import Monitor, StaticMonitor
from pycarp.testing import VirtualTimeLoop
from pycarp.transports import MemoryBus, MemoryTransport
from pycarp.vocabulary import HostKey, InterfaceAddress, LinkFacts, Outgoing
from tests.support.actuators import RecordingActuator
from tests.support.nodes import Peer, config, link, node
from tests.support.transports import ScriptedTransport
from tests.support.virtual import in_virtual_time, let_others_run, now_s, until_held

OTHER = "192.0.2.11/24"


# Adding and removing


@in_virtual_time
async def test_an_added_host_is_backup_and_dropped_its_addresses_first() -> None:
    actuator = RecordingActuator()
    async with node(MemoryBus(), actuator=actuator) as here:
        web = await here.add(config())
        assert web.state is State.BACKUP
        await let_others_run()

        assert actuator.actions == [Action.DROP]
        assert here.hosts == (web,)
        assert [host.key for host in here.snapshot().hosts] == [web.key]


@in_virtual_time
async def test_a_host_on_a_link_that_is_down_waits_in_init_for_it() -> None:
    monitor = StaticMonitor([link(1, is_up=False)])
    async with node(MemoryBus(), monitor=monitor) as here:
        web = await here.add(config())
        assert web.state is State.INIT

        monitor.change(link(1))

        assert (await web.wait_for(State.BACKUP)).old is State.INIT


@in_virtual_time
async def test_a_lost_link_makes_the_master_drop_its_addresses_without_bowing_out() -> None:
    bus = MemoryBus()
    peer = await Peer(bus, config()).open()
    monitor = StaticMonitor([link(1)])
    actuator = RecordingActuator()
    async with node(bus, monitor=monitor, actuator=actuator) as here:
        web = await here.add(config())
        await web.wait_for(State.MASTER)
        await let_others_run()
        monitor.change(link(1, is_up=False))
        await web.wait_for(State.INIT)
        await asyncio.sleep(1)

        assert actuator.held == set()
        assert peer.bow_outs == []


@in_virtual_time
async def test_a_vhid_that_is_in_use_on_the_interface_is_a_config_error() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config(vhid=7))

        with pytest.raises(ConfigError, match="vhid 7 is in use on em0"):
            await here.add(config(vhid=7))
        assert here.hosts == (web,)


@in_virtual_time
async def test_the_same_vhid_on_another_interface_is_another_host() -> None:
    monitor = StaticMonitor([link(1), link(2, name="em1")])
    async with node(MemoryBus(), monitor=monitor) as here:
        await here.add(config())
        await here.add(config(interface="em1"))

        assert [str(host.key) for host in here.hosts] == ["1@em0", "1@em1"]


@in_virtual_time
async def test_an_interface_that_does_not_exist_is_a_config_error_that_names_those_that_do() -> None:
    async with node(MemoryBus()) as here:
        with pytest.raises(ConfigError, match="em9 does not exist; there are: em0"):
            await here.add(config(interface="em9"))
        assert here.hosts == ()


class LeisurelyMonitor(StaticMonitor):
    """Takes a second to read a link, as a real monitor may."""

    async def watch(self, link: str) -> LinkFacts:
        """Wait, then return the facts."""
        await asyncio.sleep(1)
        return await super().watch(link)


@in_virtual_time
async def test_hosts_of_one_interface_can_be_added_at_the_same_time() -> None:
    async with node(MemoryBus(), monitor=LeisurelyMonitor([link(1)])) as here:
        first, second = await asyncio.gather(here.add(config()), here.add(config(vhid=2, address=OTHER)))

        assert (first.state, second.state) == (State.BACKUP, State.BACKUP)


@in_virtual_time
async def test_of_two_hosts_with_one_key_added_at_the_same_time_one_is_refused() -> None:
    async with node(MemoryBus(), monitor=LeisurelyMonitor([link(1)])) as here:
        results = await asyncio.gather(here.add(config()), here.add(config()), return_exceptions=True)

        assert [type(each) for each in results if isinstance(each, Exception)] == [ConfigError]
        assert len(here.hosts) == 1


@in_virtual_time
async def test_a_link_is_closed_with_its_last_host_and_opened_with_the_next() -> None:
    bus = MemoryBus()
    async with node(bus) as here:
        first = await here.add(config())
        second = await here.add(config(vhid=2, address=OTHER))
        await here.remove(first)
        await here.remove(second)
        third = await here.add(config())
        await Peer(bus, config()).open()

        assert third.state is State.BACKUP


@in_virtual_time
async def test_a_host_can_be_added_while_callbacks_of_a_removed_one_still_run() -> None:
    async with node(MemoryBus()) as here:
        first = await here.add(config())

        @first.on_change
        async def dawdle(_change: object) -> None:
            await asyncio.sleep(2)

        removal = asyncio.create_task(here.remove(first))
        await asyncio.sleep(1)
        second = await here.add(config(vhid=2, address=OTHER))
        await removal
        second.force(State.MASTER)
        await asyncio.sleep(1)

        assert second.snapshot().demotion == ()


@in_virtual_time
async def test_removing_returns_when_the_addresses_are_gone_and_the_bow_out_is_sent() -> None:
    bus = MemoryBus()
    peer = await Peer(bus, config()).open()
    actuator = RecordingActuator(takes_s=2)
    async with node(bus, actuator=actuator) as here:
        web = await here.add(config())
        await web.wait_for(State.MASTER)
        await asyncio.sleep(10)
        began_s = now_s()
        await here.remove(web)

        assert now_s() - began_s == pytest.approx(2, abs=0.01)
        assert actuator.held == set()
        await asyncio.sleep(0.001)
        assert len(peer.bow_outs) == 1
        assert here.hosts == ()


@in_virtual_time
async def test_removing_a_host_that_is_not_here_is_a_usage_error() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        await here.remove(web)

        with pytest.raises(UsageError, match="is not on this node"):
            await here.remove(web)


@in_virtual_time
async def test_a_coroutine_callback_may_remove_its_own_host() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        removed_at_s: list[float] = []

        @web.on_master
        async def leave(_change: object) -> None:
            await here.remove(web)
            removed_at_s.append(now_s())

        await asyncio.sleep(60)

    assert removed_at_s == [pytest.approx(3, abs=0.01)]


@in_virtual_time
async def test_removing_a_host_whose_drop_hangs_is_a_timeout_and_the_drop_goes_on() -> None:
    actuator = RecordingActuator()
    async with node(MemoryBus(), actuator=actuator, close_timeout_s=5) as here:
        web = await here.add(config())
        await until_held(web)
        actuator.refused.add(Action.DROP)
        with pytest.raises(TimeoutError):
            await here.remove(web)

        assert actuator.held
        actuator.refused.clear()
        await asyncio.sleep(10)
        assert actuator.held == set()


@in_virtual_time
async def test_a_host_whose_removal_timed_out_can_be_removed_again_and_its_vhid_used_again() -> None:
    actuator = RecordingActuator()
    async with node(MemoryBus(), actuator=actuator) as here:
        web = await here.add(config())
        actuator.refused.add(Action.DROP)
        with pytest.raises(TimeoutError):
            await here.remove(web)
        with pytest.raises(ConfigError, match="in use"):
            await here.add(config())
        actuator.refused.clear()
        await here.remove(web)

        again = await here.add(config())
        assert again.state is State.BACKUP


@in_virtual_time
async def test_a_cancelled_removal_still_drops_the_addresses() -> None:
    actuator = RecordingActuator(takes_s=2)
    async with node(MemoryBus(), actuator=actuator) as here:
        web = await here.add(config())
        await web.wait_for(State.MASTER)
        await asyncio.sleep(10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await here.remove(web)
        await asyncio.sleep(10)

        assert actuator.held == set()


# The clock of the advertisements


@pytest.mark.parametrize(
    "actuator",
    [RecordingActuator(takes_s=10), RecordingActuator(refused={Action.DROP}), RecordingActuator(hanging=set(Action))],
    ids=["slow", "failing", "hanging"],
)
@in_virtual_time
async def test_actuation_that_is_slow_or_fails_never_delays_an_advertisement(actuator: RecordingActuator) -> None:
    bus = MemoryBus()
    peer = await Peer(bus, config()).open()
    with contextlib.suppress(TimeoutError):
        async with node(bus, actuator=actuator) as here:
            web = await here.add(config())
            web.force(State.MASTER)
            await asyncio.sleep(14.5)
            times_s = [heard.at_s for heard in peer.heard]

    pauses_s = [after - before for before, after in itertools.pairwise(times_s)]
    assert pauses_s == pytest.approx([1.0] * 14)


@in_virtual_time
async def test_a_failing_hold_is_an_event_and_a_demotion_until_it_succeeds() -> None:
    actuator = RecordingActuator(refused={Action.HOLD})
    async with node(MemoryBus(), actuator=actuator) as here, asyncio.timeout(60):
        web = await here.add(config())
        async with web.events() as events:
            web.force(State.MASTER)
            await asyncio.sleep(1)
            assert web.snapshot().demotion == (("addresses not held", 240),)
            actuator.refused.clear()
            await asyncio.sleep(10)
            assert web.snapshot().demotion == ()
            web.down()
            failures = []
            async for event in events:
                if isinstance(event, ActuationFailed):
                    failures.append((event.action, event.error))
                if web.seq == event.seq:
                    break

    assert set(failures) == {("hold", "hold refused")}


@in_virtual_time
async def test_every_host_is_told_of_a_stall() -> None:
    async with node(MemoryBus()) as here, asyncio.timeout(60):
        web = await here.add(config())
        async with web.events() as events:
            await asyncio.sleep(1)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualTimeLoop)
            loop.stall(10)
            async for event in events:
                if isinstance(event, LoopStalled):
                    late_ns = event.late_ns
                    break

    assert late_ns == pytest.approx(8e9)


# Leaving


@in_virtual_time
async def test_leaving_drops_the_addresses_before_the_bow_out() -> None:
    bus = MemoryBus()
    peer = await Peer(bus, config()).open()
    actuator = RecordingActuator(takes_s=2)
    async with node(bus, actuator=actuator) as here:
        web = await here.add(config())
        await web.wait_for(State.MASTER)
        await asyncio.sleep(10.5)
        left_s = now_s()
    await asyncio.sleep(0.001)

    assert actuator.times_s(Action.DROP)[-1] == pytest.approx(left_s, abs=0.01)
    assert [heard.at_s for heard in peer.bow_outs] == [pytest.approx(left_s + 2, abs=0.01)]
    assert actuator.held == set()
    assert not actuator.is_open


@in_virtual_time
async def test_leaving_as_backup_is_silent() -> None:
    bus = MemoryBus()
    peer = await Peer(bus, config()).open()
    async with node(bus) as here:
        await here.add(config())
    await asyncio.sleep(1)

    assert peer.heard == []


@in_virtual_time
async def test_a_cancelled_body_leaves_by_the_same_path() -> None:
    bus = MemoryBus()
    peer = await Peer(bus, config()).open()
    actuator = RecordingActuator(takes_s=1)

    async def body() -> None:
        async with node(bus, actuator=actuator) as here:
            await here.add(config())
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await asyncio.sleep(10.5)
    task.cancel()
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.001)

    assert actuator.held == set()
    assert len(peer.bow_outs) == 1


@in_virtual_time
async def test_what_the_body_raises_comes_out_after_a_clean_leave() -> None:
    actuator = RecordingActuator()

    async def body() -> None:
        async with node(MemoryBus(), actuator=actuator) as here:
            web = await here.add(config())
            await web.wait_for(State.MASTER)
            await let_others_run()
            raise LookupError("body")

    with pytest.raises(LookupError, match="body"):
        await body()

    assert actuator.held == set()
    assert not actuator.is_open


@in_virtual_time
async def test_leaving_is_bounded_and_a_timeout_when_a_drop_hangs() -> None:
    actuator = RecordingActuator()

    async def body() -> None:
        async with node(MemoryBus(), actuator=actuator, close_timeout_s=5) as here:
            for vhid in range(1, 6):
                await here.add(config(vhid=vhid))
            await asyncio.sleep(10)
            actuator.hanging.add(Action.DROP)

    with pytest.raises(TimeoutError):
        await body()

    assert now_s() == pytest.approx(15, abs=0.01)
    assert not actuator.is_open


@in_virtual_time
async def test_nothing_runs_after_leaving() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())

        @web.on_change
        async def observe(_change: object) -> None:
            await asyncio.sleep(1)

        await web.wait_for(State.MASTER)

    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_a_node_outside_its_context_is_a_usage_error() -> None:
    here = node(MemoryBus())
    with pytest.raises(UsageError, match="not running"):
        await here.add(config())
    async with here:
        pass

    with pytest.raises(UsageError, match="not running"):
        await here.add(config())
    with pytest.raises(UsageError, match="not running"):
        here.demote("late", by=1)
    with pytest.raises(UsageError, match="once only"):
        await here.__aenter__()


@in_virtual_time
async def test_what_was_opened_is_closed_when_opening_fails() -> None:
    class Closed(StaticMonitor):
        async def open(self) -> None:
            raise ActuatorError("no netlink here")

    actuator = RecordingActuator()
    here = node(MemoryBus(), actuator=actuator, monitor=Closed([]))
    with pytest.raises(ActuatorError, match="no netlink here"):
        await here.__aenter__()

    assert not actuator.is_open
    with pytest.raises(UsageError, match="not running"):
        here.demote("late", by=1)


@in_virtual_time
async def test_a_node_says_by_which_name_it_chose_its_transport() -> None:
    assert Node(transport="udp", actuator="null").transport_name == "udp"
    assert Node(transport=MemoryBus().port("a"), actuator="null").transport_name == ""


async def test_a_transport_that_does_not_open_leaves_no_host_behind() -> None:
    class Deaf(ScriptedTransport):
        async def open_link(self, link: str, wake: Callable[[], None]) -> None:
            raise TransportError(f"cannot open a socket on {link}")

    async with Node(transport=Deaf(), actuator=RecordingActuator(), monitor=StaticMonitor([link(1)])) as here:
        with pytest.raises(TransportError):
            await here.add(config())
        assert here.hosts == ()


# Settings


@in_virtual_time
async def test_settings_are_in_force_when_the_call_returns() -> None:
    async with node(MemoryBus(), settings=Settings(preempt=True)) as here:
        assert here.settings == Settings(preempt=True)
        here.set_settings(Settings(allow=False))

        assert here.settings == Settings(allow=False)


@in_virtual_time
async def test_demoting_the_node_demotes_every_host() -> None:
    async with node(MemoryBus()) as here:
        hosts = [await here.add(config()), await here.add(config(vhid=2, address=OTHER))]
        here.demote("maintenance", by=50)
        assert [host.snapshot().claim.advskew for host in hosts] == [50, 50]
        here.restore("maintenance")

        assert [host.snapshot().claim.advskew for host in hosts] == [0, 0]


@in_virtual_time
async def test_restricting_the_node_restricts_hosts_that_come_later_too() -> None:
    async with node(MemoryBus()) as here:
        here.restrict("starting", "backup-only")
        web = await here.add(config())
        await asyncio.sleep(60)
        assert web.state is State.BACKUP
        here.unrestrict("starting")
        async with asyncio.timeout(0.1):
            await web.wait_for(State.MASTER)


# Bugs of ours: fail-stop


class Poisonous:
    """Violates the protocol of transports: once ``is_broken``, it raises another exception than OSError."""

    def __init__(self, port: MemoryTransport) -> None:
        self.is_broken = False
        self._port = port
        self.open_link = port.open_link
        self.join = port.join
        self.close_link = port.close_link
        self.prepared_packet = port.prepared_packet
        self.drain = port.drain
        self.close = port.close

    def send(self, outgoing: Outgoing) -> None:
        """Send, or raise."""
        if self.is_broken:
            raise ZeroDivisionError("a bug of ours")
        self._port.send(outgoing)


def poisonous_node(actuator: RecordingActuator, *, monitor: Monitor | None = None) -> tuple[Node, Poisonous]:
    poison = Poisonous(MemoryBus().port("here"))
    here = Node(transport=poison, actuator=actuator, monitor=monitor or StaticMonitor([link(1)]), close_timeout_s=5)
    return here, poison


@in_virtual_time
async def test_a_bug_drops_the_addresses_and_comes_out_of_the_context() -> None:
    actuator = RecordingActuator()
    here, poison = poisonous_node(actuator)

    async def body() -> None:
        async with here:
            await here.add(config())
            await here.add(config(vhid=2, address=OTHER))
            await asyncio.sleep(10)
            assert len(actuator.held) == 2
            poison.is_broken = True
            await asyncio.sleep(3600)

    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        await body()

    assert now_s() < 20
    assert actuator.held == set()
    assert not actuator.is_open


@in_virtual_time
async def test_the_task_is_not_left_cancelled_after_a_bug() -> None:
    here, poison = poisonous_node(RecordingActuator())

    async def body() -> None:
        async with here:
            web = await here.add(config())
            poison.is_broken = True
            await web.wait_for(State.MASTER)
            await asyncio.sleep(3600)

    with pytest.raises(ZeroDivisionError):
        await body()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(1)


@in_virtual_time
async def test_a_bug_in_the_last_call_of_the_body_comes_out_as_well() -> None:
    actuator = RecordingActuator()
    here, poison = poisonous_node(actuator)

    async def body() -> None:
        async with here:
            web = await here.add(config())
            await asyncio.sleep(10)
            poison.is_broken = True
            web.demote("test", by=1)

    with pytest.raises(ZeroDivisionError):
        await body()

    assert actuator.held == set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


class StubbornActuator(RecordingActuator):
    """Refuses to drop the addresses of vhid 2 until second 14."""

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Refuse, or drop."""
        if key.vhid == 2 and now_s() < 14:
            raise ActuatorError("not yet")
        await RecordingActuator.drop(self, key, addresses)


@in_virtual_time
async def test_a_bug_while_leaving_drops_what_is_still_held_and_comes_out() -> None:
    actuator = StubbornActuator()
    here, poison = poisonous_node(actuator)

    async def body() -> None:
        async with here:
            await here.add(config())
            await here.add(config(vhid=2, address=OTHER))
            await asyncio.sleep(10)
            poison.is_broken = True

    with pytest.raises(ZeroDivisionError):
        await body()

    # The bow-out of vhid 1 breaks the engine at second 10; vhid 2 is dropped directly as soon as that works.
    assert 14 <= now_s() < 15
    assert actuator.held == set()


@in_virtual_time
async def test_a_drop_that_hangs_does_not_keep_a_bug_from_coming_out() -> None:
    actuator = RecordingActuator()
    here, poison = poisonous_node(actuator)

    async def body() -> None:
        async with here:
            for vhid in range(1, 6):
                await here.add(config(vhid=vhid))
            await asyncio.sleep(10)
            actuator.hanging.add(Action.DROP)
            poison.is_broken = True
            await asyncio.sleep(3600)

    with pytest.raises(ZeroDivisionError):
        await body()

    assert now_s() < 20


@in_virtual_time
async def test_a_node_with_a_bug_takes_no_more_orders() -> None:
    here, poison = poisonous_node(RecordingActuator())

    async def body() -> None:
        async with here:
            web = await here.add(config())
            await asyncio.sleep(10)
            poison.is_broken = True
            web.demote("test", by=1)
            with pytest.raises(UsageError, match="not running"):
                here.demote("test", by=1)

    with pytest.raises(ZeroDivisionError):
        await body()


class BlindMonitor(StaticMonitor):
    """Fails after ten seconds."""

    async def run(self, notice: Callable[[LinkFacts], None]) -> None:
        """Report nothing, then fail."""
        await asyncio.sleep(10)
        raise LookupError("netlink is gone")


@in_virtual_time
async def test_a_node_whose_monitor_fails_stops_like_one_with_a_bug() -> None:
    actuator = RecordingActuator()
    here, _ = poisonous_node(actuator, monitor=BlindMonitor([link(1)]))

    async def body() -> None:
        async with here:
            await here.add(config())
            await asyncio.sleep(3600)

    with pytest.raises(LookupError, match="netlink is gone"):
        await body()

    assert now_s() < 20
    assert actuator.held == set()
