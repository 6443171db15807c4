"""Checks and hooks of a daemon's configuration, on real nodes in virtual time: from the start through reloads."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from pycarp import State, UsageError, VirtualHost
from pycarp.aio.node import Node
from pycarp.config import toml
from pycarp.core.host_config import HostConfig
from pycarp.daemon.control_messages import HostStatus
from pycarp.daemon.services import FailbackService, GroupService, HealthService, HookService, Services
from pycarp.daemon.services.service import AGAIN_AFTER_S, SupervisedTasks
from pycarp.daemon.status import Place, host_status
from pycarp.monitors import StaticMonitor
from pycarp.transports import MemoryBus
from tests.support.actuators import RecordingActuator
from tests.support.hosts import link
from tests.support.virtual import in_virtual_time

HOST = '[[host]]\ninterface = "fxp0"\npassword = "testpass"\nname = "{name}"\nvhid = {vhid}\n'
WEB = HOST.format(name="web", vhid=1) + 'addresses = ["192.168.1.50/24"]\n'
DNS = HOST.format(name="dns", vhid=2) + 'addresses = ["192.168.1.60/24"]\n'


def check(name: str, file: Path, *, table: str = "host.check", more: str = "") -> str:
    return f'[[{table}]]\nname = "{name}"\nfile = "{file}"\nevery = "100ms"\nrise = 2\nfall = 2\n{more}\n'


def hook(name: str, on: str, file: Path, *, table: str = "host.hook") -> str:
    line = f"echo $PYCARP_HOST $PYCARP_EVENT >> {file}"
    return f"[[{table}]]\nname = '{name}'\non = ['{on}']\nshell = '{line}'\n"


class Daemon:
    """What a daemon has of services: a node, its hosts and a configuration."""

    def __init__(self, text: str, file: Path) -> None:
        self.config = toml.read(text, file="pycarp.toml")
        self.node = Node(transport=MemoryBus().port("a"), actuator=RecordingActuator(), monitor=StaticMonitor([link()]))
        self.failback = FailbackService(file)
        self.services = Services((self.failback, GroupService(), HealthService(self.node), HookService()))
        self.hosts: dict[str, VirtualHost] = {}

    async def add(self, config: HostConfig) -> None:
        self.hosts[config.name] = await self.node.add(config)
        self.services.start(self.hosts[config.name])

    async def remove(self, name: str) -> None:
        host = self.hosts.pop(name)
        await self.node.remove(host)
        self.services.departed(host.key)

    def restrictions(self, name: str) -> dict[str, str]:
        return dict(self.hosts[name].snapshot().restrictions)

    def reload(self, text: str) -> None:
        self.services.configure(toml.read(text, file="pycarp.toml"))

    def demotion(self, name: str) -> dict[str, int]:
        return dict(self.hosts[name].snapshot().demotion)

    def status(self, name: str) -> HostStatus:
        host = self.hosts[name]
        status = host_status(host.snapshot(), 0, Place())
        self.services.describe(host.key, status)
        return status


@contextlib.asynccontextmanager
async def running(text: str, folder: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(text, folder / "lasting.json")
    async with daemon.services.running(), daemon.node:
        daemon.services.configure(daemon.config)
        for config in daemon.config.hosts:
            await daemon.add(config)
        yield daemon


@in_virtual_time
async def test_a_host_is_the_last_of_all_until_its_check_has_passed(tmp_path: Path) -> None:
    async with running(WEB + check("ready", tmp_path / "ready"), tmp_path) as daemon:
        await asyncio.sleep(1)
        assert daemon.demotion("web") == {"check ready": 240}

        (tmp_path / "ready").touch()
        await asyncio.sleep(0.3)
        assert daemon.demotion("web") == {}


@in_virtual_time
async def test_a_check_of_every_host_demotes_the_whole_node_and_one_of_a_host_only_that(tmp_path: Path) -> None:
    text = WEB + check("own", tmp_path / "own", more="by = 50") + DNS + check("all", tmp_path / "all", table="check")
    async with running(text, tmp_path) as daemon:
        await asyncio.sleep(1)
        assert daemon.demotion("web") == {"check own": 50, "check all": 240}
        assert daemon.demotion("dns") == {"check all": 240}


@in_virtual_time
async def test_a_reload_that_changes_how_often_a_check_runs_leaves_what_it_found(tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    text = WEB + check("ready", tmp_path / "ready")
    async with running(text, tmp_path) as daemon:
        await asyncio.sleep(1)
        seq = daemon.hosts["web"].seq

        daemon.reload(text.replace("100ms", "200ms"))
        await asyncio.sleep(1)
        assert daemon.hosts["web"].seq == seq

        (tmp_path / "ready").unlink()
        await asyncio.sleep(0.5)
        assert daemon.demotion("web") == {"check ready": 240}


@in_virtual_time
async def test_a_reload_that_removes_a_failing_check_removes_its_demotion(tmp_path: Path) -> None:
    async with running(WEB + check("ready", tmp_path / "ready"), tmp_path) as daemon:
        await asyncio.sleep(1)
        daemon.reload(WEB)
        await asyncio.sleep(1)

        assert daemon.demotion("web") == {}
        assert daemon.status("web").checks == []


@in_virtual_time
async def test_a_reload_that_adds_a_check_demotes_until_it_passes(tmp_path: Path) -> None:
    async with running(WEB, tmp_path) as daemon:
        await asyncio.sleep(1)
        daemon.reload(WEB + check("ready", tmp_path / "ready"))
        await asyncio.sleep(1)

        assert daemon.demotion("web") == {"check ready": 240}


@in_virtual_time
async def test_the_status_says_of_each_check_whether_it_passes_and_why_not(tmp_path: Path) -> None:
    (tmp_path / "all").touch()
    text = WEB + check("own", tmp_path / "own") + check("all", tmp_path / "all", table="check", more="by = 3")
    async with running(text, tmp_path) as daemon:
        await asyncio.sleep(1)
        own, every = daemon.status("web").checks

        assert (own.name, own.passes, own.answer, own.by, own.s_ago) == ("own", False, "fail", None, None)
        assert str(tmp_path / "own") in own.detail
        assert (every.name, every.passes, every.answer, every.by) == ("all", True, "ok", 3)
        assert every.s_ago == pytest.approx(0.9, abs=0.1)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


async def until(is_so: Callable[[], bool]) -> None:
    """Wait, in real time, for what programs do."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110  a program's
            await asyncio.sleep(0.02)


async def until_lines(file: Path, count: int) -> list[str]:
    """Return the lines of a file, once there are so many."""
    await until(lambda: len(lines(file)) >= count)
    return lines(file)


async def test_hooks_of_a_host_and_of_every_host_are_called_and_a_reload_calls_none_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = WEB + hook("own", "backup", log) + DNS
    every = hook("all", "lost", log, table="hook")
    async with running(text + every, tmp_path) as daemon:
        assert await until_lines(log, 1) == ["web backup"]

        daemon.reload(text + every + hook("new", "backup", log, table="hook"))
        for name, count in (("web", 4), ("dns", 6)):
            daemon.hosts[name].force(State.MASTER)
            daemon.hosts[name].force(State.BACKUP)
            await until_lines(log, count)

        assert lines(log)[1:] == ["web lost", "web backup", "web backup", "dns lost", "dns backup"]
        assert [each.name for each in daemon.status("web").hooks] == ["own", "all", "new"]


async def test_a_host_that_leaves_has_its_hooks_called_before_the_services_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with running(WEB + hook("own", "lost", log), tmp_path) as daemon:
        daemon.hosts["web"].force(State.MASTER)
        await asyncio.sleep(0.05)

    assert lines(log) == ["web lost"]


async def test_the_status_names_a_hook_that_runs_on_after_a_reload_removed_it(tmp_path: Path) -> None:
    hook = '[[host.hook]]\nname = "slow"\non = ["backup"]\nrun = ["/bin/sleep", "60"]\n'
    async with running(WEB + hook, tmp_path) as daemon:
        await until(lambda: daemon.status("web").hooks[0].is_running)
        daemon.reload(WEB)

        assert [(each.name, each.is_running) for each in daemon.status("web").hooks] == [("slow", True)]


async def test_the_status_says_what_a_hook_failed_with(tmp_path: Path) -> None:
    text = WEB + '[[host.hook]]\nname = "bad"\non = ["backup"]\nshell = "exit 3"\n'
    async with running(text, tmp_path) as daemon:
        await until(lambda: bool(daemon.status("web").hooks[0].error))
        (status,) = daemon.status("web").hooks

        assert (status.name, status.on, status.last_on) == ("bad", ["backup"], "backup")
        assert status.error == "failed with exit status 3"


@in_virtual_time
async def test_a_gate_keeps_a_lone_host_from_its_addresses_until_it_has_passed_once(tmp_path: Path) -> None:
    async with running(WEB + check("ready", tmp_path / "ready", more="gate = true"), tmp_path) as daemon:
        await asyncio.sleep(60)
        assert daemon.hosts["web"].state is State.BACKUP
        assert [(each.cause, each.to) for each in daemon.status("web").restrictions] == [("check ready", "backup-only")]

        (tmp_path / "ready").touch()
        await daemon.hosts["web"].wait_for(State.MASTER)
        (tmp_path / "ready").unlink()
        await asyncio.sleep(60)
        assert (daemon.hosts["web"].state, daemon.restrictions("web")) == (State.MASTER, {})


FAILBACK = '[host.failback]\nfailback_delay = "1h"\n'


@in_virtual_time
async def test_a_host_has_its_own_failback_and_the_others_that_of_every_host(tmp_path: Path) -> None:
    async with running(WEB + FAILBACK + DNS + '[failback]\nfailback = "manual"\n', tmp_path) as daemon:
        await asyncio.sleep(0.1)
        assert daemon.restrictions("web") == {"failback delay": "no-preempt"}
        assert daemon.restrictions("dns") == {"manual failback": "no-preempt"}


@in_virtual_time
async def test_a_reload_changes_a_failback_and_removes_it(tmp_path: Path) -> None:
    async with running(WEB + FAILBACK, tmp_path) as daemon:
        await asyncio.sleep(0.1)
        daemon.reload(WEB + '[host.failback]\nfailback = "manual"\n')
        assert daemon.restrictions("web") == {"manual failback": "no-preempt"}

        daemon.reload(WEB)
        await asyncio.sleep(0.1)
        assert daemon.restrictions("web") == {}


@in_virtual_time
async def test_an_administrator_releases_a_host_that_its_failback_holds_back(tmp_path: Path) -> None:
    async with running(WEB + '[host.failback]\nfailback = "manual"\n' + DNS, tmp_path) as daemon:
        await asyncio.sleep(0.1)
        daemon.failback.release(daemon.hosts["web"])
        assert daemon.restrictions("web") == {}

        with pytest.raises(UsageError, match="dns has no failback policy"):
            daemon.failback.release(daemon.hosts["dns"])


GROUP = '[[sync_group]]\nname = "router"\nhosts = ["web", "dns"]\n'


@in_virtual_time
async def test_a_member_that_is_not_able_makes_its_whole_group_leave(tmp_path: Path) -> None:
    async with running(WEB + DNS + check("dns", tmp_path / "ok") + GROUP, tmp_path) as daemon:
        await asyncio.sleep(1)
        assert daemon.demotion("web") == {"group router: dns: check dns": 240}
        assert daemon.status("web").sync_group == "router"

        (tmp_path / "ok").touch()
        await asyncio.sleep(1)
        assert daemon.demotion("web") == {}


@in_virtual_time
async def test_a_check_of_a_group_is_for_all_of_its_hosts(tmp_path: Path) -> None:
    text = WEB + DNS + GROUP + check("both", tmp_path / "ok", table="sync_group.check")
    async with running(text, tmp_path) as daemon:
        await asyncio.sleep(1)
        assert daemon.demotion("web") == {"check both": 240}
        assert daemon.demotion("dns") == {"group router: web: check both": 240}


@in_virtual_time
async def test_a_group_of_which_a_host_is_missing_leaves_its_addresses_to_others(tmp_path: Path) -> None:
    async with running(WEB + DNS + GROUP, tmp_path) as daemon:
        await asyncio.sleep(1)
        config = daemon.hosts["dns"].config
        await daemon.remove("dns")
        assert daemon.demotion("web") == {"group router: dns not here": 240}

        await daemon.add(config)
        await asyncio.sleep(1)
        assert (daemon.demotion("web"), daemon.demotion("dns")) == ({}, {})


@in_virtual_time
async def test_a_check_a_group_and_a_drain_compose_and_none_outlives_its_cause(tmp_path: Path) -> None:
    async with running(WEB + DNS + check("dns", tmp_path / "ok") + GROUP, tmp_path) as daemon:
        web = daemon.hosts["web"]
        web.demote("drained", last=True)
        await asyncio.sleep(1)
        assert daemon.demotion("web") == {"drained": 240, "group router: dns: check dns": 240}
        assert daemon.demotion("dns") == {"check dns": 240, "group router: web: drained": 240}

        (tmp_path / "ok").touch()
        await asyncio.sleep(1)
        assert daemon.demotion("dns") == {"group router: web: drained": 240}

        web.restore("drained")
        await asyncio.sleep(1)
        assert (daemon.demotion("web"), daemon.demotion("dns")) == ({}, {})


@in_virtual_time
async def test_a_reload_that_removes_a_group_lets_each_host_be_on_its_own(tmp_path: Path) -> None:
    async with running(WEB + DNS + check("dns", tmp_path / "ok") + GROUP, tmp_path) as daemon:
        await asyncio.sleep(1)
        daemon.reload(WEB + DNS + check("dns", tmp_path / "ok"))
        await asyncio.sleep(1)

        assert daemon.demotion("web") == {}
        assert daemon.status("web").sync_group is None


@in_virtual_time
async def test_a_fault_of_a_service_is_logged_and_it_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    tasks = SupervisedTasks()
    ended: list[str] = []
    calls = 0

    async def fails_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a bug")

    tasks.start("web: checks", fails_once, lambda: ended.append("ended"))
    await asyncio.sleep(AGAIN_AFTER_S / 2)
    assert (calls, ended) == (1, [])
    await asyncio.sleep(AGAIN_AFTER_S)

    assert (calls, ended) == (2, ["ended"])
    assert "web: checks: a fault" in caplog.text
