"""What bad packets do to an election: pycarp beside keepalived and ucarp. Needs root and iproute2.

    sudo python -m benchmarks.hostile [--systems pycarp keepalived] [--rates 50 1000 100000] [--seconds 10]

A MASTER, its BACKUP and an attacker on a segment of network namespaces. The attacker sends bad packets of many kinds,
mixed, all with the id of the group. Advertisements are counted by the kernel's clock at the ports of the switch from
which they come, so that neither the flood nor a busy program in between makes them late. At the end the MASTER is
killed in the middle of the flood. Flood, switch and daemons share the processors of one machine.
"""

import argparse
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path

from benchmarks.failover.systems import BACKUP, HOSTS, MASTER, SHARED, SYSTEMS, System
from pycarp.lab.lab_network import Segment, check_requirements
from pycarp.system.rtnetlink import socket_filter
from pycarp.transports import filters
from pycarp.vocabulary import Family

ATTACKER = "client"
SAFE_KINDS = ("digest", "forged", "peer", "checksum", "short", "version", "ttl", "vhid", "vrrp", "unicast", "broken")
INTERVAL_S = 1.0
_SETTLE_S = 20.0
_MANY = 50_000
"""From so many packets a second on two processes send them."""

_SO_TIMESTAMPNS, _SOL_PACKET, _PACKET_IGNORE_OUTGOING = 35, 263, 23
_TIMESPEC = struct.Struct("=qq")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_REPOSITORY = Path(__file__).parents[1]
_NUMBERS = count()


class Ports:
    """Hears the advertisements that enter the switch at the ports of two hosts; a context manager.

    ``seen`` has kernel times of CLOCK_REALTIME, by host.
    """

    def __init__(self, segment: Segment, hosts: Sequence[str]) -> None:
        self.seen: dict[str, list[float]] = {host: [] for host in hosts}
        self._segment = segment
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._ready = threading.Event()
        self._ends = threading.Event()

    def __enter__(self) -> "Ports":
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def between(self, host: str, begin_s: float, end_s: float) -> list[float]:
        """Return when a host advertised within a span."""
        return [at_s for at_s in list(self.seen[host]) if begin_s <= at_s < end_s]

    def _listen(self) -> None:
        # Only this thread is in the other namespace.
        with Path(f"/run/netns/{self._segment.namespace('switch')}").open() as inside:
            _enter(inside.fileno())
        socks = {_port(host): host for host in self.seen}
        self._ready.set()
        while not self._ends.is_set():
            for sock in select.select(list(socks), [], [], 0.1)[0]:
                _octets, beside, _flags, _sender = sock.recvmsg(2048, 256)
                stamp = next(data for level, kind, data in beside if (level, kind) == (1, _SO_TIMESTAMPNS))
                whole_s, rest_ns = _TIMESPEC.unpack(stamp)
                self.seen[socks[sock]].append(whole_s + rest_ns / 1e9)
        for sock in socks:
            sock.close()


def _enter(namespace: int) -> None:
    import ctypes  # noqa: PLC0415  os.setns() came with Python 3.12

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")


def _port(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    # Those to this host alone are another's here.
    socket_filter.attach(sock, filters.carp_frames(Family.IPV4))
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    # All protocols: a port of a bridge shows single ones nothing.
    sock.bind((host, 0x0003))
    return sock


@dataclass(kw_only=True)
class Outcome:
    """What one rate did."""

    rate: int
    reached: float
    advertisements: int
    expected: int
    late_ms: float
    from_backup: int
    cpu: dict[str, float] = field(default_factory=dict)
    grown_kib: dict[str, int] = field(default_factory=dict)
    log_lines: int = 0

    def row(self, system: str) -> str:
        """Return a row of the table."""
        cells = [
            system,
            f"{self.rate:,}",
            f"{self.reached:,.0f}",
            f"{self.advertisements} of {self.expected}",
            f"{self.late_ms:.0f}",
            str(self.from_backup),
            *(f"{100 * self.cpu[host]:.0f}" for host in (MASTER, BACKUP)),
            *(str(self.grown_kib[host]) for host in (MASTER, BACKUP)),
            str(self.log_lines),
        ]
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| system | a second | reached | sent by the MASTER | latest, ms | sent by the BACKUP | CPU % MASTER "
    "| CPU % BACKUP | KiB more, MASTER | KiB more, BACKUP | log lines |\n" + "| --- " * 11 + "|"
)


class Arena:
    """A running pair and its attacker."""

    def __init__(self, system: System, segment: Segment, ports: Ports) -> None:
        self.system = system
        self.ports = ports
        self._segment = segment

    def settle(self) -> None:
        """Return when the MASTER has the address and the BACKUP has known it for a while."""
        ends_s = time.monotonic() + _SETTLE_S
        while not self.has_address(MASTER) or not self.ports.seen[MASTER]:
            assert time.monotonic() < ends_s, f"{self.system.name} did not become MASTER within {_SETTLE_S:g} s"
            time.sleep(0.05)
        time.sleep(3 * INTERVAL_S)

    def has_address(self, machine: str) -> bool:
        """Say whether a machine has the shared address, on whatever device."""
        return f" {SHARED}/" in self._segment.run(machine, ["ip", "-4", "-o", "addr", "show"])

    @contextmanager
    def flooded(self, rate: int, seconds: float, kinds: Sequence[str]) -> Iterator[Callable[[], float]]:
        """Attack for a while; call what is given to wait for the end and learn how many a second were sent."""
        count = 2 if rate >= _MANY else 1
        argv = [sys.executable, "-m", "tests.support.flood_program", "--seconds", str(seconds)]
        argv += ["--rate", str(rate / count), "--peer", HOSTS[MASTER].partition("/")[0], "--kinds", *kinds]
        processes = [
            self._segment.popen(ATTACKER, [*argv, "--seed", str(seed)], stdout=subprocess.PIPE, cwd=_REPOSITORY)
            for seed in range(count)
        ]
        try:
            yield lambda: sum(_rate(process.communicate()[0]) for process in processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()

    def attack(self, rate: int, seconds: float, kinds: Sequence[str]) -> Outcome:
        """Flood both, and return what came of it."""
        pids = {host: self.system.pids(host) for host in (MASTER, BACKUP)}
        cpu = {host: _cpu_s(each) for host, each in pids.items()}
        memory = {host: _rss_kib(each) for host, each in pids.items()}
        lines = self.log_lines()
        began_s = time.time()
        with self.flooded(rate, seconds, kinds) as ended:
            reached = ended()
        ended_s = time.time()
        at_s = self.ports.between(MASTER, began_s, ended_s)
        gaps = [after - before for before, after in pairwise(at_s)] or [ended_s - began_s]
        return Outcome(
            rate=rate,
            reached=reached,
            advertisements=len(at_s),
            expected=int((ended_s - began_s) / INTERVAL_S),
            late_ms=1000 * (max(gaps) - INTERVAL_S),
            from_backup=len(self.ports.between(BACKUP, began_s, ended_s)),
            cpu={host: (_cpu_s(each) - cpu[host]) / (ended_s - began_s) for host, each in pids.items()},
            grown_kib={host: _rss_kib(each) - memory[host] for host, each in pids.items()},
            log_lines=self.log_lines() - lines,
        )

    def kill_under_fire(self, rate: int, seconds: float, kinds: Sequence[str]) -> float | None:
        """Kill the MASTER in the middle of a flood; return after how many seconds the BACKUP advertises."""
        with self.flooded(rate, seconds, kinds):
            time.sleep(seconds / 3)
            killed_s = time.time()
            self.system.signal(MASTER, signal.SIGKILL)
            while time.time() < killed_s + seconds * 2 / 3:
                if taken := self.ports.between(BACKUP, killed_s, time.time() + 1):
                    return taken[0] - killed_s
                time.sleep(0.05)
        return None

    def log_lines(self) -> int:
        """Return how many lines both have logged."""
        files = [self.system.folder / f"{host}.log" for host in (MASTER, BACKUP)]
        return sum(len(file.read_text().splitlines()) for file in files)


@contextmanager
def arena(kind: Callable[..., System], folder: Path) -> Iterator[Arena]:
    """Run a MASTER and a BACKUP that know each other."""
    prefix = f"pch{os.getpid()}n{next(_NUMBERS)}"
    with Segment(prefix, HOSTS) as segment, Ports(segment, (MASTER, BACKUP)) as ports:
        system = kind(segment=segment, folder=folder)
        for machine in (MASTER, BACKUP):
            system.start(machine)
            time.sleep(0.3)
        made = Arena(system, segment, ports)
        made.settle()
        yield made


def _rate(told: str) -> float:
    sent = json.loads(told)
    return float(sent["sent"] / sent["seconds"])


def _cpu_s(pids: Sequence[int]) -> float:
    """Return the CPU time that processes have used; what the kernel did in interrupts on their time is in it."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / _TICKS_A_SECOND


def _rss_kib(pids: Sequence[int]) -> int:
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * resource.getpagesize() // 1024


def main(say: Callable[[str], None] = print) -> None:
    """Measure the systems in turn and print a table for docs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--systems", nargs="+", default=["pycarp"], choices=sorted(SYSTEMS), help="default: pycarp")
    parser.add_argument("--rates", type=int, nargs="+", default=[50, 1000, 100_000], help="packets a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each rate (default 10)")
    parser.add_argument("--kinds", nargs="+", default=list(SAFE_KINDS), help=f"default: {' '.join(SAFE_KINDS)}")
    options = parser.parse_args()
    check_requirements(*(name for name in options.systems if name != "pycarp"))
    say(HEAD)
    killed = []
    for name in options.systems:
        with tempfile.TemporaryDirectory() as folder, arena(SYSTEMS[name], Path(folder)) as fight:
            for rate in options.rates:
                say(fight.attack(rate, options.seconds, options.kinds).row(name))
            took_s = fight.kill_under_fire(options.rates[-1], 15, options.kinds)
            killed.append(f"{name}, killed at {options.rates[-1]:,}: " + (f"{took_s:.2f} s" if took_s else "nobody"))
    say("\n" + "\n".join(killed))


if __name__ == "__main__":
    main()
