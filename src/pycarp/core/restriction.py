"""Why hosts must not take over, and how strictly: a ledger of named causes.

A demotion changes what a host claims, and peers of every system follow that. A restriction changes nothing on the wire:
it forbids the host itself to take over, however weak its peers are.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from pycarp.core.demotion import Scope, scopes_of
from pycarp.vocabulary import HostKey

if TYPE_CHECKING:
    # Commands that ask a daemon need the names of this module, and no configuration with its digests.
    from pycarp.core.host_config import HostConfig


class Restriction(StrEnum):
    """What a host must not do, from the mildest to the strictest."""

    NO_PREEMPT = "no-preempt"
    """It does not preempt a weaker MASTER, as if ``preempt`` were off; it takes over when no MASTER is heard."""

    BACKUP_ONLY = "backup-only"
    """It is never MASTER, even if nobody else is; a MASTER leaves."""


Restrictions = tuple[tuple[str, Restriction], ...]
"""Causes, and the restriction of each."""

_BY_STRICTNESS = tuple(Restriction)


def strictest(restrictions: Restrictions) -> Restriction | None:
    """Return the restriction that several causes amount to, None for no cause."""
    return max((each for _cause, each in restrictions), key=_BY_STRICTNESS.index, default=None)


class RestrictionLedger:
    """Restrictions by scope and cause; setting is idempotent, and None removes a cause."""

    def __init__(self, entries: Iterable[tuple[Scope, str, Restriction]] = ()) -> None:
        self._causes: dict[Scope, dict[str, Restriction]] = {}
        for scope, cause, restriction in entries:
            self.set(scope, cause, restriction)

    @property
    def entries(self) -> tuple[tuple[Scope, str, Restriction], ...]:
        """Every cause with its scope and restriction, in the order in which they were set."""
        return tuple((scope, *item) for scope, causes in self._causes.items() for item in causes.items())

    def set(self, scope: Scope, cause: str, restriction: Restriction | None) -> bool:
        """Set the restriction of a cause; return True if it changed."""
        causes = self._causes.get(scope, {})
        if causes.get(cause) is restriction:
            return False
        if restriction is None:
            del causes[cause]
        else:
            self._causes.setdefault(scope, causes)[cause] = restriction
        if not causes:
            del self._causes[scope]
        return True

    def forget(self, key: HostKey) -> None:
        """Remove every cause of a host that has departed."""
        self._causes.pop(key, None)

    def of(self, host: "HostConfig") -> Restrictions:
        """Return the causes that restrict a host: the node's first, then its groups', then its own."""
        return tuple(item for scope in scopes_of(host) for item in self._causes.get(scope, {}).items())
