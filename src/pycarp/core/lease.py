"""The lease: how long after the last sign of life of a MASTER no peer can take over, and who uses which part of it.

Code that must run on one host only has to stop and clean up within this time, even if the host can neither send nor
receive any more. The lease is right if all hosts of the vhid have the same advbase and dead_ratio.
"""

from functools import lru_cache

import msgspec

from pycarp.core.host_config import HostConfig
from pycarp.core.lease_timings import timings_of
from pycarp.dialects.dialect import Dialect

_DEMOTED = 255
_LARGEST_ADVSKEW = 254


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The lease of a MASTER. Until ``timeout_ns`` after its last sign of life no other host is MASTER.

    The guardian acts at that time, and peers act later. ``reserve_ns`` is the last part of it, for clean-up: a healthy
    MASTER renews the lease before. A live MASTER that was preempted may need ``settling_ns`` to clean up.
    """

    timeout_ns: int
    reserve_ns: int
    settling_ns: int


def lease_of(config: HostConfig) -> Lease:
    """Return the lease of a host: with advbase 1 it is 1.75 s, of which a third of a second is for clean-up."""
    return _lease_of(config.dialect, config.advbase, config.advskew, config.dead_ratio)


@lru_cache
def _lease_of(dialect: Dialect, advbase: int, advskew: int, dead_ratio: int) -> Lease:
    longest_advskew = 0 if advbase else _LARGEST_ADVSKEW
    return Lease(
        timeout_ns=timings_of(dialect, advbase, advskew, dead_ratio).timeout_ns,
        # Clean-up and late timers share the time that is left at the next sign of life.
        reserve_ns=_spare_ns(dialect, advbase, advskew, dead_ratio, demotion=_DEMOTED) * 2 // 3,
        settling_ns=_spare_ns(dialect, advbase, longest_advskew, dead_ratio, demotion=0),
    )


def _spare_ns(dialect: Dialect, advbase: int, advskew: int, dead_ratio: int, *, demotion: int) -> int:
    """Return how much of the timeout is left, at worst, at the next sign of life of a demoted MASTER."""
    lease_timings = timings_of(dialect, advbase, advskew, dead_ratio)
    interval_ns = dialect.claim(advbase, advskew, demotion).interval_ns
    return max(lease_timings.timeout_ns - lease_timings.longest_gap_ns(interval_ns), 0)
