"""Advertisements of many hosts that leave together: one wake-up costs more than twenty of them.

A slot is a span of the engine's clock. Whatever may as well happen somewhat earlier (the next advertisement of a
MASTER, the next sign of life) happens at the last multiple of the slot before it is due: never after, so that no peer
waits longer, and counted from the time at which it was due, so that no error adds up. What answers something, and
whatever ends or begins a mastership, waits for no slot.
"""

SLOT_NS = 50_000_000
"""What a shell with many hosts should ask for: 20 wake-ups a second, and an interval of seconds is a multiple of it."""

_SHARE = 8
"""No slot is longer than such a part of an interval."""

_LEAST_RATIO = 2
"""Peers that wait for a single interval only are not to see one that is longer by a slot than the one before."""


def slot_for(slot_ns: int, interval_ns: int, dead_ratio: int) -> int:
    """Return the slot of a host that advertises at an interval; 0 for none."""
    return min(slot_ns, interval_ns // _SHARE) if dead_ratio >= _LEAST_RATIO else 0


def slot_before(at_ns: int, slot_ns: int) -> int:
    """Return the beginning of the slot that a time is in, the time itself without slots."""
    return at_ns - at_ns % slot_ns if slot_ns else at_ns
