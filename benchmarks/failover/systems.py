"""The systems under test: how each is started, and what an operator does to it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pycarp.lab.lab_network import Segment

SHARED = "10.9.0.50"
INTERFACE = "fxp0"
HOSTS = {"a": "10.9.0.1/24", "b": "10.9.0.2/24", "client": "10.9.0.9/24"}
MASTER, BACKUP = "a", "b"
_FAST_INTERVAL_S = 0.01


@dataclass(kw_only=True)
class System:
    """One program on two machines; the first is MASTER. ``is_fast`` asks for its fastest setting."""

    name: ClassVar[str]
    has_guardian: ClassVar[bool] = False

    segment: Segment
    folder: Path
    is_fast: bool = False
    running: dict[str, "subprocess.Popen[str]"] = field(default_factory=dict)

    def start(self, machine: str) -> None:
        """Start it on a machine."""
        with (self.folder / f"{machine}.log").open("w") as log:
            self.running[machine] = self.segment.popen(
                machine, self.argv(machine), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def argv(self, machine: str) -> list[str]:
        """Return its command on a machine."""
        raise NotImplementedError

    def hand_over(self) -> None:
        """Do what comes nearest to a planned hand-over of the MASTER."""
        raise NotImplementedError

    def pids(self, machine: str) -> list[int]:
        """Return its processes on a machine, the first one first."""
        first = self.running[machine].pid
        return [first, *descendants(first)]

    def signal(self, machine: str, number: signal.Signals, *, all_of_it: bool = True) -> None:
        """Send a signal to its processes, or to the first alone."""
        for pid in self.pids(machine) if all_of_it else self.pids(machine)[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    @property
    def device(self) -> str:
        """Return the device that has the shared address."""
        return INTERFACE


@dataclass(kw_only=True)
class Pycarp(System):
    """``pycarp run`` with a TOML file; ``program`` begins the command, for another checkout than this one."""

    name = "pycarp"
    has_guardian = True
    fast_advskews: ClassVar[tuple[int, int]] = (2, 3)

    program: tuple[str, ...] = (sys.executable, "-m", "pycarp")

    def argv(self, machine: str) -> list[str]:
        """Return its command on a machine."""
        is_second = machine == BACKUP
        advskew = self.fast_advskews[is_second] if self.is_fast else 100 * is_second
        lines = [
            "[[host]]",
            f'interface = "{INTERFACE}"',
            'name = "carp0"',
            "vhid = 1",
            'password = "testpass"',
            f'addresses = ["{SHARED}/24"]',
            f"advbase = {int(not self.is_fast)}",
            f"advskew = {advskew}",
            "preempt = true",
        ]
        file = self.folder / f"{machine}.toml"
        file.write_text("\n".join(lines) + "\n")
        where = ["--control", str(self._control(machine)), "--state", str(self.folder / f"{machine}.state")]
        return [*self.program, "run", str(file), *where]

    def hand_over(self) -> None:
        """Run ``pycarp handover``; what counts begins with the request, not with the start of the command."""
        argv = [*self.program, "handover", "carp0", "--control", str(self._control(MASTER))]
        subprocess.run(argv, check=True, capture_output=True)

    @property
    def device(self) -> str:
        """Return the device that has the shared address."""
        return "carp0"

    def _control(self, machine: str) -> Path:
        return self.folder / f"{machine}.sock"


class Ucarp(System):
    """Debian's ucarp with scripts as its documentation shows them, and ``-z``, without which it leaves the address."""

    name = "ucarp"

    def argv(self, machine: str) -> list[str]:
        """Return its command on a machine."""
        for name, verb in (("up", "add"), ("down", "del")):
            script = self.folder / f"{name}.sh"
            script.write_text(f'#!/bin/sh\nexec ip addr {verb} "$2/24" dev "$1"\n')
            script.chmod(0o755)
        who = ["-i", INTERFACE, "-s", HOSTS[machine].partition("/")[0], "-v", "1", "-p", "testpass", "-a", SHARED]
        how = ["-b", "1", "-k", str(100 * (machine == BACKUP)), "-P", "-z"]
        return ["ucarp", *who, *how, "-u", str(self.folder / "up.sh"), "-d", str(self.folder / "down.sh")]

    def hand_over(self) -> None:
        """Demote it, by SIGUSR2."""
        self.signal(MASTER, signal.SIGUSR2, all_of_it=False)


class Keepalived(System):
    """Debian's keepalived, VRRP version 3, in the foreground."""

    name = "keepalived"

    def argv(self, machine: str) -> list[str]:
        """Return its command on a machine."""
        self._configure(machine, priority=100 if machine == BACKUP else 150)
        files = {"-f": "conf", "-p": "pid", "-r": "vrrp", "-c": "checks"}
        options = [word for option, name in files.items() for word in (option, self._file(machine, name))]
        return ["keepalived", "-n", "-l", "-P", *options]

    def hand_over(self) -> None:
        """Lower its priority below the other's and let it read that: it has no command for it."""
        self._configure(MASTER, priority=50)
        self.signal(MASTER, signal.SIGHUP, all_of_it=False)

    def _configure(self, machine: str, *, priority: int) -> None:
        interval_s = _FAST_INTERVAL_S if self.is_fast else 1
        Path(self._file(machine, "conf")).write_text(
            f"global_defs {{\n vrrp_version 3\n}}\n"
            f"vrrp_instance test {{\n state BACKUP\n interface {INTERFACE}\n virtual_router_id 1\n"
            f" priority {priority}\n advert_int {interval_s}\n virtual_ipaddress {{\n {SHARED}/24\n }}\n}}\n"
        )

    def _file(self, machine: str, name: str) -> str:
        return str(self.folder / f"{machine}.keepalived.{name}")


SYSTEMS: dict[str, type[System]] = {"pycarp": Pycarp, "ucarp": Ucarp, "keepalived": Keepalived}
PROGRAMS = {"pycarp": "", "ucarp": "ucarp", "keepalived": "keepalived"}


def versions(systems: Sequence[str]) -> list[str]:
    """Return what is compared, with versions as the machine tells them."""
    found = [f"Linux {os.uname().release}"]
    for name in systems:
        if shutil.which("dpkg-query") and PROGRAMS[name]:
            done = subprocess.run(["dpkg-query", "-W", name], capture_output=True, text=True, check=False)
            found.append(" ".join(done.stdout.split()) or name)
    return found


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for each in map(int, task.read_text().split()):
                found += [each, *descendants(each)]
    return found
