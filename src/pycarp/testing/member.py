"""A member of a cluster: a simulated machine that runs a real node, or is stopped or dead."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeAlias, TypeVar

from msgspec.structs import replace

from pycarp.aio.node import Node
from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.events import StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.errors import CarpError, UsageError
from pycarp.monitors.static import StaticMonitor
from pycarp.testing.cluster_spec import MemberSpec
from pycarp.testing.ownership_history import History
from pycarp.testing.port import Chance, Port
from pycarp.testing.simulated_actuator import SimulatedActuator
from pycarp.testing.simulated_guardian import SimulatedGuardian
from pycarp.testing.simulated_process import Process
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import Family, InterfaceAddress

P = ParamSpec("P")
T = TypeVar("T")

Program: TypeAlias = Callable[["Member"], Coroutine[Any, Any, object]]


class _Life:
    """A member from one start to its end: its process, its backends, and the task that runs the node."""

    def __init__(self, port: Port, process: Process, actuator: SimulatedActuator, monitor: StaticMonitor) -> None:
        self.port = port
        self.process = process
        self.actuator = actuator
        self.monitor = monitor
        self.guardian = SimulatedGuardian()
        self.node: Node | None = None
        self.task: asyncio.Task[None] | None = None
        self.program: asyncio.Task[object] | None = None
        self.calls: set[asyncio.Task[Any]] = set()
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.leaving = asyncio.Event()
        self.is_dead = False

    def begin(self, main: Coroutine[Any, Any, None]) -> None:
        """Run the node in its own process."""
        self.task = asyncio.get_running_loop().create_task(main, context=self.process.context())

    async def end(self) -> None:
        """Make the node leave and raise its error, if it failed; cancel the tasks of a dead member."""
        self.process.go_on()
        if self.is_dead:
            await self._cancel_calls()
        if self.program is not None:
            self.program.cancel()
        self.leaving.set()
        if self.task is not None:
            await self.task

    async def _cancel_calls(self) -> None:
        for each in self.calls:
            each.cancel()
        await asyncio.gather(*self.calls, return_exceptions=True)


class Member:
    """One machine of a cluster; the methods of the cluster start, stop and kill it.

    ``name`` is ``a``, ``b`` and so on; ``index`` counts from 0. ``configs`` are the settings of its virtual hosts; set
    it before a restart to change them.
    """

    def __init__(
        self,
        spec: MemberSpec,
        index: int,
        *,
        bus: MemoryBus,
        history: History,
        chance: Chance,
        settings: Settings | None = None,
        program: Program | None = None,
        clock_rate: float = 1.0,
    ) -> None:
        self.name = spec.name
        self.index = index
        self.configs: tuple[HostConfig, ...] = spec.hosts
        self._links = {each.name: each for each in spec.links}
        self._down: set[str] = set()
        self._unsendable: set[Family] = set()
        self._bus = bus
        self._history = history
        self._chance = chance
        self._settings = settings
        self._program = program
        self._clock_rate = clock_rate
        self._previous: list[_Life] = []
        self._life: _Life | None = None

    def __repr__(self) -> str:
        return f"<Member {self.account()}>"

    @property
    def is_alive(self) -> bool:
        """False after ``kill`` and ``leave``, until the member is started again."""
        return self._life is not None and not self._life.is_dead

    @property
    def is_stopped(self) -> bool:
        """True while the process of the member is stopped."""
        return self.is_alive and self._now().process.is_stopped

    @property
    def node(self) -> Node:
        """The node; another one after a restart. UsageError while the member is dead."""
        node = self._now().node if self.is_alive else None
        if node is None:
            raise UsageError(f"member {self.name} is not running; restart it first")
        return node

    @property
    def host(self) -> VirtualHost:
        """The first virtual host."""
        return self.node.hosts[0]

    @property
    def hosts(self) -> dict[int, VirtualHost]:
        """The virtual hosts by vhid."""
        return {each.key.vhid: each for each in self.node.hosts}

    @property
    def actuator(self) -> SimulatedActuator:
        """The actuator, for its faults: ``member.actuator.fail("hold")``, ``hang``, ``slow``, ``repair``."""
        return self._now().actuator

    @property
    def addresses(self) -> tuple[InterfaceAddress, ...]:
        """The shared addresses that the machine answers for now."""
        return self._life.actuator.addresses if self._life else ()

    def is_master(self, vhid: int | None = None) -> bool:
        """Return whether the member runs and is MASTER for a vhid, the first one if None; False while stopped."""
        if not self.is_alive or self.is_stopped:
            return False
        host = self.host if vhid is None else self.hosts.get(vhid)
        return host is not None and host.state is State.MASTER

    def run(self, call: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run a coroutine in the process of this member and return its task, which stops and dies with the member.

        A call from the test itself runs even while the member is stopped, and what it starts does not belong to the
        member. ``await member.run(member.node.add(config))`` is a call by the member's own program.
        """
        life = self._now()
        task = asyncio.get_running_loop().create_task(call, context=life.process.context())
        life.calls.add(task)
        task.add_done_callback(life.calls.discard)
        return task

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in this member's process, with its clock: ``member.call(member.host.demote, "x", by=9)``.

        The call runs at once, even while the member is stopped.
        """
        return self._now().process.context().run(function, *args, **kwargs)

    def account(self) -> str:
        """Return the state of the member in words: ``a MASTER, holds 192.0.2.10/24``."""
        held = ", ".join(map(str, self.addresses)) or "nothing"
        if not self.is_alive:
            return f"{self.name} dead, holds {held}"
        states = "/".join(each.state for each in self.node.hosts)
        still = ", stands still" if self.is_stopped else ""
        return f"{self.name} {states}{still}, holds {held}"

    # For the cluster

    async def start(self) -> None:
        """Start the machine and its node; return when the node runs."""
        previous = self._life
        if previous is not None:
            await previous.port.vanish()
        process = Process(clock_rate=self._clock_rate)
        links = [replace(each, is_up=each.name not in self._down) for each in self._links.values()]
        self._life = life = _Life(
            port=Port(self._bus.port(self.name), process, self._down, self._unsendable, self._chance),
            process=process,
            actuator=previous.actuator.successor() if previous else SimulatedActuator(self.name, self._history),
            monitor=StaticMonitor(links),
        )
        life.begin(self._live(life))
        assert life.task is not None
        await asyncio.wait((life.task, life.started), return_when=asyncio.FIRST_COMPLETED)
        if life.task.done():
            self._life = None
            await life.task

    async def leave(self) -> None:
        """Leave cleanly: drop the addresses, then bow out."""
        life = self._now()
        try:
            await life.end()
        finally:
            life.is_dead = True

    def die(self) -> None:
        """Die at once: send nothing more, and lose the addresses."""
        life = self._now()
        life.is_dead = True
        life.process.stop()
        life.port.unplug()
        life.actuator.lose_power()
        self._previous.append(life)

    def act_as_guardian(self) -> None:
        """Stop the process, drop the addresses and send the bow-outs, as a guardian does when its process has died."""
        life = self._now()
        bow_outs = life.guardian.bow_outs
        life.process.stop()
        life.actuator.lose_power()
        for each in bow_outs:
            with contextlib.suppress(OSError):
                life.port.post(each)

    def stop(self) -> None:
        """Stop the process."""
        self._now().process.stop()

    def go_on(self) -> None:
        """Continue the process."""
        self._now().process.go_on()

    def set_link(self, link: str | None, *, is_up: bool) -> None:
        """Set a link up or down, or all links if None. Raises UsageError if the member has no such link."""
        if link is not None and link not in self._links:
            raise UsageError(f"member {self.name} has no link {link}; it has {', '.join(self._links)}")
        for name in self._links if link is None else (link,):
            (self._down.discard if is_up else self._down.add)(name)
            if self.is_alive:
                self._now().monitor.change(replace(self._links[name], is_up=is_up))

    def set_sendable(self, family: Family | None, *, is_sendable: bool) -> None:
        """Make sending in a family fail or work again; in all families if None."""
        families = set(Family) if family is None else {family}
        if is_sendable:
            self._unsendable -= families
        else:
            self._unsendable |= families

    async def close(self) -> None:
        """End the member, its earlier lives included; raises the first error of a node or a program."""
        lives = [*self._previous, *([self._life] if self.is_alive and self._life else [])]
        for life in lives:
            life.actuator.repair()
        results = await asyncio.gather(*(each.end() for each in lives), return_exceptions=True)
        for life, result in zip(lives, results, strict=True):
            # A member that was killed while it left has missed every timeout by now.
            is_late = life.is_dead and isinstance(result, CarpError | TimeoutError)
            if isinstance(result, BaseException) and not is_late:
                raise result

    def _now(self) -> _Life:
        if self._life is None:
            raise UsageError(f"member {self.name} was never started")
        return self._life

    async def _live(self, life: _Life) -> None:
        node = Node(
            transport=life.port,
            actuator=life.actuator,
            monitor=life.monitor,
            settings=self._settings,
            guardian=life.guardian,
            # The history of the cluster has them.
            logs_events=False,
        )
        async with node:
            life.node = node
            for config in self.configs:
                host = await node.add(config)
                host.on_change(lambda change, host=host: self._record_change(life, host, change))
            life.started.set_result(None)
            if self._program is None:
                await life.leaving.wait()
            else:
                await self._run(life, self._program)

    async def _run(self, life: _Life, program: Program) -> None:
        """Run the program beside the node until either is to end."""
        life.program = asyncio.create_task(program(self), name=f"program of {self.name}")
        life.program.add_done_callback(self._record_end)
        try:
            await life.leaving.wait()
        finally:
            life.program.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await life.program

    def _record_change(self, life: _Life, host: VirtualHost, change: StateChange) -> None:
        if life.is_dead:
            return
        name = f" (vhid {host.key.vhid})" if len(self.configs) > 1 else ""
        self._history.change(self.name, f"{change.old} -> {change.new}{name}: {change.reason}")

    def _record_end(self, program: "asyncio.Task[object]") -> None:
        error = None if program.cancelled() else program.exception()
        if error is not None:
            self._history.write(self.name, f"program failed: {type(error).__name__}: {error}")
