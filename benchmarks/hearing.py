"""How late advertisements are, and how soon a BACKUP follows what its MASTER says, both read from the wire.

A BACKUP that hears a bow-out, or a MASTER that goes last of all, answers at once with an advertisement of its own. The
delay is the time between the two on the BACKUP's link, so it counts nothing of the commands that cause it.
"""

import contextlib
import itertools
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cost import Pair
from benchmarks.figures import Figure
from benchmarks.wire import Advertisement, tapped
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import DemoteRequest, DoneReply, IfconfigRequest
from pycarp.errors import CarpError

LINK = "fxp0"
MASTER, BACKUP = "10.9.0.1", "10.9.0.2"
EVENTS = 40
"""So many bow-outs, and so many demotions, each of another virtual host."""

_NS_PER_MS = 1_000_000
_BOW_OUT = 255


def delays(count: int) -> list[Figure]:
    """Return the milliseconds until a bow-out, and a demotion, has been heard."""
    with tempfile.TemporaryDirectory() as name, Pair("pycarp", count, Path(name)) as pair:
        _settle(pair, count)
        control = Path(name) / "pycarp-MASTER" / "control"
        dice = random.Random(1)
        with tapped(pair.namespace("BACKUP"), LINK) as tap:
            for vhid in range(1, 2 * EVENTS + 1):
                host = f"c9-{vhid}"
                if vhid <= EVENTS:
                    request(control, IfconfigRequest(host=host, is_up=False), DoneReply)
                else:
                    request(control, DemoteRequest(host=host, cause="benchmark"), DoneReply)
                time.sleep(dice.uniform(0.01, 0.06))
            time.sleep(1.5)
    theirs, ours = tap.of(MASTER), tap.of(BACKUP)
    heard: dict[str, list[float]] = {"bow-out heard": [], "demotion heard": []}
    for vhid in range(1, 2 * EVENTS + 1):
        said = next((each for each in theirs.get(vhid, []) if _BOW_OUT in (each.advskew, each.advbase)), None)
        answer = next((each for each in ours.get(vhid, []) if said and each.at_ns >= said.at_ns), None)
        if said is None or answer is None:
            raise CarpError(f"vhid {vhid} did not move")
        heard["bow-out heard" if vhid <= EVENTS else "demotion heard"].append((answer.at_ns - said.at_ns) / _NS_PER_MS)
    return [Figure(what, "pycarp", count, "ms", tuple(values)) for what, values in heard.items()]


def lateness(count: int, seconds: float, contestants: list[str]) -> list[Figure]:
    """Return the milliseconds that advertisements came later than a second after the one before, idle and busy."""
    figures = []
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(Pair(each, count, Path(name))) for each in contestants]
        for pair in pairs:
            _settle(pair, count)
        for what, load in (("late, idle", contextlib.nullcontext), ("late, both cores busy", busy)):
            with load(), contextlib.ExitStack() as taps:
                found = [taps.enter_context(tapped(pair.namespace("BACKUP"), LINK)) for pair in pairs]
                time.sleep(seconds)
            for pair, tap in zip(pairs, found, strict=True):
                values = tuple(sorted(_late_ms(tap.of(MASTER)))) or (0.0,)
                figures.append(Figure(what, pair.contestant, count, "ms", values))
    return figures


def endurance(seconds: float, contestants: list[str]) -> list[Figure]:
    """Return how often a BACKUP took over from a healthy MASTER, one host each, at 40 ms an advertisement.

    First idle, then with both cores busy; a takeover is an advertisement that a BACKUP sent after none for a second.
    """
    figures = []
    for what, load in (("false takeovers, idle", contextlib.nullcontext), ("false takeovers, busy", busy)):
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            pairs = [stack.enter_context(Pair(each, 1, Path(name), is_fast=True)) for each in contestants]
            for pair in pairs:
                _settle(pair, 1)
            with load(), contextlib.ExitStack() as taps:
                found = [taps.enter_context(tapped(pair.namespace("BACKUP"), LINK)) for pair in pairs]
                time.sleep(seconds)
            for pair, tap in zip(pairs, found, strict=True):
                takeovers = sum(_bursts(each) for each in tap.of(BACKUP).values())
                figures.append(Figure(what, pair.contestant, 1, "", (float(takeovers),)))
    return figures


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keep every processor busy while the context lasts."""
    burners = [
        subprocess.Popen(["timeout", "900", "sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for each in burners:
            each.terminate()
            each.wait()


def _settle(pair: Pair, count: int) -> None:
    pair.wait()
    time.sleep(5 + count / 50)


def _late_ms(by_vhid: dict[int, list[Advertisement]]) -> Iterator[float]:
    for several in by_vhid.values():
        for one, other in itertools.pairwise(several):
            yield max((other.at_ns - one.at_ns) / _NS_PER_MS - 1000, 0.0)


def _bursts(sent: list[Advertisement]) -> int:
    pauses = (other.at_ns - one.at_ns for one, other in itertools.pairwise(sent))
    return (1 if sent else 0) + sum(pause > 1000 * _NS_PER_MS for pause in pauses)
