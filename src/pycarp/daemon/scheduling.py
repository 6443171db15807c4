"""Real-time scheduling and garbage collection: keeps a daemon with short intervals punctual."""

import contextlib
import gc
import os
from collections.abc import Iterable, Iterator

from pycarp.core.host_config import HostConfig
from pycarp.vocabulary import NS_PER_S

_HURRY_NS = NS_PER_S // 2
_LOWEST_PRIORITY = 1


def be_punctual(hosts: Iterable[HostConfig]) -> str | None:
    """Request real-time scheduling if a master-down time is below half a second; return a sentence about the result.

    Other work on the machine may delay a process by tens of milliseconds, and then the peers take over.
    """
    waits_ns = [each.dialect.master_down_ns(each.advbase, each.advskew, each.dead_ratio) for each in hosts]
    if min(waits_ns, default=NS_PER_S) >= _HURRY_NS or not hasattr(os, "sched_setscheduler"):
        return None
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(_LOWEST_PRIORITY))
    except OSError as exc:
        return f"no real-time scheduling ({exc.strerror}); other work on this machine may cause takeovers"
    return "real-time scheduling, because a host waits less than half a second for its MASTER"


def collect_seldom(hosts: int) -> None:
    """Let the oldest garbage be collected less often the more hosts there are, after some hours with ten thousand.

    All objects that were made since the start are looked at then, and meanwhile the event loop stands still: 0.1 s for
    five thousand MASTERs. What is left over by requests and takeovers is young, and collected as ever.
    """
    young, middle, oldest = gc.get_threshold()
    gc.set_threshold(young, middle, max(oldest, hosts))


@contextlib.contextmanager
def settling() -> Iterator[None]:
    """Exempt the objects made in this context, and those before, from garbage collection.

    Its pauses grow with the number of objects: thousands of hosts would stop the loop for a good part of a second.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
