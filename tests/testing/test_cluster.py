"""A cluster of real nodes in virtual time, and its faults."""

import asyncio
import re
import time
from statistics import median

import pytest

from pycarp import ConfigError, HostConfig, Reason, State, UsageError
from pycarp.config import NodeConfig
from pycarp.dialects import UCARP
from pycarp.testing import Cluster, Member, Overtime, VirtualTimeLoop, run
from pycarp.testing.cluster_spec import Machine
from tests.support.virtual import in_virtual_time, now_s

VIP = "192.0.2.10/24"


def held(member: Member) -> list[str]:
    return [str(each) for each in member.addresses]


def settings(*, advskew: int, vhid: int = 7) -> HostConfig:
    return HostConfig(
        interface="bond0", vhid=vhid, passphrase="mekmitasdigoat", addresses=["10.0.0.1/8"], advskew=advskew
    )


# Members


@in_virtual_time
async def test_three_members_elect_the_first_one() -> None:
    async with Cluster(3) as cluster:
        await cluster.settle()

        cluster.assert_one_master()
        assert cluster.master is cluster.a
        assert held(cluster.a) == [VIP]


@in_virtual_time
async def test_members_are_found_by_name_and_number() -> None:
    async with Cluster(2) as cluster:
        assert cluster.b is cluster["b"] is cluster[1] is list(cluster)[1]
        assert len(cluster) == 2


@in_virtual_time
async def test_nobody_of_that_name_is_an_error_that_says_who_is_there() -> None:
    async with Cluster(2) as cluster:
        with pytest.raises(UsageError, match="no member 'z'; there are a, b"):
            cluster.kill("z")
        with pytest.raises(AttributeError, match="no 'z'"):
            _ = cluster.z


@in_virtual_time
async def test_the_most_eager_member_is_master() -> None:
    async with Cluster(3, advskews=(200, 100, 0)) as cluster:
        await cluster.settle()

        assert cluster.master is cluster.c


@in_virtual_time
async def test_members_have_the_settings_that_are_given() -> None:
    async with Cluster(2, vhids=(3,), addresses=["10.1.1.1/24"], preempt=True, dialect=UCARP, advbase=2) as cluster:
        config = cluster.b.host.config

    assert (config.vhid, str(config.addresses[0]), config.preempt, config.dialect, config.advbase) == (
        3, "10.1.1.1/24", True, UCARP, 2,
    )  # fmt: skip


@in_virtual_time
async def test_each_vhid_has_a_master_and_an_address() -> None:
    async with Cluster(2, vhids=(1, 2)) as cluster:
        await cluster.settle()

        cluster.assert_one_master(1)
        cluster.assert_one_master(2)
        assert held(cluster.a) == [VIP, "192.0.2.11/24"]


@in_virtual_time
async def test_host_configs_can_be_brought() -> None:
    machines: list[Machine] = [settings(advskew=50), [settings(advskew=10)], NodeConfig(hosts=(settings(advskew=0),))]
    async with Cluster(machines) as cluster:
        await cluster.settle()

        assert cluster.master is cluster.c
        assert held(cluster.c) == ["10.0.0.1/8"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cluster(0), "0 members is outside 1-26"),
        (lambda: Cluster(2, advskews=(1,)), "1 advskews for 2 members"),
        (lambda: Cluster(2, own=["192.0.2.1/24"]), "1 own addresses for 2 members"),
        (lambda: Cluster([[]]), "at least one virtual host"),
        (lambda: Cluster(2, vhids=(1, 2), addresses=["192.0.2.1/24"]), "2 vhids need their addresses by vhid"),
        (lambda: Cluster(2, vhids=(1, 2), addresses={1: ["192.0.2.1/24"]}), "no addresses for vhid 2"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigError, match=message):
        make()


def test_real_time_is_refused() -> None:
    async def plan() -> None:
        async with Cluster(1):
            pass

    with pytest.raises(UsageError, match="needs virtual time"):
        asyncio.run(plan())


@in_virtual_time
async def test_a_cluster_starts_in_milliseconds() -> None:
    spans_s = []
    for _ in range(20):
        began_s = time.perf_counter()
        async with Cluster(3):
            spans_s.append(time.perf_counter() - began_s)

    assert median(spans_s) < 0.1


@in_virtual_time
@pytest.mark.parametrize("days", [60, 100, 366])
async def test_a_cluster_may_be_old(days: int) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.stall(days * 86_400)
    async with Cluster(3) as cluster:
        await cluster.settle()
        cluster.kill("a")
        await cluster.settle()

        assert cluster.master is cluster.b


# Faults


@in_virtual_time
async def test_the_next_one_takes_over_when_the_master_is_killed() -> None:
    async with Cluster(3) as cluster:
        await cluster.settle()
        cluster.kill("a")
        cluster.assert_no_master()
        change = await cluster.b.host.wait_for(State.MASTER)

        assert change.reason is Reason.MASTER_SILENT
        assert held(cluster.a) == []
        await cluster.settle()
        cluster.assert_never_two_owners()


@in_virtual_time
async def test_a_guardian_bows_out_for_the_dead() -> None:
    async with Cluster(3) as cluster:
        await cluster.settle()
        killed_at_s = cluster.now_s
        cluster.kill("a", guardian=True)
        change = await cluster.b.host.wait_for(State.MASTER)

        assert change.reason is Reason.MASTER_LEFT
        assert cluster.now_s - killed_at_s < 0.5
        await cluster.settle()
        cluster.assert_never_two_owners()


@in_virtual_time
async def test_a_guardian_that_cannot_bow_out_drops_all_the_same() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.fail_sends("a")
        cluster.kill("a", guardian=True)
        change = await cluster.b.host.wait_for(State.MASTER)

        assert change.reason is Reason.MASTER_SILENT
        assert held(cluster.a) == []


@in_virtual_time
async def test_the_dead_do_nothing_any_more() -> None:
    steps: list[str] = []

    async def program(member: Member) -> None:
        while True:
            steps.append(member.name)
            await asyncio.sleep(1)

    async with Cluster(2, program=program) as cluster:
        await cluster.advance(1.5)
        cluster.kill("a")
        await cluster.advance(2)

        assert steps == ["a", "b", "a", "b", "b", "b"]


@in_virtual_time
async def test_nothing_can_be_asked_of_the_dead() -> None:
    async with Cluster(2) as cluster:
        cluster.kill("a")

        with pytest.raises(UsageError, match="member a is not running; restart it first"):
            _ = cluster.a.host
        with pytest.raises(UsageError, match="member a is dead"):
            cluster.kill("a")


@in_virtual_time
async def test_the_dead_come_back_as_backup() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.kill("a")
        await cluster.settle()
        await cluster.restart("a")
        await cluster.settle()

        assert cluster.master is cluster.b
        assert cluster.a.host.state is State.BACKUP


@in_virtual_time
async def test_a_restart_of_the_living_bows_out_first() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        await cluster.restart("a")
        change = await cluster.b.host.wait_for(State.MASTER)

        assert change.reason is Reason.MASTER_LEFT


@in_virtual_time
async def test_both_sides_of_a_partition_have_a_master_until_it_heals() -> None:
    async with Cluster(3) as cluster:
        await cluster.settle()
        cluster.partition(["a"], ["b", "c"])
        await cluster.settle()
        cluster.assert_one_master(among="a")
        cluster.assert_one_master(among="bc")
        cluster.heal()
        await cluster.settle()

        cluster.assert_one_master()
        with pytest.raises(AssertionError, match=r"a and b both held 192.0.2.10/24 from \d"):
            cluster.assert_never_two_owners()
        cluster.assert_never_two_owners(since_s=cluster.now_s - 1)


@in_virtual_time
async def test_a_one_way_cut_lets_the_answers_through() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.cut("b", "a", one_way=True)
        await cluster.settle()
        cluster.assert_one_master()
        cluster.cut("a", "b", one_way=True)
        await cluster.settle()

        assert len(cluster.masters()) == 2


@in_virtual_time
async def test_an_isolated_member_hears_nobody() -> None:
    async with Cluster(3) as cluster:
        await cluster.settle()
        cluster.isolate("c")
        await cluster.settle()

        assert cluster.masters() == (cluster.a, cluster.c)


@in_virtual_time
async def test_a_member_without_its_link_is_nothing() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.link_down("a")
        await cluster.settle()
        assert (cluster.a.host.state, cluster.master) == (State.INIT, cluster.b)
        cluster.link_up("a")
        await cluster.settle()

        assert cluster.a.host.state is State.BACKUP


@in_virtual_time
async def test_a_link_that_is_not_there_is_an_error() -> None:
    async with Cluster(1) as cluster:
        with pytest.raises(UsageError, match="member a has no link eth9; it has eth0"):
            cluster.link_down("a", "eth9")


@in_virtual_time
async def test_total_loss_makes_everybody_master() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.loss(1)
        await cluster.settle()

        assert len(cluster.masters()) == 2


@in_virtual_time
async def test_the_same_seed_loses_the_same_datagrams() -> None:
    async def plan() -> str:
        async with Cluster(2) as cluster:
            cluster.loss(0.6, seed=4)
            await cluster.advance(120)
            return cluster.transcript.replace(str(now_s()), "")

    lines = [re.sub(r"^ *[\d.]+ ", "", await plan(), flags=re.MULTILINE) for _ in range(2)]

    assert lines[0] == lines[1]
    assert lines[0].count("MASTER") > 3


@in_virtual_time
async def test_a_delay_holds_up_every_datagram() -> None:
    async with Cluster(2) as cluster:
        cluster.delay(0.3)
        await cluster.a.host.wait_for(State.MASTER)
        await cluster.advance(0.2)
        assert cluster.b.host.snapshot().peer is None
        await cluster.advance(0.2)

        assert cluster.b.host.snapshot().peer is not None


@in_virtual_time
async def test_the_kernel_takes_the_addresses_of_a_process_that_stands_still() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.stop("a")
        assert held(cluster.a) == [VIP]
        await cluster.settle()
        assert held(cluster.a) == []
        cluster.assert_one_master()
        assert cluster.master is cluster.b
        cluster.assert_never_two_owners()


@in_virtual_time
async def test_a_process_that_goes_on_reads_before_it_acts() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.stop("a")
        await cluster.settle()
        cluster.continue_("a")
        await cluster.settle()

        assert cluster.master is cluster.b
        cluster.assert_never_two_owners()


@in_virtual_time
async def test_a_program_stands_still_with_its_member() -> None:
    woken_at_s: list[float] = []

    async def program(member: Member) -> None:
        await asyncio.sleep(1)
        woken_at_s.append(now_s())

    async with Cluster(1, program=program) as cluster:
        cluster.stop("a")
        await cluster.advance(5)
        cluster.continue_("a")
        await cluster.advance(1)

    assert woken_at_s == [5]


@in_virtual_time
async def test_what_a_test_asked_for_stands_still_as_well() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.b.host.down()
        cluster.b.host.up()
        await asyncio.sleep(0)
        cluster.kill("a")
        cluster.stop("b")
        await cluster.advance(60)

        assert held(cluster.b) == []


@in_virtual_time
async def test_a_program_that_fails_fails_the_test() -> None:
    async def program(member: Member) -> None:
        raise RuntimeError("out of paper")

    cluster = await Cluster(1, program=program).__aenter__()
    await cluster.settle()

    assert "program failed: RuntimeError: out of paper" in cluster.transcript
    with pytest.raises(RuntimeError, match="out of paper"):
        await cluster.close()


# Addresses that are hard to change


@in_virtual_time
async def test_who_cannot_hold_the_addresses_leaves_them_to_others() -> None:
    async with Cluster(2, preempt=True) as cluster:
        cluster.a.actuator.fail("hold")
        await cluster.advance(60)

        assert held(cluster.b) == [VIP]
        assert "hold fails" in cluster.transcript


@in_virtual_time
async def test_master_without_addresses_is_no_master() -> None:
    async with Cluster(2) as cluster:
        cluster.a.actuator.hang("hold")
        await cluster.a.host.wait_for(State.MASTER)

        with pytest.raises(AssertionError, match=f"a is MASTER, but nobody holds {VIP}"):
            cluster.assert_one_master()


@in_virtual_time
async def test_a_slow_machine_takes_its_time() -> None:
    async with Cluster(1) as cluster:
        cluster.a.actuator.slow("hold", takes_s=2)
        await cluster.settle()

        assert cluster.history[0].since_s == pytest.approx(5.003)


# Assertions


@in_virtual_time
async def test_an_assertion_tells_how_everybody_is() -> None:
    async with Cluster(2) as cluster:
        cluster.kill("b")

        with pytest.raises(AssertionError) as failure:
            cluster.assert_one_master()

    assert str(failure.value).splitlines() == [
        "one MASTER is expected, but there are 0, at 0.000000 s",
        "  a BACKUP, holds nothing",
        "  b dead, holds nothing",
    ]


@in_virtual_time
async def test_no_master_is_expected_in_vain() -> None:
    async with Cluster(1) as cluster:
        await cluster.settle()

        with pytest.raises(AssertionError, match="no MASTER is expected, but there are 1"):
            cluster.assert_no_master()


@in_virtual_time
async def test_what_never_settles_is_told() -> None:
    async def restless(member: Member) -> None:
        while True:
            member.host.down()
            await asyncio.sleep(1)
            member.host.up()
            await asyncio.sleep(1)

    async with Cluster(1, program=restless) as cluster:
        with pytest.raises(AssertionError, match="does not settle within"):
            await cluster.settle()


@in_virtual_time
async def test_two_owners_for_a_while_can_be_tolerated() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.isolate("a")
        await cluster.b.host.wait_for(State.MASTER)
        await cluster.advance(3)
        cluster.kill("a")

        cluster.assert_never_two_owners(longer_than_s=3.1)
        with pytest.raises(AssertionError, match=r"a and b both held .* for 2\.99"):
            cluster.assert_never_two_owners(longer_than_s=2.9)


@in_virtual_time
async def test_history_says_who_held_what_and_when() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.kill("a")
        await cluster.settle()
        first, second = cluster.history

    assert (first.member, second.member) == ("a", "b")
    assert first.since_s == pytest.approx(3.003)
    assert first.until_s is not None
    assert first.until_s < second.since_s


@in_virtual_time
async def test_the_transcript_reads_like_a_plan() -> None:
    async with Cluster(2) as cluster:
        await cluster.settle()
        cluster.kill("a")
        plan = cluster.tail()

    assert re.sub(r"7\.\d+", "7.x", plan).splitlines() == [
        "    3.000000 a  BACKUP -> MASTER: master timed out",
        f"    3.003000 a  holds {VIP}",
        "    7.x -- a killed",
        f"    7.x a  loses {VIP}",
        "         now a dead, holds nothing",
        "         now b BACKUP, holds nothing",
    ]


def test_advancing_does_not_count_as_waiting() -> None:
    async def plan() -> None:
        async with Cluster(1) as cluster:
            await cluster.advance(500)
            await asyncio.Event().wait()

    with pytest.raises(Overtime, match="100 virtual seconds"):
        run(plan(), limit_s=100)
