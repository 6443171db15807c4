"""A member of a cluster: a simulated machine on which a real node runs, or does not."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, ParamSpec, TypeAlias, TypeVar

from pycarp.aio.host import VirtualHost
from pycarp.aio.node import Node
from pycarp.core.events import StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.errors import CarpError, UsageError
from pycarp.monitors.static import StaticMonitor
from pycarp.testing.actuator import SimulatedActuator
from pycarp.testing.cluster_spec import Plan
from pycarp.testing.guardian import SimulatedGuardian
from pycarp.testing.history import History
from pycarp.testing.port import Chance, Port
from pycarp.testing.process import Process
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import Family, Interface

P = ParamSpec("P")
T = TypeVar("T")

Program: TypeAlias = Callable[["Member"], Coroutine[Any, Any, object]]


class _Life:
    """A member from one start to its end: a process, what it is plugged into, and the task that runs the node."""

    def __init__(self, port: Port, process: Process, actuator: SimulatedActuator, monitor: StaticMonitor) -> None:
        self.port = port
        self.process = process
        self.actuator = actuator
        self.monitor = monitor
        self.clean_up_plan = SimulatedGuardian()
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
        """Let the node leave, and raise what went wrong in it; a dead one leaves nothing behind but its tasks."""
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
    """One machine of a cluster; the cluster decides what becomes of it.

    ``name`` is ``a``, ``b`` and so on, ``index`` counts from 0. ``configs`` is what it is started with; set it before a
    restart to start it with other settings.
    """

    def __init__(
        self,
        plan: Plan,
        index: int,
        *,
        bus: MemoryBus,
        history: History,
        chance: Chance,
        settings: Settings | None = None,
        program: Program | None = None,
        clock_rate: float = 1.0,
    ) -> None:
        self.name = plan.name
        self.index = index
        self.configs: tuple[HostConfig, ...] = plan.hosts
        self._links = {each.name: each for each in plan.links}
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
        """False after ``kill`` and ``leave``, until it is started again."""
        return self._life is not None and not self._life.is_dead

    @property
    def is_stopped(self) -> bool:
        """True while its process stands still."""
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
        """Its first virtual host."""
        return self.node.hosts[0]

    @property
    def hosts(self) -> dict[int, VirtualHost]:
        """Its virtual hosts by vhid."""
        return {each.key.vhid: each for each in self.node.hosts}

    @property
    def actuator(self) -> SimulatedActuator:
        """What does its addresses: ``member.actuator.fail("hold")``, ``hang``, ``slow``, ``repair``."""
        return self._now().actuator

    @property
    def addresses(self) -> tuple[Interface, ...]:
        """The shared addresses that the machine answers for now."""
        return self._life.actuator.addresses if self._life else ()

    def is_master(self, vhid: int | None = None) -> bool:
        """Say whether it runs and is MASTER for a vhid, the first one if None; who stands still is nothing."""
        if not self.is_alive or self.is_stopped:
            return False
        host = self.host if vhid is None else self.hosts.get(vhid)
        return host is not None and host.state is State.MASTER

    def run(self, call: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run a coroutine on this member and return its task: it stands still with it, and never ends if it is killed.

        What a test does itself happens even while the member stands still, and what it adds to a node does not belong
        to the member: ``await member.run(member.node.add(config))`` is as if the member's program had done it.
        """
        life = self._now()
        task = asyncio.get_running_loop().create_task(call, context=life.process.context())
        life.calls.add(task)
        task.add_done_callback(life.calls.discard)
        return task

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function as the member's program would, by its clock: ``member.call(member.host.demote, "x", by=9)``.

        It happens at once, even while the member stands still.
        """
        return self._now().process.context().run(function, *args, **kwargs)

    def account(self) -> str:
        """Return how it is, for people: ``a MASTER, holds 192.0.2.10/24``."""
        held = ", ".join(map(str, self.addresses)) or "nothing"
        if not self.is_alive:
            return f"{self.name} dead, holds {held}"
        states = "/".join(each.state for each in self.node.hosts)
        still = ", stands still" if self.is_stopped else ""
        return f"{self.name} {states}{still}, holds {held}"

    # What a cluster does to it

    async def start(self) -> None:
        """Begin a life; returns when the node runs."""
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
        """End in good order: addresses dropped, then bow-out."""
        life = self._now()
        try:
            await life.end()
        finally:
            life.is_dead = True

    def die(self) -> None:
        """End without a word."""
        life = self._now()
        life.is_dead = True
        life.process.stop()
        life.port.unplug()
        life.actuator.lose_power()
        self._previous.append(life)

    def act_as_guardian(self) -> None:
        """Do what a guardian would do when the process has died; a bow-out that cannot be sent is lost."""
        life = self._now()
        bow_outs = life.clean_up_plan.bow_outs
        life.process.stop()
        life.actuator.lose_power()
        for each in bow_outs:
            with contextlib.suppress(OSError):
                life.port.post(each)

    def stop(self) -> None:
        """Let the process stand still."""
        self._now().process.stop()

    def go_on(self) -> None:
        """Let the process run again."""
        self._now().process.go_on()

    def set_link(self, link: str | None, *, is_up: bool) -> None:
        """Pull the cables, or plug them in; of all links if None. Raises UsageError when there is no such link."""
        if link is not None and link not in self._links:
            raise UsageError(f"member {self.name} has no link {link}; it has {', '.join(self._links)}")
        for name in self._links if link is None else (link,):
            (self._down.discard if is_up else self._down.add)(name)
            if self.is_alive:
                self._now().monitor.change(replace(self._links[name], is_up=is_up))

    def set_sendable(self, family: Family | None, *, is_sendable: bool) -> None:
        """Let sending in a family fail, or work again; in all families if None."""
        families = set(Family) if family is None else {family}
        if is_sendable:
            self._unsendable -= families
        else:
            self._unsendable |= families

    async def close(self) -> None:
        """End every life, those that ended badly too; raises what went wrong in a node or a program."""
        lives = [*self._previous, *([self._life] if self.is_alive and self._life else [])]
        for life in lives:
            life.actuator.repair()
        results = await asyncio.gather(*(each.end() for each in lives), return_exceptions=True)
        for life, result in zip(lives, results, strict=True):
            # Who was killed while he left has missed every timeout by now.
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
            guardian=life.clean_up_plan,
        )
        async with node:
            life.node = node
            for config in self.configs:
                host = await node.add(config)
                host.on_change(lambda change, host=host: self._tell(life, host, change))
            life.started.set_result(None)
            if self._program is None:
                await life.leaving.wait()
            else:
                await self._run(life, self._program)

    async def _run(self, life: _Life, program: Program) -> None:
        """Run the program beside the node until either is to end."""
        life.program = asyncio.create_task(program(self), name=f"program of {self.name}")
        life.program.add_done_callback(self._tell_end)
        try:
            await life.leaving.wait()
        finally:
            life.program.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await life.program

    def _tell(self, life: _Life, host: VirtualHost, change: StateChange) -> None:
        if life.is_dead:
            return
        name = f" (vhid {host.key.vhid})" if len(self.configs) > 1 else ""
        self._history.change(self.name, f"{change.old} -> {change.new}{name}: {change.reason}")

    def _tell_end(self, program: "asyncio.Task[object]") -> None:
        error = None if program.cancelled() else program.exception()
        if error is not None:
            self._history.write(self.name, f"program failed: {type(error).__name__}: {error}")
