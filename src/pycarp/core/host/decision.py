"""What a host decides about each advertisement, and the table of the peers that it heard.

Every authentic advertisement ends in a ``Decision``, even if the host does nothing. The table keeps the last decision
for each source and family, to answer "why did it not take over?".
"""

from dataclasses import dataclass, field
from enum import StrEnum

from pycarp.dialects.dialect import Claim
from pycarp.vocabulary import NS_PER_S, Address, Family

PEERS_MAX = 16
"""Sources that a host remembers in all families. The source is not signed, and forged ones must not fill the memory."""

SHOWN_BY_TRANSITIONS = frozenset({"TAKES_OVER", "YIELDS", "TIE_LOST", "YIELDS_UNHEARD", "YIELDS_ABSENT"})
"""Decisions that are not published, because the reason of a transition says the same."""

PUBLISH_AGAIN_NS = NS_PER_S
"""The shortest time between two published decisions about a peer."""

PeerKey = tuple[Address, Family]


class Decision(StrEnum):
    """What a host decides about an advertisement; the value is the text in logs and commands."""

    # In BACKUP
    FOLLOWS_MASTER = "follows the master"
    NOT_PREEMPTING = "is faster than the master, but does not preempt"
    LEFT_TO_BETTER = "leaves the slower master to a better one"
    MAY_BE_OLD = "may be old, because this process stood still; waits before it takes over"
    STALE_BOW_OUT = "the bow-out may be old, because this process stood still; waits for the next master"
    NO_VACANCY = "another master was heard besides the one that bows out"
    LEFT_TO_OTHERS = "cannot serve the addresses, so that the others go first"
    HANDED_OVER = "handed the addresses over, and does not take them back"
    BACKUP_ONLY = "is restricted to backup"
    TAKES_OVER = "takes over"

    # In MASTER
    YIELDS = "yields to the faster master"
    STAYS_MASTER = "stays master against the slower one"
    TIE_WON = "equal claim; stays master"
    TIE_LOST = "equal claim; yields"
    TIE_OPEN = "equal claim during the takeover; waits for the answer of the other"
    YIELDS_UNHEARD = "yields because its own advertisements cannot be sent"
    YIELDS_ABSENT = "yields because it stood still while the other took over"

    # In both
    SENDER_LEFT = "the sender has dropped the addresses"


@dataclass(slots=True, kw_only=True)
class Peer:
    """The last advertisement of one source in one family, and what was decided about it.

    ``at_ns`` is when it was received. A peer that ``has_left`` has sent a bow-out or a farewell: it is not MASTER. A
    decision other than ``published`` is published from ``publish_again_at_ns`` on.
    """

    source: Address
    family: Family
    claim: Claim
    counter: int
    at_ns: int
    decision: Decision = Decision.FOLLOWS_MASTER
    has_left: bool = False
    published: Decision = field(default=Decision.FOLLOWS_MASTER, repr=False, compare=False)
    publish_again_at_ns: int = field(default=0, repr=False, compare=False)


def last_heard(peers: dict[PeerKey, Peer], family: Family | None = None) -> Peer | None:
    """Return the peer heard last, in one family or in any; None if there is none."""
    known = [peer for peer in peers.values() if family in (None, peer.family)]
    return max(reversed(known), key=lambda peer: peer.at_ns, default=None)


def name_of(peers: dict[PeerKey, Peer], peer: Peer) -> Address:
    """Return the address that names the host of an advertisement: always the same one, IPv4 if it has one.

    A host with addresses of both families advertises the same claim in each; nothing else identifies it.
    """
    if peer.family is Family.IPV4:
        return peer.source
    claimed = (peer.claim, peer.has_left)
    twins = [each for each in peers.values() if each.family is Family.IPV4 and (each.claim, each.has_left) == claimed]
    return twins[0].source if len(twins) == 1 else peer.source


def remember(peers: dict[PeerKey, Peer], peer: Peer) -> None:
    """Add a peer; a full table drops the peer that has been silent longest."""
    if len(peers) >= PEERS_MAX:
        del peers[min(peers, key=lambda key: peers[key].at_ns)]
    peers[peer.source, peer.family] = peer


def live_masters(peers: dict[PeerKey, Peer], now_ns: int, within_ns: int) -> list[Peer]:
    """Return the peers that advertised within the last ``within_ns`` and have not left: each may hold the addresses."""
    return [peer for peer in peers.values() if not peer.has_left and now_ns - peer.at_ns < within_ns]
