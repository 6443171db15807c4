"""Time bounds of the promises, computed from the settings alone."""

from collections.abc import Iterable

from pycarp.core.host_config import HostConfig
from pycarp.sim.faults.fault_plan import Fault, FaultPlan, Member
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW, HostKey

DROP_NS = NS_PER_S // 10
"""The longest time in which a host without faults drops its addresses after its mastership."""

_LEEWAY_NS = NS_PER_S // 2
_LONGEST_SKEW = 255
_RETRY_NS = 5 * NS_PER_S
_HANG_NS = 15 * NS_PER_S


def hosts_of(plan: FaultPlan, key: HostKey) -> list[HostConfig]:
    """Return the settings of a virtual host on all machines."""
    return [host for member in plan.members for host in member.hosts if host.key == key]


def master_down_ns(host: HostConfig) -> int:
    """Return how long a host waits for the next advertisement."""
    return host.dialect.master_down_ns(host.advbase, host.advskew, host.dead_ratio)


def interval_max_ns(hosts: Iterable[HostConfig]) -> int:
    """Return the longest time between two advertisements of a MASTER, however demoted."""
    return max(host.advbase * NS_PER_S + _LONGEST_SKEW * NS_PER_SKEW for host in hosts)


def aftermath_ns(plan: FaultPlan) -> int:
    """Return how long a fault of address changes has effects after its end: attempts under way, and their pauses."""
    faults = {incident.fault for incident in plan.incidents}
    slowest_s = max((each.amount for each in plan.incidents if each.fault is Fault.SLOW_ADDRESSES), default=0.0)
    span_ns = round(slowest_s * NS_PER_S)
    if faults & {Fault.FAILING_ADDRESSES, Fault.HANGING_ADDRESSES}:
        span_ns += _RETRY_NS + _LEEWAY_NS
    if Fault.HANGING_ADDRESSES in faults:
        span_ns += _HANG_NS
    return span_ns


def settling_ns(plan: FaultPlan, key: HostKey) -> int:
    """Return how long two owners that hear each other may coexist: until the loser has heard the winner and dropped."""
    return 2 * interval_max_ns(hosts_of(plan, key)) + _LEEWAY_NS + aftermath_ns(plan)


def takeover_ns(plan: FaultPlan, key: HostKey) -> int:
    """Return the longest time without an owner while all machines run.

    A member of a sync group may be left to a machine whose advertisement was just heard, but which leaves as well: it
    is not the leader's. Its followers wait for another master-down time then.
    """
    hosts = hosts_of(plan, key)
    down_ns = max(map(master_down_ns, hosts)) + interval_max_ns(hosts)
    if any(key in group.hosts for member in plan.members for group in member.groups):
        down_ns *= 2
    holds_ns = startup_hold_ns(plan.members) + isolation_ns(plan.members)
    return down_ns + _LEEWAY_NS + aftermath_ns(plan) + holds_ns


def startup_hold_ns(members: Iterable[Member]) -> int:
    """Return the longest startup hold: for so long machines that start together take over from nobody."""
    holds_s = (policy.startup_hold_s for member in members for policy in member.failbacks.values())
    return round(max(holds_s, default=0.0) * NS_PER_S)


def isolation_ns(members: Iterable[Member]) -> int:
    """Return the longest time for which machines that reach their witnesses again are not MASTER yet."""
    waits_s = (isolation.returns_within_s for member in members for isolation in member.isolations)
    return round(max(waits_s, default=0.0) * NS_PER_S)


def grouping_ns(plan: FaultPlan) -> int:
    """Return how long it takes until every sync group is on one machine: to find the leader's, and to move there."""
    keys = {key for member in plan.members for group in member.groups for key in group.hosts}
    if not keys:
        return 0
    return max(takeover_ns(plan, key) + settling_ns(plan, key) for key in keys)
