"""The timings by which the kernel and the guardian drop the addresses of a dead or frozen process.

A dead or frozen MASTER must not go on answering for its addresses, because a peer takes over when the master-down time
has run out. Two mechanisms drop them, and every advertisement renews both. The kernel removes the addresses when their
lifetime ends, which is whole seconds. The guardian process acts earlier, and sends a prepared bow-out. Both must act
before the fastest peer takes over, and neither while the MASTER advertises in time.
"""

import sys
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from pycarp.core.host_config import HostConfig
from pycarp.dialects.dialect import Dialect
from pycarp.vocabulary import NS_PER_S, Outgoing

KERNEL_ROUNDS_NS = NS_PER_S // 4
"""How long the kernel may keep an address beyond its lifetime. Source: measured without other renewals."""

_DEMOTION_MAX = 255
"""A demotion that makes every claim as slow as it can be."""


class LeaseTimings(msgspec.Struct, frozen=True, kw_only=True):
    """How long the addresses of a MASTER outlive its last sign of life.

    ``lifetime_s`` is the lifetime in the kernel, None if no whole number of seconds fits. After ``timeout_ns`` the
    guardian drops the addresses and sends ``bow_out``. The lease is renewed at least every ``renewal_interval_ns``, but
    no later than ``margin_ns`` after an advertisement: a later renewal would keep the addresses longer than peers wait.
    ``margin_ns`` is None, for no limit, if with it a healthy MASTER that is demoted would lose its addresses.
    """

    lifetime_s: int | None
    timeout_ns: int
    renewal_interval_ns: int
    margin_ns: int | None
    bow_out: tuple[Outgoing, ...] = ()

    @property
    def quiet_ns(self) -> int:
        """The longest time until the next advertisement, right after one, without a renewal in between."""
        is_early = self.margin_ns is None or self.renewal_interval_ns <= self.margin_ns
        return self.timeout_ns * 7 // 10 if is_early else sys.maxsize

    def pause_ns(self, since_ns: int, until_ns: int) -> int | None:
        """Return the time until the next renewal; None if the next advertisement comes early enough to renew.

        ``since_ns`` is the time since the last advertisement, ``until_ns`` the time until the next one. None also if
        the margin does not allow a renewal.
        """
        if until_ns <= self.timeout_ns * 7 // 10:
            return None
        is_early = self.margin_ns is None or since_ns + self.renewal_interval_ns <= self.margin_ns
        return self.renewal_interval_ns if is_early else None

    def longest_gap_ns(self, interval_ns: int) -> int:
        """Return the longest time between two signs of life of a MASTER that advertises in time."""
        since_ns = longest_ns = 0
        while (pause_ns := self.pause_ns(since_ns, interval_ns - since_ns)) is not None:
            since_ns += pause_ns
            longest_ns = max(longest_ns, pause_ns)
        return max(longest_ns, interval_ns - since_ns)


def lease_timings_of(config: HostConfig) -> LeaseTimings:
    """Return the lease timings of a host: with advbase 1, 2 s in the kernel and 1.75 s for the guardian."""
    return timings_of(config.dialect, config.advbase, config.advskew, config.dead_ratio)


@lru_cache
def timings_of(dialect: Dialect, advbase: int, advskew: int, dead_ratio: int) -> LeaseTimings:
    """Return the lease timings of all hosts with these settings; most hosts of a node have the same."""
    # The fastest peer has advskew 0; with advbase 0, where only the advskew counts, it has one more than this MASTER.
    fastest_ns = dialect.master_down_ns(advbase, 0 if advbase else advskew + 1, dead_ratio)
    lifetime_s = (fastest_ns - KERNEL_ROUNDS_NS) // NS_PER_S
    if lifetime_s > advbase:
        timeout_ns = lifetime_s * NS_PER_S - KERNEL_ROUNDS_NS
        margin_ns = fastest_ns - lifetime_s * NS_PER_S - KERNEL_ROUNDS_NS
        lease_timings = LeaseTimings(
            lifetime_s=lifetime_s,
            timeout_ns=timeout_ns,
            renewal_interval_ns=timeout_ns * 2 // 5,
            margin_ns=margin_ns,
        )
        slowest_ns = dialect.claim(advbase, advskew, _DEMOTION_MAX).interval_ns
        is_patient = lease_timings.longest_gap_ns(slowest_ns) + KERNEL_ROUNDS_NS <= timeout_ns
        return lease_timings if is_patient else replace(lease_timings, margin_ns=None)
    own_ns = dialect.claim(advbase, advskew, 0).interval_ns
    # No lifetime in whole seconds fits, so the guardian is alone. An eighth of the fastest peer's time is left for the
    # drop itself; a MASTER that is late by less than a quarter of its interval keeps its addresses.
    timeout_ns = max(fastest_ns * 7 // 8, own_ns * 5 // 4)
    return LeaseTimings(lifetime_s=None, timeout_ns=timeout_ns, renewal_interval_ns=timeout_ns * 2 // 5, margin_ns=None)
