"""A node of many MASTERs removes some of them at a time: the others go on advertising until it is their turn."""

import asyncio

import pytest

from pycarp.actuators import NullActuator
from pycarp.aio import node as node_module
from pycarp.transports import MemoryBus
from pycarp.vocabulary import HostKey, InterfaceAddress
from tests.support.nodes import Peer, config, node
from tests.support.virtual import in_virtual_time, now_s, until_held

DROP_S = 0.9


class SlowDrops(NullActuator):
    """Takes a while to drop addresses."""

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        await asyncio.sleep(DROP_S)
        await super().drop(key, addresses)


@pytest.mark.parametrize("at_once", [1, 2])
@in_virtual_time
async def test_masters_whose_turn_has_not_come_go_on_advertising(at_once: int) -> None:
    bus, vhids = MemoryBus(), range(1, 2 * at_once + 1)
    peer = await Peer(bus, config()).open()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(node_module, "_AT_ONCE", at_once)
        async with node(bus, actuator=SlowDrops()) as here:
            for vhid in vhids:
                await until_held(await here.add(config(vhid=vhid, address=f"192.0.2.{100 + vhid}/24")))
            await asyncio.sleep(2)
            # Between two advertisements of the hosts that leave last: they are due before the first have left.
            last = peer.adverts_of(vhids[-1])[-1].at_s
            await asyncio.sleep(last + 1.5 - now_s())
            began_s = now_s()
        await asyncio.sleep(0.1)

    advertised = [any(each.at_s > began_s and not each.is_bow_out for each in peer.adverts_of(vhid)) for vhid in vhids]
    assert advertised == [False] * at_once + [True] * at_once
    assert {each.advert.vhid for each in peer.bow_outs} == set(vhids)
