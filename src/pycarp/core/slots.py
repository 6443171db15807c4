"""Time slots, in which the advertisements of many hosts leave together: a wake-up costs more than twenty of them.

A slot is a span of the engine's clock. The next advertisement or renewal of a MASTER happens at the beginning of the
slot in which it is due. It is never late, so no peer waits longer, and the interval counts from the time at which it
was due, so no error adds up. Answers, and the advertisements that begin or end a mastership, do not wait for a slot.
"""

SLOT_NS = 100_000_000
"""The slot for a shell with many hosts: 10 wake-ups a second, and whole seconds are multiples of it."""

_SHARE = 8
"""The longest slot is an interval divided by this."""

_LEAST_RATIO = 2
"""The smallest dead ratio with slots: they lengthen an interval by up to a slot, too much for a ratio of 1."""


def slot_for(slot_ns: int, interval_ns: int, dead_ratio: int) -> int:
    """Return the slot of a host that advertises at an interval; 0 for none."""
    return min(slot_ns, interval_ns // _SHARE) if dead_ratio >= _LEAST_RATIO else 0


def slot_before(at_ns: int, slot_ns: int) -> int:
    """Return the beginning of the slot that a time is in, the time itself without slots."""
    return at_ns - at_ns % slot_ns if slot_ns else at_ns
