"""The user's handle of a host: its properties, its methods, and what its callbacks may do."""

import asyncio
from dataclasses import replace
from ipaddress import ip_interface

import pytest

from pycarp import (
    ConfigError,
    DemotionChange,
    Departed,
    Reason,
    Restriction,
    SettingProblems,
    State,
    StateChange,
    UsageError,
)
from pycarp.monitors.static import StaticMonitor
from pycarp.transports.memory import MemoryBus
from tests.support.actuators import RecordingActuator
from tests.support.nodes import Peer, config, link, node
from tests.support.virtual import Complaints, in_virtual_time, let_others_run

SIX = (State.MASTER, State.BACKUP) * 3


@in_virtual_time
async def test_six_transitions_of_one_turn_are_seen_by_every_kind_of_observer() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        begun = web.seq
        plain: list[State] = []
        spun: list[State] = []
        looped: list[State] = []
        iterated: list[State] = []
        web.on_change(lambda change: plain.append(change.new))

        @web.on_change
        async def spin(change: StateChange) -> None:
            await asyncio.sleep(1)
            spun.append(change.new)

        async def follow() -> None:
            seq = begun
            while len(looped) < len(SIX):
                change = await web.next_change(after=seq)
                seq = change.seq
                looped.append(change.new)
                await asyncio.sleep(1)

        async def iterate() -> None:
            async with web.events() as events:
                await anext(events)
                while len(iterated) < len(SIX):
                    event = await anext(events)
                    assert isinstance(event, StateChange)
                    iterated.append(event.new)
                    await asyncio.sleep(1)

        waiter = asyncio.create_task(web.wait_for(State.MASTER))
        observers = [asyncio.create_task(follow()), asyncio.create_task(iterate())]
        await let_others_run()
        for state in SIX:
            web.force(state)
        assert web.state is State.BACKUP

        assert (await waiter).new is State.MASTER
        await asyncio.sleep(60)
        await asyncio.gather(*observers)

    assert plain[:6] == list(SIX)
    assert spun[:6] == list(SIX)
    assert looped == list(SIX)
    assert iterated == list(SIX)


@in_virtual_time
async def test_wait_for_resolves_with_a_mastership_that_is_over_already() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        waiter = asyncio.create_task(web.wait_for(State.MASTER))
        await let_others_run()
        web.force(State.MASTER)
        web.force(State.BACKUP)

        change = await waiter

        assert (change.new, change.reason) == (State.MASTER, Reason.FORCED)
        assert web.state is State.BACKUP


@in_virtual_time
async def test_next_change_without_a_number_waits_for_the_next() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        change = await web.next_change()

        assert (change.old, change.new) == (State.BACKUP, State.MASTER)


@in_virtual_time
async def test_on_master_and_on_backup_hear_of_their_state_only() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        masters: list[State] = []
        backups: list[State] = []
        web.on_master(lambda change: masters.append(change.new))

        @web.on_backup
        async def remember(change: StateChange) -> None:
            backups.append(change.new)

        for state in SIX:
            web.force(state)
        web.down()
        await let_others_run()

        assert masters == [State.MASTER] * 3
        assert backups == [State.BACKUP] * 3


@in_virtual_time
async def test_a_callback_may_call_the_api_and_is_obeyed_after_the_step() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        order: list[str] = []

        def insist(change: StateChange) -> None:
            order.append(f"{change.new} begins")
            if change.new is State.BACKUP:
                web.force(State.MASTER)
                web.demote("test", by=7)
            order.append(f"{change.new} ends")

        web.on_change(insist)
        web.force(State.MASTER)
        web.force(State.BACKUP)

        assert web.state is State.MASTER
        assert web.snapshot().demotion == (("test", 7),)
        assert order == [f"{state} {what}" for state in ("MASTER", "BACKUP", "MASTER") for what in ("begins", "ends")]


@in_virtual_time
async def test_a_raising_callback_disturbs_neither_the_node_nor_other_callbacks() -> None:
    complaints = Complaints()
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        seen: list[State] = []

        @web.on_change
        def fail(_change: StateChange) -> None:
            raise LookupError("observer")

        web.on_change(lambda change: seen.append(change.new))
        web.force(State.MASTER)
        web.force(State.BACKUP)

        assert seen == [State.MASTER, State.BACKUP]
        assert [str(each) for each in complaints.exceptions] == ["observer", "observer"]


@in_virtual_time
async def test_a_removed_callback_is_silent() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        seen: list[State] = []

        @web.on_change
        def remember(change: StateChange) -> None:
            seen.append(change.new)

        web.remove_callback(remember)
        web.force(State.MASTER)

        assert seen == []


@in_virtual_time
async def test_demotion_is_told_with_its_causes_and_can_be_taken_back() -> None:
    async with node(MemoryBus()) as here, asyncio.timeout(60):
        web = await here.add(config(advskew=10))
        async with web.events() as events:
            await anext(events)
            web.demote("replica lag", by=50)
            web.demote("replica lag", by=60)
            web.demote("disk", by=1)
            web.restore("replica lag")
            web.restore("never said")
            told = [await anext(events) for _ in range(4)]

        assert [event.total for event in told if isinstance(event, DemotionChange)] == [50, 60, 61, 1]
        assert isinstance(told[2], DemotionChange)
        assert set(told[2].causes) == {("replica lag", 60), ("disk", 1)}
        assert web.snapshot().claim.advskew == 11


@in_virtual_time
async def test_a_master_tells_its_new_claim_at_once() -> None:
    bus = MemoryBus()
    peer = await Peer(bus, config()).open()
    async with node(bus) as here:
        web = await here.add(config())
        web.force(State.MASTER)
        await asyncio.sleep(0.5)
        web.demote("test", by=100)
        await asyncio.sleep(0.1)

        assert [heard.advert.advskew for heard in peer.heard] == [0, 100]


@in_virtual_time
async def test_down_drops_the_addresses_bows_out_and_stays_down_until_up() -> None:
    bus = MemoryBus()
    peer = await Peer(bus, config()).open()
    actuator = RecordingActuator()
    async with node(bus, actuator=actuator) as here:
        web = await here.add(config())
        seen: list[State] = []
        web.on_change(lambda change: seen.append(change.new))
        await web.wait_for(State.MASTER)
        await asyncio.sleep(0.5)
        web.down()
        await asyncio.sleep(60)
        assert actuator.held == set()
        assert len(peer.bow_outs) == 1

        web.up()

        assert seen == [State.MASTER, State.INIT, State.BACKUP]


@in_virtual_time
async def test_forcing_init_is_a_usage_error_that_names_the_way() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())

        with pytest.raises(UsageError, match=r"use down\(\)"):
            web.force(State.INIT)


@in_virtual_time
async def test_forcing_a_host_in_init_is_a_usage_error() -> None:
    async with node(MemoryBus(), monitor=StaticMonitor([link(1, is_up=False)])) as here:
        web = await here.add(config())
        assert web.state is State.INIT

        with pytest.raises(UsageError, match="is in INIT"):
            web.force(State.MASTER)


@in_virtual_time
async def test_reconfiguring_changes_what_is_named_and_nothing_else() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config(advskew=10))
        web.reconfigure(advskew=20, preempt=True)

        assert (web.config.advbase, web.config.advskew, web.config.preempt) == (1, 20, True)
        assert web.state is State.BACKUP


@in_virtual_time
async def test_a_host_is_reconfigured_by_a_whole_config() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config(advskew=10))
        web.reconfigure(replace(web.config, advskew=20, addresses=(ip_interface("192.168.1.51/24"),)))

        assert (web.config.advskew, str(web.config.addresses[0])) == (20, "192.168.1.51/24")
        assert web.state is State.BACKUP


@in_virtual_time
async def test_a_whole_config_of_another_host_is_refused_and_changes_nothing() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config(advskew=10))

        with pytest.raises(ConfigError, match="vhid 1 -> 7 is not for a running host; remove it and add another"):
            web.reconfigure(replace(web.config, vhid=7, advskew=20))
        with pytest.raises(ConfigError, match="advskew beside a whole config; pass one or the other"):
            web.reconfigure(web.config, advskew=20)
        assert web.config.advskew == 10


@in_virtual_time
async def test_reconfiguring_out_of_range_is_a_config_error_and_changes_nothing() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config(advskew=10))

        with pytest.raises(ConfigError, match="advbase 300 is outside 0-255"):
            web.reconfigure(advbase=300, advskew=1)
        assert web.config.advskew == 10


@in_virtual_time
async def test_all_that_a_running_host_cannot_change_is_told_at_once() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config(advskew=10))

        with pytest.raises(SettingProblems) as caught:
            web.reconfigure(replace(web.config, vhid=7, dead_ratio=5))
        assert [each.setting for each in caught.value.problems] == ["vhid", "dead_ratio"]
        with pytest.raises(SettingProblems) as caught:
            web.reconfigure(vhid=3, advskw=20)  # type: ignore[arg-type]  # that is the mistake
        assert [str(each) for each in caught.value.problems] == [
            "vhid is not for a running host; remove it and add another",
            "there is no setting advskw (did you mean advskew?)",
        ]
        with pytest.raises(SettingProblems) as caught:
            web.reconfigure(advbase=300, preempt="no", passphrase=5)  # type: ignore[arg-type]  # that is the mistake
        assert [each.setting for each in caught.value.problems] == ["advbase", "passphrase", "preempt"]
        assert web.config == config(advskew=10)


@in_virtual_time
async def test_the_events_of_a_host_end_with_its_departure() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        async with web.events() as events:
            await here.remove(web)
            seen = [event async for event in events]

    assert [type(event) for event in seen] == [StateChange, StateChange, Departed]
    assert [event.seq for event in seen] == sorted(event.seq for event in seen)


@in_virtual_time
async def test_a_departed_host_answers_with_usage_errors_and_init() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config(name="carp0"))
        await here.remove(web)

        for act in (
            web.snapshot,
            lambda: web.config,
            lambda: web.demote("late", by=1),
            lambda: web.restore("late"),
            lambda: web.force(State.MASTER),
            web.up,
            web.down,
            lambda: web.reconfigure(advskew=1),
            lambda: web.on_change(print),
        ):
            with pytest.raises(UsageError):
                act()
        with pytest.raises(UsageError):
            await web.wait_for(State.MASTER)
        with pytest.raises(UsageError):
            await web.next_change()
        assert web.state is State.INIT
        assert (web.name, str(web.key)) == ("carp0", "1@em0")


@in_virtual_time
async def test_a_host_that_has_departed_says_so_whatever_it_is_asked() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        await here.remove(web)

        for call in (web.down, lambda: web.force(State.MASTER), lambda: web.demote("x", by=1), web.snapshot):
            with pytest.raises(UsageError, match="has departed"):
                call()
        with pytest.raises(UsageError, match="has departed"):
            await web.hand_over()


@in_virtual_time
async def test_a_backup_only_host_leaves_its_addresses_alone_until_nothing_restricts_it() -> None:
    actuator = RecordingActuator()
    async with node(MemoryBus(), actuator=actuator) as here:
        web = await here.add(config(preempt=True))
        await web.wait_for(State.MASTER)
        web.restrict("gate", "backup-only")
        web.restrict("hold", Restriction.NO_PREEMPT)
        await asyncio.sleep(60)

        assert (web.state, actuator.held) == (State.BACKUP, set())
        assert web.snapshot().restriction is Restriction.BACKUP_ONLY

        web.unrestrict("gate")
        web.unrestrict("never said")
        async with asyncio.timeout(0.1):
            await web.wait_for(State.MASTER)
        assert web.snapshot().restrictions == (("hold", Restriction.NO_PREEMPT),)


@in_virtual_time
async def test_a_backup_only_host_cannot_be_forced_to_be_master() -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        web.restrict("hold", "no-preempt")
        web.restrict("gate", "backup-only")

        with pytest.raises(UsageError, match=r'unrestrict\(\) these causes first: "gate"$'):
            web.force(State.MASTER)
