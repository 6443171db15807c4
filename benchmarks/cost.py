"""What running virtual hosts costs: CPU of both roles and memory, beside keepalived and ucarp in the same spans.

For each contestant two machines, each a network namespace, with a veth for each 250 virtual hosts: one is MASTER of
all, the other BACKUP. All contestants run at the same time, so that what else the machine does bears on all alike.
Every process in a namespace counts, helpers included.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.bytecode import environment
from benchmarks.daemon_log import LINES, Log
from benchmarks.figures import Figure
from benchmarks.start import hosts as places
from benchmarks.start import ip, longest_s, memory_mib
from pycarp.errors import CarpError

SPANS = 3
UCARP_MOST = 50
"""One process for each virtual host: more would be measured for hours."""

_ROLES = ("MASTER", "BACKUP")
_HOSTS_PER_LINK = 250


class Pair:
    """A context manager: two namespaces that are linked, and a contestant in both.

    Hosts advertise once a second, or with ``is_fast`` every 40 ms. ``program`` gives the command that is pycarp on a
    machine with such a folder. ``started_s`` has when each role was started, by CLOCK_MONOTONIC.
    """

    def __init__(
        self,
        contestant: str,
        count: int,
        folder: Path,
        *,
        is_fast: bool = False,
        program: Callable[[Path], Sequence[str]] = lambda _folder: (sys.executable, "-m", "pycarp"),
    ) -> None:
        self.started_s: dict[str, float] = {}
        self._is_fast = is_fast
        self._program = program
        self.contestant = contestant
        self._count = count
        self._folder = folder
        self._running: dict[str, list[subprocess.Popen[bytes]]] = {role: [] for role in _ROLES}
        self._names = {role: f"pcb{os.getpid()}{contestant[0]}{role[0]}" for role in _ROLES}

    def __enter__(self) -> "Pair":
        try:
            self._link()
            self.start("MASTER")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        processes = [each for running in self._running.values() for each in running]
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(longest_s(self._count))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in self._names.values():
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)

    def cpu_s(self, role: str) -> float:
        """Return the CPU time that all processes of a machine have used, to the nanosecond."""
        return sum(time.clock_gettime(_cpu_clock(pid)) for pid in self.pids(role))

    def memory_mib(self, role: str) -> float:
        """Return the proportional set size of all processes of a machine."""
        return memory_mib(self.pids(role))

    def namespace(self, role: str) -> str:
        """Return the name of the namespace of a machine."""
        return self._names[role]

    def wait(self) -> None:
        """Return when the MASTER has all addresses, and the BACKUP has started; CarpError when that takes too long.

        A BACKUP that started first would be MASTER of some, because without preempt nobody takes a mastership away.
        ucarp does not say when it has started.
        """
        ends_s = time.monotonic() + longest_s(self._count)
        while self.contestant != "ucarp" and self._held() < self._count:
            if time.monotonic() > ends_s:
                raise CarpError(f"{self.contestant}: {self._held()} of {self._count} are MASTER")
            time.sleep(0.3)
        self.start("BACKUP")
        if self.contestant in LINES:
            log = Log(self.folder("BACKUP") / "log")
            # On a busy machine that takes longer than any pause, and what starts costs more than what runs.
            while (seen := log.count(LINES[self.contestant]["BACKUP"])) < self._count:
                if time.monotonic() > ends_s + longest_s(self._count):
                    raise CarpError(f"{self.contestant}: {seen} of {self._count} are BACKUP")
                time.sleep(0.1)

    def _held(self) -> int:
        lines = ip("-n", self._names["MASTER"], "-4", "-o", "addr").splitlines()
        return len({line.split()[3] for line in lines if ".1." in line.split()[3][3:]})

    def has_ended(self, role: str) -> bool:
        """Say whether something that was started on a machine has ended."""
        return any(process.poll() is not None for process in self._running[role])

    def stop(self, role: str) -> float:
        """Send SIGTERM to what was started on a machine; return the seconds until all of it has ended."""
        began_s = time.monotonic()
        for process in self._running[role]:
            process.terminate()
        for process in self._running[role]:
            process.wait(longest_s(self._count))
        return time.monotonic() - began_s

    def pids(self, role: str) -> list[int]:
        """Return the processes of a machine."""
        return [int(each) for each in ip("netns", "pids", self._names[role]).split()]

    def _link(self) -> None:
        for name in self._names.values():
            ip("netns", "add", name)
        master, backup = self._names.values()
        for number in range(-(-self._count // _HOSTS_PER_LINK)):
            link = f"fxp{number}"
            ip("-n", master, "link", "add", link, "type", "veth", "peer", link, "netns", backup)
            for name, last in ((master, 1), (backup, 2)):
                ip("-n", name, "addr", "add", f"10.{9 + number}.0.{last}/16", "dev", link)
                ip("-n", name, "link", "set", link, "up")

    def folder(self, role: str) -> Path:
        """Return where a machine has its files: ``log`` is what its processes print."""
        return self._folder / f"{self.contestant}-{role}"

    def start(self, role: str) -> None:
        """Start the contestant on a machine."""
        folder = self.folder(role)
        folder.mkdir()
        make = {"pycarp": _pycarp, "keepalived": _keepalived, "ucarp": _ucarp}[self.contestant]
        compiled = environment()
        self.started_s[role] = time.monotonic()
        with (folder / "log").open("w") as log:
            for argv in make(self._count, folder, is_master=role == "MASTER", is_fast=self._is_fast):
                argv[:0] = self._program(folder) if self.contestant == "pycarp" else ()
                inside = ["ip", "netns", "exec", self._names[role], *argv]
                self._running[role].append(
                    subprocess.Popen(inside, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=compiled)
                )


def measure(count: int, seconds: float, contestants: list[str]) -> list[Figure]:
    """Return CPU in seconds a minute and memory, of both roles and each contestant."""
    chosen = [each for each in contestants if each != "ucarp" or count <= UCARP_MOST]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(Pair(each, count, Path(name))) for each in chosen]
        for pair in pairs:
            pair.wait()
        # Until what happens once after a start or a takeover is over.
        time.sleep(5 + count / 50)
        subjects = [(pair, role) for pair in pairs for role in _ROLES]
        spans = list(_spans(subjects, seconds))
        figures = []
        for number, (pair, role) in enumerate(subjects):
            values = tuple(each[number] for each in spans)
            figures.append(Figure(f"CPU {role}", pair.contestant, count, "s/min", values))
            memory = (pair.memory_mib(role),)
            figures.append(Figure(f"memory {role}", pair.contestant, count, "MiB", memory))
        return figures


def _spans(subjects: list[tuple[Pair, str]], seconds: float) -> Iterator[list[float]]:
    for _ in range(SPANS):
        began_s = time.monotonic()
        before = [pair.cpu_s(role) for pair, role in subjects]
        time.sleep(seconds / SPANS)
        used = [pair.cpu_s(role) - then for (pair, role), then in zip(subjects, before, strict=True)]
        yield [each * 60 / (time.monotonic() - began_s) for each in used]


def _cpu_clock(pid: int) -> int:
    """Return the number of the clock that counts the CPU time of a process, as ``clock_getcpuclockid`` does."""
    return ~pid << 3 | 2


def _pycarp(count: int, folder: Path, *, is_master: bool, is_fast: bool) -> list[list[str]]:
    lines = []
    for link, vhid, octet in places(count):
        lines += [
            "[[host]]",
            f'interface = "{link}"',
            f"vhid = {vhid}",
            f'name = "c{octet}-{vhid}"',
            'mac_mode = "virtual"',
        ]
        lines += [f'addresses = ["10.{octet}.1.{vhid}/16"]', 'password = "testpass"']
        lines += ["advbase = 0", f"advskew = {10 if is_master else 12}"] if is_fast else []
        lines += [f"advskew = {0 if is_master else 100}"] if not is_fast else []
    (folder / "pycarp.toml").write_text("\n".join(lines) + "\n")
    where = ["--control", str(folder / "control"), "--state", str(folder / "state"), "--log-format", "text"]
    return [["run", str(folder / "pycarp.toml"), *where]]


def _keepalived(count: int, folder: Path, *, is_master: bool, is_fast: bool) -> list[list[str]]:
    lines = ["global_defs {", " vrrp_version 3", "}"]
    for link, vhid, octet in places(count):
        lines += [f"vrrp_instance c{octet}_{vhid} {{", " state BACKUP", f" interface {link}"]
        lines += [f" use_vmac c{octet}-{vhid}", f" virtual_router_id {vhid}", f" priority {150 if is_master else 100}"]
        lines += [
            f" advert_int {0.04 if is_fast else 1}",
            " virtual_ipaddress {",
            f"  10.{octet}.1.{vhid}/16",
            " }",
            "}",
        ]
    (folder / "conf").write_text("\n".join(lines) + "\n")
    files = [word for option in "prc" for word in (f"-{option}", str(folder / option))]
    return [["keepalived", "-n", "-l", "-P", "-f", str(folder / "conf"), *files]]


def _ucarp(count: int, folder: Path, *, is_master: bool, is_fast: bool) -> list[list[str]]:
    assert not is_fast, "whole seconds only"
    script = folder / "nothing.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    common = ["ucarp", "-p", "testpass", "-k", "0" if is_master else "100", "-u", str(script), "-d", str(script)]
    return [
        [*common, "-i", link, "-s", f"10.{octet}.0.{1 if is_master else 2}", "-v", str(vhid), "-a", address]
        for link, vhid, octet in places(count)
        for address in [f"10.{octet}.1.{vhid}"]
    ]
