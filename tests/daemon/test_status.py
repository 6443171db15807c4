"""What the control socket says of hosts."""

from msgspec.structs import replace

from pycarp import State
from pycarp.core.settings import Settings
from pycarp.daemon.status import Place, host_status
from pycarp.monitors.static import StaticMonitor
from pycarp.testing import Cluster
from pycarp.transports.memory import MemoryBus
from tests.support import hosts
from tests.support.hosts import bench
from tests.support.nodes import config, link, node
from tests.support.virtual import in_virtual_time, let_others_run


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


@in_virtual_time
async def test_a_host_whose_interface_was_deleted_says_what_it_waits_for() -> None:
    monitor = StaticMonitor([link(1)])
    async with node(MemoryBus(), monitor=monitor) as made:
        here = await made.add(config())
        await here.wait_for(State.BACKUP)
        shown = []
        for facts in (
            replace(link(1), is_up=False, exists=False),
            replace(link(1), is_up=False),
            replace(link(1), is_up=True),
        ):
            monitor.change(facts)
            await let_others_run()
            change = host_status(here.snapshot(), 0, Place()).last_change
            assert change is not None
            shown.append((change.reason, change.explanation))

        assert shown == [
            ("link-deleted", "interface em0 does not exist; it is waited for"),
            ("link-deleted", "interface em0 was deleted, is there again, and is down"),
            ("ready", "initialization complete"),
        ]


@in_virtual_time
async def test_an_interface_that_is_deleted_once_it_is_down_is_waited_for_too() -> None:
    monitor = StaticMonitor([link(1)])
    async with node(MemoryBus(), monitor=monitor) as made:
        here = await made.add(config())
        await here.wait_for(State.BACKUP)
        monitor.change(link(1, is_up=False))
        monitor.change(replace(link(1), is_up=False, exists=False))
        await let_others_run()

        change = host_status(here.snapshot(), 0, Place()).last_change

        assert change is not None
        assert (change.reason, change.explanation) == ("link-down", "interface em0 does not exist; it is waited for")


@in_virtual_time
async def test_what_an_administrator_demotes_by_is_told_from_what_is_wrong() -> None:
    async with Cluster(1) as cluster:
        host = cluster.a.host
        for cause in ("carpdemote", "net.inet.carp.demotion", "handed over", "a fault"):
            host.demote(cause, by=50)

        found = host_status(host.snapshot(), 0, Place()).demotion

        assert {each.cause: each.is_wanted for each in found} == {
            "carpdemote": True,
            "net.inet.carp.demotion": True,
            "handed over": True,
            "a fault": False,
        }


def test_a_host_preempts_by_the_setting_of_the_node_as_well() -> None:
    made = bench(hosts.config(preempt=False), settings=Settings(preempt=True))

    assert host_status(made.engine.host_snapshot(hosts.KEY), 0, Place()).preempt
