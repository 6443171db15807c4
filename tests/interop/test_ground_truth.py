"""What is said under each fault, beside what is so: addresses, packets, processes.

That is ``status``, ``why``, ``top``, the page in a browser, ``/api/status`` and ``/metrics``.
"""

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest

from pycarp.cli.past_why import PastWhy, last_transition_at, past_why
from pycarp.cli.top.daemon_watch import WatchedDaemon
from pycarp.cli.top.host_rows import UNKNOWN, rows_of
from pycarp.core.engine import HANDED_OVER
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import (
    HandoverReply,
    HandoverRequest,
    HostStatus,
    StatusReply,
    StatusRequest,
    WhyReply,
    WhyRequest,
)
from pycarp.daemon.wellness import what_is_wrong
from pycarp.errors import ControlError
from pycarp.lab.lab_network import Segment
from tests.support.browsers import forwarded, running_browser
from tests.support.daemons import PASSWORD, SHARED, Process, Pycarp, children, new_segment, wait_until
from tests.support.system import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

STARTED_S = 30.0
AGREES_S = 6.0
"""Within so long after the addresses have moved, everybody says so; a BACKUP follows with the next advertisement."""

MOVED_S = 12.0
ANSWER_S = 1.0
PAUSE_S = 0.1
STALL_S = 1.5
"""A MASTER that stands still for so long is late by more than a tenth of the master-down time, whenever it sent."""

LATE_S = 0.5
"""By so much a line of tcpdump and an answer may be apart."""

SENDS_S = 2.5
"""A MASTER that sent nothing for so long sends no more; the longest interval here is 1.8 s."""

FAREWELL_S = 0.5
"""So long after it yielded a host may say farewell."""

_METRIC = re.compile(r'^pycarp_host_state\{.*\bstate="(\w+)".*\} 1\.0$', re.MULTILINE)
_SHOWN = """() => {
    const text = (selector) => document.querySelector(selector)?.textContent ?? "";
    return {
        is_lost: !document.getElementById("lost").hidden,
        state: text(".host .state"),
        holder: text(".host .third > span"),
        holds_here: document.querySelector(".machine.here .chip.MASTER") !== null,
        is_bad: document.getElementById("verdict").classList.contains("bad"),
        next: [...document.querySelectorAll(".outlook li > b")].map((each) => each.textContent),
        turn: text(".host .third > .quiet + .quiet"),
    };
}"""
_TAKES_OVER = re.compile(r"takes over (\d+\.\d\d) s after its last advertisement(; does not preempt)?$")
_SENT = re.compile(r"^(\d+\.\d+) .*?IP (192\.168\.1\.\d+) > 224\.0\.0\.18")


class Wire(Process):
    """Every advertisement that enters the switch, also at a port that forwards nothing."""

    def __init__(self, segment: Segment, folder: Path) -> None:
        argv = ["tcpdump", "-i", "any", "--immediate-mode", "-l", "-n", "-tt", "ip proto 112"]
        super().__init__(segment, "switch", argv, folder / "wire.log")

    def sent(self) -> list[tuple[float, str]]:
        """Return time and source of each advertisement."""
        found = (_SENT.match(line) for line in self.log.read_text().splitlines())
        return [(float(each[1]), each[2]) for each in found if each]

    def last_sent(self) -> dict[str, float]:
        """Return when each source sent last."""
        return {source: at_s for at_s, source in self.sent()}

    def silence(self, former: str, new: str) -> float:
        """Return how long after the last advertisement of a MASTER the next one sent, its farewell aside."""
        last_s = self.last_sent()[former]
        return min(at_s for at_s, source in self.sent() if source == new and at_s > last_s + FAREWELL_S) - last_s


def wait_for_none(differences: Callable[[], list[str]], within_s: float) -> None:
    """Wait until there are no differences, and look seldom: who looks all the time keeps the daemons from working."""
    ends_s = time.monotonic() + within_s
    while found := differences():
        assert time.monotonic() < ends_s, "; ".join(found)
        time.sleep(PAUSE_S)


class Shown(NamedTuple):
    """What the page shows of its one host."""

    is_lost: bool
    state: str
    holder: str
    holds_here: bool
    is_bad: bool
    next: list[str]
    turn: str


class Said(NamedTuple):
    """What a daemon says to whoever asks; None for what it does not answer."""

    status: HostStatus | None
    api: StatusReply | None
    metrics: str | None


@dataclass(slots=True)
class Machine:
    """A host of the segment: its daemon, its own address, its page, and what a ``top`` that watches it knows."""

    name: str
    address: str
    advskew: int
    daemon: Pycarp
    http: Path
    page: "Page"
    is_stopped: bool = False
    watched: WatchedDaemon = field(init=False)

    def __post_init__(self) -> None:
        self.watched = WatchedDaemon(path=self.daemon.control)

    @property
    def lives(self) -> bool:
        return not self.is_stopped and self.daemon.process.poll() is None

    @property
    def shown(self) -> str:
        """The state in ``top``."""
        return "" if self.watched.reply is None else rows_of([self.watched], time.monotonic())[0].state

    def status(self) -> HostStatus | None:
        """Ask as ``status`` and ``top`` do; None when the daemon does not answer."""
        try:
            reply = request(self.daemon.control, StatusRequest(), StatusReply, timeout_s=ANSWER_S)
        except ControlError as exc:
            self.watched.lose(str(exc), time.monotonic())
            return None
        self.watched.take(reply, time.monotonic())
        return reply.hosts[0]

    def asked(self, pool: ThreadPoolExecutor) -> Callable[[], Said]:
        """Ask in every way that is not the page, at once; the result returns what was answered."""
        status = pool.submit(self.status)
        api, metrics = (pool.submit(self.get, path) for path in ("/api/status", "/metrics"))

        def said() -> Said:
            answer = api.result()
            reply = None if answer is None else msgspec.json.decode(answer, type=StatusReply)
            return Said(status.result(), reply, metrics.result())

        return said

    def get(self, path: str) -> str | None:
        """Ask over HTTP; None when the daemon does not answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ANSWER_S)
            try:
                sock.connect(str(self.http))
                sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                received = b"".join(iter(lambda: sock.recv(1 << 16), b""))
            except OSError:
                return None
        return received.partition(b"\r\n\r\n")[2].decode() or None

    def on_page(self) -> Shown:
        """Return what the page shows now."""
        return Shown(**self.page.evaluate(_SHOWN))

    def kill(self, *, guardian: bool = False) -> None:
        pids = [self.daemon.process.pid, *(children(self.daemon.process.pid) if guardian else [])]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in reversed(pids):
            os.kill(pid, signal.SIGKILL)
        self.daemon.process.wait()


class Scene:
    """Machines on a wire, and the comparison of what they say with what is so."""

    def __init__(self, segment: Segment, wire: Wire, machines: Sequence[Machine]) -> None:
        self.segment = segment
        self.wire = wire
        self.machines = {each.name: each for each in machines}

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def holders(self) -> set[str]:
        """Return which machines have the shared address."""
        return {each.name for each in self.machines.values() if each.daemon.has_address(SHARED)}

    def settles(self, *holders: str) -> None:
        """Wait until these machines have the address, and then until everybody says what is so."""
        wait_for_none(
            lambda: [] if (found := self.holders()) == set(holders) else [f"{found} have the address"], MOVED_S
        )
        wait_for_none(self.differences, AGREES_S)

    def differences(self) -> list[str]:
        """Return what is said and not so."""
        with ThreadPoolExecutor(3 * len(self.machines)) as pool:
            asked = {name: each.asked(pool) for name, each in self.machines.items()}
            shown = {name: each.on_page() for name, each in self.machines.items()}
            said = {name: each() for name, each in asked.items()}
        holders, sent = self.holders(), self.wire.last_sent()
        found = []
        for name, machine in self.machines.items():
            found += [f"{name}: {each}" for each in self._of(machine, said[name].status, holders, sent)]
            found += [f"{name}: {each}" for each in self._of_page(machine, said[name].status, shown[name], holders)]
            found += [f"{name}: {each}" for each in _of_http(said[name])]
        return found

    def _of(
        self, machine: Machine, said: HostStatus | None, holders: set[str], sent: dict[str, float]
    ) -> Iterator[str]:
        if not machine.lives:
            if said is not None or machine.shown not in ("", UNKNOWN):
                yield f"it is dead, and said to be {said.state if said else machine.shown}"
            return
        if said is None or said.last_change is None:
            yield "it lives, and does not answer"
            return
        if (said.state == "MASTER") != (machine.name in holders):
            yield f"it is said to be {said.state}, and {'has' if machine.name in holders else 'has not'} the address"
        if machine.shown != said.state:
            yield f"top shows {machine.shown}, status {said.state}"
        last_s, now_s = sent.get(machine.address, 0.0), time.time()
        changed_s = now_s - said.last_change.s_ago
        if said.state == "MASTER" and not (last_s > changed_s - LATE_S and now_s - last_s < SENDS_S):
            yield f"it is said to be MASTER, and sent last {now_s - last_s:.1f} s ago"
        if said.state != "MASTER" and last_s > changed_s + FAREWELL_S:
            yield f"it is said to be {said.state} for {said.last_change.s_ago} s, and sent {now_s - last_s:.1f} s ago"
        followed = {self.machines[each].address for each in holders}
        if said.state == "BACKUP" and not (said.master in followed and now_s - sent[said.master] < SENDS_S):
            yield f"it is said to follow {said.master}, and {followed} have the address"
        yield from _of_outlook(request(machine.daemon.control, WhyRequest(said.name), WhyReply), said)

    def _of_page(self, machine: Machine, said: HostStatus | None, shown: Shown, holders: set[str]) -> Iterator[str]:
        if shown.is_lost is machine.lives:
            yield f"the page says that the daemon {'is lost' if shown.is_lost else 'lives'}"
        if said is None or not machine.lives:
            return
        if shown.state != said.state or shown.holds_here is not (machine.name in holders):
            yield f"the page shows {shown.state}, and {'' if shown.holds_here else 'not '}the address here"
        followed = {self.machines[each].address for each in holders}
        if shown.state == "BACKUP" and shown.holder.removesuffix(" holds it") not in followed:
            yield f"the page says that {shown.holder}, and {followed} have the address"
        if shown.is_bad is not bool(what_is_wrong(said)):
            yield f"the page shows {shown.is_bad}, and {what_is_wrong(said) or 'nothing'} is wrong"
        if set(shown.next) != {{"MASTER": "BACKUP", "BACKUP": "MASTER", "INIT": "BACKUP"}[said.state]}:
            yield f"it is {said.state}, and {shown.next} are to come on the page"
        expected = 3 + machine.advskew / 256
        turn = _TAKES_OVER.search(shown.turn)
        if said.state == "BACKUP" and not (turn and float(turn[1]) == pytest.approx(expected, abs=0.02)):
            yield f"the page says: {shown.turn}; it should take over after {expected:.2f} s"
        if turn and bool(turn[2]) is not any(each.cause == HANDED_OVER for each in said.demotion):
            yield f"the page says: {shown.turn}, and demoted by {said.demotion}"

    def last(self, name: str) -> PastWhy:
        """Return what ``why --last`` says."""
        machine = self.machines[name]
        status = machine.daemon.status
        past = past_why(machine.daemon.control, status, last_transition_at(machine.daemon.control, status))
        assert past.note == ""
        assert past.host is not None
        assert (past.host.state, past.host.epoch) == (status.state, status.epoch)
        return past

    def reason(self, name: str) -> str:
        """Return the last transition, and why it happened, by ``why --last``."""
        *_before, last = [each for each in self.last(name).events if "reason" in each.about]
        return last.text


def _of_http(said: Said) -> Iterator[str]:
    """Compare what is said over HTTP with the status."""
    if said.status is None:
        if said.api is not None or said.metrics is not None:
            yield "it says nothing, but over HTTP"
        return
    if said.api is None or said.metrics is None:
        yield "it says nothing over HTTP"
        return
    if (found := said.api.hosts[0].state) != said.status.state:
        yield f"it is {said.status.state}, and {found} in /api/status"
    if (metrics := _METRIC.findall(said.metrics)) != [said.status.state]:
        yield f"it is {said.status.state}, and {metrics} in /metrics"


def _of_outlook(why: WhyReply, said: HostStatus) -> Iterator[str]:
    """Compare what is to come with the state it comes from."""
    if why.host.state != said.state:
        return
    if said.state == "INIT":
        expected, within_s = {"BACKUP"}, None
    else:
        expected, within_s = ({"BACKUP"}, None) if said.state == "MASTER" else ({"MASTER"}, 5.0)
    if {each.state for each in why.outlook} != expected:
        yield f"it is {said.state}, and {[each.state for each in why.outlook]} are to come"
    if within_s is not None and not 0 <= (why.outlook[0].in_s or -1) <= within_s:
        yield f"as BACKUP it takes over in {why.outlook[0].in_s} s"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with running_browser() as started:
        yield started


def configuration(advskew: int, http: Path) -> str:
    host = f'[[host]]\nname = "carp0"\ninterface = "fxp0"\nvhid = 1\npassword = "{PASSWORD}"\n'
    host += f'addresses = ["{SHARED}/24"]\nadvskew = {advskew}\n'
    return f'{host}[http]\nlisten = ["unix:{http}"]\n[node.sysctls]\npreempt = 1\n'


@pytest.fixture
def scene(tmp_path: Path, browser: "Browser", request: pytest.FixtureRequest) -> Iterator[Scene]:
    """So many machines, the first one preferred, all of which preempt."""
    require("ip", "bridge", "tcpdump")
    names = "abcde"[: request.param]
    addresses = {name: f"192.168.1.{number}" for number, name in enumerate(names, 1)}
    with ExitStack() as stack:
        segment = stack.enter_context(new_segment(**{name: f"{each}/24" for name, each in addresses.items()}))
        wire = stack.enter_context(Wire(segment, tmp_path))
        machines = []
        for number, name in enumerate(names):
            advskew, http = 50 * number, tmp_path / f"{name}.http"
            options = ("--state", str(tmp_path / f"state-{name}"))
            toml = configuration(advskew, http)
            daemon = stack.enter_context(Pycarp(segment, name, tmp_path, toml=toml, options=options))
            page = browser.new_page()
            stack.callback(page.close)
            machines.append(Machine(name, addresses[name], advskew, daemon, http, page))
        wait_until(lambda: all(each.daemon.is_in("BACKUP", "MASTER") for each in machines), STARTED_S)
        for each in machines:
            wait_until(lambda each=each: each.get("/healthz") is not None, STARTED_S)  # type: ignore[misc]
            each.page.goto(stack.enter_context(forwarded(each.http)), wait_until="commit")
        for each in machines:
            each.page.click("#list summary")
        scene = Scene(segment, wire, machines)
        yield scene


def hand_over(machine: Machine, *, is_back: bool = False) -> None:
    message = HandoverRequest(host="carp0", timeout_s=5, is_back=is_back)
    request(machine.daemon.control, message, HandoverReply, timeout_s=10)


@pytest.mark.parametrize("scene", [2], indirect=True, ids=["two hosts"])
def test_two_hosts_say_what_is_so_under_each_fault(scene: Scene) -> None:
    a, b, segment = scene["a"], scene["b"], scene.segment
    scene.settles("a")

    hand_over(a)
    scene.settles("b")
    assert "master bowed out; heard 192.168.1.1" in scene.reason("b")
    assert a.daemon.status.last_change is not None
    assert "handed over to 192.168.1.2" in a.daemon.status.last_change.explanation
    hand_over(a, is_back=True)
    scene.settles("a")
    assert "preempting a slower master" in scene.reason("a")

    device = segment.run("a", ["ip", "-4", "-o", "addr", "show", "to", SHARED]).split()[1]
    segment.run("a", ["ip", "addr", "del", f"{SHARED}/24", "dev", device])
    scene.settles("a")
    assert "contested" in [each.name for each in a.daemon.status.alarms]
    assert a.daemon.status.contested >= 1

    a.is_stopped = True
    os.kill(a.daemon.process.pid, signal.SIGSTOP)
    time.sleep(STALL_S)
    scene.settles("b")
    os.kill(a.daemon.process.pid, signal.SIGCONT)
    a.is_stopped = False
    scene.settles("a")
    assert "stalled" in [each.name for each in a.daemon.status.alarms]

    segment.unplug("a")
    scene.settles("b")
    assert what_is_wrong(a.daemon.status) == "takes no part"
    change = b.daemon.status.last_change
    assert change is not None
    assert change.reason == "master-silent"
    assert change.silent_s == pytest.approx(scene.wire.silence(a.address, b.address), abs=0.3)
    heard = scene.last("b").host
    assert heard is not None
    assert [each.source for each in heard.heard] == [a.address]
    segment.plug("a")
    scene.settles("a")

    segment.isolate("a")
    scene.settles("a", "b")
    segment.rejoin("a")
    scene.settles("a")
    assert "more frequent advertisement received" in scene.reason("b")

    a.kill()
    scene.settles("b")
    assert "master bowed out" in scene.reason("b")
    b.kill(guardian=True)
    scene.settles()


@pytest.mark.parametrize("scene", [5], indirect=True, ids=["five hosts"])
def test_five_hosts_say_what_is_so_under_each_fault(scene: Scene) -> None:
    scene.settles("a")

    os.kill(scene["a"].daemon.process.pid, signal.SIGTERM)
    scene.settles("b")

    scene.segment.isolate("b")
    scene.settles("b", "c")
    scene.segment.rejoin("b")
    scene.settles("b")

    scene["b"].kill()
    scene.settles("c")
    assert {scene[each].daemon.status.master for each in "de"} == {scene["c"].address}

    hand_over(scene["c"])
    scene.settles("d")
    scene.segment.unplug("d")
    scene.settles("e")
    assert scene["c"].daemon.status.demotion != []
