"""The lease: how long after the last sign of life of a MASTER no peer can take over, and who uses which part of it.

Code that must run on one host only has to stop and clean up within this time, even if the host can neither send nor
receive any more. The lease is right if all hosts of the vhid have the same advbase and dead_ratio.
"""

from dataclasses import dataclass, replace

from pycarp.core.host_config import HostConfig
from pycarp.core.lease_timings import lease_timings_of

_DEMOTED = 255
_LARGEST_ADVSKEW = 254


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The lease of a MASTER. Until ``timeout_ns`` after its last sign of life no other host is MASTER.

    The guardian acts at that time, and peers act later. ``reserve_ns`` is the last part of it, for clean-up: a healthy
    MASTER renews the lease before. A live MASTER that was preempted may need ``settling_ns`` to clean up.
    """

    timeout_ns: int
    reserve_ns: int
    settling_ns: int


def lease_of(config: HostConfig) -> Lease:
    """Return the lease of a host: with advbase 1 it is 1.75 s, of which a third of a second is for clean-up."""
    # Clean-up and late timers share the time that is left at the next sign of life.
    reserve_ns = _spare_ns(config, _DEMOTED) * 2 // 3
    longest = replace(config, advskew=0 if config.advbase else _LARGEST_ADVSKEW)
    return Lease(
        timeout_ns=lease_timings_of(config).timeout_ns, reserve_ns=reserve_ns, settling_ns=_spare_ns(longest, 0)
    )


def _spare_ns(config: HostConfig, demotion: int) -> int:
    """Return how much of the timeout is left, at worst, at the next sign of life of a demoted MASTER."""
    lease_timings = lease_timings_of(config)
    interval_ns = config.dialect.claim(config.advbase, config.advskew, demotion).interval_ns
    return max(lease_timings.timeout_ns - lease_timings.longest_gap_ns(interval_ns), 0)
