"""Drains and named demotions: who takes over, what is refused, and what survives a restart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from pycarp import HandOverError, State, UsageError, VirtualHost
from pycarp.config import NodeConfig
from pycarp.daemon.control_messages import (
    DemoteRequest,
    DrainReply,
    DrainRequest,
    HostStatus,
    RestoreRequest,
    UndrainRequest,
)
from pycarp.daemon.services import maintenance
from pycarp.daemon.services.maintenance import Find, Maintenance
from pycarp.daemon.status import Place, host_status
from pycarp.errors import CarpError
from pycarp.system.addresses.address_conflicts import Answers
from pycarp.testing import Cluster
from pycarp.testing.member import Member
from pycarp.vocabulary import Address, MacAddress
from tests.support.virtual import in_virtual_time, now_s


class Clock:
    """A wall clock that tests set."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


async def nobody_answers(_link: str, _addresses: Collection[Address], *, stops_early: bool = False) -> Answers:
    assert stops_early
    return {}


class Daemon:
    """The part of a daemon that does maintenance, for one member of a cluster."""

    def __init__(self, member: Member, file: Path, clock: Clock | None = None, *, find: Find = nobody_answers) -> None:
        self.member = member
        self.maintenance = Maintenance(member.node, file, find=find, clock=clock or Clock())
        self.maintenance.configure(NodeConfig(hosts=member.configs))
        for host in self.hosts:
            self.maintenance.start(host)

    @property
    def hosts(self) -> tuple[VirtualHost, ...]:
        return self.member.node.hosts

    async def drain(self, host: str | None = None, **settings: object) -> DrainReply:
        chosen = [each for each in self.hosts if host in (None, each.name)]
        reply = await self.maintenance.answer(DrainRequest(host=host, **settings), chosen)  # type: ignore[arg-type]
        assert isinstance(reply, DrainReply)
        return reply

    async def ask(self, request: UndrainRequest | DemoteRequest | RestoreRequest) -> str:
        reply = await self.maintenance.answer(request, self.hosts)
        assert not isinstance(reply, DrainReply)
        return reply.warning

    def demotion(self) -> dict[str, int]:
        return dict(self.hosts[0].snapshot().demotion)

    def status(self) -> HostStatus:
        status = host_status(self.hosts[0].snapshot(), 0, Place())
        self.maintenance.describe(self.hosts[0].key, status)
        return status


@contextlib.asynccontextmanager
async def settled(members: int = 2, **settings: object) -> AsyncIterator[Cluster]:
    async with Cluster(members, **settings) as cluster:  # type: ignore[arg-type]
        await cluster.settle()
        yield cluster
        cluster.assert_never_two_owners()


@pytest.mark.parametrize("preempt", [True, False])
@in_virtual_time
async def test_a_drained_master_leaves_its_addresses_and_does_not_take_them_back(tmp_path: Path, preempt: bool) -> None:
    async with settled(preempt=preempt) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")

        began_s = now_s()
        (host,) = (await daemon.drain(reason="new kernel")).hosts
        assert now_s() - began_s < 0.1

        assert cluster.master is cluster.b
        assert (host.was_master, host.answers) == (True, False)
        assert host.master == str(cluster.a.host.snapshot().master.source)  # type: ignore[union-attr]
        await asyncio.sleep(30)
        assert cluster.master is cluster.b
        assert daemon.demotion() == {"drained: new kernel": 240}
        assert daemon.status().is_drained


@in_virtual_time
async def test_undrain_takes_a_host_back_into_service(tmp_path: Path) -> None:
    async with settled(preempt=True) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        await daemon.drain()

        await daemon.ask(UndrainRequest())
        await asyncio.sleep(5)

        assert cluster.master is cluster.a
        assert not (tmp_path / "m.json").exists()
        with pytest.raises(UsageError, match="no host is drained"):
            await daemon.ask(UndrainRequest())


@in_virtual_time
async def test_a_host_that_is_drained_with_all_others_comes_back_with_them(tmp_path: Path) -> None:
    async with settled() as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        await daemon.drain()
        name = daemon.hosts[0].name

        with pytest.raises(UsageError, match=f"{name} is not drained by itself, but with .*: pycarp undrain --all"):
            await daemon.ask(UndrainRequest(host=name))
        await daemon.ask(UndrainRequest())

        assert daemon.demotion() == {}


@in_virtual_time
async def test_a_drain_that_nobody_takes_over_from_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    async with settled(1) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")

        with pytest.raises(HandOverError, match=r"nobody took the addresses[^\n]*\n--force drains"):
            await daemon.drain()

        assert (daemon.demotion(), cluster.master, (tmp_path / "m.json").exists()) == ({}, cluster.a, False)


@in_virtual_time
async def test_a_forced_drain_serves_until_another_host_comes(tmp_path: Path) -> None:
    async with settled(preempt=False) as cluster:
        cluster.kill("b")
        daemon = Daemon(cluster.a, tmp_path / "m.json")

        (host,) = (await daemon.drain(is_forced=True)).hosts
        assert (host.master, cluster.master) == (None, cluster.a)

        await cluster.restart("b")
        await asyncio.sleep(10)
        assert cluster.master is cluster.b


@in_virtual_time
async def test_a_drain_of_all_holds_for_every_host_or_for_none(tmp_path: Path) -> None:
    async with settled(vhids=(1, 2)) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        cluster.b.hosts[2].down()

        with pytest.raises(HandOverError):
            await daemon.drain()
        assert all(host.snapshot().demotion == () for host in daemon.hosts)

        cluster.b.hosts[2].up()
        await cluster.settle()
        await daemon.drain()
        assert all(dict(host.snapshot().demotion) == {"drained": 240} for host in daemon.hosts)
        assert {cluster.masters(vhid) for vhid in (1, 2)} == {(cluster.b,)}


@in_virtual_time
async def test_a_refused_drain_of_all_leaves_a_host_drained_that_was_drained_by_itself(tmp_path: Path) -> None:
    async with settled(vhids=(1, 2)) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        first, second = daemon.hosts
        await daemon.drain(first.name)
        cluster.b.hosts[2].down()

        with pytest.raises(HandOverError):
            await daemon.drain()

        assert (dict(first.snapshot().demotion), dict(second.snapshot().demotion)) == ({"drained": 240}, {})


@in_virtual_time
async def test_a_drain_of_all_that_ends_leaves_a_host_drained_that_was_drained_by_itself(tmp_path: Path) -> None:
    async with settled(vhids=(1, 2)) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        first, second = daemon.hosts
        await daemon.drain(first.name)

        await daemon.drain(for_s=60)
        await asyncio.sleep(70)
        assert (dict(first.snapshot().demotion), dict(second.snapshot().demotion)) == ({"drained": 240}, {})

        await daemon.ask(UndrainRequest(host=first.name))
        assert dict(first.snapshot().demotion) == {}


@in_virtual_time
async def test_who_answers_after_a_drain_of_all_is_asked_of_all_hosts_at_once(tmp_path: Path) -> None:
    asked: list[Collection[Address]] = []

    async def first_answers(_link: str, addresses: Collection[Address], *, stops_early: bool = False) -> Answers:
        assert stops_early
        asked.append(addresses)
        await asyncio.sleep(1.2)
        return {next(iter(addresses)): {MacAddress(b"answer")}}

    async with settled(vhids=(1, 2, 3)) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json", find=first_answers)
        began_s = now_s()

        reply = await daemon.drain()

        assert now_s() - began_s < 1.3
        assert [list(each) for each in asked] == [[host.config.addresses[0].ip for host in daemon.hosts]]
        assert [(each.was_master, each.answers) for each in reply.hosts] == [(True, True), (True, False), (True, False)]


@in_virtual_time
async def test_a_refused_drain_leaves_an_earlier_one_as_it_was(tmp_path: Path) -> None:
    async with settled(1) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        await daemon.drain(is_forced=True, reason="disk")

        for reason in ("disk", "other"):
            with pytest.raises(HandOverError):
                await daemon.drain(reason=reason)
            assert daemon.demotion() == {"drained: disk": 240}


@in_virtual_time
async def test_a_drain_ends_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    clock = Clock()
    async with settled(preempt=True) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json", clock)
        await daemon.drain(for_s=60)
        assert [each.ends_in_s for each in daemon.status().demotion] == [60]

        await asyncio.sleep(70)

        assert (daemon.demotion(), cluster.master) == ({}, cluster.a)
        assert not (tmp_path / "m.json").exists()


@in_virtual_time
async def test_a_drain_whose_time_is_over_before_anybody_took_over_leaves_no_demotion(tmp_path: Path) -> None:
    async with settled(preempt=True) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")

        await daemon.drain(for_s=0.001)
        await asyncio.sleep(10)

        assert daemon.demotion() == {}
        assert cluster.master is cluster.a


@in_virtual_time
async def test_a_drain_that_is_ended_while_it_waits_fails_and_leaves_no_demotion(tmp_path: Path) -> None:
    async with settled(preempt=True) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        cluster.stop(cluster.b)
        drain = asyncio.create_task(daemon.drain(timeout_s=3, is_forced=True))
        await asyncio.sleep(1)

        await daemon.ask(UndrainRequest(None))

        with pytest.raises(HandOverError, match="ended before it was complete"):
            await drain
        assert daemon.demotion() == {}
        cluster.continue_(cluster.b)


@in_virtual_time
async def test_a_host_whose_own_drain_has_ended_is_still_drained_with_every_host(tmp_path: Path) -> None:
    async with settled() as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        name = daemon.hosts[0].name
        await daemon.drain(name)
        await daemon.drain()

        assert (
            await daemon.ask(UndrainRequest(name)) == f"{name} is still drained with every host: pycarp undrain --all"
        )
        assert daemon.demotion() == {"drained": 240}


@in_virtual_time
async def test_who_restores_the_cause_of_a_drain_learns_what_ends_it(tmp_path: Path) -> None:
    async with settled() as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        await daemon.drain()

        warning = await daemon.ask(RestoreRequest(cause="drained"))

        assert warning == "'drained' is the cause of a drain, which pycarp undrain ends"
        assert daemon.demotion() == {"drained": 240}


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (DemoteRequest(cause="x", by=-1), "--by -1 is outside 1-240; pycarp restore ends a demotion"),
        (DemoteRequest(cause="x", by=0), "--by 0 is outside 1-240"),
        (DemoteRequest(cause="x", by=10**9), "--by 1000000000 is outside 1-240"),
        (DemoteRequest(cause="x", by=5, for_s=0), "--for 0 s is not above 0"),
        (DemoteRequest(cause="x", by=5, for_s=float("inf")), "--for inf s is outside 0-"),
        (DemoteRequest(cause="x", by=5, for_s=float("nan")), "--for nan is not a number of seconds"),
        (DrainRequest(for_s=-1), "--for -1 s is not above 0"),
        (DrainRequest(for_s=1e300), "--for 1e[+]300 s is outside 0-"),
        (DrainRequest(timeout_s=0), "--timeout 0 s is not above 0"),
        (DrainRequest(timeout_s=1e9), "--timeout 1e[+]09 s is outside 0-60"),
    ],
)
@in_virtual_time
async def test_what_cannot_be_asked_is_refused_with_the_bound_and_changes_nothing(
    tmp_path: Path, request_: DemoteRequest | DrainRequest, complaint: str
) -> None:
    async with settled() as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")

        with pytest.raises(CarpError, match=complaint):
            await daemon.maintenance.answer(request_, daemon.hosts)

        assert daemon.demotion() == {}
        assert not (tmp_path / "m.json").exists()


@in_virtual_time
async def test_a_daemon_that_was_killed_while_draining_comes_back_drained(tmp_path: Path) -> None:
    async with settled() as cluster:
        draining = asyncio.create_task(Daemon(cluster.a, tmp_path / "m.json").drain(reason="x"))
        await asyncio.sleep(0)
        cluster.kill("a")
        draining.cancel()
        await asyncio.wait([draining])

        await cluster.restart("a")
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        await asyncio.sleep(10)

        assert (daemon.demotion(), cluster.master) == ({"drained: x": 240}, cluster.b)


@pytest.mark.parametrize("survives", [True, False])
@in_virtual_time
async def test_only_what_is_to_persist_survives_a_reboot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: bool
) -> None:
    async with settled() as cluster:
        await Daemon(cluster.a, tmp_path / "m.json").drain(survives_reboot=survives)
        monkeypatch.setattr(maintenance, "_boot_id", lambda: "another boot")

        await cluster.restart("a")
        daemon = Daemon(cluster.a, tmp_path / "m.json")

        assert daemon.demotion() == ({"drained": 240} if survives else {})


@in_virtual_time
async def test_what_ended_while_the_daemon_was_away_does_not_come_back(tmp_path: Path) -> None:
    clock = Clock()
    async with settled() as cluster:
        await Daemon(cluster.a, tmp_path / "m.json", clock).drain(for_s=60)
        clock.now_s += 61

        await cluster.restart("a")

        assert Daemon(cluster.a, tmp_path / "m.json", clock).demotion() == {}


@pytest.mark.parametrize("text", ["", "{", "[1]", "\0" * 100])
@in_virtual_time
async def test_a_file_that_cannot_be_understood_is_logged_and_drains_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / "m.json").write_text(text)
    async with settled(1) as cluster:
        assert Daemon(cluster.a, tmp_path / "m.json").demotion() == {}
    assert "does not say which hosts are drained" in caplog.text


@in_virtual_time
async def test_a_file_that_cannot_be_written_is_warned_about_and_the_host_is_drained(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    async with settled() as cluster:
        daemon = Daemon(cluster.a, tmp_path / "f" / "m.json")

        reply = await daemon.drain()

        assert "it does not survive a restart of the daemon" in reply.warning
        assert cluster.master is cluster.b


@in_virtual_time
async def test_more_than_a_restart_reads_is_warned_about_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "FILE_LIMIT", 400)
    file = tmp_path / "m.json"
    async with settled() as cluster:
        daemon = Daemon(cluster.a, file)
        await daemon.drain()

        warnings = [await daemon.ask(DemoteRequest(cause=f"job {number}", by=1)) for number in range(3)]

        assert warnings[0] == ""
        assert "does not survive a restart of the daemon" in warnings[-1]
        assert "end some with pycarp restore" in warnings[-1]
        assert set(Daemon(cluster.a, file).demotion()) >= {"drained", "job 0"}


@in_virtual_time
async def test_a_cause_that_is_no_line_of_a_terminal_is_refused(tmp_path: Path) -> None:
    async with settled(1) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")

        with pytest.raises(UsageError, match="the cause has 201 characters, at most 200 are kept"):
            await daemon.ask(DemoteRequest(cause="x" * 201, by=1))
        with pytest.raises(UsageError, match="the reason has 5000 characters"):
            await daemon.drain(reason="x" * 5000, is_forced=True)
        with pytest.raises(UsageError, match=r"the reason 'x\\x1b\[31m' has .* cannot be printed; leave them out"):
            await daemon.drain(reason="x\033[31m", is_forced=True)

        assert daemon.demotion() == {}


@pytest.mark.parametrize("cause", ["drained", "drained: new kernel"])
@in_virtual_time
async def test_a_demotion_by_the_cause_of_a_drain_is_refused_and_the_drain_stays(tmp_path: Path, cause: str) -> None:
    async with settled(1) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        await daemon.drain(reason=cause.removeprefix("drained").removeprefix(": "), is_forced=True)

        with pytest.raises(UsageError, match="is that of a drain; choose another one, or use pycarp drain"):
            await daemon.ask(DemoteRequest(cause=cause, by=1))

        assert daemon.demotion() == {cause: 240}
        assert daemon.status().is_drained


@in_virtual_time
async def test_neighbours_are_asked_on_a_renamed_interface_by_its_present_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def answers(link: str, _addresses: Collection[Address], *, stops_early: bool = False) -> Answers:
        assert stops_early
        asked.append(link)
        return {}

    async with settled() as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json", find=answers)
        link = daemon.hosts[0].key.link
        facts = cluster.a.node.link_facts(link)
        assert facts is not None
        monkeypatch.setattr(cluster.a.node, "link_facts", {link: structs.replace(facts, renamed_to="lan0")}.get)

        await daemon.drain()

        assert asked == ["lan0"]


@in_virtual_time
async def test_a_named_demotion_is_replaced_restored_and_told_apart_from_others(tmp_path: Path) -> None:
    async with settled(1) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        cluster.a.host.demote("not wanted", by=7)
        for by in (10, 20):
            assert await daemon.ask(DemoteRequest(cause="backup", by=by)) == ""
        assert daemon.demotion() == {"backup": 20, "not wanted": 7}
        assert {each.cause: each.is_wanted for each in daemon.status().demotion} == {
            "backup": True,
            "not wanted": False,
        }

        assert await daemon.ask(RestoreRequest(cause="backup")) == ""
        assert daemon.demotion() == {"not wanted": 7}
        assert "there are: none" in await daemon.ask(RestoreRequest(cause="backup"))


@in_virtual_time
async def test_a_host_that_a_reload_restarts_stays_drained_and_one_that_it_removes_is_forgotten(tmp_path: Path) -> None:
    async with settled(vhids=(1, 2)) as cluster:
        daemon = Daemon(cluster.a, tmp_path / "m.json")
        first, second = daemon.hosts
        await daemon.drain(first.name)
        config = first.config
        await cluster.a.node.remove(first)
        again = await cluster.a.node.add(replace(config, advskew=7))
        daemon.maintenance.start(again)
        daemon.maintenance.configure(NodeConfig(hosts=(again.config, second.config)))
        assert dict(again.snapshot().demotion) == {"drained": 240}

        daemon.maintenance.configure(NodeConfig(hosts=(second.config,)))
        assert not (tmp_path / "m.json").exists()


@in_virtual_time
async def test_a_drained_backup_says_who_is_master(tmp_path: Path) -> None:
    async with settled() as cluster:
        (host,) = (await Daemon(cluster.b, tmp_path / "m.json").drain()).hosts

        assert (host.was_master, host.answers) == (False, None)
        assert host.master is not None
        assert cluster.a.host.state is State.MASTER
