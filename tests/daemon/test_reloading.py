"""A reload: all of it or nothing, and nobody is disturbed without need."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from pycarp.aio.node import Node
from pycarp.core.host_config import HostConfig
from pycarp.core.state import State
from pycarp.daemon.config_source import ConfigSource
from pycarp.daemon.control_messages import HostDrift
from pycarp.daemon.host_set import HostSet
from pycarp.daemon.planning import lines
from pycarp.daemon.reloading import Reloader
from pycarp.daemon.sysctls import PREFIX, Sysctls
from pycarp.errors import ActuatorError, ConfigError
from pycarp.monitors import StaticMonitor
from pycarp.system.recovery.host_locks import HostLocks
from pycarp.testing import run
from pycarp.transports import MemoryBus
from pycarp.vocabulary import HostKey, InterfaceAddress
from tests.support.actuators import RecordingActuator
from tests.support.hosts import link

HOST = '[[host]]\ninterface = "fxp0"\npassword = "testpass"\n'
ONE = f'{HOST}name = "carp0"\nvhid = 1\naddresses = ["192.168.1.50/24"]\n'
TWO = f'{HOST}name = "carp1"\nvhid = 2\naddresses = ["192.168.1.60/24"]\n'
THREE = f'{HOST}name = "carp2"\nvhid = 3\naddresses = ["192.168.1.70/24"]\n'
DEMOTION, PREEMPT = f"{PREFIX}demotion", f"{PREFIX}preempt"


class _Picky(RecordingActuator):
    """Cannot make what some hosts need."""

    refused_vhids: frozenset[int] = frozenset()
    refused_addresses: frozenset[str] = frozenset()

    async def try_out(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        for each in self.refused_addresses & set(map(str, addresses)):
            raise ActuatorError(f"cannot add {each}")

    async def prepare(self, config: HostConfig) -> None:
        if config.vhid in self.refused_vhids:
            raise ActuatorError(f"cannot make a device for {config.name}")


class Running:
    """A node of hosts that are MASTER, and the file that it was started with."""

    def __init__(self, file: Path, *, fixed: Mapping[str, int] = MappingProxyType({})) -> None:
        self.file = file
        self.stalled: set[str] = set()
        self.refused_names: set[str] = set()
        self.actuator = _Picky()
        self.node = Node(transport=MemoryBus().port("a"), actuator=self.actuator, monitor=StaticMonitor([link()]))
        self.sysctls = Sysctls(self.node, lambda _level: None)
        self.hosts = HostSet(
            self.node,
            HostLocks(),
            on_event=lambda _event, _host: None,
            on_added=lambda _host: None,
            exists=lambda link: link not in self.stalled,
        )
        source = ConfigSource(file=file)
        self.config = source.read()
        self.reloader = Reloader(
            self.node, self.hosts, self.sysctls, source=source, config=self.config, fixed=fixed, check=self.check
        )

    def check(self, *configs: HostConfig) -> None:
        for each in configs:
            if each.name in self.refused_names:
                raise ConfigError(f"{each.name} is another device")

    def seen(self) -> dict[str, tuple[State, int]]:
        return {host.name: (host.state, host.snapshot().epoch) for host in self.hosts.running}


def reloaded(
    folder: Path,
    before: str,
    act: Callable[[Running], Awaitable[object]],
    *,
    fixed: Mapping[str, int] = MappingProxyType({}),
) -> Running:
    """Run what ``before`` says until all are MASTER, then act."""
    file = folder / "pycarp.toml"
    file.write_text(before)

    async def plan() -> Running:
        running = Running(file, fixed=fixed)
        async with running.node:
            for name, value in running.config.sysctls:
                running.sysctls.write(name, value)
            for config in running.config.hosts:
                await running.hosts.add(config)
            for host in running.hosts.running:
                await host.wait_for(State.MASTER)
            await act(running)
            for key in [config.key for config in running.hosts.configs]:
                await running.hosts.remove(key)
        await running.hosts.finish()
        return running

    return run(plan())


def test_hosts_that_did_not_change_keep_state_epoch_and_addresses(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        before, calls = running.seen(), len(running.actuator.calls)
        running.file.write_text(ONE + TWO.replace('"carp1"', '"carp1"\nadvskew = 100') + THREE)

        said = await running.reloader.reload()

        assert [each.name for each in said.changes] == ["carp2", "carp1"]
        assert running.seen() == before | {"carp2": (State.BACKUP, 1)}
        assert [call.key.vhid for call in running.actuator.calls[calls:] if call.key.vhid == 1] == []

    reloaded(tmp_path, ONE + TWO, act)


def test_a_reload_of_the_same_changes_nothing(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        before, calls = running.seen(), len(running.actuator.calls)

        assert lines(await running.reloader.reload()) == []
        assert (running.seen(), len(running.actuator.calls)) == (before, calls)

    reloaded(tmp_path, ONE + TWO, act)


def test_a_bad_file_changes_nothing_and_each_problem_is_a_line(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        before = running.seen()
        running.file.write_text(THREE + ONE.replace("vhid = 1", "vhid = 999") + "surprise = 1\n")

        with pytest.raises(ConfigError) as caught:
            await running.reloader.reload()

        assert all("pycarp.toml" in line for line in str(caught.value).splitlines())
        assert running.seen() == before

    reloaded(tmp_path, ONE + TWO, act)


def test_a_failure_half_way_leads_back(tmp_path: Path) -> None:
    """Carp2 takes the address of carp1, so it comes last; by then all else has been done."""

    async def act(running: Running) -> None:
        before = running.hosts.configs
        epoch = running.seen()["carp0"]
        running.actuator.refused_vhids = frozenset({3})
        running.file.write_text(
            ONE.replace('"carp0"', '"carp0"\nadvskew = 100') + THREE.replace("192.168.1.70", "192.168.1.60")
        )

        with pytest.raises(ActuatorError, match="cannot make a device for carp2"):
            await running.reloader.reload()

        assert set(running.hosts.configs) == set(before)
        assert running.seen()["carp0"] == epoch
        assert lines(await running.reloader.plan(None, None)) != []

    reloaded(tmp_path, ONE + TWO, act)


def test_a_failure_half_way_tells_what_became_of_who_had_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = "carp1 had left already: it was MASTER and came back as BACKUP"

    async def act(running: Running) -> None:
        running.actuator.refused_vhids = frozenset({3})
        good, bad = ONE, ONE + THREE.replace("192.168.1.70", "192.168.1.60")
        running.file.write_text(bad)
        with pytest.raises(ActuatorError, match="cannot make a device for carp2"):
            await running.reloader.reload()
        assert list(running.reloader.aftermath) == [told]

        running.file.write_text("surprise = 1")
        with pytest.raises(ConfigError):
            await running.reloader.reload()
        assert list(running.reloader.aftermath) == []

        running.actuator.refused_vhids = frozenset()
        running.file.write_text(good)
        await running.reloader.reload()
        assert list(running.reloader.aftermath) == []

    reloaded(tmp_path, ONE + TWO, act)

    assert [each.getMessage() for each in caplog.records if "had left" in each.getMessage()] == [
        f"carp: reload: {told}"
    ]


def test_what_may_fail_is_tried_before_anybody_is_disturbed(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        before = running.seen()
        running.actuator.refused_vhids = frozenset({3})
        running.file.write_text(TWO + THREE)

        with pytest.raises(ActuatorError):
            await running.reloader.reload()

        assert running.seen() == before

    reloaded(tmp_path, ONE + TWO, act)


def test_a_host_that_is_made_anew_is_backup_and_then_master(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.file.write_text(ONE.replace('"carp0"', '"other"'))
        await running.reloader.reload()

        assert running.seen() == {"other": (State.BACKUP, 1)}
        await running.hosts.running[0].wait_for(State.MASTER)

    reloaded(tmp_path, ONE, act)


def test_a_host_that_waits_for_its_interface_waits_with_the_new_settings(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.stalled = {"em9"}
        running.file.write_text(ONE + TWO.replace("fxp0", "em9"))
        await running.reloader.reload()
        running.file.write_text(ONE + TWO.replace("fxp0", "em9").replace('"carp1"', '"carp1"\nadvskew = 7'))
        await running.reloader.reload()

        (waiting,) = running.hosts.waiting
        assert waiting.config.advskew == 7
        assert list(running.seen()) == ["carp0"]

    reloaded(tmp_path, ONE, act)


def test_a_host_begins_when_its_interface_comes(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.stalled = {"fxp0"}
        running.file.write_text(ONE + TWO)
        await running.reloader.reload()
        assert [each.config.name for each in running.hosts.waiting] == ["carp1"]

        async with running.hosts.looking():
            running.stalled = set()
            await asyncio.sleep(1)

        assert list(running.seen()) == ["carp0", "carp1"]
        assert running.hosts.waiting == ()

    reloaded(tmp_path, ONE, act)


def test_a_host_that_waits_later_begins_as_well(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        async with running.hosts.looking():
            for text, name in ((ONE + TWO, "carp1"), (ONE + TWO + THREE, "carp2")):
                await asyncio.sleep(10)
                running.stalled = {"fxp0"}
                running.file.write_text(text)
                await running.reloader.reload()
                assert [each.config.name for each in running.hosts.waiting] == [name]
                running.stalled = set()
                await asyncio.sleep(1)

        assert list(running.seen()) == ["carp0", "carp1", "carp2"]

    reloaded(tmp_path, ONE, act)


def test_what_keeps_a_host_from_starting_is_its_cause_and_is_tried_again(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.stalled = {"fxp0"}
        running.file.write_text(ONE + TWO)
        await running.reloader.reload()
        running.actuator.refused_vhids = frozenset({2})

        async with running.hosts.looking():
            running.stalled = set()
            await asyncio.sleep(1)
            (waiting,) = running.hosts.waiting
            assert waiting.cause == "cannot make a device for carp1"
            running.actuator.refused_vhids = frozenset()
            await asyncio.sleep(1)

        assert list(running.seen()) == ["carp0", "carp1"]

    reloaded(tmp_path, ONE, act)


def test_hosts_that_leave_do_so_together(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.actuator.takes_s = 0.2
        running.file.write_text(ONE)
        began_s = asyncio.get_running_loop().time()
        await running.reloader.reload()

        assert asyncio.get_running_loop().time() - began_s < 0.3
        assert list(running.seen()) == ["carp0"]

    reloaded(tmp_path, ONE + TWO + THREE, act)


def test_a_plan_changes_nothing_and_shows_another_file(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        before = running.seen()

        said = lines(await running.reloader.plan(TWO, Path("/etc/other.toml")))

        assert said == [
            "carp0: removed; leaves MASTER, the next host takes over at once",
        ]
        assert running.seen() == before

    reloaded(tmp_path, ONE + TWO, act)


def test_what_was_changed_while_it_ran_is_shown_and_set_back(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        (host,) = running.hosts.running
        host.reconfigure(advskew=50)

        assert lines(await running.reloader.plan(None, None)) == [
            "carp0: advskew 50 -> 0; no interruption",
            "drift: carp0: advskew was changed from 0 to 50 while it ran; reload sets it back",
        ]
        await running.reloader.reload()
        assert host.config.advskew == 0

    reloaded(tmp_path, ONE, act)


def test_what_was_changed_while_it_ran_is_no_drift_once_the_file_says_so(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        (host,) = running.hosts.running
        host.reconfigure(advskew=50)
        running.sysctls.write(DEMOTION, 40)
        running.file.write_text(ONE + "advskew = 50\n" + node_section(demotion=40))

        assert lines(await running.reloader.reload()) == []
        assert (host.config.advskew, running.sysctls.read(DEMOTION)) == (50, 40)
        assert lines(await running.reloader.plan(None, None)) == []

    reloaded(tmp_path, ONE, act)


def test_each_kind_of_live_change_is_drift(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        one, two = running.hosts.running
        one.reconfigure(advbase=2, addresses=["192.168.1.50/24", "192.168.1.51/24"], passphrase="geheim")
        two.down()
        running.node.demote("carpdemote", by=5, group="carp")
        running.sysctls.write(PREEMPT, 1)
        drift = (await running.reloader.plan(None, None)).drift

        assert {each.setting: each.file for each in drift if each.name == "carp1"} == {"down": False}
        assert [(each.name, each.setting, each.running, each.reload) for each in drift] == [
            ("carp0", "addresses", ["192.168.1.50/24", "192.168.1.51/24"], "sets it back"),
            ("carp0", "advbase", 2, "sets it back"),
            ("carp0", "password", None, "sets it back"),
            ("carp1", "down", True, "leaves it"),
            ("group carp", "demotion", 5, "leaves it"),
            (PREEMPT, "value", 1, "leaves it"),
        ]

    reloaded(tmp_path, ONE + TWO, act)


def test_a_host_that_ended_while_it_ran_is_drift_and_comes_again(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        await running.hosts.remove(HostKey("fxp0", 2))

        assert lines(await running.reloader.reload()) == [
            "carp1: added, shares 192.168.1.60/24; BACKUP for about 3.0 s at least",
            "drift: carp1: it ended with its last address while it ran; reload adds it again",
        ]

    reloaded(tmp_path, ONE + TWO, act)


def test_a_change_of_many_hosts_leaves_all_of_them_their_states_and_epochs(tmp_path: Path) -> None:
    def many(advskew: int) -> str:
        return "".join(
            f'{HOST}vhid = {vhid}\naddresses = ["192.168.1.{vhid}/24"]\nadvskew = {advskew}\n' for vhid in range(1, 41)
        )

    async def act(running: Running) -> None:
        before, tried = running.seen(), len(running.actuator.calls)
        running.file.write_text(many(7))

        said = await running.reloader.reload()

        assert len(said.changes) == 40
        assert running.seen() == before
        assert {host.config.advskew for host in running.hosts.running} == {7}
        assert len(running.actuator.calls) == tried

    reloaded(tmp_path, many(0), act)


def test_what_is_to_be_saved_has_the_password_and_the_names_of_the_file(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        (host,) = running.hosts.running
        host.reconfigure(passphrase="geheim")
        running.sysctls.write(DEMOTION, 10)
        drift = await running.reloader.drift()

        assert drift.hosts == [HostDrift(name="carp0", interfaces=["fxp0"], vhid=1, password="geheim")]
        assert drift.sysctls == {"demotion": 10}

    reloaded(tmp_path, ONE, act)


def test_a_switch_of_the_file_that_was_changed_is_set_back(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.sysctls.write(PREEMPT, 0)
        assert lines(await running.reloader.reload()) == [
            f"{PREEMPT}: 0 -> 1",
            f"drift: {PREEMPT}: changed from 1 to 0 while it ran; reload sets it back",
        ]

    reloaded(tmp_path, ONE + node_section(preempt=True), act)


def test_a_switch_that_the_file_names_no_longer_gets_its_default(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.file.write_text(ONE)
        assert lines(await running.reloader.reload()) == [f"{PREEMPT}: 1 -> 0"]

    reloaded(tmp_path, ONE + node_section(preempt=True), act)


def test_an_address_that_the_machine_refuses_changes_nothing(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        before = running.hosts.configs, running.seen()
        running.actuator.refused_addresses = frozenset({"192.168.1.66/24"})
        running.file.write_text(ONE + TWO.replace('"]', '", "192.168.1.66/24"]') + THREE)

        with pytest.raises(ActuatorError, match=r"192\.168\.1\.66"):
            await running.reloader.reload()

        assert (running.hosts.configs, running.seen()) == before

    reloaded(tmp_path, ONE + TWO, act)


def test_a_host_that_was_set_down_stays_down_when_it_is_made_anew(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.hosts.running[0].down()
        running.file.write_text(ONE.replace('"carp0"', '"other"'))
        await running.reloader.reload()

        assert running.seen()["other"][0] is State.INIT

    reloaded(tmp_path, ONE, act)


def test_a_host_that_moves_is_shown_with_what_it_costs(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.file.write_text(ONE.replace("vhid = 1", "vhid = 9"))
        (change,) = (await running.reloader.reload()).changes

        assert (change.kind, change.what, change.leaves_master, change.about_s) == ("moved", "vhid 1 -> 9", True, 3.0)
        assert [host.key.vhid for host in running.hosts.running] == [9]

    reloaded(tmp_path, ONE, act)


def test_an_interface_that_is_not_there_or_cannot_work_is_warned_about(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.stalled = {"em9"}
        running.file.write_text(ONE + TWO.replace("fxp0", "em9") + THREE.replace("fxp0", "lo"))

        assert (await running.reloader.plan(None, None)).warnings == [
            "carp1: interface em9 does not exist; the host is INIT until it comes",
            "carp2: interface lo is the loopback, on which there is no other host",
        ]

    reloaded(tmp_path, ONE, act)


def test_a_short_interval_is_warned_about(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.file.write_text(ONE.replace('"carp0"', '"carp0"\nadvbase = 0\nadvskew = 5'))

        (warning,) = (await running.reloader.plan(None, None)).warnings

        assert warning.startswith("carp0: advbase 0 advskew 5 is an interval of 20 ms")

    reloaded(tmp_path, ONE, act)


def test_another_password_without_rolling_is_warned_about(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.file.write_text(ONE.replace("testpass", "geheim"))

        (warning,) = (await running.reloader.plan(None, None)).warnings
        assert warning.startswith("carp0: until every BACKUP has the same addresses and password")
        assert (await running.reloader.plan(None, None, rolling_s=60)).warnings == []

    reloaded(tmp_path, ONE, act)


def test_another_transport_needs_a_restart(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.file.write_text('[node]\ntransport = "raw"\n' + ONE)

        with pytest.raises(ConfigError, match="transport auto -> raw needs a restart"):
            await running.reloader.reload()

    reloaded(tmp_path, ONE, act)


def node_section(**sysctls: int) -> str:
    lines = "".join(f"{name} = {int(value)}\n" for name, value in sysctls.items())
    return f"[node.sysctls]\n{lines}"


def test_switches_of_the_file_are_set(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.file.write_text(ONE + node_section(preempt=True, demotion=30))
        said = lines(await running.reloader.reload())

        assert said == [f"{PREEMPT}: 0 -> 1", f"{DEMOTION}: 10 -> 30"]
        assert running.sysctls.read(PREEMPT) == 1
        assert running.sysctls.read(DEMOTION) == 30
        assert lines(await running.reloader.reload()) == []

    reloaded(tmp_path, ONE + node_section(demotion=10), act)


def test_switches_of_the_command_line_stand_above_the_file(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.file.write_text(ONE + node_section(preempt=True))
        await running.reloader.reload()

        assert running.sysctls.read(PREEMPT) == 0

    reloaded(tmp_path, ONE, act, fixed={PREEMPT: 0})


def test_what_could_not_be_undone_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def act(running: Running) -> None:
        running.actuator.refused_vhids = frozenset({2, 3})
        running.file.write_text(ONE + THREE.replace("192.168.1.70", "192.168.1.60"))

        with pytest.raises(ActuatorError, match="carp2"), caplog.at_level(logging.ERROR):
            await running.reloader.reload()

        assert "carp: reload: cannot go back, add carp1: cannot make a device for carp1" in caplog.text
        assert running.reloader.aftermath == ("cannot go back, add carp1: cannot make a device for carp1",)
        assert HostKey("fxp0", 2) not in [each.key for each in running.hosts.configs]

    reloaded(tmp_path, ONE + TWO, act)


def test_a_failure_half_way_sets_switches_back(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.actuator.refused_vhids = frozenset({3})
        running.file.write_text(ONE + THREE + node_section(preempt=True, demotion=30))
        with pytest.raises(ActuatorError):
            await running.reloader.reload()

        assert (running.sysctls.read(PREEMPT), running.sysctls.read(DEMOTION)) == (0, 10)

    reloaded(tmp_path, ONE + node_section(demotion=10), act)


def test_what_this_machine_cannot_have_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    async def act(running: Running) -> None:
        running.refused_names = {"carp1"}
        running.file.write_text(f"{ONE}advbase = 2\n{TWO}")
        with pytest.raises(ConfigError, match="carp1 is another device"):
            await running.reloader.reload()

        assert [config.advbase for config in running.hosts.configs] == [1]

    reloaded(tmp_path, ONE, act)
