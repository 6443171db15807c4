"""When a sender is late, and when it is silent, as far as packets can tell: kernels tick, and machines are busy."""

from pycarp.vocabulary import NS_PER_S

GRACE_NS = NS_PER_S // 10
"""How late an advertisement may be because of kernel ticks and busy machines."""


def overdue_after_ns(interval_ns: int) -> int:
    """Return after which gap an advertisement is missing: half an interval late."""
    return interval_ns * 3 // 2 + GRACE_NS


def silent_after_ns(master_down_ns: int) -> int:
    """Return after which gap a backup with the same settings has taken over."""
    return master_down_ns + GRACE_NS
