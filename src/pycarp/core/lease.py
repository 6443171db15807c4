"""How long after a sign of life no peer can act in a MASTER's stead, and how that time is shared out.

Code that must run only while a host is MASTER has to be stopped, and to have cleaned up, within this time even if
nothing can be heard or sent any more. It holds if all hosts of the vhid have the same advbase and dead_ratio.
"""

from dataclasses import dataclass, replace

from pycarp.core.host_config import HostConfig
from pycarp.core.lease_timings import lease_timings_of

_DEMOTED = 255
_LARGEST_ADVSKEW = 254


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """``timeout_ns`` after its last sign of life a MASTER is surely the only one; the guardian acts then, peers later.

    ``reserve_ns`` is the part at its end that clean-up may take: a MASTER that is well never comes near it. For
    ``settling_ns`` after a living MASTER was relieved, it may still be cleaning up.
    """

    timeout_ns: int
    reserve_ns: int
    settling_ns: int


def lease_of(config: HostConfig) -> Lease:
    """Return the lease that suits a host: with advbase 1, 1.75 s, of which a third of a second is for clean-up."""
    # What is over between two signs of life is shared by clean-up and by timers that are late.
    reserve_ns = _spare_ns(config, _DEMOTED) * 2 // 3
    longest = replace(config, advskew=0 if config.advbase else _LARGEST_ADVSKEW)
    return Lease(
        timeout_ns=lease_timings_of(config).timeout_ns, reserve_ns=reserve_ns, settling_ns=_spare_ns(longest, 0)
    )


def _spare_ns(config: HostConfig, demotion: int) -> int:
    """Return how much of the timeout is left at worst when a demoted MASTER gives the next sign of life."""
    lease_timings = lease_timings_of(config)
    interval_ns = config.dialect.claim(config.advbase, config.advskew, demotion).interval_ns
    return max(lease_timings.timeout_ns - lease_timings.longest_gap_ns(interval_ns), 0)
