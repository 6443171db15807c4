"""Groups of real nodes in virtual time: two machines with two interfaces each, and what can happen to them."""

import asyncio
import contextlib
from random import Random

import pytest

from pycarp import ConfigError, HandOverError, HostConfig, Reason, State, UsageError, VirtualHost, failback
from pycarp.failback import FailbackPolicy
from pycarp.groups import SyncGroup, follow
from pycarp.testing import Cluster, Member
from tests.support.virtual import in_virtual_time, now_s

WAN, LAN = 1, 2


def machine(advskew: int, *, preempt: bool = True, lan_advskew: int | None = None, wans: int = 1) -> list[HostConfig]:
    """Return the hosts of a router; each further interface has a vhid of its own."""
    skews = [advskew, *[advskew if lan_advskew is None else lan_advskew] * wans]
    return [
        HostConfig(
            interface=f"eth{number}",
            vhid=1 + number,
            passphrase="secret",
            addresses=[f"192.0.2.{10 + number}/24"],
            advskew=skew,
            preempt=preempt,
            name=f"host{1 + number}",
        )
        for number, skew in enumerate(skews)
    ]


async def routers(member: Member) -> None:
    await follow("router", *member.node.hosts)


def cluster_of(*machines: list[HostConfig]) -> Cluster:
    return Cluster(machines or (machine(0), machine(100)), program=routers)


def masters(c: Cluster) -> dict[int, list[str]]:
    return {vhid: [each.name for each in c.masters(vhid)] for vhid in (each.vhid for each in c.a.configs)}


async def until_all(member: Member, *, within_s: float) -> float:
    """Return how long it took until every host of a member was MASTER."""
    began_s = now_s()
    async with asyncio.timeout(within_s):
        await asyncio.gather(*(host.wait_for(State.MASTER) for host in member.node.hosts))
    return now_s() - began_s


# One leaves, all leave


@pytest.mark.parametrize("preempt", [True, False])
@pytest.mark.parametrize("link", ["eth0", "eth1"])
@in_virtual_time
async def test_all_leave_within_milliseconds_when_one_link_goes_down(link: str, preempt: bool) -> None:
    async with cluster_of(machine(0, preempt=preempt), machine(100, preempt=preempt)) as c:
        await c.settle()
        assert masters(c) == {1: ["a"], 2: ["a"]}

        c.link_down("a", link)
        took_s = await until_all(c.b, within_s=5)

        assert took_s < 0.02
        await c.settle()
        assert masters(c) == {1: ["b"], 2: ["b"]}


@pytest.mark.parametrize("vhid", [WAN, LAN])
@in_virtual_time
async def test_all_come_back_once_all_can(vhid: int) -> None:
    async with cluster_of() as c:
        await c.settle()
        c.a.hosts[vhid].demote("check web", last=True)
        await until_all(c.b, within_s=0.1)
        await c.settle()
        c.a.hosts[vhid].restore("check web")
        took_s = await until_all(c.a, within_s=5)

        assert took_s < 1.5
        c.assert_never_two_owners()


@pytest.mark.parametrize("vhid", [WAN, LAN])
@in_virtual_time
async def test_a_hand_over_of_one_hands_all_over(vhid: int) -> None:
    async with cluster_of() as c:
        await c.settle()
        await c.a.hosts[vhid].hand_over()
        took_s = await until_all(c.b, within_s=0.1)
        await c.settle()

        assert took_s < 0.02
        assert masters(c) == {1: ["b"], 2: ["b"]}
        c.assert_never_two_owners()


@in_virtual_time
async def test_a_member_that_is_pulled_says_that_its_group_moves() -> None:
    async with cluster_of(machine(0), machine(100, lan_advskew=200)) as c:
        await c.settle()
        reasons = []
        for host in c.b.hosts.values():
            host.on_master(lambda change: reasons.append(change.reason))
        c.kill("a")
        await until_all(c.b, within_s=5)

    assert reasons == [Reason.MASTER_SILENT, Reason.GROUPED]


@pytest.mark.parametrize("vhid", [WAN, LAN])
@in_virtual_time
async def test_an_amount_moves_all(vhid: int) -> None:
    async with cluster_of() as c:
        await c.settle()
        c.a.hosts[vhid].demote("replica", by=150)
        await until_all(c.b, within_s=3)
        await c.settle()

        assert masters(c) == {1: ["b"], 2: ["b"]}


@in_virtual_time
async def test_a_gate_of_one_holds_all_back() -> None:
    async with cluster_of() as c:
        await c.settle()
        c.a.hosts[LAN].restrict("gate", "backup-only")
        await until_all(c.b, within_s=0.1)
        c.kill("b")
        await c.advance(30)
        assert masters(c) == {1: [], 2: []}

        c.a.hosts[LAN].unrestrict("gate")
        assert await until_all(c.a, within_s=5) < 0.5


@in_virtual_time
async def test_the_next_machine_takes_all_over_when_one_dies() -> None:
    async with cluster_of(machine(0), machine(100), machine(200)) as c:
        await c.settle()
        c.kill("a")
        began_s = now_s()
        first = await asyncio.wait(
            [asyncio.create_task(host.wait_for(State.MASTER)) for host in c.b.node.hosts],
            return_when=asyncio.FIRST_COMPLETED,
        )
        detected_s = now_s() - began_s
        took_s = await until_all(c.b, within_s=5) + detected_s

        assert first
        assert took_s - detected_s < 0.001
        await c.settle()
        assert masters(c) == {1: ["b"], 2: ["b"]}
        c.assert_never_two_owners()


@in_virtual_time
async def test_a_machine_that_is_alone_serves_what_it_can() -> None:
    async with cluster_of() as c:
        await c.settle()
        c.kill("b")
        c.link_down("a", "eth1")
        await c.advance(30)

        assert masters(c) == {1: ["a"], 2: []}


@in_virtual_time
async def test_where_each_machine_lacks_another_member_all_addresses_are_served() -> None:
    async with cluster_of() as c:
        await c.settle()
        c.link_down("a", "eth1")
        c.link_down("b", "eth0")
        await c.advance(30)

        assert masters(c) == {1: ["a"], 2: ["b"]}


# The leader decides


@in_virtual_time
async def test_preferences_that_contradict_each_other_follow_the_leader_and_rest() -> None:
    async with cluster_of(machine(0, lan_advskew=100), machine(100, lan_advskew=0)) as c:
        await c.settle()
        await c.advance(10)
        before = len(c.history)
        await c.advance(60)

        assert masters(c) == {1: ["a"], 2: ["a"]}
        assert len(c.history) == before


@in_virtual_time
async def test_groups_that_began_apart_come_together() -> None:
    async with Cluster([machine(0, preempt=False), machine(100, preempt=False)]) as c:
        await c.settle()
        c.b.hosts[LAN].force("MASTER")
        c.a.hosts[LAN].force("BACKUP")
        await c.settle()
        c.b.hosts[LAN].force("MASTER")
        c.a.hosts[LAN].demote("held back", last=True)
        await c.settle()
        c.a.hosts[LAN].restore("held back")
        await c.settle()
        assert masters(c) == {1: ["a"], 2: ["b"]}

        tasks = [member.run(routers(member)) for member in c]
        await c.settle()

        assert masters(c) == {1: ["a"], 2: ["a"]}
        c.assert_never_two_owners()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@in_virtual_time
async def test_machines_that_all_lack_the_leader_do_not_pass_a_member_on_for_ever() -> None:
    """The outer host of ``a`` is alone and preferred; nobody else has the outer address, and the inner one rests."""
    async with Cluster([machine(0), machine(100), machine(200)], program=routers) as c:
        await c.settle()
        await c.a.node.remove(c.a.hosts[LAN])
        await c.settle()
        await c.advance(10)
        before = len(c.history)
        await c.advance(60)

        assert masters(c)[WAN] == ["a"]
        assert len(masters(c)[LAN]) == 1
        assert len(c.history) == before
        c.assert_never_two_owners()


# The group itself


@in_virtual_time
async def test_nothing_is_left_when_the_group_ends() -> None:
    async with Cluster([machine(0), machine(100)]) as c:
        await c.settle()
        task = c.b.run(routers(c.b))
        c.b.hosts[WAN].demote("disk", by=5)
        await c.advance(1)
        assert dict(c.b.hosts[LAN].snapshot().demotion) == {"group router: host1: disk": 5}
        task.cancel()
        await asyncio.wait([task])

        assert [host.snapshot().restrictions for host in c.b.node.hosts] == [(), ()]
        assert c.b.hosts[LAN].snapshot().demotion == ()


@in_virtual_time
async def test_a_member_that_is_removed_leaves_the_group_to_the_others() -> None:
    async with cluster_of(machine(0, wans=2), machine(100, wans=2)) as c:
        await c.settle()
        c.a.hosts[WAN].demote("disk", last=True)
        await c.settle()
        await c.a.node.remove(c.a.hosts[WAN])
        await c.settle()

        assert masters(c)[2] == ["a"]
        assert masters(c)[3] == ["a"]


@in_virtual_time
async def test_a_group_is_demoted_and_restricted_as_a_host_is() -> None:
    async with Cluster([machine(0), machine(100)]) as c:
        await c.settle()
        group = SyncGroup("router", c.a.node.hosts)
        task = c.a.run(group.run())
        group.demote("check web", by=7)
        group.restrict("gate", "no-preempt")
        await c.advance(1)
        assert [host.snapshot().demotion for host in group.hosts] == [(("check web", 7),)] * 2
        assert group.is_master
        group.restore("check web")
        group.unrestrict("gate")

        assert [host.snapshot().restrictions for host in group.hosts] == [(), ()]
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_a_group_that_replaces_another_one_of_its_name_keeps_what_it_carries() -> None:
    """The end of the first one must not take away what the second one carries by the same names."""
    async with Cluster([machine(0), machine(100)]) as c:
        await c.settle()
        tasks = [c.b.run(routers(c.b))]
        c.b.hosts[WAN].demote("disk", by=5)
        await c.advance(1)
        tasks[0].cancel()
        tasks.append(c.b.run(routers(c.b)))
        await c.advance(1)

        assert dict(c.b.hosts[LAN].snapshot().demotion) == {"group router: host1: disk": 5}
        c.b.hosts[LAN].restore("group router: host1: disk")
        await c.advance(1)
        assert dict(c.b.hosts[LAN].snapshot().demotion) == {"group router: host1: disk": 5}
        tasks[1].cancel()
        await asyncio.wait(tasks)


@in_virtual_time
async def test_a_group_has_two_hosts_or_more() -> None:
    async with Cluster(1) as c:
        for hosts in ([], [c.a.host], [c.a.host, c.a.host]):
            with pytest.raises(ConfigError, match="two or more"):
                SyncGroup("router", hosts)


@in_virtual_time
async def test_two_groups_never_wait_for_each_other() -> None:
    async def both(member: Member) -> None:
        one, two, three, four = member.node.hosts
        await asyncio.gather(follow("left", one, two), follow("right", three, four))

    async with Cluster([machine(0, wans=3), machine(100, wans=3)], program=both) as c:
        await c.settle()
        c.a.hosts[4].demote("disk", last=True)
        c.a.actuator.hang("drop")
        await c.settle()

        assert masters(c)[1] == masters(c)[2] == ["a"]
        assert masters(c)[3] == masters(c)[4] == ["b"]
        c.a.actuator.repair()


# Whatever happens


WHAT = ("link", "link", "last", "amount", "restrict", "force", "hand over", "kill", "cut", "admin")


async def _storm(c: Cluster, chance: Random, steps: int) -> None:
    for _step in range(steps):
        member = chance.choice(tuple(c))
        vhid = chance.choice((WAN, LAN))
        what = chance.choice(
            ("link", "link", "last", "amount", "restrict", "force", "hand over", "kill", "cut", "admin")
        )
        if what == "kill":
            if member.is_alive:
                c.kill(member.name)
            else:
                await c.restart(member.name)
        elif what == "cut":
            chance.choice((lambda: c.partition(["a"]), c.heal))()
        elif member.is_alive:
            with contextlib.suppress(UsageError):  # A host in INIT cannot be forced.
                _disturb(c, member, vhid, what, chance)
        await c.advance(chance.choice((0.0, 0.001, 0.01, 0.5, 4.0)))


def _disturb(c: Cluster, member: Member, vhid: int, what: str, chance: Random) -> None:
    host = member.hosts[vhid]
    match what:
        case "link":
            chance.choice((c.link_down, c.link_up))(member.name, f"eth{vhid - 1}")
        case "last":
            chance.choice((lambda: host.demote("x", last=True), lambda: host.restore("x")))()
        case "amount":
            host.demote("y", by=chance.choice((1, 100, 200)))
        case "restrict":
            host.restrict("z", chance.choice(("no-preempt", "backup-only")))
        case "force":
            host.force(chance.choice((State.MASTER, State.BACKUP)))
        case "hand over":
            if host.state is State.MASTER:
                member.run(_hand_over(host))
        case "admin":
            chance.choice((host.down, host.up))()


async def _hand_over(host: VirtualHost) -> None:
    with contextlib.suppress(HandOverError, UsageError):
        await host.hand_over()


async def _mend(c: Cluster) -> None:
    c.heal()
    for member in c:
        if not member.is_alive:
            await c.restart(member.name)
        c.link_up(member.name)
    await c.advance(20)
    for member in c:
        for host in member.node.hosts:
            host.up()
            for cause in ("x", "y", "handed over"):
                host.restore(cause)
            host.unrestrict("z")


@pytest.mark.parametrize("seed", range(60))
def test_in_the_end_all_members_are_master_on_one_machine(seed: int) -> None:
    @in_virtual_time
    async def storm() -> None:
        chance = Random(seed)
        preempt = chance.random() < 0.6
        contradicts = chance.random() < 0.2
        one, two = machine(0, preempt=preempt), machine(100, preempt=preempt)
        if contradicts:
            one, two = machine(0, preempt=preempt, lan_advskew=100), machine(100, preempt=preempt, lan_advskew=0)
        async with cluster_of(one, two) as c:
            await c.settle()
            await _storm(c, chance, 14)
            await _mend(c)
            await c.settle()
            await c.advance(10)

            found = masters(c)
            assert found[1] == found[2], c.tail()
            assert len(found[1]) == 1, c.tail()
            assert not preempt or found[1] == ["a"], c.tail()
            for member in c:
                for host in member.node.hosts:
                    assert host.snapshot().demotion == (), c.tail()

    storm()


@pytest.mark.parametrize("seed", range(20))
def test_a_machine_that_lacks_a_member_has_none_of_them(seed: int) -> None:
    @in_virtual_time
    async def storm() -> None:
        chance = Random(1000 + seed)
        preempt = chance.random() < 0.6
        async with cluster_of(machine(0, preempt=preempt), machine(100, preempt=preempt)) as c:
            await c.settle()
            await _storm(c, chance, 14)
            await _mend(c)
            name, link = chance.choice("ab"), chance.choice(("eth0", "eth1"))
            c.link_down(name, link)
            await c.settle()
            await c.advance(10)

            other = "b" if name == "a" else "a"
            assert masters(c) == {1: [other], 2: [other]}, c.tail()

    storm()


@in_virtual_time
async def test_a_drain_of_a_group_that_fails_leaves_every_member_as_it_was() -> None:
    groups: dict[str, SyncGroup] = {}

    async def program(member: Member) -> None:
        groups[member.name] = SyncGroup("router", member.node.hosts)
        await groups[member.name].run()

    async with Cluster([machine(0), machine(100)], program=program) as c:
        await c.settle()
        await groups["a"].drain()
        c.kill("b")
        await until_all(c.a, within_s=10)
        c.a.hosts[LAN].demote("disk", by=5)
        await c.settle()
        before = [dict(host.snapshot().demotion) for host in groups["a"].hosts]
        assert all("drained" in causes for causes in before)
        for cause in ("drained", "drained: once more"):
            with pytest.raises(HandOverError, match="nobody took the addresses"):
                await groups["a"].drain(cause)
            await c.settle()

            assert [dict(host.snapshot().demotion) for host in groups["a"].hosts] == before
            assert all("drained" in host.snapshot().last_causes for host in groups["a"].hosts)


@in_virtual_time
async def test_a_group_is_drained_as_a_whole() -> None:
    groups: dict[str, SyncGroup] = {}

    async def program(member: Member) -> None:
        groups[member.name] = SyncGroup("router", member.node.hosts)
        await groups[member.name].run()

    async with Cluster([machine(0), machine(100)], program=program) as c:
        await c.settle()
        await groups["a"].drain("drained: new kernel")
        assert masters(c) == {1: ["b"], 2: ["b"]}
        await c.advance(10)
        with pytest.raises(HandOverError, match="nobody took the addresses"):
            await groups["b"].drain()
        await c.settle()
        assert masters(c) == {1: ["b"], 2: ["b"]}
        groups["a"].restore("drained: new kernel")
        await c.settle()

        assert masters(c) == {1: ["a"], 2: ["a"]}
        assert [host.snapshot().demotion for member in c for host in member.node.hosts] == [()] * 4
        c.assert_never_two_owners()


@in_virtual_time
async def test_delays_of_two_members_do_not_begin_each_other_again() -> None:
    async def careful_routers(member: Member) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(routers(member))
            for host in member.node.hosts:
                tasks.create_task(failback.follow(host, FailbackPolicy(failback_delay_s=5)))

    async with Cluster([machine(0), machine(100)], program=careful_routers) as c:
        await c.settle()
        c.link_down("a", "eth1")
        await asyncio.sleep(3.3)

        c.link_up("a", "eth1")
        # One advertisement of the MASTER, one delay, and another advertisement.
        assert await until_all(c.a, within_s=7.5) > 5
