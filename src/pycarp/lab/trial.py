"""Plays the scenario of the lab, and compares the measurements with the expectations."""

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from pycarp.daemon.control_messages import Change, HostStatus
from pycarp.lab.lab_network import Segment
from pycarp.lab.machines import PREFERRED, WEB_A, WEB_B, Machines
from pycarp.lab.requests import Request, Service, parse, service

LINGER_S = 2.5
_START_S = 30.0
TAKEOVER_AFTER_SILENCE_S = (3.39, 3.6)
TAKEOVER_AFTER_SIGTERM_S = 0.1


@dataclass(slots=True, kw_only=True)
class Event:
    """One event of the scenario, and its outcome. Times are of the wall clock."""

    name: str
    at_s: float
    until_s: float = 0.0
    outcome: str = ""
    takeover_s: float | None = None
    takeover_since: str = ""


class Expectation(msgspec.Struct, frozen=True):
    """An expectation, and whether it was met; ``is_inconclusive`` if it was not met while this machine stalled."""

    text: str
    is_met: bool
    is_inconclusive: bool = False


@dataclass(slots=True)
class Result:
    """All events, expectations and requests of a trial."""

    began_s: float
    events: list[Event] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def service(self, event: Event, address: str) -> Service:
        """Return the service of an address from an event to the next."""
        return service(self.requests, address, event.at_s, event.until_s)


class Trial:
    """Plays the scenario; ``show`` receives a line at the beginning of each event.

    ``stalled_s`` returns how long this machine stalled since a time of the wall clock.
    """

    def __init__(
        self, where: Segment, machines: Machines, show: Callable[[str], None], stalled_s: Callable[[float], float]
    ) -> None:
        self._stalled_s = stalled_s
        self._segment = where
        self._machines = machines
        self._show = show
        self._result = Result(time.time())

    def reach_usual_states(self) -> None:
        """Start provider after the others; wait until hosta and hostb are MASTER and provider is BACKUP of both."""
        self._show("waiting for the usual states: hosta and hostb MASTER, provider BACKUP of both")
        # Daemons, web servers and a name server start at once, and a small machine takes its time for that.
        for host in PREFERRED:
            self._machines.wait_until(f"{host} takes part", partial(self._takes_part, host), _START_S)
        self._machines.start_daemon("provider")
        self._machines.wait_for("hosta", "MASTER", timeout_s=_START_S)
        self._machines.wait_for("hostb", "MASTER")
        for name in ("carp0", "carp1"):
            self._machines.wait_for("provider", "BACKUP", name)

    def _takes_part(self, host: str) -> bool:
        return self._machines.status(host).state != "INIT"

    def play(self) -> Result:
        """Play the scenario, in half a minute, and return the result; CarpError if an awaited state does not come."""
        self.reach_usual_states()
        self._machines.start_client()
        self._machines.wait_until("the client is answered", lambda: len(self._machines.client_lines()) > 1)
        self._begin("all is well", f"the client fetches the page every 20 ms, from {WEB_A} and {WEB_B} in turn")
        self._linger()
        for chapter in (self._cut_off, self._bring_back, self._force_back, self._sigterm, self._restart):
            chapter()
        self._end_event()
        self._result.requests = parse(self._machines.client_lines())
        self._expect_nobody_noticed()
        return self._result

    def _cut_off(self) -> None:
        event = self._begin("hosta is cut off", "pulling hosta's cable at the switch")
        self._segment.unplug("hosta")
        change = _last_change(self._machines.wait_for("provider", "MASTER"))
        event.takeover_s, event.takeover_since = change.silent_s, "its last advertisement"
        event.outcome = f"provider takes {WEB_A}"
        low, high = TAKEOVER_AFTER_SILENCE_S
        is_met = change.silent_s is not None and low <= change.silent_s <= high
        self._expect(f"provider is MASTER {low} to {high} s after hosta's last advertisement", is_met=is_met)
        self._linger()

    def _bring_back(self) -> None:
        event = self._begin("hosta is back", "putting the cable back; no preemption, so provider keeps the address")
        self._segment.plug("hosta")
        self._machines.wait_for("hosta", "BACKUP")
        self._linger()
        holds = self._is_settled(master="provider", backup="hosta")
        event.outcome = f"provider keeps {WEB_A}" if holds else "the address moved"
        self._expect("without preemption provider keeps the address when hosta returns", is_met=holds)

    def _force_back(self) -> None:
        event = self._begin("forced back", "on provider: pycarp ifconfig carp0 down && pycarp ifconfig carp0 up")
        self._machines.down_and_up("provider")
        self._measure_move(event, self._machines.wait_for("hosta", "MASTER"), "the command")
        self._linger()
        has_it = self._is_settled(master="hosta", backup="provider")
        event.outcome = f"hosta has {WEB_A} again" if has_it else "the address did not stay with hosta"
        self._expect("the owner has its address again after down and up", is_met=has_it)

    def _sigterm(self) -> None:
        event = self._begin("SIGTERM to hosta's daemon", "SIGTERM to hosta's daemon: it drops the address and bows out")
        self._machines.stop_daemon("hosta")
        self._measure_move(event, self._machines.wait_for("provider", "MASTER"), "the signal")
        event.outcome = f"provider takes {WEB_A}"
        is_met = event.takeover_s is not None and event.takeover_s <= TAKEOVER_AFTER_SIGTERM_S
        self._expect(f"after SIGTERM the address moves within {TAKEOVER_AFTER_SIGTERM_S * 1000:.0f} ms", is_met=is_met)
        self._linger()

    def _restart(self) -> None:
        event = self._begin(
            "daemon restarted, forced back", "starting hosta's daemon again, then forcing the address back"
        )
        self._machines.start_daemon("hosta")
        self._machines.wait_for("hosta", "BACKUP")
        time.sleep(1)
        self._machines.down_and_up("provider")
        self._machines.wait_for("hosta", "MASTER")
        event.outcome = f"hosta has {WEB_A} again"
        self._linger()

    def _expect_nobody_noticed(self) -> None:
        failed = sum(not each.is_ok for each in self._result.requests if each.address == WEB_B)
        asked = sum(each.address == WEB_B for each in self._result.requests)
        text = f"hostb's address is untouched: {failed} of {asked} requests to {WEB_B} failed"
        self._expect_throughout(text, is_met=failed == 0 and asked > 0)
        lost = sum(not each.is_served for each in self._result.requests)
        text = f"no user goes without the page: {lost} of {len(self._result.requests)} did"
        self._expect_throughout(text, is_met=lost == 0 and asked > 0)

    def _is_settled(self, *, master: str, backup: str) -> bool:
        return self._machines.status(master).state == "MASTER" and self._machines.status(backup).state == "BACKUP"

    def _measure_move(self, event: Event, status: HostStatus, since: str) -> None:
        became_s = datetime.datetime.fromisoformat(_last_change(status).at).timestamp()
        event.takeover_s, event.takeover_since = became_s - event.at_s, since

    def _begin(self, name: str, line: str) -> Event:
        self._end_event()
        self._show(line)
        event = Event(name=name, at_s=time.time())
        self._result.events.append(event)
        return event

    def _end_event(self) -> None:
        if self._result.events:
            self._result.events[-1].until_s = time.time()

    def _expect(self, text: str, *, is_met: bool) -> None:
        since_s = self._result.events[-1].at_s
        self._result.expectations.append(judged(text, is_met=is_met, stalled_s=self._stalled_s(since_s)))

    def _expect_throughout(self, text: str, *, is_met: bool) -> None:
        stalled_s = self._stalled_s(self._result.began_s)
        self._result.expectations.append(judged(text, is_met=is_met, stalled_s=stalled_s))

    def _linger(self) -> None:
        """Wait before the next event, so that each request of the client belongs to one event."""
        time.sleep(LINGER_S)


def judged(text: str, *, is_met: bool, stalled_s: float) -> Expectation:
    """Return an expectation; one that was not met while this machine stalled is inconclusive."""
    return Expectation(text, is_met, is_inconclusive=not is_met and stalled_s > 0)


def _last_change(status: HostStatus) -> Change:
    assert status.last_change is not None, "a host that was waited for has changed"
    return status.last_change
