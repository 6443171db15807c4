"""A simulated kernel: only the shared addresses that it has, with their lifetimes."""

from collections.abc import Callable

from pycarp.vocabulary import NS_PER_S, HostKey

Later = Callable[[int, Callable[[], None]], None]

_ROUNDS_NS = NS_PER_S // 4
"""How much longer than asked for a lifetime may last. Source: ``core/lease_timings.py``."""


class Kernel:
    """The addresses of a machine.

    ``later`` plans an action after a span. ``changed`` is called for every change, with True if the process of the
    machine did not ask for it: a lifetime ended, or another program removed the addresses.
    """

    def __init__(self, *, later: Later, changed: Callable[[HostKey, bool], None]) -> None:
        self._later = later
        self._changed = changed
        self._turns: dict[HostKey, int] = {}
        self._turn = 0

    @property
    def held(self) -> tuple[HostKey, ...]:
        """The hosts whose addresses the kernel has."""
        return tuple(self._turns)

    def holds(self, key: HostKey) -> bool:
        """Return whether the kernel has the addresses of a host."""
        return key in self._turns

    def hold(self, key: HostKey, lifetime_s: int | None) -> None:
        """Add the addresses of a host, or renew their lifetime; None is for ever."""
        is_new = key not in self._turns
        self._turn += 1
        self._turns[key] = self._turn
        if lifetime_s is not None:
            turn = self._turn
            self._later(lifetime_s * NS_PER_S + _ROUNDS_NS, lambda: self._expire(key, turn))
        if is_new:
            self._changed(key, False)

    def renew(self, key: HostKey, lifetime_s: int) -> None:
        """Renew the lifetime of the addresses of a host; no-op if they are absent."""
        if key in self._turns:
            self.hold(key, lifetime_s)

    def drop(self, key: HostKey, *, by_itself: bool = False) -> None:
        """Remove the addresses of a host; no-op if they are absent."""
        if self._turns.pop(key, None) is not None:
            self._changed(key, by_itself)

    def _expire(self, key: HostKey, turn: int) -> None:
        if self._turns.get(key) == turn:
            self.drop(key, by_itself=True)
