"""Why hosts are demoted, and by how much: a ledger of named causes, never a bare counter."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from pycarp.vocabulary import HostKey

if TYPE_CHECKING:
    # Commands that ask a daemon need the names of this module, and no configuration with its digests.
    from pycarp.core.host_config import HostConfig

Scope: TypeAlias = HostKey | str | None
"""The hosts that a cause demotes: one host, the hosts of an interface group by its name, or the whole node (None)."""


class DemotionLedger:
    """Amounts by scope and cause; setting is idempotent, and 0 removes a cause.

    Amounts may be negative, as with FreeBSD's additive ``net.inet.carp.demotion``.
    """

    def __init__(self, entries: Iterable[tuple[Scope, str, int]] = (), last: Iterable[tuple[Scope, str]] = ()) -> None:
        self._amounts: dict[Scope, dict[str, int]] = {}
        self._last: set[tuple[Scope, str]] = set()
        makes_last = frozenset(last)
        for scope, cause, amount in entries:
            self.set(scope, cause, amount, is_last=(scope, cause) in makes_last)

    @property
    def entries(self) -> tuple[tuple[Scope, str, int], ...]:
        """Every cause with its scope and amount, in the order in which they were set."""
        return tuple((scope, *item) for scope, causes in self._amounts.items() for item in causes.items())

    @property
    def last(self) -> frozenset[tuple[Scope, str]]:
        """The scopes and causes that make their hosts the last of all."""
        return frozenset(self._last)

    def set(self, scope: Scope, cause: str, amount: int, *, is_last: bool = False) -> bool:
        """Set the amount of a cause, and whether it makes its hosts the last; return True if either changed."""
        was_last, is_last = (scope, cause) in self._last, is_last and amount != 0
        (self._last.add if is_last else self._last.discard)((scope, cause))
        causes = self._amounts.setdefault(scope, {})
        before = causes.pop(cause, 0)
        if amount:
            causes[cause] = amount
        if not causes:
            del self._amounts[scope]
        return before != amount or was_last != is_last

    def forget(self, key: HostKey) -> None:
        """Remove every cause of a host that has departed."""
        self._amounts.pop(key, None)
        self._last = {each for each in self._last if each[0] != key}

    def makes_last(self, host: "HostConfig") -> bool:
        """Return True if any cause makes a host the last of all."""
        return any(scope in scopes_of(host) for scope, _cause in self._last)

    def last_causes(self, host: "HostConfig") -> frozenset[str]:
        """Return the causes that make a host the last of all."""
        scopes = tuple(scopes_of(host))
        return frozenset(cause for scope, cause in self._last if scope in scopes)

    def causes(self, host: "HostConfig") -> tuple[tuple[str, int], ...]:
        """Return the causes that demote a host: the node's first, then its groups', then its own."""
        return tuple(item for scope in scopes_of(host) for item in self._of(scope).items())

    def total(self, host: "HostConfig") -> int:
        """Return the sum of all causes that demote a host."""
        return sum(self._total_of(scope) for scope in scopes_of(host))

    def node_total(self) -> int:
        """Return the sum of the causes that demote the whole node: what the sysctl shows."""
        return self._total_of(None)

    def group_totals(self) -> dict[str, int]:
        """Return the sum of the causes of each interface group that has any."""
        return {scope: self._total_of(scope) for scope in self._amounts if isinstance(scope, str)}

    def amount(self, scope: Scope, cause: str) -> int:
        """Return the amount of one cause, 0 if it is absent."""
        return self._of(scope).get(cause, 0)

    def _total_of(self, scope: Scope) -> int:
        return sum(self._of(scope).values())

    def _of(self, scope: Scope) -> Mapping[str, int]:
        return self._amounts.get(scope, {})


def bears_on(scope: Scope, host: "HostConfig") -> bool:
    """Return True if the causes of a scope demote a host."""
    return scope in scopes_of(host)


def scopes_of(host: "HostConfig") -> Iterable[Scope]:
    """Return the scopes of the causes that concern a host: the node, its groups, itself."""
    return (None, *host.groups, host.key)
