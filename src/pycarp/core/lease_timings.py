"""What is to happen when this process dies, or does not come to its senses in time.

A MASTER that is dead or frozen must not go on answering for its addresses, because a peer takes them over when the
master-down time has run out. Two switches see to that, both told with every advertisement that all is well: the kernel
removes the addresses after whole seconds, and a guardian process acts earlier, with a bow-out that was signed
beforehand. Both must act before the fastest peer does, and neither while the MASTER advertises in time.
"""

from dataclasses import dataclass, replace

from pycarp.core.host_config import HostConfig
from pycarp.vocabulary import NS_PER_S, Outgoing

KERNEL_ROUNDS_NS = NS_PER_S // 4
"""By how much the kernel may exceed a lifetime while nothing else renews addresses. Source: measured."""


_DEMOTION_MAX = 255
"""A demotion that no claim can show more of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimings:
    """How long the addresses of a MASTER may outlive its last sign of life.

    ``lifetime_s`` is what the kernel is told, None where no whole number of seconds would do; after ``timeout_ns`` the
    guardian drops the addresses and sends ``bow_out``. Signs of life are due every ``renewal_interval_ns`` at least,
    unless that were later than ``margin_ns`` after an advertisement: so late a sign would keep the addresses longer
    than peers wait. It is None where a MASTER that is well would otherwise be given up: the lesser evil.
    """

    lifetime_s: int | None
    timeout_ns: int
    renewal_interval_ns: int
    margin_ns: int | None
    bow_out: tuple[Outgoing, ...] = ()

    def pause_ns(self, since_ns: int, until_ns: int) -> int | None:
        """Return in what time a sign of life is due before the next advertisement, None when that one will do.

        ``since_ns`` is how long ago the last advertisement was, ``until_ns`` how far off the next one is. It is due if
        that comes late, and peers would not mind.
        """
        is_needed = until_ns > self.timeout_ns * 7 // 10
        is_early = self.margin_ns is None or since_ns + self.renewal_interval_ns <= self.margin_ns
        return self.renewal_interval_ns if is_needed and is_early else None

    def longest_gap_ns(self, interval_ns: int) -> int:
        """Return the longest time between two signs of life of a MASTER that advertises in time."""
        since_ns = longest_ns = 0
        while (pause_ns := self.pause_ns(since_ns, interval_ns - since_ns)) is not None:
            since_ns += pause_ns
            longest_ns = max(longest_ns, pause_ns)
        return max(longest_ns, interval_ns - since_ns)


def lease_timings_of(config: HostConfig) -> LeaseTimings:
    """Return the lease timings that suit a host: 2 s in the kernel and 1.75 s for the guardian with advbase 1."""
    dialect, advbase = config.dialect, config.advbase
    # Nobody waits shorter than a host without advskew; where that alone counts, than the next one behind this MASTER.
    fastest_ns = dialect.master_down_ns(advbase, 0 if advbase else config.advskew + 1, config.dead_ratio)
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
        slowest_ns = dialect.claim(advbase, config.advskew, _DEMOTION_MAX).interval_ns
        is_patient = lease_timings.longest_gap_ns(slowest_ns) + KERNEL_ROUNDS_NS <= timeout_ns
        return lease_timings if is_patient else replace(lease_timings, margin_ns=None)
    own_ns = dialect.claim(advbase, config.advskew, 0).interval_ns
    timeout_ns = max(fastest_ns * 7 // 8, own_ns * 5 // 4)
    return LeaseTimings(lifetime_s=None, timeout_ns=timeout_ns, renewal_interval_ns=timeout_ns * 2 // 5, margin_ns=None)
