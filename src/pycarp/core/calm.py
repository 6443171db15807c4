"""Advertisements that say nothing new: nearly every one that a BACKUP hears.

When an advertisement was just another one of the MASTER that is followed, the host remembers how it looked: its first
six octets (all that is claimed), its source and its destination. The next one that looks alike, bears one of the next
numbers and is signed puts a deadline off, and that is all that the long way would make of it. Whatever else happens to
the host ends the calm, until an advertisement went the long way again. Checkpoints know nothing of it.

What is calm may also wait: a transport that can have the kernel set such packets aside reads them a few times a
second, and says how long each has waited (``Datagram.waited_ns``). So the engine tells which they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pycarp.core.host.decision import Peer
from pycarp.vocabulary import NS_PER_S, Address, Family

HEAD_LENGTH = 6
"""Octets of an advertisement before the checksum: version, type, vhid, advskew, authlen, demote and advbase."""

PATIENT_NS = NS_PER_S
"""Only of who waits this long at least may advertisements be set aside."""

Heads = Mapping[int, bytes]
"""By vhid, the first octets of advertisements that may be set aside."""

Place = tuple[str, Family]
"""A family on a link."""


@dataclass(slots=True)
class Calm:
    """How the next advertisement of ``peer`` looks, and how long the host then waits for another one."""

    head: bytes
    source: Address
    destination: Address
    peer: Peer
    down_ns: int


class SettledHosts:
    """The heads of what may be set aside, by link and family, and where they have changed since somebody asked."""

    def __init__(self) -> None:
        self._heads: dict[Place, dict[int, bytes]] = {}
        self._changed: set[Place] = set()

    @property
    def has_changed(self) -> bool:
        """Whether ``changes`` has anything to tell."""
        return bool(self._changed)

    def settle(self, place: Place, vhid: int, head: bytes) -> None:
        """Learn that a host is calm."""
        heads = self._heads.setdefault(place, {})
        if heads.get(vhid) != head:
            heads[vhid] = head
            self._changed.add(place)

    def unsettle(self, place: Place, vhid: int) -> None:
        """Learn that it is not."""
        if self._heads.get(place, {}).pop(vhid, None) is not None:
            self._changed.add(place)

    def changes(self) -> dict[Place, Heads]:
        """Return the heads of every place where they have changed; once."""
        changed, self._changed = self._changed, set()
        return {place: dict(self._heads.get(place, {})) for place in changed}
