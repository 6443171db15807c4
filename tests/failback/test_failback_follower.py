"""Failback of real nodes in virtual time: when a preferred host that is back takes its addresses, and when not."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pycarp import Restriction, State
from pycarp.failback import Cause, Damping, FailbackFollower, FailbackPolicy, follow
from pycarp.health import Check, watch
from pycarp.testing import Cluster, Member
from tests.support.virtual import in_virtual_time, now_s

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


class Followers:
    """The failback of every member, by its name; the program of a cluster."""

    def __init__(self, policy: FailbackPolicy, folder: Path | None = None) -> None:
        self.policy = policy
        self._folder = folder
        self._of: dict[str, FailbackFollower] = {}

    async def __call__(self, member: Member) -> None:
        file = None if self._folder is None else self._folder / f"{member.name}.json"
        follower = FailbackFollower(member.host, self.policy, file=file, local_time=local_time)
        self._of[member.name] = follower
        await follower.run()

    def __getitem__(self, name: str) -> FailbackFollower:
        return self._of[name]

    def causes(self, name: str) -> set[Cause]:
        return {hold.cause for hold in self[name].holds}


def local_time() -> datetime:
    return MIDNIGHT + timedelta(seconds=now_s())


def cluster_of(followers: Followers, members: int = 2, **settings: Any) -> Cluster:
    return Cluster(members, **{"preempt": True, "program": followers, **settings})


async def until_master(member: Member, *, within_s: float) -> float:
    """Return how long it took until a member was MASTER; TimeoutError after ``within_s`` seconds."""
    began_s = now_s()
    async with asyncio.timeout(within_s):
        await member.host.wait_for(State.MASTER)
    return now_s() - began_s


async def fail_over_and_restart(c: Cluster) -> None:
    """Kill the preferred member, let another one take over, and start it again."""
    c.kill("a")
    await c.settle()
    await c.restart("a")


# The startup hold


@in_virtual_time
async def test_a_host_that_hears_nobody_yet_takes_over_only_after_its_startup_hold() -> None:
    async with cluster_of(Followers(FailbackPolicy(startup_hold_s=30)), 1) as c:
        took_s = await until_master(c.a, within_s=60)

        assert 30 <= took_s < 30.1


@in_virtual_time
async def test_a_switch_that_forwards_late_makes_no_second_owner() -> None:
    followers = Followers(FailbackPolicy(startup_hold_s=40))
    async with cluster_of(followers) as c:
        await until_master(c.a, within_s=60)
        await c.advance(1.5)
        c.kill("b")
        c.isolate("b")
        await c.restart("b")
        await c.advance(30)
        c.heal()
        await c.advance(30)

        assert c.master is c.a
        c.assert_never_two_owners()


@in_virtual_time
async def test_a_master_that_was_heard_and_is_gone_is_replaced_within_the_startup_hold() -> None:
    async with cluster_of(Followers(FailbackPolicy(startup_hold_s=40))) as c:
        await until_master(c.a, within_s=60)
        c.kill("b")
        await c.restart("b")
        await c.advance(5)
        c.kill("a")
        took_s = await until_master(c.b, within_s=10)

        assert took_s < 4


@in_virtual_time
async def test_a_link_that_is_up_again_begins_the_startup_hold_again() -> None:
    followers = Followers(FailbackPolicy(startup_hold_s=40))
    async with cluster_of(followers, 1) as c:
        await until_master(c.a, within_s=60)
        c.link_down("a")
        await c.advance(5)
        c.link_up("a")
        took_s = await until_master(c.a, within_s=60)

        assert 40 <= took_s < 40.1


@in_virtual_time
async def test_a_policy_that_begins_beside_a_master_leaves_it_master() -> None:
    async with Cluster(1) as c:
        await c.settle()
        task = c.a.run(FailbackFollower(c.a.host, FailbackPolicy(startup_hold_s=40)).run())
        await c.advance(100)

        assert c.master is c.a
        task.cancel()
        await asyncio.wait([task])


# The failback delay


@in_virtual_time
async def test_a_preferred_host_preempts_after_the_failback_delay_and_not_before() -> None:
    async with cluster_of(Followers(FailbackPolicy(failback_delay_s=60))) as c:
        await c.settle()
        await fail_over_and_restart(c)
        took_s = await until_master(c.a, within_s=100)

        assert 60 <= took_s < 63
        c.assert_never_two_owners()


@in_virtual_time
async def test_it_takes_over_at_once_when_the_master_fails_before() -> None:
    async with cluster_of(Followers(FailbackPolicy(failback_delay_s=600))) as c:
        await c.settle()
        await fail_over_and_restart(c)
        await c.advance(10)
        c.kill("b")

        assert await until_master(c.a, within_s=10) < 4


@pytest.mark.parametrize("kind", ["demotion", "restriction"])
@in_virtual_time
async def test_the_delay_begins_again_when_the_host_is_able_again(kind: str) -> None:
    followers = Followers(FailbackPolicy(failback_delay_s=60))
    async with cluster_of(followers) as c:
        await c.settle()
        host = c.a.host
        if kind == "demotion":
            host.demote("disk", last=True)
        else:
            host.restrict("gate", "backup-only")
        await c.settle()
        assert c.master is c.b
        await c.advance(100)
        if kind == "demotion":
            host.restore("disk")
        else:
            host.unrestrict("gate")
        took_s = await until_master(c.a, within_s=100)

        assert 60 <= took_s < 63


@in_virtual_time
async def test_a_host_that_is_demoted_further_does_not_begin_again() -> None:
    followers = Followers(FailbackPolicy(failback_delay_s=60))
    async with cluster_of(followers) as c:
        await c.settle()
        await fail_over_and_restart(c)
        await c.advance(50)
        c.a.host.demote("load", by=1)
        took_s = await until_master(c.a, within_s=100)

        assert took_s < 13


# The dwell


@in_virtual_time
async def test_a_host_that_failed_as_master_dwells_as_backup() -> None:
    async with cluster_of(Followers(FailbackPolicy(min_dwell_s=300))) as c:
        await c.settle()
        c.link_down("a")
        await c.settle()
        c.link_up("a")
        took_s = await until_master(c.a, within_s=400)

        assert 280 < took_s < 300


@in_virtual_time
async def test_one_whose_check_failed_dwells_too() -> None:
    async with cluster_of(Followers(FailbackPolicy(min_dwell_s=300))) as c:
        await c.settle()
        c.a.host.demote("check web", last=True)
        await c.settle()
        c.a.host.restore("check web")
        took_s = await until_master(c.a, within_s=400)

        assert 280 < took_s < 300


@in_virtual_time
async def test_one_that_an_administrator_moved_does_not() -> None:
    followers = Followers(FailbackPolicy(min_dwell_s=300))
    async with cluster_of(followers) as c:
        await c.settle()
        await c.a.host.hand_over()
        await c.advance(10)
        c.a.host.restore("handed over")
        took_s = await until_master(c.a, within_s=10)

        assert took_s < 3


@in_virtual_time
async def test_one_that_yielded_to_a_better_host_does_not() -> None:
    followers = Followers(FailbackPolicy(min_dwell_s=300))
    async with cluster_of(followers, 3) as c:
        await c.settle()
        await fail_over_and_restart(c)
        await c.settle()

        assert c.master is c.a
        assert followers.causes("b") == set()


@in_virtual_time
@pytest.mark.parametrize("release", [False, True])
async def test_one_that_left_because_a_check_failed_does(release: bool) -> None:
    is_well = True

    async def well() -> bool:
        return is_well

    async with cluster_of(Followers(FailbackPolicy(min_dwell_s=300))) as c:
        check = Check(name="web", probe=well, every_s=0.1, rise=1, fall=1, release=release)
        c.a.run(watch(c.a.host, check))
        await until_master(c.a, within_s=60)
        is_well, failed_s = False, now_s()
        await until_master(c.b, within_s=10)
        await c.a.host.wait_for(State.BACKUP)
        is_well = True
        await until_master(c.a, within_s=400)

        assert 300 < now_s() - failed_s < 303


@in_virtual_time
async def test_a_dwell_survives_the_end_of_the_process(tmp_path: Path) -> None:
    async with cluster_of(Followers(FailbackPolicy(min_dwell_s=300), tmp_path)) as c:
        await c.settle()
        c.link_down("a")
        await c.settle()
        c.link_up("a")
        await c.leave("a")
        await c.restart("a")
        took_s = await until_master(c.a, within_s=400)

        assert 280 < took_s < 300


@in_virtual_time
async def test_a_process_that_was_killed_as_master_has_failed(tmp_path: Path) -> None:
    async with cluster_of(Followers(FailbackPolicy(min_dwell_s=300), tmp_path)) as c:
        await c.settle()
        await fail_over_and_restart(c)
        took_s = await until_master(c.a, within_s=400)

        assert 300 < took_s < 303


@in_virtual_time
async def test_a_process_that_ended_as_it_should_has_not(tmp_path: Path) -> None:
    async with cluster_of(Followers(FailbackPolicy(min_dwell_s=300), tmp_path)) as c:
        await c.settle()
        await c.leave("a")
        await c.settle()
        await c.restart("a")

        assert await until_master(c.a, within_s=400) < 3


@pytest.mark.parametrize("text", ["", "{}", "[1", '{"was_master": true, "at": "2026-01-01T00:00:00"}', "\0" * 1000])
@in_virtual_time
async def test_a_file_that_is_broken_is_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    async with cluster_of(Followers(FailbackPolicy(min_dwell_s=300), tmp_path), 1) as c:
        await c.settle()

        assert c.master is c.a


@in_virtual_time
async def test_a_folder_that_is_missing_is_no_obstacle_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster_of(Followers(FailbackPolicy(min_dwell_s=300), tmp_path / "none")) as c:
        await c.settle()

        assert c.master is c.a
    assert f"cannot write {tmp_path}/none/a.json: No such file or directory" in caplog.text


# Manual, and the time of day


@in_virtual_time
async def test_manual_failback_waits_for_the_administrator() -> None:
    followers = Followers(FailbackPolicy(failback="manual", failback_delay_s=60))
    async with cluster_of(followers) as c:
        await c.settle()
        await fail_over_and_restart(c)
        await c.advance(3600)
        assert c.master is c.b

        followers["a"].release()
        assert await until_master(c.a, within_s=10) < 2
        c.link_down("a")
        await c.settle()
        c.link_up("a")
        await c.advance(3600)

        assert c.master is c.b


@in_virtual_time
async def test_a_window_opens_and_closes_by_the_local_clock() -> None:
    followers = Followers(FailbackPolicy(failback="02:00-04:00"))
    async with cluster_of(followers) as c:
        await c.settle()
        await fail_over_and_restart(c)
        took_s = await until_master(c.a, within_s=3 * 3600)
        assert 7190 < now_s() < 7203
        assert took_s > 7000

        await c.advance(2 * 3600)
        c.link_down("a")
        await c.settle()
        c.link_up("a")
        await c.advance(3600)
        assert c.master is c.b


# Damping


@in_virtual_time
async def test_a_host_that_flaps_preempts_later_and_later() -> None:
    followers = Followers(FailbackPolicy(damping=Damping(half_life_s=300, longest_s=1200)))
    async with cluster_of(followers) as c:
        await c.settle()
        took_s = []
        for _flap in range(4):
            c.link_down("a")
            await c.settle()
            c.link_up("a")
            took_s.append(await until_master(c.a, within_s=2000))

        assert took_s[0] < 3
        assert took_s[1] < 3
        assert 500 < took_s[2] < 1200
        c.assert_never_two_owners()


@in_virtual_time
async def test_a_host_that_is_suppressed_serves_when_nobody_else_does() -> None:
    followers = Followers(FailbackPolicy(damping=Damping()))
    async with cluster_of(followers) as c:
        await c.settle()
        for _flap in range(3):
            c.link_down("a")
            await c.settle()
            c.link_up("a")
            await c.settle()
        assert followers.causes("a") == {Cause.DAMPING}
        assert c.master is c.b
        c.kill("b")

        assert await until_master(c.a, within_s=10) < 4


@in_virtual_time
async def test_the_penalty_of_crashes_survives_them(tmp_path: Path) -> None:
    followers = Followers(FailbackPolicy(damping=Damping()), tmp_path)
    async with cluster_of(followers) as c:
        await c.settle()
        for _crash in range(3):
            await fail_over_and_restart(c)
            await c.settle()

        assert followers.causes("a") == {Cause.DAMPING}
        assert 2000 < followers["a"].penalty < 3000
        assert c.master is c.b


@in_virtual_time
async def test_a_release_forgives() -> None:
    followers = Followers(FailbackPolicy(damping=Damping(), min_dwell_s=3600))
    async with cluster_of(followers) as c:
        await c.settle()
        for _flap in range(3):
            c.link_down("a")
            await c.settle()
            c.link_up("a")
            followers["a"].release()
            await c.settle()

        assert c.master is c.a
        assert followers["a"].penalty == 0


# All of it


@in_virtual_time
async def test_nothing_is_left_when_the_follower_ends() -> None:
    policy = FailbackPolicy(
        startup_hold_s=40, failback_delay_s=60, min_dwell_s=60, failback="manual", damping=Damping()
    )
    async with Cluster(2) as c:
        task = c.a.run(FailbackFollower(c.a.host, policy).run())
        await c.advance(1)
        before = c.a.host.snapshot().restriction
        task.cancel()
        await asyncio.wait([task])

        assert before is not None
        assert c.a.host.snapshot().restrictions == ()


@in_virtual_time
async def test_a_follower_that_replaces_another_one_keeps_the_host_restricted() -> None:
    """The end of the first one must not take away the restrictions of the second one."""
    async with Cluster(2) as c:
        tasks = [c.a.run(FailbackFollower(c.a.host, FailbackPolicy(failback="manual")).run())]
        await c.settle()
        tasks[0].cancel()
        tasks.append(c.a.run(FailbackFollower(c.a.host, FailbackPolicy(failback="manual")).run()))
        await c.advance(1)

        assert dict(c.a.host.snapshot().restrictions) == {"manual failback": "no-preempt"}
        c.a.host.unrestrict("manual failback")
        await c.advance(1)
        assert dict(c.a.host.snapshot().restrictions) == {"manual failback": "no-preempt"}
        tasks[1].cancel()
        await asyncio.wait(tasks)


@in_virtual_time
async def test_two_followers_of_one_host_do_not_fight() -> None:
    policies = FailbackPolicy(startup_hold_s=60), FailbackPolicy(failback="manual", startup_hold_s=30)
    async with Cluster(2) as c:
        await c.settle()
        c.kill("b")
        await c.restart("b")
        tasks = []
        for policy in policies:
            tasks.append(c.b.run(FailbackFollower(c.b.host, policy).run()))
            await c.advance(3)
        before = c.b.host.seq
        await c.advance(100)

        assert c.b.host.seq - before < 20
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@in_virtual_time
async def test_another_policy_is_in_force_at_once_and_remembers() -> None:
    followers = Followers(FailbackPolicy(failback="manual"))
    async with cluster_of(followers) as c:
        await c.settle()
        c.link_down("a")
        await c.settle()
        c.link_up("a")
        await c.advance(100)
        followers["a"].replace(FailbackPolicy(failback_delay_s=200))
        first = followers.causes("a")
        took_s = await until_master(c.a, within_s=200)

        assert first == {Cause.FAILBACK_DELAY}
        assert 90 < took_s < 105


@in_virtual_time
async def test_the_hold_says_when_it_ends() -> None:
    followers = Followers(FailbackPolicy(failback_delay_s=60, min_dwell_s=300))
    async with cluster_of(followers) as c:
        await c.settle()
        c.link_down("a")
        await c.settle()
        c.link_up("a")
        await c.advance(5)
        holds = {hold.cause: hold for hold in followers["a"].holds}

        assert set(holds) == {Cause.FAILBACK_DELAY, Cause.MIN_DWELL}
        assert all(hold.restriction is Restriction.NO_PREEMPT for hold in holds.values())
        assert {hold.until_s is not None and hold.until_s > now_s() for hold in holds.values()} == {True}
        assert set(dict(c.a.host.snapshot().restrictions)) == {str(cause) for cause in holds}


@in_virtual_time
async def test_a_host_without_a_policy_is_never_restricted() -> None:
    followers = Followers(FailbackPolicy())
    async with cluster_of(followers) as c:
        await c.settle()
        c.link_down("a")
        await c.settle()
        c.link_up("a")
        await c.settle()

        assert c.a.host.state is State.MASTER
        assert followers["a"].holds == ()


@in_virtual_time
async def test_a_drained_host_comes_back_without_a_dwell() -> None:
    async with cluster_of(Followers(FailbackPolicy(min_dwell_s=300))) as c:
        await c.settle()
        await c.a.host.drain("drained: new kernel")
        await c.settle()
        c.a.host.restore("drained: new kernel")

        assert await until_master(c.a, within_s=10) < 3


@pytest.mark.parametrize(("rate", "hold_s"), [(0.957, 4.0), (1.03, 3.6)])
@in_virtual_time
async def test_a_clock_that_is_a_hair_early_makes_no_busy_loop(rate: float, hold_s: float) -> None:
    looks = 0

    def count() -> datetime:
        nonlocal looks
        looks += 1
        assert looks < 100
        return local_time()

    async def program(member: Member) -> None:
        await FailbackFollower(member.host, FailbackPolicy(startup_hold_s=hold_s), local_time=count).run()

    async with Cluster(1, program=program, clocks=[rate]) as c:
        await c.advance(10)

        assert c.master is c.a


@in_virtual_time
async def test_a_preferred_host_that_was_rebooted_waits_for_its_gate_and_then_for_its_delay() -> None:
    is_ready = False

    async def ready() -> bool:
        return is_ready

    async with Cluster(2, preempt=True) as cluster:
        await cluster.settle()
        cluster.kill("a")
        await cluster.settle()
        await cluster.restart("a")
        host = cluster.a.host
        check = Check(name="ready", probe=ready, every_s=0.1, rise=1, gate=True)
        tasks = [
            asyncio.create_task(watch(host, check)),
            asyncio.create_task(follow(host, FailbackPolicy(failback_delay_s=30))),
        ]
        await asyncio.sleep(60)
        assert cluster.master is cluster.b

        is_ready, began_s = True, now_s()
        await host.wait_for(State.MASTER)
        assert 30 <= now_s() - began_s < 32
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
