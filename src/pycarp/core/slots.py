"""Time slots, in which the advertisements of many hosts leave together: a wake-up costs more than twenty of them.

A slot is a span of the engine's clock. The next advertisement or renewal of a MASTER happens at the beginning of the
slot in which it is due. It is never late, so no peer waits longer, and the interval counts from the time at which it
was due, so no error adds up. Answers, and the advertisements that begin or end a mastership, do not wait for a slot.

Where many hosts are on a link and the interval is a whole number of seconds, the first one after a takeover is
shortened, to half of it at the most, so that all hosts of the link use the same two slots of a second. All others of a
slot find the code of the first one in the processor's cache, and that is worth two fifths of what 255 MASTERs cost.
Other links with many hosts use other slots, so that thousands of hosts do not keep the event loop for long; links with
few use those of the link with most.
"""

SLOT_NS = 100_000_000
"""The slot for a shell with many hosts: 10 wake-ups a second, and whole seconds are multiples of it."""

_SHARE = 8
"""The longest slot is an interval divided by this."""

_PHASE = 5
"""Of so many slots the hosts of one link use one, if their intervals allow it."""

MANY = 16
"""From so many hosts on they share two slots of a second; fewer use few slots anyway."""

_LEAST_RATIO = 2
"""The smallest dead ratio with slots: they lengthen an interval by up to a slot, too much for a ratio of 1."""


def slot_for(slot_ns: int, interval_ns: int, dead_ratio: int) -> int:
    """Return the slot of a host that advertises at an interval; 0 for none."""
    return min(slot_ns, interval_ns // _SHARE) if dead_ratio >= _LEAST_RATIO else 0


def slot_before(at_ns: int, slot_ns: int) -> int:
    """Return the beginning of the slot that a time is in, the time itself without slots."""
    return at_ns - at_ns % slot_ns if slot_ns else at_ns


def longest_lead_ns(slot_ns: int, interval_ns: int, dead_ratio: int) -> int:
    """Return how long before the end of its interval an advertisement may leave."""
    span_ns = slot_for(slot_ns, interval_ns, dead_ratio)
    return _PHASE * slot_ns if span_ns and is_in_phase(_PHASE * slot_ns, interval_ns) else span_ns


class Phase:
    """The two times of a second at which the hosts of one link are due, if they are many and their intervals regular.

    ``hosts`` is the number of hosts on the link. ``anchor_ns`` is one of the times, None with few hosts; they are
    ``span_ns`` apart.
    """

    __slots__ = ("anchor_ns", "begins_ns", "hosts", "link", "span_ns")

    def __init__(self, slot_ns: int, link: str) -> None:
        self.span_ns = _PHASE * slot_ns
        self.link = link
        self.begins_ns = sum(link.encode()) % _PHASE * slot_ns
        self.anchor_ns: int | None = None
        self.hosts = 0

    def before(self, at_ns: int, interval_ns: int) -> int:
        """Return the last such time up to ``at_ns``, or ``at_ns`` itself with few hosts or another interval."""
        if self.anchor_ns is None or not is_in_phase(self.span_ns, interval_ns):
            return at_ns
        return at_ns - (at_ns - self.anchor_ns) % self.span_ns


class Phases:
    """The phases of all links of a node; ``busiest`` is that of the link with most hosts, ``hosts`` counts them all.

    All of it follows from the present numbers of hosts.
    """

    def __init__(self, slot_ns: int) -> None:
        self._slot_ns = slot_ns
        self._by_link: dict[str, Phase] = {}
        self.busiest = Phase(slot_ns, "")
        self.hosts = 0

    def add(self, link: str) -> Phase:
        """Count one more host on a link, and return the phase of the link."""
        phase = self._by_link.get(link)
        if phase is None:
            phase = self._by_link[link] = Phase(self._slot_ns, link)
        phase.hosts += 1
        self.hosts += 1
        self._anchor(phase, max(self.busiest, phase, key=_rank))
        return phase

    def remove(self, link: str) -> None:
        """Count one host less on a link."""
        phase = self._by_link[link]
        phase.hosts -= 1
        self.hosts -= 1
        self._anchor(phase, max(self._by_link.values(), key=_rank))

    def _anchor(self, phase: Phase, busiest: Phase) -> None:
        """Set the times of a link, or those of all where these may have changed."""
        is_other, self.busiest = busiest is not self.busiest, busiest
        is_many = self.hosts >= MANY and self._slot_ns > 0
        for each in self._by_link.values() if is_other or self.hosts in (MANY - 1, MANY) else (phase,):
            begins_ns = each.begins_ns if each.hosts >= MANY else busiest.begins_ns
            each.anchor_ns = begins_ns if is_many else None


def _rank(phase: Phase) -> tuple[int, str]:
    return phase.hosts, phase.link


def is_in_phase(span_ns: int, interval_ns: int) -> bool:
    """Return True if an interval stays as it is once it begins in phase; the first one is at least half of it."""
    return bool(span_ns) and interval_ns >= 2 * span_ns and interval_ns % span_ns == 0
