"""The links that a node listens on follow its hosts and their devices."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest
from msgspec import structs

from pycarp import State, TransportError
from pycarp.core.host_config import HostConfig
from pycarp.vocabulary import CARP_GROUPS, Family, LinkFacts
from tests.support.backends import Foreign, Hang
from tests.support.faulty_nodes import FaultyNode
from tests.support.nodes import LINK, Peer, config, link
from tests.support.virtual import in_virtual_time, let_others_run, now_s

GROUP = CARP_GROUPS[Family.IPV4]
OWN_GROUP = IPv4Address("239.192.0.5")
GONE = LinkFacts(name=LINK, is_up=False)


def device(index: int) -> LinkFacts:
    """Return the facts of the link with this device."""
    return structs.replace(link(1), index=index)


@contextlib.asynccontextmanager
async def on_device(here: FaultyNode, index: int = 3) -> AsyncIterator[FaultyNode]:
    """Enter a node whose link is a device of this number, and leave it."""
    here.monitor.change(device(index))
    async with here.node:
        yield here


def unicast(*, multicast_group: IPv4Address | None = None) -> HostConfig:
    """Return the settings of a host with one peer."""
    return replace(config(), peers=(ip_address("192.0.2.9"),), multicast_group=multicast_group)


# Devices


@in_virtual_time
async def test_a_device_that_was_made_anew_is_opened_again_with_its_groups() -> None:
    async with on_device(FaultyNode()) as here:
        await here.node.add(config())
        here.monitor.change(GONE)
        here.monitor.change(device(4))
        await let_others_run()

        assert here.transport.openings == 2
        assert here.transport.joined == {LINK: [GROUP]}


@in_virtual_time
async def test_it_is_opened_again_though_nobody_saw_that_it_was_gone() -> None:
    async with on_device(FaultyNode()) as here:
        await here.node.add(config())
        here.monitor.change(device(4))
        await let_others_run()

        assert here.transport.openings == 2


@in_virtual_time
async def test_a_device_that_only_changes_stays_open() -> None:
    async with on_device(FaultyNode()) as here:
        await here.node.add(config())
        here.monitor.change(structs.replace(device(3), is_up=False))
        here.monitor.change(device(3))
        here.monitor.change(GONE)
        here.monitor.change(device(3))
        await let_others_run()

        assert here.transport.openings == 1


@in_virtual_time
async def test_a_backup_whose_device_was_made_anew_hears_its_master_and_stays_backup() -> None:
    """The port on the bus loses what arrives on a link that is not open, as the socket of a device that is gone."""
    here = FaultyNode()
    peer = await Peer(here.bus, config()).open()
    speaking = asyncio.create_task(peer.speak_every_second())
    async with on_device(here):
        web = await here.node.add(config(advskew=100))
        await asyncio.sleep(5)
        await here.transport.lose(LINK)
        here.monitor.change(GONE)
        await asyncio.sleep(0.5)
        here.monitor.change(device(4))
        await asyncio.sleep(20)

        assert web.state is State.BACKUP
    speaking.cancel()


@pytest.mark.parametrize("fault", [TransportError("no"), OSError(5, "no"), ValueError("a bug")], ids=repr)
@pytest.mark.parametrize("call", ["open_link", "join"])
@in_virtual_time
async def test_opening_again_is_tried_until_it_succeeds_and_logged_in_two_lines(
    call: str, fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pycarp")
    async with on_device(FaultyNode()) as here:
        await here.node.add(config())
        here.faults.wrong[call] = fault
        here.monitor.change(device(4))
        await asyncio.sleep(60)
        here.faults.wrong.clear()
        await asyncio.sleep(60)

        assert here.transport.joined == {LINK: [GROUP]}
        assert here.node.failure is None
    told = [each.getMessage() for each in caplog.records if each.name == "pycarp" and LINK in each.getMessage()]
    assert [each.split(",")[0] for each in told] == [
        f"carp: cannot listen on {LINK}",
        f"carp: listening on {LINK} again",
    ]


@in_virtual_time
async def test_a_device_that_comes_while_another_try_is_due_is_opened_at_once() -> None:
    async with on_device(FaultyNode()) as here:
        await here.node.add(config())
        here.faults.wrong["open_link"] = TransportError("no")
        here.monitor.change(device(4))
        await asyncio.sleep(60)
        here.faults.wrong.clear()
        openings = here.transport.openings
        here.monitor.change(device(5))
        await let_others_run()

        assert here.transport.openings == openings + 1


@in_virtual_time
async def test_a_host_that_is_added_at_once_joins_on_the_device_that_is_there_now() -> None:
    async with on_device(FaultyNode()) as here:
        await here.node.add(config())
        here.faults.wrong["watch"] = Hang.UNTIL_CANCELLED
        adding = asyncio.create_task(here.node.add(replace(config(vhid=2), multicast_group=OWN_GROUP)))
        await let_others_run()
        here.monitor.change(device(4))
        here.faults.released.set()
        await adding

        assert here.transport.openings == 2
        assert set(here.transport.joined[LINK]) == {GROUP, OWN_GROUP}


@in_virtual_time
async def test_a_device_that_is_gone_is_not_opened() -> None:
    async with on_device(FaultyNode()) as here:
        await here.node.add(config())
        here.monitor.change(GONE)
        await asyncio.sleep(60)

        assert here.transport.openings == 1


@in_virtual_time
async def test_a_link_that_could_not_be_left_in_time_is_closed_later() -> None:
    async with on_device(FaultyNode(close_timeout_s=3)) as here:
        web = await here.node.add(config())
        here.faults.wrong["open_link"] = Hang.UNTIL_CANCELLED
        here.monitor.change(device(4))
        await asyncio.sleep(1)
        await here.node.remove(web)
        before = here.transport.opened
        here.faults.wrong.clear()
        here.faults.released.set()
        await asyncio.sleep(60)

        assert (before, here.transport.opened) == ([LINK], [])


@in_virtual_time
async def test_nothing_is_opened_again_for_a_link_without_hosts() -> None:
    async with on_device(FaultyNode()) as here:
        web = await here.node.add(config())
        await here.node.remove(web)
        here.monitor.change(device(4))
        await asyncio.sleep(60)

        assert (here.transport.openings, here.transport.opened) == (1, [])


@in_virtual_time
async def test_a_host_can_be_added_and_removed_while_a_link_cannot_be_opened_again() -> None:
    async with on_device(FaultyNode()) as here:
        web = await here.node.add(config())
        here.faults.wrong["open_link"] = TransportError("no")
        here.monitor.change(device(4))
        await asyncio.sleep(1)
        with pytest.raises(TransportError):
            await here.node.add(config(vhid=2, address="192.0.2.11/24"))
        here.faults.wrong.clear()
        await here.node.add(config(vhid=2, address="192.0.2.11/24"))
        await here.node.remove(web)

        assert here.transport.joined == {LINK: [GROUP]}


@pytest.mark.parametrize("hang", Hang, ids=str)
@in_virtual_time
async def test_opening_again_that_hangs_does_not_keep_the_node_from_leaving(hang: Hang) -> None:
    here = FaultyNode(close_timeout_s=4)
    with contextlib.suppress(TimeoutError):
        async with on_device(here):
            await here.node.add(config())
            here.faults.wrong["open_link"] = hang
            here.monitor.change(device(4))
            await asyncio.sleep(1)
            began_s = now_s()

    assert now_s() - began_s <= 4.41
    here.faults.released.set()
    await let_others_run()


# Groups


@in_virtual_time
async def test_the_group_of_new_settings_is_joined() -> None:
    async with on_device(FaultyNode()) as here:
        web = await here.node.add(unicast(multicast_group=OWN_GROUP))
        before = list(here.transport.joined[LINK])
        web.reconfigure(peers=[])
        await let_others_run()

        assert (before, here.transport.joined[LINK]) == ([], [OWN_GROUP])


@in_virtual_time
async def test_settings_that_listen_to_nothing_new_join_nothing() -> None:
    async with on_device(FaultyNode()) as here:
        web = await here.node.add(config())
        web.reconfigure(advskew=50)
        web.reconfigure(peers=(ip_address("192.0.2.9"),))
        web.reconfigure(peers=[])
        await let_others_run()

        assert here.transport.joined[LINK] == [GROUP]


@pytest.mark.parametrize("fault", [TransportError("no"), asyncio.CancelledError(), Foreign()], ids=repr)
@in_virtual_time
async def test_a_group_that_cannot_be_joined_is_tried_again(fault: BaseException) -> None:
    async with on_device(FaultyNode()) as here:
        web = await here.node.add(unicast())
        here.faults.wrong["join"] = fault
        web.reconfigure(peers=[])
        await asyncio.sleep(10)
        here.faults.wrong.clear()
        await asyncio.sleep(60)

        assert here.transport.joined[LINK] == [GROUP]


@in_virtual_time
async def test_the_groups_of_new_settings_are_joined_on_a_device_that_was_made_anew() -> None:
    async with on_device(FaultyNode()) as here:
        web = await here.node.add(unicast())
        web.reconfigure(peers=[])
        here.monitor.change(device(4))
        await let_others_run()

        assert here.transport.joined == {LINK: [GROUP]}
