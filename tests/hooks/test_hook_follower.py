"""Hooks of real nodes: in order, one at a time, the latest wins, and never in the way of the election."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from pycarp import ConfigError, State
from pycarp.core.inputs import Action
from pycarp.hooks import Hook, On, OnFailure, follow
from pycarp.hooks.hook_follower import HookFollower
from pycarp.monitors.static import StaticMonitor
from pycarp.testing import Cluster
from pycarp.transports.memory import MemoryBus
from tests.support.actuators import RecordingActuator
from tests.support.nodes import config, link, node
from tests.support.virtual import in_virtual_time, now_s

EVERY = frozenset(On) - {On.BEFORE_HOLD, On.AFTER_HOLD, On.BEFORE_DROP}


@in_virtual_time
async def test_twenty_transitions_in_two_seconds_run_in_order_and_end_in_the_right_state(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[tuple[str, int]] = []
    running = 0

    async def slow(facts: dict[str, Any]) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.25)
        running -= 1
        calls.append((facts["event"], facts["epoch"]))

    async with Cluster(1) as cluster:
        host = cluster.a.host
        task = asyncio.create_task(follow(host, Hook(name="slow", on=EVERY, run=slow)))
        await host.wait_for(State.MASTER)
        for number in range(20):
            host.force(State.BACKUP if number % 2 == 0 else State.MASTER)
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)

        assert [epoch for _event, epoch in calls] == sorted(epoch for _event, epoch in calls)
        assert calls[-1][0] == "master"
        assert len(calls) < 21
        assert "hooks skipped, because the state changed again: " in caplog.text
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
@pytest.mark.parametrize("exists", [True, False])
async def test_a_link_that_is_down_or_deleted_is_a_fault(exists: bool) -> None:
    calls: list[tuple[str, str]] = []
    hook = Hook(name="note", on=EVERY, run=lambda facts: calls.append((facts["event"], facts["reason"])))
    monitor = StaticMonitor([link(1)])

    async with node(MemoryBus(), monitor=monitor) as made:
        host = await made.add(config())
        task = asyncio.create_task(follow(host, hook))
        await host.wait_for(State.MASTER)
        monitor.change(replace(link(1), is_up=False, exists=exists))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    reason = "hardware interface down" if exists else "interface does not exist"
    assert calls[-2:] == [("lost", reason), ("fault", reason)]


@in_virtual_time
async def test_a_hanging_hook_delays_neither_advertisements_nor_leaving() -> None:
    async def hangs(_facts: object) -> None:
        await asyncio.sleep(3000)

    async with Cluster(2) as cluster:
        hook = Hook(name="hangs", on={On.MASTER}, run=hangs, timeout_s=3600)
        task = asyncio.create_task(follow(cluster.a.host, hook))
        await cluster.settle()
        assert cluster.master is cluster.a
        await asyncio.sleep(30)
        assert cluster.b.host.state is State.BACKUP

        began_s = now_s()
        cluster.a.host.down()
        await cluster.b.host.wait_for(State.MASTER)
        assert now_s() - began_s < 0.1
        task.cancel()
        await asyncio.wait([task])
        assert now_s() - began_s < 1


@in_virtual_time
async def test_a_hook_that_hangs_delays_no_hold_that_no_hook_comes_before() -> None:
    async def hangs(_facts: object) -> None:
        await asyncio.Event().wait()

    async with Cluster(1) as cluster:
        hook = Hook(name="slow", on={On.BACKUP}, run=hangs, timeout_s=600)
        task = asyncio.create_task(follow(cluster.a.host, hook))
        await cluster.a.host.wait_for(State.MASTER)
        await asyncio.sleep(0.1)

        assert cluster.a.addresses
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_a_hook_that_fails_is_tried_again_and_demotes_until_it_succeeds() -> None:
    tries: list[object] = []

    def fails_thrice(facts: dict[str, Any]) -> None:
        tries.append(facts["previous"])
        if len(tries) < 4:
            raise RuntimeError("no")

    hook = Hook(name="x", on={On.BACKUP}, run=fails_thrice, retries=1, on_failure=OnFailure.DEMOTE)
    async with Cluster(1) as cluster:
        host = cluster.a.host
        task = asyncio.create_task(follow(host, hook))
        await asyncio.sleep(1)
        assert host.snapshot().demotion == (("hook x failed", 240),)

        await host.wait_for(State.MASTER)
        host.force(State.BACKUP)
        await asyncio.sleep(1)
        assert host.snapshot().demotion == ()
        assert tries[:2] == [None, None]
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize(
    "wrong", [{"on": frozenset()}, {"run": ()}, {"timeout_s": 0}, {"retries": -1}, {"timeout_s": 3601}]
)
def test_values_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="hook 'x'"):
        Hook(**{"name": "x", "on": {On.MASTER}, "run": ("true",)} | wrong)


@in_virtual_time
async def test_two_hooks_of_a_host_with_one_name_are_refused() -> None:
    """The success of one would end the demotion for the failure of the other."""
    async with Cluster(1) as cluster:
        hooks = [Hook(name="x", on={On.MASTER}, run=(program,)) for program in ("/bin/true", "/bin/false")]
        follower = HookFollower(cluster.a.host, (hooks[0],))

        with pytest.raises(ConfigError, match="two hooks are called 'x'"):
            await follow(cluster.a.host, *hooks)
        with pytest.raises(ConfigError, match="two hooks are called 'x'"):
            follower.hooks = tuple(hooks)
        assert follower.hooks == (hooks[0],)


@in_virtual_time
async def test_hooks_before_the_hold_end_before_the_addresses_are_held_and_the_others_follow() -> None:
    calls: list[tuple[str, bool]] = []

    async def note(facts: dict[str, Any]) -> None:
        await asyncio.sleep(2)
        calls.append((facts["event"], bool(cluster.a.addresses)))

    async with Cluster(1) as cluster:
        on = {On.MASTER, On.BEFORE_HOLD, On.AFTER_HOLD}
        task = asyncio.create_task(follow(cluster.a.host, Hook(name="note", on=on, run=note)))
        await cluster.a.host.wait_for(State.MASTER)
        await asyncio.sleep(7)

        assert calls == [("before-hold", False), ("master", True), ("after-hold", True)]
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_a_hook_before_the_hold_that_fails_leaves_the_addresses_to_a_peer() -> None:
    def fails(_facts: object) -> None:
        raise RuntimeError("cannot promote")

    async with Cluster(2, preempt=False) as cluster:
        hook = Hook(name="promote", on={On.BEFORE_HOLD}, run=fails, on_failure=OnFailure.RELEASE)
        task = asyncio.create_task(follow(cluster.a.host, hook))
        await cluster.settle()
        await asyncio.sleep(5)

        assert cluster.master is cluster.b
        assert "cannot promote" in cluster.a.host.address_error
        cluster.assert_never_two_owners()
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_a_hook_before_the_hold_whose_failure_is_ignored_does_not_keep_the_addresses_away() -> None:
    def fails(_facts: object) -> None:
        raise RuntimeError("no")

    async with Cluster(1) as cluster:
        task = asyncio.create_task(follow(cluster.a.host, Hook(name="x", on={On.BEFORE_HOLD}, run=fails)))
        await cluster.settle()

        assert cluster.a.addresses
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_all_hooks_of_a_mastership_have_one_fencing_token_and_those_of_the_next_a_larger_one() -> None:
    tokens: list[tuple[str, int | None]] = []

    def note(facts: dict[str, Any]) -> None:
        tokens.append((facts["event"], facts["token"]))

    async with Cluster(1) as cluster:
        host = cluster.a.host
        task = asyncio.create_task(follow(host, Hook(name="note", on=frozenset(On), run=note)))
        await cluster.settle()
        host.force(State.BACKUP)
        await asyncio.sleep(5)

        assert [event for event, _token in tokens] == [
            *("backup", "before-hold", "master", "after-hold"),
            *("before-drop", "lost", "backup", "before-hold", "master", "after-hold"),
        ]
        first, second = tokens[1][1], tokens[-1][1]
        assert first is not None
        assert second is not None
        assert first < second
        assert [token for _event, token in tokens] == [None, *[first] * 6, *[second] * 3]
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_a_hook_that_failed_with_release_makes_the_host_the_last_until_it_succeeds() -> None:
    fails = True

    def run(_facts: object) -> None:
        if fails:
            raise RuntimeError("no")

    async with Cluster(2, preempt=False) as cluster:
        hook = Hook(name="x", on={On.MASTER}, run=run, on_failure=OnFailure.RELEASE)
        task = asyncio.create_task(follow(cluster.a.host, hook))
        await cluster.settle()
        await asyncio.sleep(5)
        assert cluster.master is cluster.b

        fails = False
        cluster.kill("b")
        await asyncio.sleep(10)
        assert cluster.a.host.snapshot().demotion == ()
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_a_hook_that_waits_for_a_confirmation_is_not_called_for_a_short_mastership() -> None:
    calls: list[tuple[str, str, float]] = []

    def note(name: str) -> Hook:
        confirm_s = 2.0 if name == "careful" else 0.0
        on = {On.MASTER, On.LOST}
        return Hook(
            name=name, on=on, confirm_s=confirm_s, run=lambda facts: calls.append((name, facts["event"], now_s()))
        )

    async with Cluster(1) as cluster:
        host = cluster.a.host
        task = asyncio.create_task(follow(host, note("careful"), note("quick")))
        await host.wait_for(State.MASTER)
        await asyncio.sleep(1)
        host.force(State.BACKUP)
        await host.wait_for(State.MASTER)
        became_s = now_s()
        await asyncio.sleep(3)
        host.force(State.BACKUP)
        await asyncio.sleep(1)

        assert [(name, event) for name, event, _at_s in calls] == [
            *(("quick", "master"), ("quick", "lost")),
            *(("quick", "master"), ("careful", "master"), ("quick", "lost"), ("careful", "lost")),
        ]
        assert calls[3][2] == pytest.approx(became_s + 2)
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_a_follower_that_is_run_again_calls_its_hooks() -> None:
    calls: list[str] = []
    hook = Hook(name="note", on={On.MASTER, On.BACKUP}, run=lambda facts: calls.append(facts["event"]))
    async with Cluster(1) as cluster:
        follower = HookFollower(cluster.a.host, (hook,))
        for _ in range(2):
            task = asyncio.create_task(follower.run())
            await cluster.settle()
            task.cancel()
            await asyncio.wait([task])
            cluster.a.host.force(State.BACKUP)

        assert calls[-1] == "master"
        assert calls.count("master") == 2


@in_virtual_time
async def test_hooks_before_the_drop_end_before_a_peer_holds_the_addresses() -> None:
    seen: list[tuple[str, bool, bool]] = []

    async def stop(facts: dict[str, Any]) -> None:
        await asyncio.sleep(0.2)
        seen.append((facts["event"], bool(cluster.a.addresses), bool(cluster.b.addresses)))

    async with Cluster(2) as cluster:
        hook = Hook(name="stop", on={On.BEFORE_DROP, On.LOST}, run=stop)
        task = asyncio.create_task(follow(cluster.a.host, hook))
        await cluster.settle()
        await asyncio.sleep(1)

        await cluster.a.host.hand_over()
        await asyncio.sleep(1)

        assert seen == [("before-drop", True, False), ("lost", False, True)]
        cluster.assert_never_two_owners()
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("act", ["hand_over", "demote", "down"])
@in_virtual_time
async def test_a_hook_before_the_drop_that_hangs_makes_no_two_owners(act: str) -> None:
    async def hangs(_facts: object) -> None:
        await asyncio.sleep(3000)

    async with Cluster(2) as cluster:
        task = asyncio.create_task(
            follow(cluster.a.host, Hook(name="hangs", on={On.BEFORE_DROP}, run=hangs, timeout_s=3600))
        )
        await cluster.settle()
        await asyncio.sleep(1)
        host = cluster.a.host

        if act == "hand_over":
            await host.hand_over()
        elif act == "demote":
            host.demote("x", last=True)
        else:
            host.down()
        await asyncio.sleep(10)

        assert cluster.master is cluster.b
        cluster.assert_never_two_owners()
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_a_hook_before_the_drop_is_called_when_the_host_leaves() -> None:
    calls: list[str] = []
    hook = Hook(name="stop", on={On.BEFORE_DROP, On.LOST}, run=lambda facts: calls.append(facts["event"]))
    async with Cluster(1) as cluster:
        task = asyncio.create_task(follow(cluster.a.host, hook))
        await cluster.settle()
        await asyncio.sleep(1)

        await cluster.leave("a")
        await asyncio.wait([task], timeout=5)

        assert calls == ["before-drop", "lost"]


# Slow backends


@in_virtual_time
async def test_a_loss_is_called_once_the_addresses_are_gone() -> None:
    actuator = RecordingActuator(takes_s=0.3)
    calls: list[tuple[str, bool]] = []
    hook = Hook(name="note", on={On.LOST}, run=lambda facts: calls.append((facts["event"], bool(actuator.held))))

    async with node(MemoryBus(), actuator=actuator) as made:
        host = await made.add(config())
        task = asyncio.create_task(follow(host, hook))
        await host.wait_for(State.MASTER)
        await asyncio.sleep(1)
        host.force(State.BACKUP)
        await asyncio.sleep(1)

        assert calls == [("lost", False)]
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_a_loss_is_called_within_a_second_if_the_drop_fails() -> None:
    actuator = RecordingActuator()
    called_s: list[float] = []
    hook = Hook(name="note", on={On.LOST}, run=lambda _facts: called_s.append(now_s()))

    async with node(MemoryBus(), actuator=actuator) as made:
        host = await made.add(config())
        task = asyncio.create_task(follow(host, hook))
        await host.wait_for(State.MASTER)
        await asyncio.sleep(1)
        actuator.refused.add(Action.DROP)
        began_s = now_s()
        host.force(State.BACKUP)
        await asyncio.sleep(3)

        assert [each - began_s for each in called_s] == [pytest.approx(1.0, abs=0.01)]
        actuator.refused.clear()
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_with_hooks_before_the_hold_those_on_master_wait_until_the_addresses_are_held() -> None:
    actuator = RecordingActuator(takes_s=0.3)
    calls: list[tuple[str, bool]] = []
    on = {On.BEFORE_HOLD, On.MASTER}
    hook = Hook(name="note", on=on, run=lambda facts: calls.append((facts["event"], bool(actuator.held))))

    async with node(MemoryBus(), actuator=actuator) as made:
        host = await made.add(config())
        task = asyncio.create_task(follow(host, hook))
        await host.wait_for(State.MASTER)
        await asyncio.sleep(1)

        assert calls == [("before-hold", False), ("master", True)]
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_a_loss_is_called_though_the_host_is_backup_a_moment_later() -> None:
    calls: list[str] = []

    async def slow(facts: dict[str, Any]) -> None:
        calls.append(facts["event"])
        await asyncio.sleep(2)

    async with Cluster(2) as cluster:
        task = asyncio.create_task(follow(cluster.a.host, Hook(name="slow", on={On.MASTER, On.LOST}, run=slow)))
        await cluster.a.host.wait_for(State.MASTER)
        await asyncio.sleep(1)
        await cluster.a.host.hand_over()
        await asyncio.sleep(5)

        assert calls == ["master", "lost"]
        task.cancel()
        await asyncio.wait([task])
