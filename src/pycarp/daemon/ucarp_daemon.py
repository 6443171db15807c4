"""Runs a node in the manner of ucarp: its scripts, its signals, and its log lines. Source: carp.md 8.6.

Two differences: it sends and receives while scripts run, and it notices at once that a link is lost or back.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import IPv4Interface
from pathlib import Path
from types import FrameType

from msgspec.structs import replace

from pycarp import monitors
from pycarp.actuators.scripts import ScriptActuator
from pycarp.aio.node import Node
from pycarp.aio.virtual_host import VirtualHost
from pycarp.config.ucarp_options import UcarpCommand
from pycarp.core.host_config import HostConfig
from pycarp.core.state import State
from pycarp.daemon import control_server
from pycarp.daemon.callers import SERVICE_GROUP
from pycarp.daemon.control_desk import ControlDesk
from pycarp.daemon.control_paths import ucarp_path
from pycarp.daemon.event_logger import EventLogger
from pycarp.daemon.sysctls import Sysctls
from pycarp.daemon.ucarp_control import UcarpControl
from pycarp.errors import CarpError, ConfigError
from pycarp.monitors.link_monitor import Monitor
from pycarp.system.addresses.interfaces import interfaces, is_administratively_up
from pycarp.system.privileges import group_id
from pycarp.system.recovery import state_folder
from pycarp.system.recovery.host_locks import HostLocks
from pycarp.vocabulary import LinkFacts

STEP_DOWN_S = 3
"""How long a MASTER neither sends nor receives after SIGUSR2, in seconds, before it waits as a BACKUP."""

_CLOSING_S = 5
"""How long leaving may take besides the down-script, in seconds."""

_LEAVING = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)

logger = logging.getLogger("pycarp.ucarp")


class Ucarp:
    """One virtual host in ucarp's manner, from start to the signal that ends it."""

    def __init__(self, command: UcarpCommand) -> None:
        self._command = command
        self._interface = command.interface or first_interface(command)
        self._stop = asyncio.Event()
        self._desk = ControlDesk()
        self._control: Path | None = None
        self._events = EventLogger()
        self._last_logged: State | None = None
        self._standing_up: asyncio.TimerHandle | None = None
        self._actuator = ScriptActuator(
            up=command.up_script,
            down=command.down_script,
            extra=() if command.extra is None else (command.extra,),
            timeout_s=command.script_timeout_s,
            neutral=command.neutral,
            on_spawn=_tell_spawn,
            on_status=logger.info,
            on_failure=logger.error,
        )
        self._node = Node(
            transport=command.transport,
            actuator=self._actuator,
            monitor=_OneSource(monitors.by_name("auto"), command, on_gone=self._stop.set),
            close_timeout_s=command.script_timeout_s + _CLOSING_S,
            actuation_timeout_s=command.script_timeout_s + _CLOSING_S,
            logs_events=False,
        )
        self._sysctls = Sysctls(self._node, self._set_log)

    async def run(self, *, on_ready: Callable[[], None]) -> None:
        """Take part until a signal, or until the interface is set down; ``on_ready`` is called once it takes part.

        Raises ConfigError, TransportError or ActuatorError when it cannot start, UsageError when another process of
        this machine runs the same vhid on the interface.
        """
        self._check()
        locks = HostLocks()
        try:
            config = self._command.host(self._interface)
            await locks.take([config.key])
            async with self._controlled(config):
                await self._take_part(config, on_ready=on_ready)
        finally:
            locks.close()

    @contextlib.asynccontextmanager
    async def _controlled(self, config: HostConfig) -> AsyncIterator[None]:
        """Answer on the control socket; without one it takes part all the same, unless the socket was asked for."""
        path = Path(self._command.control) if self._command.control else ucarp_path(config.interface, config.vhid)
        async with contextlib.AsyncExitStack() as stack:
            try:
                if not self._command.control:
                    state_folder.make(path.parent)
                await stack.enter_async_context(
                    control_server.serve(path, self._desk.answer, readers=group_id(SERVICE_GROUP))
                )
                self._control = path
            except (CarpError, OSError) as exc:
                if self._command.control:
                    raise
                logger.warning("Warning: pycarp status cannot ask this process: %s", exc)
            yield

    async def _take_part(self, config: HostConfig, *, on_ready: Callable[[], None]) -> None:
        async with self._node:
            host = await self._node.add(config)
            self._tell_state(host.state)
            follow = host.on_change(lambda change: self._tell_state(change.new))
            chronicler = asyncio.create_task(_history(host, self._events))
            self._handle_signals(host)
            control = UcarpControl(self._node, self._sysctls, transport=self._node.transport_name)
            self._desk.open(control.answer)
            on_ready()
            await self._stop.wait()
            self._desk.shut()
            host.remove_callback(follow)
            if self._standing_up is not None:
                self._standing_up.cancel()
            if not self._command.runs_script_at_exit:
                self._actuator.rest()
        await chronicler

    def _check(self) -> None:
        """Warn of what is odd, and raise ConfigError for what cannot work on this machine."""
        command = self._command
        if not command.interface:
            logger.info("Using [%s] as a network interface", self._interface)
        if command.ignored_arguments:
            logger.warning("Warning: %d argument(s) that belong to no option are ignored", command.ignored_arguments)
        for direction, script in (("up", command.up_script), ("down", command.down_script)):
            if not script:
                logger.warning("Warning: no script called when going %s", direction)
        owned = {each.ip for facts in interfaces() for each in facts.addresses}
        if command.source not in owned and not command.broadcasts:
            raise ConfigError(f"srcip {command.source} is no address of this machine")
        if any(facts.name == self._interface for facts in interfaces()) and not is_administratively_up(self._interface):
            raise ConfigError(
                f"interface {self._interface} is not up; bring it up first: ip link set {self._interface} up"
            )

    def _tell_state(self, state: State) -> None:
        """Log a state as ucarp has it: one that does not take part is BACKUP."""
        now = state if state is State.MASTER else State.BACKUP
        if now is not self._last_logged:
            logger.warning("Switching to state: %s", now.value)
        self._last_logged = now

    # Signals

    def _handle_signals(self, host: VirtualHost) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._tell_status)
        loop.add_signal_handler(signal.SIGUSR2, self._step_down, host)
        if self._command.runs_script_at_exit:
            for number in _LEAVING:
                loop.add_signal_handler(number, self._stop.set)
            return
        for number in _LEAVING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                # Not by the loop: it kills whatever the loop does.
                signal.signal(number, self._die)

    def _die(self, number: int, _frame: FrameType | None) -> None:
        """End by a signal as without a handler, but leave no socket on which nobody answers."""
        if self._control is not None:
            for path in (self._control, self._control.with_name(f"{self._control.name}.lock")):
                path.unlink(missing_ok=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _set_log(self, level: int) -> None:
        self._events.level = level

    def _tell_status(self) -> None:
        state = self._last_logged or State.BACKUP
        logger.info("%s on %s id %d", state.value, self._interface, self._command.vhid)

    def _step_down(self, host: VirtualHost) -> None:
        """Make room: not in the way of anybody for three seconds, then BACKUP with a whole master-down time to wait."""
        if host.state is not State.MASTER:
            return
        host.down()
        self._standing_up = asyncio.get_running_loop().call_later(STEP_DOWN_S, host.up)


def restore_default_signals() -> None:
    """Restore the default of the leaving signals, as ucarp has it without ``--shutdown``; ignored ones stay so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


class _OneSource:
    """A monitor that knows of one own address only: the one to speak from.

    A device that is set down or deleted ends it all, as with ucarp; the loss of a carrier does not. So ``ifdown`` ends
    what ``ifup`` has started.
    """

    def __init__(self, monitor: Monitor, command: UcarpCommand, *, on_gone: Callable[[], None]) -> None:
        self._monitor = monitor
        self._source = IPv4Interface(command.source)
        self._on_gone = on_gone

    async def open(self) -> None:
        await self._monitor.open()

    async def watch(self, link: str) -> LinkFacts:
        facts = self._with_source(await self._monitor.watch(link))
        if facts.mac is not None:
            logger.info("Local advertised ethernet address is [%s]", facts.mac)
        return facts

    async def run(self, notice: Callable[[LinkFacts], None]) -> None:
        await self._monitor.run(lambda facts: self._notice(facts, notice))

    async def close(self) -> None:
        await self._monitor.close()

    def _notice(self, facts: LinkFacts, notice: Callable[[LinkFacts], None]) -> None:
        if facts.is_up or is_administratively_up(facts.name):
            notice(self._with_source(facts))
        else:
            logger.error("exiting: interface %s is down or gone", facts.name)
            self._on_gone()

    def _with_source(self, facts: LinkFacts) -> LinkFacts:
        return replace(facts, addresses=(self._source,))


async def _history(host: VirtualHost, log: EventLogger) -> None:
    """Log what ucarp has no words for: reasons, mismatches, failures."""
    with contextlib.suppress(CarpError):
        async with host.events() as events:
            async for event in events:
                log.log(event, host)


def _tell_spawn(argv: Sequence[str]) -> None:
    logger.warning("Spawning [%s]", " ".join(argv))


def first_interface(command: UcarpCommand) -> str:
    """Return the device that has the source address, else the first that is no loopback; raises ConfigError."""
    found = interfaces()
    owners = [facts.name for facts in found if command.source in [each.ip for each in facts.addresses]]
    others = [facts.name for facts in found if facts.name != "lo"]
    if not owners + others:
        raise ConfigError("You must supply a network interface: --interface=eth0")
    return (owners + others)[0]
