"""Records the failures of a host, and decides when it is trusted again.

Three kinds of failures demote a host: it cannot send its advertisements, it cannot hold its addresses, or other
programs keep changing its addresses. A BACKUP sends nothing and holds nothing, so it cannot show that it has recovered.
It is therefore trusted again after some time, which doubles with each further failure.
"""

from collections import deque
from dataclasses import dataclass, field

from pycarp.vocabulary import NS_PER_S, Family

FIRST_DISTRUST_NS = 10 * NS_PER_S
LONGEST_DISTRUST_NS = 3600 * NS_PER_S

EXTERNAL_CHANGES_NS = 60 * NS_PER_S
"""The time within which external changes are counted, and after which without any the demotion ends."""

_AT_ONCE = 5
"""Below this number of changes within a minute, each is published at once."""


@dataclass(slots=True)
class Distrust:
    """The failures of a host in a row, and the time until which they make it distrusted; None while it is trusted."""

    failures: int = 0
    until_ns: int | None = None

    def fail(self, now_ns: int) -> None:
        """Begin a distrust, twice as long as the last one."""
        # The shift is limited, because failures may go on for years and the number would grow without end.
        self.until_ns = now_ns + min(FIRST_DISTRUST_NS << min(self.failures, 16), LONGEST_DISTRUST_NS)
        self.failures += 1

    def succeed(self) -> None:
        """Forget all failures."""
        self.failures, self.until_ns = 0, None

    def ends(self, now_ns: int) -> bool:
        """Return True, and only once, if the time of the distrust is over."""
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
        """Count a failure; return the number of failures in a row."""
        self.failing.add(family)
        self.successes.pop(family, None)
        self.failures[family] = self.failures.get(family, 0) + 1
        return self.failures[family]

    def succeed(self, family: Family | None, needed: int) -> bool:
        """Count a success; return True if with it no failure counts any more.

        The failures of a family count until it has succeeded ``needed`` times in a row.
        """
        was_clean = self.is_clean
        self.failing.discard(family)
        self.successes[family] = self.successes.get(family, 0) + 1
        if self.successes[family] >= needed:
            self.failures.pop(family, None)
        elif family in self.failures:
            # The failures in a row have ended, but the family is not clean before enough successes.
            self.failures[family] = 0
        return self.is_clean and not was_clean

    @property
    def is_clean(self) -> bool:
        """Whether no earlier failure still counts."""
        return not self.failures

    def forget(self) -> None:
        """Forget all failures: the settings changed, and the next advertisements show whether they can be sent."""
        self.failures.clear()
        self.successes.clear()
        self.failing.clear()


@dataclass(slots=True)
class ExternalChanges:
    """The external changes of a host's addresses: their number, and the times of the recent ones.

    After the first few, changes are published again from ``publish_again_at_ns`` on.
    """

    in_all: int = 0
    lately_ns: deque[int] = field(default_factory=deque)
    forgiven_at_ns: int | None = None
    publish_again_at_ns: int = 0

    def change(self, now_ns: int, limit: int) -> bool:
        """Count a change; return True if it is at least the ``limit``-th within the last minute; never for limit 0."""
        self.in_all += 1
        self.lately_ns.append(now_ns)
        while self.lately_ns[0] <= now_ns - EXTERNAL_CHANGES_NS or len(self.lately_ns) > max(limit, _AT_ONCE):
            self.lately_ns.popleft()
        is_too_often = 0 < limit <= len(self.lately_ns)
        if is_too_often or self.forgiven_at_ns is not None:
            self.forgiven_at_ns = now_ns + EXTERNAL_CHANGES_NS
        return is_too_often

    def is_to_be_published(self, now_ns: int) -> bool:
        """Return True if the last change must be published: each of the first few, then one per minute."""
        if len(self.lately_ns) >= _AT_ONCE and now_ns < self.publish_again_at_ns:
            return False
        self.publish_again_at_ns = now_ns + EXTERNAL_CHANGES_NS
        return True

    def is_forgiven(self, now_ns: int) -> bool:
        """Return True, and only once, if no further change came for the time that ends the demotion."""
        if self.forgiven_at_ns is None or now_ns < self.forgiven_at_ns:
            return False
        self.forgiven_at_ns = None
        return True
