"""The page on groups is true: its code runs, and the group moves as the page says."""

import asyncio

from pycarp import State
from pycarp.testing import Cluster, Member
from tests.groups.test_sync_group import machine, masters, until_all
from tests.support.pages import DOCS, block, names_of
from tests.support.virtual import in_virtual_time

PAGE = DOCS / "howto" / "groups.md"


@in_virtual_time
async def test_the_group_of_the_page_moves_together() -> None:
    route = names_of(block(PAGE, "the group"))["route"]
    async with Cluster([machine(0), machine(100)], program=lambda member: route(*member.node.hosts)) as c:
        await c.settle()
        c.link_down("a", "eth0")
        await until_all(c.b, within_s=0.02)
        await c.settle()

        assert masters(c) == {1: ["b"], 2: ["b"]}
        assert "group router: host1: is down" in dict(c.a.hosts[2].snapshot().demotion)


@in_virtual_time
async def test_the_check_of_the_page_moves_the_group() -> None:
    names = names_of(block(PAGE, "the checks"))
    is_good = {"a": True, "b": True}

    async def program(member: Member) -> None:
        async def uplink_is_good() -> bool:
            return is_good[member.name]

        names["uplink_is_good"] = uplink_is_good
        await names["route"](*member.node.hosts)

    async with Cluster([machine(0), machine(100)], program=program) as c:
        await c.settle()
        assert masters(c) == {1: ["a"], 2: ["a"]}
        is_good["a"] = False
        async with asyncio.timeout(0.25 * 3 + 0.05):
            await asyncio.gather(*(host.wait_for(State.MASTER) for host in c.b.node.hosts))
        await c.settle()

        assert masters(c) == {1: ["b"], 2: ["b"]}
