"""The state of an engine at one instant, as a value: the first entry of a recording of a running engine.

An engine that is made from a checkpoint returns the same steps as the one that made it, given the same inputs at the
same times and the same entropy. Each part of the engine captures its own state. A checkpoint does not contain what
can be computed from it: signers, lease timings, stale entries of the deadline index.

A checkpoint of hundreds of hosts takes milliseconds. So the engine begins one and captures each host right before it
changes, or with one of the next steps (``PendingCheckpoint``): the event loop never waits for all hosts.

A checkpoint contains passphrases, as settings do. Remove them before writing it anywhere.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from pycarp.core.demotion import Scope
from pycarp.core.flood import FloodDetector, PacketFilter
from pycarp.core.host_table import HostCapture, HostEntryCheckpoint, without_rest
from pycarp.core.restriction import Restriction
from pycarp.core.settings import Settings
from pycarp.core.statistics import LinkStatistics
from pycarp.vocabulary import HostKey, LinkFacts


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What ``Engine.checkpoint`` returns and ``Engine.from_checkpoint`` takes; it shares nothing with an engine.

    ``demotion``, ``restrictions`` and ``hosts`` are in the order in which they were added.
    """

    settings: Settings
    links: tuple[LinkFacts, ...] = ()
    demotion: tuple[tuple[Scope, str, int], ...] = ()
    last_causes: frozenset[tuple[Scope, str]] = frozenset()
    restrictions: tuple[tuple[Scope, str, Restriction], ...] = ()
    deadlines: tuple[tuple[HostKey, int], ...] = ()
    statistics: dict[str, LinkStatistics]
    hosts: tuple[HostEntryCheckpoint, ...] = ()
    floods: dict[str, FloodDetector] = msgspec.field(default_factory=dict)
    reads: dict[str, int] = msgspec.field(default_factory=dict)
    filters: dict[str, PacketFilter] = msgspec.field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    slot_ns: int = 0


class PendingCheckpoint:
    """A checkpoint of the instant at which it was begun; the engine may go on meanwhile."""

    def __init__(self, rest: Checkpoint, hosts: HostCapture) -> None:
        self._rest = rest
        self._hosts = hosts

    def __len__(self) -> int:
        return len(self._hosts)

    def capture_rest(self) -> None:
        """Capture the hosts that are left: from then on another thread may complete the checkpoint."""
        self._hosts.take_rest()

    def complete(self, rest: Callable[[], object] = without_rest) -> Checkpoint:
        """Return the checkpoint; captures the hosts that are left. ``rest`` is called after each host."""
        return replace(self._rest, hosts=self._hosts.hosts(rest))
