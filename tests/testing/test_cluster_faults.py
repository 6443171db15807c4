"""The faults of a cluster besides lost datagrams: duplicates, jitter, failing sends and failing addresses."""

import asyncio

import pytest

from pycarp import CarpError, ConfigError, State, Statistic
from pycarp.testing import Cluster, VirtualTimeLoop
from tests.support.virtual import in_virtual_time

VIP = "192.0.2.10/24"
DUAL = (VIP, "fd00::10/64")


# The segment


def received(cluster: Cluster, name: str) -> int:
    statistics = cluster[name].node.snapshot().statistics.values()
    return sum(statistics)


@in_virtual_time
async def test_duplicated_datagrams_arrive_twice() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        before = received(cluster, "b")
        await cluster.advance(10)
        alone = received(cluster, "b") - before
        cluster.duplicate(1)
        await cluster.advance(10)
        doubled = received(cluster, "b") - before - alone
        cluster.assert_one_master()

    assert doubled == 2 * alone


@in_virtual_time
async def test_jitter_makes_datagrams_late_by_at_most_so_much() -> None:
    async with Cluster(2, advskews=(0, 100)) as cluster:
        cluster.jitter(0.001, seed=7)
        await cluster.settle()
        left_at_s = cluster.now_s
        await cluster.leave("a")
        change = await cluster.b.host.wait_for(State.MASTER)

    assert 0.00005 < change.at_ns / 1e9 - left_at_s <= 0.00105


@in_virtual_time
async def test_healing_ends_jitter_and_duplication() -> None:
    async with Cluster(2, advskews=(0, 100)) as cluster:
        cluster.jitter(0.5)
        cluster.duplicate(1)
        cluster.heal()
        await cluster.settle()
        left_at_s = cluster.now_s
        await cluster.leave("a")
        change = await cluster.b.host.wait_for(State.MASTER)

    assert change.at_ns / 1e9 - left_at_s == pytest.approx(0.00005)


@pytest.mark.parametrize("make", [lambda c: c.duplicate(1.5), lambda c: c.jitter(-1)])
def test_what_no_segment_does_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ConfigError):
        make(Cluster(2))


@in_virtual_time
async def test_peers_hear_each_other_without_a_group() -> None:
    async with Cluster(3, peers=True, addresses=DUAL) as cluster:
        await cluster.settle()
        cluster.assert_one_master()

        assert {str(each) for each in cluster.b.host.config.peers} == {
            "192.0.2.101", "192.0.2.103", "fe80::101", "fe80::103",
        }  # fmt: skip


@in_virtual_time
async def test_groups_may_be_given_by_vhid() -> None:
    async with Cluster(2, vhids=(1, 2), groups={2: ("web",)}) as cluster:
        hosts = cluster.a.hosts

        assert (hosts[1].config.groups, hosts[2].config.groups) == (("carp",), ("web",))


# Members


@in_virtual_time
async def test_who_cannot_send_is_taken_over_from() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.fail_sends("a")
        await cluster.settle()
        assert cluster.b.host.state is State.MASTER
        cluster.repair_sends("a")
        await cluster.settle()

        assert len(cluster.masters()) == 1


@in_virtual_time
async def test_one_family_can_fail_alone() -> None:
    async with Cluster(1, addresses=DUAL) as cluster:
        await cluster.settle()
        cluster.fail_sends("a", 6)
        await cluster.advance(5)
        counts = cluster.a.node.snapshot().statistics

    assert counts[Statistic.SEND_FAILED] > 0


@in_virtual_time
async def test_a_call_stands_still_with_its_member() -> None:
    async with Cluster(1) as cluster:
        call = cluster.a.run(asyncio.sleep(1))
        await cluster.advance(0.5)
        cluster.stop("a")
        await cluster.advance(5)
        assert not call.done()
        cluster.continue_("a")
        await cluster.advance(0.001)

        assert call.done()


@in_virtual_time
async def test_what_went_on_first_can_cancel_what_was_due_as_well() -> None:
    called: list[str] = []

    async def program() -> None:
        loop = asyncio.get_running_loop()
        second = loop.call_later(2, called.append, "second")
        loop.call_later(1, second.cancel)

    async with Cluster(1) as cluster:
        cluster.a.run(program())
        await cluster.advance(0.5)
        cluster.stop("a")
        await cluster.advance(5)
        cluster.continue_("a")
        await cluster.advance(1)

    assert called == []


@in_virtual_time
async def test_the_calls_of_the_dead_never_end_but_leave_nothing_behind() -> None:
    async with Cluster(1) as cluster:
        call = cluster.a.run(asyncio.sleep(1))
        cluster.kill("a")
        await cluster.advance(5)
        assert not call.done()

    assert call.cancelled()


@in_virtual_time
async def test_who_is_killed_while_leaving_fails_nobody() -> None:
    async with Cluster(2, advskews=(0, 100)) as cluster:
        await cluster.settle()
        cluster.a.actuator.slow("drop", takes_s=0.1)
        leaving = asyncio.create_task(cluster.leave("a"))
        await cluster.advance(0.05)
        cluster.kill("a")
        await cluster.advance(10)
        assert not leaving.done()
    error = await asyncio.gather(leaving, return_exceptions=True)

    assert isinstance(error[0], CarpError | TimeoutError | None)


@in_virtual_time
async def test_a_member_can_be_started_with_other_settings() -> None:
    async with Cluster(2) as cluster:
        cluster.a.configs = cluster.b.configs
        await cluster.restart("a")

        assert cluster.a.host.config.advskew == cluster.b.host.config.advskew


@in_virtual_time
async def test_a_fast_clock_makes_a_member_impatient() -> None:
    async with Cluster(2, advskews=(0, 0), clocks=(1, 1.25)) as cluster:
        await cluster.settle()

    assert cluster.history[0].member == "b"
    assert cluster.history[0].since_s == pytest.approx(3 / 1.25, abs=0.01)


@in_virtual_time
async def test_what_is_called_as_a_member_has_its_clock() -> None:
    loop = asyncio.get_running_loop()
    async with Cluster(2, clocks=(1, 1.25)) as cluster:
        await cluster.advance(4)
        times = cluster.b.call(loop.time), loop.time(), cluster.now_s

    assert times == (5, 4, 4)


def test_clocks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 clocks for 2 members"):
        Cluster(2, clocks=[1])
    with pytest.raises(ConfigError, match="clock rate 0 is not above 0"):
        Cluster(2, clocks=[1, 0])


# Addresses


@in_virtual_time
async def test_a_hold_can_fail_halfway() -> None:
    async with Cluster(1, addresses=DUAL) as cluster:
        cluster.a.actuator.fail("hold", after=1)
        await cluster.advance(4)
        assert {str(each.address) for each in cluster.history} == {VIP}
        cluster.a.actuator.repair()
        await cluster.advance(20)

        assert [str(each) for each in cluster.a.addresses] == list(DUAL)


@in_virtual_time
async def test_an_address_that_is_taken_away_comes_back() -> None:
    async with Cluster(1) as cluster:
        await cluster.settle()
        cluster.a.actuator.take_away(VIP)
        assert not cluster.a.addresses
        await cluster.advance(1)

        assert [str(each) for each in cluster.a.addresses] == [VIP]


@in_virtual_time
@pytest.mark.parametrize("count", [2, 7])
async def test_with_advbase_0_no_member_has_an_interval_of_nothing(count: int) -> None:
    async with Cluster(count, advbase=0) as cluster:
        await cluster.settle()
        assert cluster.a.is_master()


@in_virtual_time
async def test_addresses_that_nobody_dropped_are_still_there_after_a_restart() -> None:
    async with Cluster(1, advbase=0, advskews=(20,)) as cluster:
        await cluster.settle()
        cluster.a.actuator.fail("drop")
        with pytest.raises(TimeoutError):
            await cluster.leave("a")
        await cluster.restart("a")
        assert [str(each) for each in cluster.a.addresses] == [VIP]
        cluster.a.host.down()
        cluster.a.actuator.repair()
        await cluster.advance(6)

        assert cluster.a.addresses == ()


# The loop


@in_virtual_time
async def test_the_loop_tells_which_timers_are_set() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    late = loop.call_later(2, print)
    early = loop.call_later(1, print)
    cancelled = loop.call_later(3, print)
    cancelled.cancel()
    found = loop.scheduled
    late.cancel()
    early.cancel()

    assert found == (early, late)
