"""A control socket that gives the answers of a test, for the commands that ask a daemon."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.core.statistics import DropReason, Statistic
from pycarp.daemon import control_server
from pycarp.daemon.control_messages import (
    Cause,
    Change,
    HostStatus,
    LinkStatus,
    Peer,
    Reply,
    Request,
    StatusReply,
)

_READY_S = 5.0


@dataclass(slots=True)
class ScriptedDaemon:
    """Answers each request with what ``answer`` returns, and keeps it; ``pycarp`` runs a command against it."""

    path: Path
    answer: Callable[[Request], Reply]
    asked: list[Request] = field(default_factory=list)

    def pycarp(self, *words: str, stdin: str | None = None) -> Result:
        """Run a command with its ``--control``."""
        return CliRunner().invoke(cli, [*words, "--control", str(self.path)], input=stdin)

    async def reply(self, request: Request) -> Reply:
        """Answer one request."""
        self.asked.append(request)
        return self.answer(request)


@contextlib.contextmanager
def scripted_daemon(path: Path, answer: Callable[[Request], Reply]) -> Iterator[ScriptedDaemon]:
    """Answer on a socket, from a thread, while the context lasts."""
    daemon = ScriptedDaemon(path, answer)
    loop = asyncio.new_event_loop()
    is_ready, end = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with control_server.serve(path, daemon.reply):
            is_ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert is_ready.wait(_READY_S)
        yield daemon
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


def host_of(name: str = "carp0", **changes: object) -> HostStatus:
    """Return the status of a host that has been MASTER for 3.25 seconds, but for some fields."""
    values: dict[str, object] = {
        "name": name,
        "interface": "fxp0",
        "vhid": 1,
        "state": "MASTER",
        "master": "this host",
        "epoch": 2,
        "advbase": 1,
        "advskew": 100,
        "effective_advbase": 1,
        "effective_advskew": 150,
        "preempt": False,
        "dialect": "universal",
        "addresses": ["192.168.1.50/24"],
        "peers": [],
        "groups": ["carp"],
        "link_is_up": True,
        "is_up": True,
        "demotion": [],
        "last_change": change_of(3.25),
        "peer": None,
        "heard": [],
        "next_s": 0.5,
        "rejected": 0,
        "contested": 0,
        "location": "",
        "missing": [],
        "address_error": "",
    }
    return HostStatus(**{**values, **changes})  # type: ignore[arg-type]


def change_of(s_ago: float, explanation: str = "master timed out") -> Change:
    """Return a change to MASTER so many seconds ago."""
    return Change(
        old="BACKUP",
        new="MASTER",
        reason="master-silent",
        explanation=explanation,
        epoch=2,
        at="2026-01-01T00:00:00.000+00:00",
        s_ago=s_ago,
        peer=None,
        silent_s=None,
    )


def peer_of(source: str, *, has_left: bool = False) -> Peer:
    """Return another host that was heard a tenth of a second ago."""
    return Peer(
        source=source,
        advbase=1,
        advskew=0,
        heard_s_ago=0.1,
        decision="follows the master",
        has_left=has_left,
    )


def cause_of(cause: str, amount: int, *, is_wanted: bool = False) -> Cause:
    """Return an entry of a demotion ledger."""
    return Cause(cause, amount, is_wanted)


def counters_of(first: int) -> dict[str, int]:
    """Return sixteen counters that all differ: the first is ``first``, each of the others one more."""
    return {each.value: number for number, each in enumerate(Statistic, first)}


def drops_of(*counts: int) -> dict[str, int]:
    """Return counts of dropped packets for the first reasons there are."""
    names = [reason.name.lower().replace("_", "-") for reason in DropReason]
    return dict(zip(names, counts, strict=False))


def status_of(*hosts: HostStatus, links: dict[str, LinkStatus] | None = None) -> StatusReply:
    """Return what a daemon with these hosts says."""
    return StatusReply(
        version=1,
        hostname="hosta",
        pid=4711,
        uptime_s=60.0,
        transport="packet",
        hosts=list(hosts),
        sysctls={"net.inet.carp.allow": 1, "net.inet.carp.log": 2},
        counters=counters_of(100),
        links=links or {},
        groups={"carp": 0},
    )
