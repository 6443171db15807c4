"""How long many virtual hosts take to start and to stop, and their memory, beside keepalived in the same run.

    sudo python -m benchmarks.start [--hosts 50 255 1000] [--mac-mode virtual interface] [--masters]

One namespace with a veth for each 250 virtual hosts, whose other ends are in another namespace. Seconds count from the
start of the command: until the last host has logged that it is BACKUP, and from SIGTERM until the process has ended;
with ``--masters``, which lets them take over before, also from the first MASTER to the last.
CPU is what the processes have used by then; memory is the proportional set size, guardian included. Devices and
addresses that are left afterwards are counted. Needs root and iproute2; keepalived is measured if it is installed.
"""

import argparse
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.bytecode import environment
from pycarp.errors import CarpError
from pycarp.lab.lab_network import check_requirements

HOSTS_PER_LINK = 250
LONGEST_S = 60.0
"""How long a step may take with up to a thousand hosts; with more of them as much longer."""
MASTER_LINE = {"pycarp": "BACKUP -> MASTER", "keepalived": "Entering MASTER STATE"}
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Machine:
    """A context manager: a namespace with as many links as so many virtual hosts need."""

    def __init__(self, hosts: int) -> None:
        self.name = f"pycarp-start{os.getpid()}"
        self.links = -(-hosts // HOSTS_PER_LINK)
        self._peer = f"{self.name}-peer"

    def __enter__(self) -> "Machine":
        for name in (self.name, self._peer):
            ip("netns", "add", name)
        for number in range(self.links):
            link = f"fxp{number}"
            ip("-n", self.name, "link", "add", link, "type", "veth", "peer", link, "netns", self._peer)
            for name, last in ((self.name, 1), (self._peer, 2)):
                ip("-n", name, "addr", "add", f"10.{9 + number}.0.{last}/16", "dev", link)
                ip("-n", name, "link", "set", link, "up")
        return self

    def __exit__(self, *_exc: object) -> None:
        for name in (self.name, self._peer):
            ip("netns", "del", name)

    def left(self) -> int:
        """Return how many devices and addresses are there that were not there before."""
        lines = ip("-n", self.name, "-o", "link").splitlines() + ip("-n", self.name, "-o", "-4", "addr").splitlines()
        return len(lines) - 1 - 2 * self.links


class Result(NamedTuple):
    """Seconds until all were BACKUP, CPU seconds until then, for the takeovers, MiB, until the end; what was left."""

    start_s: float
    cpu_s: float
    takeover_s: float
    memory_mib: float
    stop_s: float
    left: int


def hosts(count: int) -> Iterator[tuple[str, int, int]]:
    """Yield link, vhid and second octet of the address for each virtual host."""
    for number in range(count):
        link, place = divmod(number, HOSTS_PER_LINK)
        yield f"fxp{link}", place + 1, 9 + link


def pycarp(count: int, mac_mode: str, folder: Path) -> tuple[list[str], str]:
    """Return the command, and what it logs once for each host that is BACKUP."""
    lines = []
    for link, vhid, octet in hosts(count):
        lines += ["[[host]]", f'interface = "{link}"', f"vhid = {vhid}", f'name = "c{octet}-{vhid}"']
        lines += [
            f'addresses = ["10.{octet}.1.{vhid}/16"]',
            'password = "testpass"',
            "advskew = 100",
            f'mac_mode = "{mac_mode}"',
        ]
    file = folder / "pycarp.toml"
    file.write_text("\n".join(lines) + "\n")
    where = ["--control", str(folder / "control"), "--state", str(folder / "state"), "--log-format", "text"]
    return [sys.executable, "-m", "pycarp", "run", str(file), *where], "INIT -> BACKUP"


def keepalived(count: int, mac_mode: str, folder: Path) -> tuple[list[str], str]:
    """Return the command, and what it logs once for each instance that is BACKUP."""
    lines = ["global_defs {", " vrrp_version 3", "}"]
    for link, vhid, octet in hosts(count):
        lines += [f"vrrp_instance c{octet}_{vhid} {{", " state BACKUP", f" interface {link}"]
        lines += [f" use_vmac c{octet}-{vhid}"] if mac_mode == "virtual" else []
        lines += [f" virtual_router_id {vhid}", " priority 100", " advert_int 1"]
        lines += [" virtual_ipaddress {", f"  10.{octet}.1.{vhid}/16", " }", "}"]
    file = folder / "keepalived.conf"
    file.write_text("\n".join(lines) + "\n")
    files = [word for option in "prc" for word in (f"-{option}", str(folder / option))]
    return ["keepalived", "-n", "-l", "-P", "-f", str(file), *files], "Entering BACKUP STATE"


def measure(contestant: str, count: int, mac_mode: str, *, has_masters: bool) -> Result:
    """Start it, wait for all to be BACKUP, or MASTER, and stop it. Raises CarpError when it does not get so far."""
    command = {"pycarp": pycarp, "keepalived": keepalived}[contestant]
    with tempfile.TemporaryDirectory() as name, Machine(count) as machine:
        argv, line = command(count, mac_mode, Path(name))
        log = Path(name) / "log"
        environment()
        with log.open("w") as output:
            began_s = time.monotonic()
            inside = ["ip", "netns", "exec", machine.name, *argv]
            process = subprocess.Popen(inside, stdout=output, stderr=output, env=environment())
        try:
            wait_for(count, line, log, process)
            start_s = time.monotonic() - began_s
            pids = with_descendants(process.pid)
            cpu = cpu_s(pids)
            takeover_s = takeovers(contestant, count, log, process) if has_masters else 0.0
            memory = memory_mib(pids)
            began_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            wait_for_end(process, longest_s(count))
            return Result(start_s, cpu, takeover_s, memory, time.monotonic() - began_s, machine.left())
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def takeovers(contestant: str, count: int, log: Path, process: "subprocess.Popen[bytes]") -> float:
    """Return the seconds from the first takeover to the last."""
    line = MASTER_LINE[contestant]
    wait_for(1, line, log, process)
    began_s = time.monotonic()
    wait_for(count, line, log, process)
    return time.monotonic() - began_s


def wait_for(count: int, line: str, log: Path, process: "subprocess.Popen[bytes]") -> None:
    """Return when a line has been logged so many times."""
    ends_s = time.monotonic() + longest_s(count)
    seen, tail = 0, ""
    with log.open() as file:
        # Only what is new: to read all of a log again and again would take one of two cores.
        while True:
            *lines, unfinished = (tail + file.read()).split("\n")
            seen += sum(each.count(line) for each in lines)
            if seen >= count:
                return
            if process.poll() is not None or time.monotonic() > ends_s:
                raise CarpError(f"{seen} of {count} are BACKUP; it says: {log.read_text()[-2000:]}")
            tail = unfinished
            time.sleep(0.005)


def wait_for_end(process: "subprocess.Popen[bytes]", timeout_s: float) -> None:
    """Return when a process has ended, to the millisecond: ``Popen.wait`` with a timeout looks twenty times a second.

    Raises TimeoutExpired.
    """
    descriptor = os.pidfd_open(process.pid)
    try:
        if not select.select([descriptor], [], [], timeout_s)[0]:
            raise subprocess.TimeoutExpired(process.args, timeout_s)
    finally:
        os.close(descriptor)
    process.wait()


def longest_s(count: int) -> float:
    """Return the seconds that a step may take."""
    return LONGEST_S * max(1, count / 1000)


def with_descendants(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in with_descendants(int(child)))]


def cpu_s(pids: list[int]) -> float:
    """Return the CPU time that processes have used."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS_A_SECOND


def memory_mib(pids: list[int]) -> float:
    """Return the proportional set size of processes."""
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("Pss:")) / 1024


def ip(*words: str) -> str:
    """Run ``ip``."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Measure the contestants in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[50, 255, 1000], help="virtual hosts (50 255 1000)")
    parser.add_argument("--mac-mode", nargs="+", choices=["virtual", "interface"], default=["virtual", "interface"])
    parser.add_argument("--only", choices=["pycarp", "keepalived"], help="measure one of them alone")
    parser.add_argument("--masters", action="store_true", help="let all take over before they are stopped")
    options = parser.parse_args()
    check_requirements()
    installed = ["pycarp", *(["keepalived"] if shutil.which("keepalived") else [])]
    numbers = ("all BACKUP s", "CPU s", "takeovers s", "memory MiB", "stop s", "left")
    table = Table("virtual hosts", "MAC", "daemon", *numbers)
    for count in options.hosts:
        for mac_mode in options.mac_mode:
            for contestant in [options.only] if options.only else installed:
                try:
                    found = measure(contestant, count, mac_mode, has_masters=options.masters)
                except (CarpError, subprocess.TimeoutExpired) as exc:
                    table.add_row(str(count), mac_mode, contestant, str(exc)[-300:])
                    continue
                *measured, left = found
                table.add_row(str(count), mac_mode, contestant, *(f"{each:.2f}" for each in measured), str(left))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
