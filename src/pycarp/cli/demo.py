"""``pycarp demo``: three hosts in one process, without privileges and without packets."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from ipaddress import ip_interface

import click
import msgspec
from rich.table import Table

from pycarp.aio.log_records import explain
from pycarp.aio.node import Node
from pycarp.aio.virtual_host import VirtualHost
from pycarp.cli.live_display import LiveDisplay
from pycarp.cli.options import exit_status
from pycarp.config import rcconf
from pycarp.core.events import StateChange
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.monitors import StaticMonitor
from pycarp.transports import MemoryBus
from pycarp.vocabulary import NS_PER_S, LinkFacts

_OWN_ADDRESSES = {"hosta": "192.168.1.3/24", "hostb": "192.168.1.4/24", "provider": "192.168.1.5/24"}
_WEB = "192.168.1.50"
_LINGER_S = 1.2
_STEP_TIMEOUT_S = 8


@dataclass(slots=True)
class _Machine:
    """One machine of the demonstration; ``power`` ends it."""

    name: str
    hosts: dict[str, VirtualHost]
    power: contextlib.AsyncExitStack


class _Segment:
    """The three machines on a bus in memory, configured by the rc.conf files of the scenario."""

    def __init__(self, display: LiveDisplay) -> None:
        self._display = display
        self._bus = MemoryBus()
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._machines: dict[str, _Machine] = {}
        self._tellers: dict[tuple[str, str], Callable[[StateChange], None]] = {}

    async def __aenter__(self) -> "_Segment":
        return self

    async def __aexit__(self, *_error: object) -> None:
        # At the end machines are switched off in turn; takeovers among them are no part of the plan.
        for machine in self._machines.values():
            self._stop_watching(machine)
        for machine in self._machines.values():
            await machine.power.aclose()

    def now_s(self) -> float:
        """Return the time since the beginning."""
        return self._loop.time() - self._began_s

    def say(self, text: str) -> None:
        """Print a line with the time."""
        self._display.line(self.now_s(), text)

    def host(self, machine: str, name: str = "carp0") -> VirtualHost:
        """Return a virtual host of a machine."""
        return self._machines[machine].hosts[name]

    async def power_on(self, name: str, *, preempt: bool = False) -> None:
        """Start a machine with the rc.conf of the scenario."""
        text = resources.files("pycarp.lab").joinpath(f"scenario/{name}.rc.conf").read_text()
        own = LinkFacts(name="fxp0", is_up=True, addresses=(ip_interface(_OWN_ADDRESSES[name]),))
        power = contextlib.AsyncExitStack()
        node = await power.enter_async_context(
            Node(
                transport=self._bus.port(name),
                actuator="null",
                monitor=StaticMonitor([own]),
                settings=Settings(preempt=preempt),
                logs_events=False,
            )
        )
        machine = self._machines[name] = _Machine(name, {}, power)
        for config in rcconf.read(text, file=f"{name}.rc.conf").hosts:
            host = machine.hosts[config.name] = await node.add(config)
            self._watch(name, host)

    async def kill(self, name: str) -> None:
        """Cut a machine off and let it die unheard: no bow-out reaches anybody."""
        self.say(f"[red]{name} dies[/red] without a word")
        machine = self._machines.pop(name)
        self._bus.fabric.isolate(name)
        self._stop_watching(machine)
        for host in machine.hosts.values():
            self._display.state(name, _address(host), None)
        await machine.power.aclose()
        self._bus.fabric.heal()

    def _watch(self, machine: str, host: VirtualHost) -> None:
        def tell(change: StateChange) -> None:
            self._tell(machine, host, change)

        self._tellers[machine, host.name] = host.on_change(tell)
        self._display.state(machine, _address(host), host.state)

    def _stop_watching(self, machine: _Machine) -> None:
        for host in machine.hosts.values():
            host.remove_callback(self._tellers[machine.name, host.name])

    def _tell(self, machine: str, host: VirtualHost, change: StateChange) -> None:
        self._display.state(machine, _address(host), change.new)
        self.say(f"  {machine} {host.name}: {change.old} -> {change.new} ({explain(change)})")


class _Result(msgspec.Struct, frozen=True):
    """A row of the final table."""

    at_s: float
    event: str
    outcome: str
    measured: str


async def play(display: LiveDisplay) -> None:
    """Play the five chapters, and show in a table what was measured in each."""
    results: list[_Result] = []
    display.headline(
        "Three machines, two shared addresses, one vhid for each; the rc.conf lines of FreeBSD's handbook."
    )
    async with _Segment(display) as segment:
        results.append(await _power_all_on(segment, display))
        results.append(await _fail(segment, display))
        results.append(await _return_without_preemption(segment, display))
        results.append(await _force_back(segment, display))
        results.append(await _return_with_preemption(segment, display))
        display.headline("That is all. Everything ends cleanly: addresses dropped first, then the bow-out.")
    display.table(_table(results))


async def _power_all_on(segment: _Segment, display: LiveDisplay) -> _Result:
    display.headline(
        "1. Power on. Nobody is MASTER from the start: each listens for 3 x advbase + advskew/256 seconds first."
    )
    began_s = segment.now_s()
    for name in _OWN_ADDRESSES:
        await segment.power_on(name)
    for name in ("hosta", "hostb"):
        await _until(segment.host(name), State.MASTER)
    took_s = segment.now_s() - began_s
    await asyncio.sleep(_LINGER_S)
    return _Result(began_s, "power on", "hosta and hostb are MASTER", f"{took_s:.3f} s after power on")


async def _fail(segment: _Segment, display: LiveDisplay) -> _Result:
    display.headline("2. hosta dies. provider (advskew 100) waits 3 + 100/256 = 3.391 s after its last advertisement.")
    began_s = segment.now_s()
    await segment.kill("hosta")
    change = await _until(segment.host("provider"), State.MASTER)
    assert change.silent_ns is not None
    silent_s = change.silent_ns / NS_PER_S
    await asyncio.sleep(_LINGER_S)
    return _Result(began_s, "hosta dies", f"provider takes {_WEB}", f"{silent_s:.3f} s after the last advertisement")


async def _return_without_preemption(segment: _Segment, display: LiveDisplay) -> _Result:
    display.headline("3. hosta comes back, preemption off: provider does not relinquish the address.")
    began_s = segment.now_s()
    segment.say("hosta is powered on")
    await segment.power_on("hosta")
    await asyncio.sleep(2 * _LINGER_S)
    holder = "provider" if segment.host("provider").state is State.MASTER else "hosta"
    segment.say(f"  still: provider {segment.host('provider').state}, hosta {segment.host('hosta').state}")
    return _Result(began_s, "hosta returns, preempt 0", f"{holder} keeps {_WEB}", "no change")


async def _force_back(segment: _Segment, display: LiveDisplay) -> _Result:
    display.headline("4. The administrator forces it back, on provider: ifconfig carp0 down && ifconfig carp0 up")
    began_s = segment.now_s()
    provider = segment.host("provider")
    segment.say("provider: ifconfig carp0 down && ifconfig carp0 up")
    provider.down()
    provider.up()
    await _until(segment.host("hosta"), State.MASTER)
    took_ms = (segment.now_s() - began_s) * 1000
    await asyncio.sleep(_LINGER_S)
    return _Result(began_s, "carp0 down, up", f"hosta has {_WEB} again", f"{took_ms:.1f} ms: the bow-out tells it")


async def _return_with_preemption(segment: _Segment, display: LiveDisplay) -> _Result:
    display.headline("5. hosta dies again and returns with net.inet.carp.preempt=1: it takes the address by itself.")
    await segment.kill("hosta")
    await _until(segment.host("provider"), State.MASTER)
    began_s = segment.now_s()
    segment.say("hosta is powered on with preemption")
    await segment.power_on("hosta", preempt=True)
    await _until(segment.host("hosta"), State.MASTER)
    took_s = segment.now_s() - began_s
    await asyncio.sleep(_LINGER_S)
    return _Result(
        began_s, "hosta returns, preempt 1", f"hosta takes {_WEB}", f"{took_s:.3f} s: at provider's next advertisement"
    )


async def _until(host: VirtualHost, state: State) -> StateChange:
    async with asyncio.timeout(_STEP_TIMEOUT_S):
        return await host.wait_for(state)


def _address(host: VirtualHost) -> str:
    return str(host.config.addresses[0].ip)


def _table(results: list[_Result]) -> Table:
    table = Table(title="what happened when", title_justify="left")
    for heading in ("at", "event", "outcome", "measured"):
        table.add_column(heading)
    for result in results:
        table.add_row(f"{result.at_s:.3f} s", result.event, result.outcome, result.measured)
    return table


@click.command(
    epilog="""\b
Example:
  pycarp demo              a live table on a terminal, plain lines in a pipe

\b
For the same with real packets, processes and web servers: sudo pycarp lab"""
    + exit_status()
)
def demo() -> None:
    """Show three hosts, of which one fails and nobody notices: in one process, without privileges, in 20 seconds."""
    with LiveDisplay() as display:
        asyncio.run(play(display))
