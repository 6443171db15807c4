"""After a stop of whatever kind, addresses, routes, rules and sysctls are what they were before the start."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import StatusReply, StatusRequest
from pycarp.errors import ControlError
from pycarp.lab.lab_network import Segment
from tests.support.daemons import Process, children, new_segment
from tests.support.system import require

pytestmark = pytest.mark.system

OWN = {"master": "192.168.1.1/24", "backup": "192.168.1.2/24"}
ROLES = tuple(OWN)
SETTLED_S = 10.0
PAUSE_S = 0.2
HOST = """
[[host]]
interface = "fxp0"
vhid = {vhid}
password = "testpass"
addresses = ["192.168.1.5{vhid}/24", "192.168.9.5{vhid}/24", "fd77::5{vhid}/64", "fe80::5{vhid}/64"]
advskew = {advskew}
name = "carp{vhid}"
mac_mode = "{mac_mode}"
"""
PREPARATION = (
    "ip addr add 192.168.1.2{role}/24 dev fxp0",
    "ip addr add 10.5.0.{role}/16 dev fxp0",
    "ip addr add fd77::{role}/64 dev fxp0 nodad",
    "ip route add default via 192.168.1.254 metric 50",
    "ip route add 10.9.0.0/16 via 192.168.1.253 src 192.168.1.2{role}",
    "ip route add fd99::/64 via fd77::254",
    "ip rule add from 192.168.1.2{role} table 77",
    "sysctl -qw net.ipv4.conf.fxp0.arp_announce=1",
)
SHOWN = ("link", "addr", "route show table all", "-6 route show table all", "rule", "-6 rule")
VOLATILE = ("valid_life_time", "preferred_life_time", "expires", "used", "age")


class Machine:
    """A daemon with a host in each mode, and what the machine was like before it started."""

    def __init__(self, segment: Segment, role: str, folder: Path) -> None:
        self.role, self._segment, self._folder = role, segment, folder
        for command in PREPARATION:
            segment.run(role, command.format(role=ROLES.index(role) + 1).split())
        self.before = self.state()
        file = folder / f"{role}.toml"
        modes = enumerate(("virtual", "interface"), start=1)
        file.write_text(
            "".join(HOST.format(vhid=n, mac_mode=mac_mode, advskew=100 * ROLES.index(role)) for n, mac_mode in modes)
        )
        self.control = folder / f"{role}.sock"
        options = ["--control", str(self.control), "--state", str(folder / role)]
        argv = [sys.executable, "-W", "error", "-m", "pycarp", "run", str(file), *options]
        self.daemon = Process(segment, role, argv, folder / f"{role}.log")

    def state(self) -> dict[str, Any]:
        """Return all of it, without what changes by itself."""
        shown = {what: _steady(json.loads(self._segment.run(self.role, ["ip", "-j", *what.split()]))) for what in SHOWN}
        switches = self._segment.run(self.role, ["sysctl", "-a", "--pattern", r"^net\.ipv[46]\.(conf|neigh)"])
        return {**shown, "sysctl": switches.splitlines()}

    def is_as_before(self) -> bool:
        """Say whether all is as it was before the start."""
        return self.state() == self.before

    def is_settled(self) -> bool:
        """Say whether every host is in the state of its role."""
        try:
            hosts = request(self.control, StatusRequest(), StatusReply).hosts
        except ControlError:
            return False
        return all(each.state == self.role.upper() for each in hosts)

    def release(self) -> None:
        """Clean up by hand."""
        argv = [sys.executable, "-m", "pycarp", "release", "--state", str(self._folder / self.role)]
        self._segment.run(self.role, argv)


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _steady(each) for key, each in value.items() if key not in VOLATILE}
    return [_steady(each) for each in value] if isinstance(value, list) else value


def terminate(machine: Machine) -> None:
    """Stop a daemon as an administrator does."""
    machine.daemon.process.terminate()
    assert machine.daemon.process.wait(5) == 0


def kill(machine: Machine) -> None:
    """Kill a daemon: its guardian is left."""
    machine.daemon.process.kill()


def kill_both(machine: Machine) -> None:
    """Kill a daemon and its guardian, and clean up."""
    daemon = machine.daemon.process.pid
    for pid in (*children(daemon), daemon):
        os.kill(pid, signal.SIGKILL)
    machine.daemon.process.wait()
    machine.release()


def settle(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; programs that look too often would keep the daemons from working."""
    ends_s = time.monotonic() + SETTLED_S
    while not is_so():
        assert time.monotonic() < ends_s, f"not so within {SETTLED_S} s"
        time.sleep(PAUSE_S)


def live(stop: Callable[[Machine], None], folder: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Have a pair live and end; return of each how it was before and how it is afterwards."""
    folder.mkdir()
    segment = new_segment(**OWN)
    with ExitStack() as stack:
        stack.enter_context(segment)
        settle(lambda: not any("tentative" in segment.run(role, ["ip", "addr"]) for role in ROLES))
        machines = [Machine(segment, role, folder) for role in ROLES]
        for each in machines:
            stack.enter_context(each.daemon)
        for each in machines:
            settle(each.is_settled)
        assert all(each.state() != each.before for each in machines)
        # The BACKUP first: it must not become MASTER.
        for each in reversed(machines):
            stop(each)
        for each in machines:
            with contextlib.suppress(AssertionError):
                settle(each.is_as_before)
        return [(each.before, each.state()) for each in machines]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]:
    """Have three pairs live side by side: mostly they wait."""
    require("ip", "sysctl")
    folder = tmp_path_factory.mktemp("pairs")
    with ThreadPoolExecutor() as pool:
        made = {each.__name__: pool.submit(live, each, folder / each.__name__) for each in (terminate, kill, kill_both)}
        return {name: each.result() for name, each in made.items()}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("stop", ["terminate", "kill", "kill_both"])
def test_all_is_as_it_was(states: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]], stop: str, role: str) -> None:
    before, after = states[stop][ROLES.index(role)]

    assert {what: value for what, value in after.items() if value != before[what]} == {}
