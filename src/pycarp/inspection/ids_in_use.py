"""Notices a vhid and a VRID that are equal: both protocols share the virtual MAC addresses, and the groups."""

from collections import OrderedDict

from pycarp.inspection.explanation import Explanation, Finding, Protocol, Remark
from pycarp.vocabulary import Address
from pycarp.wire import ethernet

_MOST_IDS = 4096
_OTHER = {Protocol.CARP: Protocol.VRRP, Protocol.VRRP: Protocol.CARP}


class IdsInUse:
    """Who used an id last, by VLAN and protocol; the 4096 latest."""

    def __init__(self) -> None:
        self._users: OrderedDict[tuple[tuple[int, ...], Protocol, int], Address] = OrderedDict()

    def collision(self, explanation: Explanation) -> Finding | None:
        """Store the id of a packet, and return the finding if the other protocol uses it; None for no advertisement."""
        claim, source = explanation.claim, explanation.source
        if claim is None or source is None or not explanation.is_believed:
            return None
        key = (explanation.vlans, claim.protocol, claim.id)
        self._users[key] = source
        self._users.move_to_end(key)
        if len(self._users) > _MOST_IDS:
            self._users.popitem(last=False)
        other = self._users.get((explanation.vlans, _OTHER[claim.protocol], claim.id))
        if other is None:
            return None
        name = "VRRP router" if claim.protocol is Protocol.CARP else "CARP host"
        words = (
            f"the {name} {other} uses {claim.id} as well: both have the MAC address {ethernet.virtual_mac(claim.id)}, "
            "and switches send the frames of one to the other"
        )
        return Finding(Remark.COLLISION, words)
