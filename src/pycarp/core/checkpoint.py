"""Everything that an engine knows at one instant, as a value: what a recording that begins in mid-life begins with.

An engine that is made from a checkpoint behaves ever after as the one that made it would: same inputs at same times
with the same entropy, same steps. Each part of the engine says what it knows itself; what follows from that (signers,
lease timings, stale entries of the deadline index) is not in it.

It holds passphrases, as settings do, so it is not to be written anywhere as it is.
"""

from dataclasses import dataclass, field

from pycarp.core.demotion import Scope
from pycarp.core.flood import FloodDetector, PacketFilter
from pycarp.core.host_table import HostEntryCheckpoint
from pycarp.core.settings import Settings
from pycarp.core.statistics import LinkStatistics
from pycarp.vocabulary import HostKey, LinkFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What ``Engine.checkpoint`` returns and ``Engine.from_checkpoint`` takes; nothing in it is shared with an engine.

    ``demotion`` and ``hosts`` are in the order in which they came.
    """

    settings: Settings
    links: tuple[LinkFacts, ...] = ()
    demotion: tuple[tuple[Scope, str, int], ...] = ()
    deadlines: tuple[tuple[HostKey, int], ...] = ()
    statistics: dict[str, LinkStatistics]
    hosts: tuple[HostEntryCheckpoint, ...] = ()
    floods: dict[str, FloodDetector] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    filters: dict[str, PacketFilter] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    slot_ns: int = 0
