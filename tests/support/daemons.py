"""Real daemons on a segment of namespaces: pycarp and ucarp, started, observed and ended by pid."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import DoneReply, HostStatus, IfconfigRequest, StatusReply, StatusRequest
from pycarp.errors import ControlError
from pycarp.lab.lab_network import Segment

PASSWORD = "testpass"
SHARED = "192.168.1.50"

LISTENS_WITHIN_S = 8.0

_numbers = itertools.count()


def new_segment(*, switch_address: str | None = None, **hosts: str) -> Segment:
    """Return a segment with a name of its own; hosts as name=address/prefix."""
    return Segment(f"pct{os.getpid()}x{next(_numbers)}", hosts, switch_address=switch_address)


def wait_until(is_so: Callable[[], bool], timeout_s: float) -> float:
    """Return how long it took until something was so; fail when it does not become so in time."""
    began_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - began_s < timeout_s, f"not so within {timeout_s} s"
        time.sleep(0.01)
    return time.monotonic() - began_s


class Process:
    """A program on a host of a segment; ended at the latest when its context ends."""

    def __init__(self, segment: Segment, host: str, argv: list[str], log: Path) -> None:
        self.log = log
        self._argv = argv
        self._segment = segment
        self._host = host
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with self.log.open("a") as log:
            self._process = self._segment.popen(self._host, self._argv, stdout=log, stderr=log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def process(self) -> "subprocess.Popen[str]":
        """The running process."""
        assert self._process is not None
        return self._process

    def lines(self, containing: str) -> list[str]:
        """Return the lines of the log that contain a text."""
        return [line for line in self.log.read_text().splitlines() if containing in line]

    def has_address(self, address: str = SHARED) -> bool:
        """Say whether the host has an address, on whatever device."""
        shown = self._segment.run(self._host, ["ip", "-4", "-o", "addr", "show"])
        return f" {address}/" in shown


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(each) for file in Path(f"/proc/{pid}/task").glob("*/children") for each in file.read_text().split()]


class Pycarp(Process):
    """A ``pycarp run`` on a host, of one virtual host."""

    def __init__(
        self,
        segment: Segment,
        host: str,
        folder: Path,
        *,
        advskew: int = 0,
        password: str = PASSWORD,
        address: str = f"{SHARED}/24",
        options: tuple[str, ...] = (),
        rc_conf: str = "",
        toml: str = "",
        after: "Pycarp | None" = None,
    ) -> None:
        """Run a daemon with one virtual host of these settings, or those of a whole ``rc_conf`` or ``toml``.

        With ``after`` it starts once that daemon listens: without preempt the one that listens first becomes MASTER,
        and on a busy machine that is not always the one that was started first.
        """
        file = folder / (f"{host}.toml" if toml else f"{host}.rc.conf")
        line = f'ifconfig_carp0="vhid 1 advskew {advskew} pass {password} {address}"'
        file.write_text(toml or rc_conf or f'cloned_interfaces="carp0"\n{line}\n')
        file.chmod(0o600)
        self.control = folder / f"{host}.sock"
        argv = [sys.executable, "-W", "error", "-m", "pycarp", "run"]
        argv += [*([str(file)] if toml else ["--rc-conf", str(file)]), "--control", str(self.control), *options]
        super().__init__(segment, host, argv, folder / f"{host}.log")
        self.after = after

    def __enter__(self) -> Self:
        if (after := self.after) is not None:
            wait_until(lambda: after.is_in("BACKUP", "MASTER"), LISTENS_WITHIN_S)
        return super().__enter__()

    @property
    def status(self) -> HostStatus:
        """What the daemon says about its host."""
        return request(self.control, StatusRequest(), StatusReply).hosts[0]

    def is_in(self, *states: str) -> bool:
        """Say whether the host is in one of these states; False while the daemon is not up."""
        try:
            return self.status.state in states
        except ControlError:
            return False

    def become_master(self, timeout_s: float) -> None:
        """Wait until the host is BACKUP, then force it to MASTER, so that a test need not wait for its timer."""
        wait_until(lambda: self.is_in("BACKUP", "MASTER"), timeout_s)
        request(self.control, IfconfigRequest(host=self.status.name, state="master"), DoneReply)
        wait_until(lambda: self.is_in("MASTER"), timeout_s)

    def set(self, *, is_up: bool, host: str = "carp0") -> None:
        """Run ``ifconfig carp0 up`` or ``down``."""
        request(self.control, IfconfigRequest(host=host, is_up=is_up), DoneReply)


class Toml(Pycarp):
    """A daemon with a TOML file."""

    def __init__(self, segment: Segment, name: str, folder: Path, text: str) -> None:
        super().__init__(segment, name, folder, rc_conf="#")
        self.file = folder / f"{name}.toml"
        self.file.write_text(text)
        where = self._argv.index("--rc-conf")
        self._argv[where : where + 2] = [str(self.file)]
        self._argv += ["--state", str(folder / "state")]

    @property
    def hosts(self) -> dict[str, HostStatus]:
        """The status of each host by its name; none while the daemon starts."""
        try:
            reply = request(self.control, StatusRequest(), StatusReply)
        except ControlError:
            return {}
        return {each.name: each for each in reply.hosts}

    def are_in(self, *names: str, state: str = "MASTER") -> bool:
        """Say whether hosts are in a state; False while the daemon is not up."""
        hosts = self.hosts
        return all(name in hosts and hosts[name].state == state for name in names)

    def command(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command of pycarp that asks this daemon."""
        argv = [sys.executable, "-m", "pycarp", *words, "--control", str(self.control)]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30, check=False)


class Ucarp(Process):
    """Debian's ucarp, with scripts that add and remove the address as its documentation shows them."""

    def __init__(
        self,
        segment: Segment,
        host: str,
        folder: Path,
        *,
        source: str,
        advskew: int = 0,
        options: tuple[str, ...] = (),
    ) -> None:
        for name, verb in (("up", "add"), ("down", "del")):
            script = folder / f"{host}-{name}.sh"
            script.write_text(f'#!/bin/sh\nip addr {verb} "$2/24" dev "$1"\n')
            script.chmod(0o755)
        argv = ["ucarp", "-i", "fxp0", "-s", source, "-v", "1", "-p", PASSWORD, "-a", SHARED, "-k", str(advskew)]
        argv += ["-u", str(folder / f"{host}-up.sh"), "-d", str(folder / f"{host}-down.sh"), "-z", *options]
        super().__init__(segment, host, argv, folder / f"{host}.log")

    def is_in(self, state: str) -> bool:
        """Say whether ucarp is in a state, told by the address that its scripts move."""
        return self.has_address() == (state == "MASTER")


class Keepalived(Process):
    """Debian's keepalived in the foreground, one VRRP instance with 192.168.1.60 and further lines."""

    def __init__(
        self,
        segment: Segment,
        host: str,
        folder: Path,
        *,
        vrid: int,
        version: int = 3,
        lines: str = "",
        priority: int = 150,
    ) -> None:
        files = {"-f": "conf", "-p": "pid", "-r": "vrrp", "-c": "checks"}
        paths = {option: str(folder / f"{host}.keepalived.{name}") for option, name in files.items()}
        Path(paths["-f"]).write_text(
            f"global_defs {{\n vrrp_version {version}\n}}\n"
            f"vrrp_instance test {{\n state BACKUP\n interface fxp0\n virtual_router_id {vrid}\n priority {priority}\n"
            f" advert_int 1\n virtual_ipaddress {{\n 192.168.1.60/24\n }}\n{lines}}}\n"
        )
        argv = ["keepalived", "-n", "-l", "-P", *(word for pair in paths.items() for word in pair)]
        super().__init__(segment, host, argv, folder / f"{host}.log")


class Capture(Process):
    """tcpdump on the switch, from start to ``stop``."""

    def __init__(self, segment: Segment, folder: Path) -> None:
        self.file = folder / "capture.pcap"
        argv = ["tcpdump", "-i", "br0", "--immediate-mode", "-U", "-w", str(self.file), "ip proto 112 or arp"]
        super().__init__(segment, "switch", argv, folder / "capture.log")

    def __enter__(self) -> Self:
        super().__enter__()
        wait_until(lambda: bool(self.lines("listening on")), 5)
        return self

    def stop(self) -> None:
        """End the capture; the file is complete then."""
        self.process.terminate()
        self.process.wait(5)
