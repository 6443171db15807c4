"""The short way for repeated advertisements, which are nearly all that a BACKUP hears.

When the followed MASTER repeats its claim, the host is calm: it remembers the first six octets of the advertisement
(the whole claim), its source and its destination. If the next advertisement has the same octets and addresses, one of
the next counters and a right digest, it only postpones a deadline. The full processing would have the same result. Any
other input ends the calm, until another advertisement has been processed in full. Checkpoints do not contain it.

The packets of a calm host need not be read at once. A transport whose kernel can queue them separately reads them every
two seconds at least, and reports how long each has waited (``Datagram.waited_ns``). ``SettledHosts`` names these
packets.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pycarp.core.host.context import Context
from pycarp.core.host.decision import Peer
from pycarp.core.host.states import Backup
from pycarp.core.statistics import LinkStatistics, Statistic
from pycarp.vocabulary import NS_PER_S, Address, Family, HostKey

HEAD_LENGTH = 6
"""Octets of an advertisement before the checksum: version, type, vhid, advskew, authlen, demote and advbase."""

PATIENT_NS = 2 * NS_PER_S
"""The shortest master-down time of a host whose advertisements the kernel may queue."""

Heads = Mapping[int, bytes]
"""By vhid, the first octets of the advertisements that the kernel may queue."""

Place = tuple[str, Family]
"""A family on a link."""


@dataclass(slots=True)
class Calm:
    """The expected next advertisement of ``peer``; ``down_ns`` is how long the host then waits for another one.

    ``state`` is that of the host: it has this one for as long as it is calm. ``statistics`` are those of its link, and
    ``received`` the counter there.
    """

    ctx: Context
    key: HostKey
    head: bytes
    source: Address
    destination: Address
    peer: Peer
    down_ns: int
    state: Backup
    statistics: LinkStatistics
    received: Statistic


class SettledHosts:
    """The first octets of advertisements that the kernel may queue, by link and family, and which of them changed."""

    def __init__(self) -> None:
        self._heads: dict[Place, dict[int, bytes]] = {}
        self._changed: set[Place] = set()

    @property
    def has_changed(self) -> bool:
        """Whether ``changes`` would return anything."""
        return bool(self._changed)

    def settle(self, place: Place, vhid: int, head: bytes) -> None:
        """Add the head of a host that became calm."""
        heads = self._heads.setdefault(place, {})
        if heads.get(vhid) != head:
            heads[vhid] = head
            self._changed.add(place)

    def unsettle(self, place: Place, vhid: int) -> None:
        """Remove the head of a host that is no longer calm; no-op if it is absent."""
        if self._heads.get(place, {}).pop(vhid, None) is not None:
            self._changed.add(place)

    def changes(self) -> dict[Place, Heads]:
        """Return the heads of every place where they changed since the last call."""
        changed, self._changed = self._changed, set()
        return {place: dict(self._heads.get(place, {})) for place in changed}
