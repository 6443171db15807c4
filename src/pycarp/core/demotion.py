"""Why a node or a host is demoted, and by how much: a ledger of named causes, never a bare counter."""

from collections.abc import Mapping

from pycarp.vocabulary import HostKey


class DemotionLedger:
    """Amounts by scope and cause; setting is idempotent, and 0 takes a cause back.

    Amounts may be negative, as with FreeBSD's additive ``net.inet.carp.demotion``.
    """

    def __init__(self) -> None:
        self._amounts: dict[HostKey | None, dict[str, int]] = {}

    def set(self, key: HostKey | None, cause: str, amount: int) -> bool:
        """Set the amount of a cause; say whether that changed anything."""
        causes = self._amounts.setdefault(key, {})
        before = causes.pop(cause, 0)
        if amount:
            causes[cause] = amount
        if not causes:
            del self._amounts[key]
        return before != amount

    def forget(self, key: HostKey) -> None:
        """Drop every cause of a host that is gone."""
        self._amounts.pop(key, None)

    def causes(self, key: HostKey) -> tuple[tuple[str, int], ...]:
        """Return the causes that bear on a host, the node's first."""
        return (*self._of(None).items(), *self._of(key).items())

    def total(self, key: HostKey) -> int:
        """Return the sum of all causes that bear on a host."""
        return sum(self._of(None).values()) + sum(self._of(key).values())

    def node_total(self) -> int:
        """Return the sum of the causes that bear on every host: what the sysctl shows."""
        return sum(self._of(None).values())

    def _of(self, key: HostKey | None) -> Mapping[str, int]:
        return self._amounts.get(key, {})
