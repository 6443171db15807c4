"""What goes wrong with a host, how far that demotes it, and when it is trusted again.

Three kinds of trouble demote a host: its advertisements cannot be sent, its addresses cannot be held, others keep
changing its addresses. A BACKUP sends nothing and holds nothing, so that it cannot show that all is well again. It is
therefore trusted again after a while, and for twice as long after each further failure it is not.
"""

from collections import deque
from dataclasses import dataclass, field

from pycarp.vocabulary import NS_PER_S, Family

FIRST_DISTRUST_NS = 10 * NS_PER_S
LONGEST_DISTRUST_NS = 3600 * NS_PER_S

EXTERNAL_CHANGES_NS = 60 * NS_PER_S
"""Changes of the addresses by others within this time count as one contest; after it all is forgiven."""

_AT_ONCE = 5
"""So many changes within a minute are published at once."""


@dataclass(slots=True)
class Distrust:
    """``until_ns`` is when a host that failed is trusted again; None while it is trusted."""

    failures: int = 0
    until_ns: int | None = None

    def fail(self, now_ns: int) -> None:
        """Distrust from now on, twice as long as the last time."""
        self.until_ns = now_ns + min(FIRST_DISTRUST_NS << min(self.failures, 16), LONGEST_DISTRUST_NS)
        self.failures += 1

    def succeed(self) -> None:
        """Forget all failures."""
        self.failures, self.until_ns = 0, None

    def ends(self, now_ns: int) -> bool:
        """Return True, once, when the time is over."""
        if self.until_ns is None or now_ns < self.until_ns:
            return False
        self.until_ns = None
        return True


@dataclass(slots=True)
class SendAccount:
    """Failures and successes in a row of each family; None stands for any family.

    A family is in ``failures`` from its first failure until it has succeeded often enough in a row. ``failing`` are the
    families whose last advertisement could not be sent.
    """

    failures: dict[Family | None, int] = field(default_factory=dict)
    successes: dict[Family | None, int] = field(default_factory=dict)
    failing: set[Family | None] = field(default_factory=set)
    distrust: Distrust = field(default_factory=Distrust)

    def fail(self, family: Family | None) -> int:
        """Count a failure; return how many there were in a row."""
        self.failing.add(family)
        self.successes.pop(family, None)
        self.failures[family] = self.failures.get(family, 0) + 1
        return self.failures[family]

    def succeed(self, family: Family | None, needed: int) -> bool:
        """Count a success; return True if with it every family that failed has succeeded often enough in a row."""
        was_clean = self.is_clean
        self.failing.discard(family)
        self.successes[family] = self.successes.get(family, 0) + 1
        if self.successes[family] >= needed:
            self.failures.pop(family, None)
        elif family in self.failures:
            self.failures[family] = 0
        return self.is_clean and not was_clean

    @property
    def is_clean(self) -> bool:
        """Whether nothing has failed that is not forgotten yet."""
        return not self.failures

    def forget(self) -> None:
        """Begin anew: the settings changed, and what is sent next shows whether it can be."""
        self.failures.clear()
        self.successes.clear()
        self.failing.clear()


@dataclass(slots=True)
class ExternalChanges:
    """How often others changed the addresses of a host: in all, and lately.

    ``publish_again_at_ns`` is when observers are told next, unless it is one of the first few changes.
    """

    in_all: int = 0
    lately_ns: deque[int] = field(default_factory=deque)
    forgiven_at_ns: int | None = None
    publish_again_at_ns: int = 0

    def change(self, now_ns: int, limit: int) -> bool:
        """Count one more change; return True if there were ``limit`` within the last minute, which 0 never is."""
        self.in_all += 1
        self.lately_ns.append(now_ns)
        while self.lately_ns[0] <= now_ns - EXTERNAL_CHANGES_NS or len(self.lately_ns) > max(limit, _AT_ONCE):
            self.lately_ns.popleft()
        is_too_often = 0 < limit <= len(self.lately_ns)
        if is_too_often or self.forgiven_at_ns is not None:
            self.forgiven_at_ns = now_ns + EXTERNAL_CHANGES_NS
        return is_too_often

    def is_to_be_published(self, now_ns: int) -> bool:
        """Return True if observers are to be told of the last change: after the first few once a minute."""
        if len(self.lately_ns) >= _AT_ONCE and now_ns < self.publish_again_at_ns:
            return False
        self.publish_again_at_ns = now_ns + EXTERNAL_CHANGES_NS
        return True

    def is_forgiven(self, now_ns: int) -> bool:
        """Return True, once, when a contest is over."""
        if self.forgiven_at_ns is None or now_ns < self.forgiven_at_ns:
            return False
        self.forgiven_at_ns = None
        return True
