"""Runs for a long time and looks whether anything grows: memory, tasks, descriptors, files.

    python -m benchmarks.soak virtual [--seconds 60] [--days 0] [--advbase 1]
    sudo python -m benchmarks.soak real [--minutes 10]

``virtual``: nodes on a segment in memory, under a clock that jumps, through as many days as fit into the seconds; every
ten minutes something happens to the MASTER. ``real``: two daemons in network namespaces that take over from each other,
are reconfigured, asked and handed over the whole time.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_interface
from itertools import count, cycle
from pathlib import Path

from benchmarks.failover.systems import BACKUP, HOSTS, MASTER, Pycarp
from pycarp import HostConfig, Node
from pycarp.actuators.null import NullActuator
from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.state import State
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import (
    DoneReply,
    HandoverReply,
    HandoverRequest,
    IfconfigRequest,
    StatusReply,
    StatusRequest,
)
from pycarp.errors import ControlError
from pycarp.lab.lab_network import Segment, check_requirements
from pycarp.monitors.static import StaticMonitor
from pycarp.testing import run
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import LinkFacts

LINK = "em0"
NODES = 3
EVERY_S = 600.0
SETTLE_S = 10.0
WARM_UP_TURNS = 120
"""By then everything has happened twenty times, and what remembers the last events is full."""

_DAY_S = 86400.0


# Virtual days


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a process occupies."""

    blocks: int
    rss_kib: int
    objects: int
    tasks: int
    descriptors: int

    @classmethod
    def now(cls) -> "Footprint":
        """Return that of this process; inside a loop."""
        gc.collect()
        return cls(
            blocks=sys.getallocatedblocks(),
            rss_kib=int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024,
            objects=len(gc.get_objects()),
            tasks=len(asyncio.all_tasks()),
            descriptors=len(os.listdir("/proc/self/fd")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualSoak:
    """What was run through, and what the process was after the warm-up and at the end."""

    virtual_s: float
    real_s: float
    takeovers: int
    before: Footprint
    after: Footprint


class _Site:
    """Nodes of one virtual host each, and what happens to them."""

    def __init__(self, advbase: int) -> None:
        self.bus = MemoryBus()
        self.takeovers = 0
        self._advbase = advbase
        self._nodes: dict[int, contextlib.AsyncExitStack] = {}
        self._hosts: dict[int, VirtualHost] = {}

    async def start(self, number: int) -> None:
        stack = self._nodes[number] = contextlib.AsyncExitStack()
        facts = LinkFacts(name=LINK, is_up=True, addresses=(ip_interface(f"192.0.2.{number + 1}/24"),))
        transport = self.bus.port(f"node{number}")
        node = await stack.enter_async_context(
            Node(transport=transport, actuator=NullActuator(), monitor=StaticMonitor([facts]))
        )
        config = HostConfig(
            interface=LINK,
            vhid=1,
            passphrase="testpass",
            addresses=["192.0.2.50/24"],
            advbase=self._advbase,
            advskew=50 * number,
            preempt=True,
        )
        host = self._hosts[number] = await node.add(config)
        host.on_master(self._count)

    async def stop(self, number: int) -> None:
        del self._hosts[number]
        await self._nodes.pop(number).aclose()

    async def close(self) -> None:
        for number in list(self._nodes):
            await self.stop(number)

    @property
    def masters(self) -> list[int]:
        return [number for number, host in self._hosts.items() if host.state is State.MASTER]

    async def restart(self) -> None:
        (master,) = self.masters
        await self.stop(master)
        await self._settle()
        await self.start(master)

    async def cut_off(self) -> None:
        (master,) = self.masters
        self.bus.fabric.isolate(f"node{master}")
        await self._settle()
        self.bus.fabric.heal()

    async def hand_over(self) -> None:
        (master,) = self.masters
        await self._hosts[master].hand_over(timeout_s=self._settle_s)
        await self._settle()
        self._hosts[master].restore("handed over")

    async def down_and_up(self) -> None:
        (master,) = self.masters
        self._hosts[master].down()
        await self._settle()
        self._hosts[master].up()

    async def reconfigure(self) -> None:
        for password in ("another", "testpass"):
            for host in self._hosts.values():
                host.reconfigure(passphrase=password, rolling_s=5)
            await self._settle()

    async def demote(self) -> None:
        (master,) = self.masters
        self._hosts[master].demote("soak", by=200)
        await self._settle()
        self._hosts[master].restore("soak")

    async def turn(self, happens: Callable[[], Awaitable[None]], every_s: float) -> None:
        """Let something happen, and time pass; then there must be one MASTER."""
        ends_s = asyncio.get_running_loop().time() + every_s
        await happens()
        await asyncio.sleep(ends_s - asyncio.get_running_loop().time())
        assert len(self.masters) == 1, f"MASTERs are {self.masters} after {happens.__name__}"

    @property
    def _settle_s(self) -> float:
        return SETTLE_S * self._advbase

    async def _settle(self) -> None:
        await asyncio.sleep(self._settle_s)

    def _count(self, _change: object) -> None:
        self.takeovers += 1


async def _live(real_s: float, virtual_s: float, every_s: float, advbase: int) -> VirtualSoak:
    loop = asyncio.get_running_loop()
    site = _Site(advbase)
    for number in range(NODES):
        await site.start(number)
    began_s = time.monotonic()
    before = Footprint.now()
    calamities = (site.restart, site.cut_off, site.hand_over, site.down_and_up, site.reconfigure, site.demote)
    await asyncio.sleep(SETTLE_S * advbase)
    for turn, happens in zip(count(1), cycle(calamities), strict=False):
        await site.turn(happens, every_s)
        if turn == WARM_UP_TURNS:
            before = Footprint.now()
        is_over = time.monotonic() - began_s > real_s or 0 < virtual_s <= loop.time()
        if turn >= 2 * WARM_UP_TURNS and turn % len(calamities) == 0 and is_over:
            break
    after = Footprint.now()
    await site.close()
    return VirtualSoak(
        virtual_s=loop.time(),
        real_s=time.monotonic() - began_s,
        takeovers=site.takeovers,
        before=before,
        after=after,
    )


def virtual(*, seconds: float, days: int = 0, every_s: float = EVERY_S, advbase: int = 1) -> VirtualSoak:
    """Run until the real seconds are over, or through so many days; something happens every ``every_s``."""
    return run(_live(seconds if not days else float("inf"), days * _DAY_S, every_s, advbase))


# Real minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one daemon and its helpers occupy."""

    at_s: float
    rss_kib: int
    descriptors: int
    processes: int
    state_octets: int
    """The journal and what else is in the folder of its state."""

    def __str__(self) -> str:
        return (
            f"{self.at_s:6.0f} s  RSS {self.rss_kib:7} KiB  descriptors {self.descriptors:3}  "
            f"processes {self.processes}  state {self.state_octets:6} octets"
        )


class _Pair:
    def __init__(self, system: Pycarp, segment: Segment) -> None:
        self._system = system
        self._segment = segment
        self._began_s = time.monotonic()
        self.rounds = 0

    def sample(self, machine: str) -> Sample:
        pids = self._system.pids(machine)
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
        state = Path(f"{self._control(machine).with_suffix('.state')}")
        return Sample(
            at_s=time.monotonic() - self._began_s,
            rss_kib=pages * resource.getpagesize() // 1024,
            descriptors=sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
            processes=len(pids),
            state_octets=sum(file.stat().st_size for file in state.rglob("*") if file.is_file()),
        )

    def wait_for(self, machine: str, state: str) -> None:
        ends_s = time.monotonic() + 30
        while self.state(machine) != state:
            assert time.monotonic() < ends_s, f"{machine} is not {state} after 30 s, but {self.state(machine)}"
            time.sleep(0.1)

    def state(self, machine: str) -> str:
        try:
            return request(self._control(machine), StatusRequest(), StatusReply).hosts[0].state
        except ControlError:
            return "unknown"

    def change(self, machine: str, message: IfconfigRequest) -> None:
        request(self._control(machine), message, DoneReply)

    def round(self) -> None:
        """One of everything; about half a minute."""
        self.wait_for(MASTER, "MASTER")
        self.change(MASTER, IfconfigRequest(host="carp0", is_up=False))
        self.wait_for(BACKUP, "MASTER")
        self.change(MASTER, IfconfigRequest(host="carp0", is_up=True))
        self.wait_for(MASTER, "MASTER")
        request(self._control(MASTER), HandoverRequest(host="carp0", timeout_s=3), HandoverReply, timeout_s=10)
        self.wait_for(BACKUP, "MASTER")
        request(
            self._control(MASTER), HandoverRequest(host="carp0", timeout_s=3, is_back=True), HandoverReply, timeout_s=10
        )
        self.wait_for(MASTER, "MASTER")
        for machine in (MASTER, BACKUP):
            self.change(machine, IfconfigRequest(host="carp0", add=["10.9.0.51/24"], rolling_s=2))
        time.sleep(1)
        for machine in (MASTER, BACKUP):
            self.change(machine, IfconfigRequest(host="carp0", remove=["10.9.0.51"], rolling_s=2))
        self._segment.unplug(MASTER)
        self.wait_for(BACKUP, "MASTER")
        self._segment.plug(MASTER)
        self.wait_for(MASTER, "MASTER")
        self._system.signal(MASTER, signal.SIGSTOP, all_of_it=False)
        time.sleep(0.5)
        self._system.signal(MASTER, signal.SIGCONT, all_of_it=False)
        self.rounds += 1

    def _control(self, machine: str) -> Path:
        return self._system.folder / f"{machine}.sock"


@contextlib.contextmanager
def _running() -> Iterator[_Pair]:
    with tempfile.TemporaryDirectory() as folder, Segment(f"pcs{os.getpid()}", HOSTS) as segment:
        system = Pycarp(segment=segment, folder=Path(folder))
        for machine in (MASTER, BACKUP):
            system.start(machine)
        yield _Pair(system, segment)


def real(minutes: float, say: Callable[[str], None] = print) -> dict[str, list[Sample]]:
    """Run two daemons for some minutes; return a sample of each after every round."""
    check_requirements()
    samples: dict[str, list[Sample]] = {MASTER: [], BACKUP: []}
    with _running() as pair:
        ends_s = time.monotonic() + 60 * minutes
        while time.monotonic() < ends_s:
            pair.round()
            for machine, taken in samples.items():
                taken.append(pair.sample(machine))
                say(f"round {pair.rounds:3}  {machine}  {taken[-1]}")
                sys.stdout.flush()
    return samples


def main() -> None:
    """Run one of the two and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    kinds = parser.add_subparsers(dest="kind", required=True)
    days = kinds.add_parser("virtual")
    days.add_argument("--seconds", type=float, default=60.0, help="real seconds (default 60)")
    days.add_argument("--days", type=int, default=0, help="virtual days instead of real seconds")
    days.add_argument("--advbase", type=int, default=1, help="seconds between advertisements (default 1)")
    days.add_argument("--every", type=float, default=EVERY_S, help="virtual seconds between two events (default 600)")
    minutes = kinds.add_parser("real")
    minutes.add_argument("--minutes", type=float, default=10.0, help="default 10")
    options = parser.parse_args()
    if options.kind == "real":
        real(options.minutes)
        return
    soak = virtual(seconds=options.seconds, days=options.days, every_s=options.every, advbase=options.advbase)
    print(f"{soak.virtual_s / 86400:.1f} virtual days in {soak.real_s:.0f} s, {soak.takeovers} takeovers")
    print(f"after {WARM_UP_TURNS} events: {soak.before}\nat the end: {soak.after}")


if __name__ == "__main__":
    main()
