"""Finds rules of nftables that drop what virtual hosts need, in what ``nft -j list ruleset`` prints. Pure.

Rules are followed with one packet of each kind, family and direction, and with what is known of it: an advertisement,
and the requests of ARP and neighbour discovery by which clients find the shared addresses. A rule that asks for more,
such as a mark, may match or not: what it might accept is not reported, and what it might drop is not either. Source:
libnftables-json(5).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, NamedTuple

from pycarp.vocabulary import CARP_GROUPS, CARP_PROTOCOL, CARP_TTL, Address, Family, InterfaceAddress, family_of

_ICMPV6 = 58
_PROTOCOLS = {"vrrp": CARP_PROTOCOL, "carp": CARP_PROTOCOL, "ipv6-icmp": _ICMPV6, "icmpv6": _ICMPV6, "icmp": 1}
_PROTOCOLS |= {"ah": 51, "igmp": 2, "tcp": 6, "udp": 17}
_ETHERTYPES = {Family.IPV4: "ip", Family.IPV6: "ip6"}
_MOST_JUMPS = 64

HOOKS_IN = ("ingress", "prerouting", "input")
HOOKS_OUT = ("output", "postrouting", "egress")
HOOKS_THROUGH = ("prerouting", "forward", "postrouting")


class Direction(Enum):
    """Where an advertisement goes."""

    IN = "that arrives"
    OUT = "that leaves"
    THROUGH = "that a bridge here forwards"


class Kind(Enum):
    """What a packet is; the value is its name for people."""

    CARP = "CARP"
    UDP = "CARP in UDP"
    ARP = "ARP"
    DISCOVERY = "neighbour discovery"
    MEMBERSHIP = "MLD"


_ADVERTISING = (Kind.CARP, Kind.UDP)
_OF_ICMPV6 = {
    Kind.DISCOVERY: ("nd-neighbor-solicit", "nd-neighbor-advert"),
    Kind.MEMBERSHIP: ("mld-listener-query", "mld2-listener-report"),
}
"""The types of what arrives and of what leaves."""

_OF_ARP = {"htype": 1, "hlen": 6, "plen": 4, "ptype": "ip"}
"""What ARP of IPv4 on Ethernet always has, and arptables asks for."""


class Followed(NamedTuple):
    """A packet to follow through the rules; ``own`` are the machine's networks on the interface.

    ARP is of IPv4, neighbour discovery and MLD are of IPv6. With ``peers`` advertisements go to these and come from
    them, otherwise to the group. ``port`` is that of CARP in UDP. What arrives is from ``senders``, if these are known.
    """

    interface: str
    family: Family
    direction: Direction
    own: tuple[InterfaceAddress, ...] = ()
    kind: Kind = Kind.CARP
    peers: tuple[Address, ...] = ()
    port: int = 0
    senders: tuple[Address, ...] = ()

    @property
    def ethertype(self) -> str:
        """The name of its Ethernet type in rules, which is that of its family of tables."""
        return "arp" if self.kind is Kind.ARP else _ETHERTYPES[self.family]


class Drop(NamedTuple):
    """The chain whose rule, or policy, drops an advertisement; ``handle`` is None for the policy."""

    family: str
    table: str
    chain: str
    hook: str
    handle: int | None

    @property
    def words(self) -> str:
        """The place, for people."""
        what = "the policy" if self.handle is None else f"rule {self.handle}"
        return f"{what} of chain {self.chain} in table {self.family} {self.table}"

    def mending(self, kind: Kind, port: int = 0) -> str:
        """Return the command that accepts a kind of packets, those of a port if it is UDP, before it."""
        matches = {
            Kind.CARP: f"meta l4proto {CARP_PROTOCOL} ",
            Kind.UDP: f"udp dport {port} ",
            Kind.ARP: "" if self.family == "arp" else "ether type arp ",
            Kind.DISCOVERY: "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ",
            Kind.MEMBERSHIP: "icmpv6 type { mld-listener-query, mld-listener-report, mld2-listener-report } ",
        }
        return f"nft insert rule {self.family} {self.table} {self.chain} {matches[kind]}accept"


class _Verdict(Enum):
    ACCEPT = "accept"
    DROP = "drop"
    MAYBE = "maybe accepted"


class _Outcome(NamedTuple):
    verdict: _Verdict
    handle: int | None = None


@dataclass(slots=True)
class Ruleset:
    """The chains, rules and sets of a listing; what it does not understand is left out. Never raises for any JSON."""

    chains: list[dict[str, Any]] = field(default_factory=list)
    rules: dict[tuple[str, str, str], list[dict[str, Any]]] = field(default_factory=dict)
    sets: dict[tuple[str, str, str], Any] = field(default_factory=dict)

    @classmethod
    def of(cls, listing: object) -> "Ruleset":
        """Return what a listing has."""
        found = cls()
        entries = listing.get("nftables") if isinstance(listing, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            for kind, value in entry.items() if isinstance(entry, dict) else ():
                if isinstance(value, dict):
                    found._add(kind, value)
        return found

    def _add(self, kind: str, value: dict[str, Any]) -> None:
        place = (str(value.get("family")), str(value.get("table")))
        if kind == "chain":
            self.chains.append(value)
        elif kind == "rule":
            self.rules.setdefault((*place, str(value.get("chain"))), []).append(value)
        elif kind in ("set", "map"):
            self.sets[(*place, str(value.get("name")))] = value.get("elem", [])

    def drops(self, packet: Followed) -> Iterator[Drop]:
        """Yield the place in each chain that surely drops a packet."""
        for chain in sorted(self.chains, key=lambda each: _number(each.get("prio"))):
            if not _is_passed(chain, packet):
                continue
            family, table, name = (str(chain.get(key)) for key in ("family", "table", "name"))
            walk = _Walk(self, (family, table), packet, str(chain.get("hook")))
            outcome = walk.follow(name, 0)
            if outcome is None:
                if chain.get("policy") == "drop" and not walk.may_be_accepted:
                    yield Drop(family, table, name, str(chain.get("hook")), None)
            elif outcome.verdict is _Verdict.DROP and not walk.may_be_accepted:
                yield Drop(family, table, name, str(chain.get("hook")), outcome.handle)


class _At(NamedTuple):
    """Where a rule is followed: its handle, after how many jumps, and whether it matches so far; None if unknown."""

    handle: int | None
    depth: int
    matches: bool | None

    def also(self, condition: bool | None) -> "_At":  # noqa: FBT001  three values
        if condition is False or self.matches is False:
            return self._replace(matches=False)
        return self if condition else self._replace(matches=None)


@dataclass(slots=True)
class _Walk:
    ruleset: Ruleset
    place: tuple[str, str]
    packet: Followed
    hook: str
    may_be_accepted: bool = False

    def follow(self, chain: str, depth: int) -> _Outcome | None:
        """Return what the rules of a chain do; None at its end."""
        for rule in self.ruleset.rules.get((*self.place, chain), ()):
            outcome = self._apply(rule, depth)
            if outcome is _RETURN:
                return None
            if outcome is not None:
                return outcome
        return None

    def _apply(self, rule: dict[str, Any], depth: int) -> _Outcome | None:
        handle = rule.get("handle")
        at = _At(handle if isinstance(handle, int) else None, depth, True)
        expression = rule.get("expr")
        for statement in expression if isinstance(expression, list) else ():
            for kind, value in statement.items() if isinstance(statement, dict) else ():
                if kind == "match":
                    at = at.also(self._matches(value))
                elif kind in ("limit", "xt", "quota", "ct count"):
                    at = at.also(None)
                elif (outcome := self._do(kind, value, at)) is not None:
                    return outcome
                if at.matches is False:
                    return None
        return None

    def _do(self, kind: str, value: Any, at: "_At") -> _Outcome | None:
        """Return what a statement comes to, None if the next one follows."""
        if kind == "vmap":
            return self._map(value, at)
        if kind in ("jump", "goto"):
            return self._jump(kind, value, at)
        if kind not in ("accept", "drop", "reject", "return"):
            return None
        if at.matches is None:
            # What ends here only perhaps may also not come to what follows.
            self.may_be_accepted |= kind in ("accept", "return")
            return None
        if kind == "return":
            return _RETURN
        return _Outcome(_Verdict.ACCEPT if kind == "accept" else _Verdict.DROP, at.handle)

    def _jump(self, kind: str, value: Any, at: "_At") -> _Outcome | None:
        target = value.get("target") if isinstance(value, dict) else None
        if not isinstance(target, str) or at.depth >= _MOST_JUMPS:
            return None
        if at.matches is None:
            self.may_be_accepted = True
            return None
        outcome = self.follow(target, at.depth + 1)
        return _RETURN if outcome is None and kind == "goto" else outcome

    def _map(self, value: Any, at: "_At") -> _Outcome | None:
        if not isinstance(value, dict):
            return None
        left = self._left(value.get("key"))
        for key, verdict in _pairs(self._elements(value.get("data"))):
            found = at.also(None if left is None else _is_in(left, key))
            for kind, argument in verdict.items() if found.matches is not False and isinstance(verdict, dict) else ():
                if (outcome := self._do(kind, argument, found)) is not None:
                    return outcome
        return None

    def _matches(self, match: Any) -> bool | None:
        if not isinstance(match, dict) or match.get("op") not in ("==", "!=", "in"):
            return None
        left = self._left(match.get("left"))
        if left is None:
            return None
        found = [_is_in(left, each) for each in self._elements(match.get("right"))]
        is_in = True if True in found else None if None in found else False
        return is_in if is_in is None or match.get("op") != "!=" else not is_in

    def _elements(self, right: Any) -> list[Any]:
        if isinstance(right, str) and right.startswith("@"):
            right = self.ruleset.sets.get((*self.place, right[1:]), [])
        if isinstance(right, dict) and "set" in right:
            right = right["set"]
        elements = right if isinstance(right, list) else [right]
        return [each["elem"].get("val") if _is_element(each) else each for each in elements]

    def _left(self, left: Any) -> Any:
        """Return what the packet has in the place that a rule looks at; None if that is not known."""
        if not isinstance(left, dict):
            return None
        if isinstance(left.get("meta"), dict):
            return self._meta(left["meta"].get("key"))
        if isinstance(left.get("payload"), dict):
            return self._payload(left["payload"].get("protocol"), left["payload"].get("field"))
        if isinstance(left.get("ct"), dict) and left["ct"].get("key") == "state":
            # The kernel tracks no neighbour discovery.
            return "new" if self.packet.kind in _ADVERTISING else "untracked"
        if isinstance(left.get("fib"), dict) and left["fib"].get("result") == "type":
            flags = left["fib"].get("flags")
            is_known = isinstance(flags, list) and "daddr" in flags and self._is_to_group
            return "multicast" if is_known else None
        return None

    def _meta(self, key: Any) -> Any:
        packet = self.packet
        arrives = self.hook in HOOKS_IN and packet.direction is Direction.IN
        leaves = self.hook in HOOKS_OUT and packet.direction is Direction.OUT
        values = {
            "l4proto": self._protocol,
            "nfproto": _NOTHING if packet.kind is Kind.ARP else f"ipv{packet.family.value}",
            "protocol": packet.ethertype,
            "pkttype": "multicast" if self._is_to_group else None,
            "iifname": packet.interface if arrives else None,
            "iif": packet.interface if arrives else None,
            "oifname": packet.interface if leaves else None,
            "oif": packet.interface if leaves else None,
        }
        return values.get(str(key))

    @property
    def _protocol(self) -> Any:
        numbers = {Kind.CARP: CARP_PROTOCOL, Kind.UDP: _PROTOCOLS["udp"], Kind.ARP: _NOTHING}
        return numbers.get(self.packet.kind, _ICMPV6)

    @property
    def _is_to_group(self) -> bool:
        return self.packet.kind is Kind.CARP and not self.packet.peers

    def _payload(self, protocol: Any, name: Any) -> Any:
        packet = self.packet
        is_answer = packet.direction is Direction.OUT
        if protocol == "ether":
            return packet.ethertype if name == "type" else None
        if (protocol, packet.kind) == ("arp", Kind.ARP):
            return _OF_ARP.get(str(name), ("reply" if is_answer else "request") if name == "operation" else None)
        if protocol == "icmpv6" and packet.kind in _OF_ICMPV6:
            return _OF_ICMPV6[packet.kind][is_answer] if name == "type" else None
        if packet.kind is Kind.UDP and protocol in ("udp", "th"):
            return packet.port if name in ("dport", "sport") else None
        if protocol != packet.ethertype:
            return _NOTHING  # a rule about TCP, the other family, and so on, does not match
        values = {
            "protocol": self._protocol,
            "nexthdr": self._protocol,
            "ttl": CARP_TTL if packet.kind is Kind.CARP else None,
            "hoplimit": CARP_TTL if packet.kind is Kind.CARP else None,
            "daddr": self._destination,
            "saddr": self._source,
        }
        return values.get(str(name))

    @property
    def _destination(self) -> Any:
        packet = self.packet
        if self._is_to_group:
            return CARP_GROUPS[packet.family]
        if not packet.peers:
            return None
        return self._own if packet.direction is Direction.IN else _networks_of(packet.peers)

    @property
    def _source(self) -> Any:
        packet = self.packet
        if (packet.senders or packet.peers) and packet.direction is Direction.IN:
            return _networks_of(packet.senders or packet.peers)
        return self._own

    @property
    def _own(self) -> "_Own":
        return _Own(tuple(each for each in self.packet.own if family_of(each) is self.packet.family))


def _networks_of(peers: tuple[Address, ...]) -> "_Own":
    """Return addresses as networks of one address each: a rule about them all, or about none, is understood."""
    return _Own(tuple(ip_interface(each) for each in peers))


class _Own(NamedTuple):
    """A source address somewhere in these networks."""

    networks: tuple[InterfaceAddress, ...]


_NOTHING = object()
_RETURN = _Outcome(_Verdict.MAYBE)


def _is_passed(chain: Mapping[str, Any], packet: Followed) -> bool:
    """Return whether a packet passes a chain: it is of a hook on its way."""
    hook, family = chain.get("hook"), chain.get("family")
    ours = {Direction.IN: HOOKS_IN, Direction.OUT: HOOKS_OUT, Direction.THROUGH: HOOKS_THROUGH}
    if hook not in ours[packet.direction]:
        return False
    if (family == "bridge") is not (packet.direction is Direction.THROUGH):
        return False
    if hook in ("ingress", "egress"):
        # nft 1.0 does not print the device, so without one it may be this one.
        devices = chain.get("dev", packet.interface)
        return packet.interface in (devices if isinstance(devices, list) else [devices])
    return family in ("bridge", packet.ethertype) or (family == "inet" and packet.kind is not Kind.ARP)


def _is_in(left: Any, right: Any) -> bool | None:
    """Return whether a value is one that a rule names, None if that is not known."""
    if left is _NOTHING:
        return False
    if isinstance(left, _Own):
        return _is_from(left, right)
    if isinstance(right, dict):
        return _is_within(left, right)
    if isinstance(right, str) and right.endswith("*"):
        return str(left).startswith(right[:-1])
    if isinstance(left, int):
        return left == (_PROTOCOLS.get(right) if isinstance(right, str) else right)
    return str(left) == str(right)


def _is_from(left: _Own, right: Any) -> bool | None:
    """Return whether all, or none, of the possible source addresses are meant; None for some of them."""
    try:
        if isinstance(right, dict) and "prefix" in right:
            wanted = ip_network(f"{right['prefix']['addr']}/{right['prefix']['len']}")
        elif isinstance(right, str):
            wanted = ip_network(right)
        else:
            return None
    except (ValueError, KeyError, TypeError):
        return None
    inside = [_covers(wanted, each) for each in left.networks]
    if not inside or None in inside or len(set(inside)) > 1:
        return None
    return inside[0]


def _covers(wanted: Any, own: InterfaceAddress) -> bool | None:
    if wanted.version != own.version:
        return False
    if own.network.subnet_of(wanted):
        return True
    return None if own.network.overlaps(wanted) else False


def _is_within(left: Any, right: dict[str, Any]) -> bool | None:
    try:
        if "prefix" in right:
            return ip_address(str(left)) in ip_network(f"{right['prefix']['addr']}/{right['prefix']['len']}")
        if "range" in right:
            first, last = right["range"]
            if isinstance(left, int):
                return bool(first <= left <= last)
            return bool(ip_address(first) <= ip_address(str(left)) <= ip_address(last))  # type: ignore[operator]
    except (ValueError, KeyError, TypeError):
        return None
    return None


def _is_element(each: Any) -> bool:
    return isinstance(each, dict) and isinstance(each.get("elem"), dict)


def _pairs(elements: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    for each in elements:
        if isinstance(each, list) and len(each) == 2:
            key, verdict = each
            yield (key["elem"].get("val") if _is_element(key) else key), verdict


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
