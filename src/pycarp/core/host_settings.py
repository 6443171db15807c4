"""What may be given for the settings of a virtual host, and all that is wrong with what was given.

Each setting is judged by itself first; what two of them say together is judged if both are right by themselves.
Text, as users write it, is put into the types of the settings before.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from typing import Any

from pycarp import dialects
from pycarp.auth.key import Passphrase
from pycarp.core.checks import check_flag, check_line, check_range, listed
from pycarp.dialects.compatibility import incompatibilities
from pycarp.dialects.dialect import Dialect
from pycarp.dialects.rules import DEAD_RATIO
from pycarp.dialects.universal import UNIVERSAL
from pycarp.durations import parse_duration
from pycarp.errors import ConfigError, SettingProblem, SettingProblems
from pycarp.spelling import meant
from pycarp.vocabulary import Address, Family, HostKey, InterfaceAddress, MacAddress, MacMode, family_of

LINK_NAME_MAX = 15
"""Octets in the name of a network device on Linux and the BSDs."""

CALM_ADVSKEW = 13
"""With advbase 0 the smallest advskew that gives at least 50 ms, which a machine at work keeps."""

_DAY_S = 24 * 3600
_BROADCAST = IPv4Address("255.255.255.255")
_SCOPE = re.compile(r"%[^/]*")
"""``%eth0`` of a link-local address. It is cut off: the interface is known, and peers name theirs differently."""

_ALIKE_LISTS = ("peers", "groups", "peer_dialects")
_ALIKE = (
    *_ALIKE_LISTS,
    *("interface", "advbase", "advskew", "preempt", "dialect", "multicast_group", "broadcasts", "dead_ratio"),
    *("lladdr", "neutral", "ignores_link", "mac_mode", "announce_every_s"),
)
"""The settings that many hosts have in common, which were mostly not given; they are judged once for all of these."""

_NAMES_ELSEWHERE = {"password": "passphrase", "pass": "passphrase", "link": "interface", "ip": "addresses"}
"""What other programs, and pycarp's own files, call some settings."""


def settings_of(given: Mapping[str, Any], unknown: Iterable[str] = (), *, may_be_text: bool = False) -> dict[str, Any]:
    """Return settings in the types that ``HostConfig`` has.

    ``unknown`` are names of settings of which there is none. With ``may_be_text`` each value, each list and each item
    of one may be text. Raises SettingProblems, with all that is wrong.
    """
    reader = _Reader(given, _OF_TEXT if may_be_text else {})
    reader.read()
    if problems := [*unknown_problems(unknown, given), *reader.problems]:
        raise SettingProblems(problems)
    return reader.values


def problems_of(given: Mapping[str, Any]) -> list[SettingProblem]:
    """Return what is wrong with settings of ``HostConfig``, of which any may be missing."""
    reader = _Reader(given, {})
    reader.read()
    return reader.problems


def unknown_problems(unknown: Iterable[str], known: Collection[str]) -> Iterator[SettingProblem]:
    """Yield a problem for each name of a setting that is not among the ``known`` ones, with what was meant."""
    for name in unknown:
        close = meant(name, [*known, *_NAMES_ELSEWHERE])
        hint = f"did you mean {_NAMES_ELSEWHERE.get(close, close)}?" if close else f"there are: {', '.join(known)}"
        yield SettingProblem(name, f"there is no setting {name}", hint)


class _Reader:
    """Puts settings into their final types, and collects problems instead of stopping at the first."""

    def __init__(self, given: Mapping[str, Any], of_text: Mapping[str, Callable[[str], Any]]) -> None:
        self._given = given
        self._of_text = of_text
        self.values: dict[str, Any] = {}
        self.problems: list[SettingProblem] = []

    def read(self) -> None:
        """Fill ``values`` with what is right, and ``problems`` with what is not."""
        self.values.update(self._alike())
        self.read_each()
        values = self.values
        for names, check in _TOGETHER:
            is_asked_for = names[0] not in _IF_ANY or values.get(names[0])
            if is_asked_for and all(name in values for name in names):
                self.problems += check(*[values[name] for name in names])

    def _alike(self) -> Mapping[str, Any]:
        """Return the settings that many hosts have in common, if they are right; none if that cannot be known."""
        given = [self._given.get(name) for name in _ALIKE]
        kinds = [type(each) for each in given]
        if self._of_text or kinds.count(tuple) != len(_ALIKE_LISTS):
            return {}
        try:
            return _parsed_alike(tuple(kinds), tuple(given))
        except TypeError:
            # What cannot be hashed may change.
            return {}

    def read_each(self) -> None:
        """Judge each setting by itself, except those that have been judged."""
        for name, parse in _FIRST.items():
            self._take(name, parse)
        limits = self.values.get("dialect", UNIVERSAL).limits
        for name, parse in _timing(limits.advbase_min, limits.advskew_max):
            self._take(name, parse)
        for name, parse in _ONE.items():
            self._take(name, parse)
        for name, parse in _MANY.items():
            self._take_each(name, parse)

    def _take(self, name: str, parse: Callable[[Any], Any]) -> None:
        if name not in self._given or name in self.values:
            return
        if parsed := self._parsed(name, parse, self._given[name], None):
            self.values[name] = parsed[0]

    def _take_each(self, name: str, parse: Callable[[Any], Any]) -> None:
        if name not in self._given or name in self.values:
            return
        values = self._given[name]
        if self._of_text and isinstance(values, str):
            values = values.replace(",", " ").split()
        listing = self._parsed(name, lambda values: listed(name, values) or (), values, None)
        items = [self._parsed(name, parse, each, index) for index, each in enumerate(listing[0] if listing else ())]
        if listing and all(items):
            self.values[name] = tuple(item[0] for item in items if item)

    def _parsed(self, name: str, parse: Callable[[Any], Any], value: Any, index: int | None) -> tuple[Any] | None:
        """Return the value in its final type, in a tuple; None if it is wrong, which is complained about."""
        try:
            if isinstance(value, str) and name in self._of_text:
                value = self._of_text[name](value.strip())
            return (parse(value),)
        except ConfigError as exc:
            self.problems.append(SettingProblem(name, str(exc), index=index))
        return None


@lru_cache(maxsize=256)
def _parsed_alike(_kinds: tuple[type, ...], given: tuple[Any, ...]) -> Mapping[str, Any]:
    """Return the settings of ``_ALIKE`` in their final types; none if any of them is wrong or missing.

    ``_kinds`` keeps values apart that are equal and not the same, such as 1 and True.
    """
    reader = _Reader(dict(zip(_ALIKE, given, strict=True)), {})
    reader.read_each()
    return {} if reader.problems else reader.values


@cache
def _timing(advbase_min: int, advskew_max: int) -> tuple[tuple[str, Callable[[Any], int]], ...]:
    """Return how advbase and advskew are put into their final types, within the limits of a dialect."""
    return ("advbase", _in_range("advbase", advbase_min, 255)), ("advskew", _in_range("advskew", 0, advskew_max))


def _optional(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else parse(value)


def _in_range(name: str, low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        check_range(name, value, low, high)
        return int(value)

    return parse


def _line(name: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        check_line(name, value)
        return str(value)

    return parse


def _flag(name: str) -> Callable[[Any], bool]:
    def parse(value: Any) -> bool:
        check_flag(name, value)
        return bool(value)

    return parse


def _interface(value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"interface {value!r} is not the name of an interface")
    try:
        octets = value.encode()
    except UnicodeError:
        raise ConfigError(f"interface name {value!r} is not UTF-8") from None
    if not 1 <= len(octets) <= LINK_NAME_MAX or "/" in value or any(each.isspace() for each in value):
        raise ConfigError(f"interface name {value!r} is not 1-{LINK_NAME_MAX} octets without blanks and slashes")
    return value


def _dialect(value: Any) -> Dialect:
    if not isinstance(value, Dialect):
        raise ConfigError(
            f"dialect {value!r} is not a Dialect; pass one of pycarp.dialects, such as UNIVERSAL, "
            "or its name to HostConfig.parse"
        )
    return value


def _passphrase(value: Any) -> Passphrase:
    if isinstance(value, Passphrase):
        return value
    if not isinstance(value, str | bytes):
        kind = type(value).__name__
        raise ConfigError(f"passphrase is a {kind}; pass text, octets or a Passphrase; an empty one is ''")
    try:
        return Passphrase(value)
    except UnicodeError:
        # The error itself would show a part of the passphrase.
        raise ConfigError("passphrase is not UTF-8; pass its octets") from None


def _mac_mode(value: Any) -> MacMode:
    if value not in tuple(MacMode):
        raise ConfigError(f"mac_mode {value!r} is none of {', '.join(MacMode)}")
    return MacMode(value)


def _lladdr(value: Any) -> MacAddress:
    if not isinstance(value, MacAddress):
        raise ConfigError(
            f"lladdr {value!r} is no MacAddress; pass MacAddress.parse(...), or the text to HostConfig.parse"
        )
    return value


def _address(what: str, value: Any) -> Address:
    try:
        return ip_address(_SCOPE.sub("", str(value)))
    except ValueError as exc:
        raise ConfigError(f"{what} {value!r} is not an IP address; names are not looked up") from exc


def _multicast_group(value: Any) -> IPv4Address:
    group = _address("multicast group", value)
    if not isinstance(group, IPv4Address) or not group.is_multicast:
        raise ConfigError(f"multicast group {group} is outside 224.0.0.0-239.255.255.255")
    return group


def _peer(value: Any) -> Address:
    peer = _address("peer", value)
    if peer.is_multicast or peer.is_unspecified or peer == _BROADCAST:
        raise ConfigError(f"peer {peer} is not an address that a host can have")
    return peer


@lru_cache(maxsize=64)
def interface_address(text: str) -> InterfaceAddress:
    """Return an address with its prefix length, without its scope; raises ValueError.

    Kept for a moment, as each address is looked at more than once and takes 10 µs.
    """
    return ip_interface(_SCOPE.sub("", text))


def _shared_address(value: Any) -> InterfaceAddress:
    try:
        address = interface_address(str(value))
    except ValueError as exc:
        way_out = "write it as 192.0.2.10/24 or 2001:db8::10/64"
        raise ConfigError(f"shared address {value!r} is not an IP address with an optional /prefix; {way_out}") from exc
    if why := _why_not_shared(address):
        raise ConfigError(f"shared address {address} {why}")
    return address


def _why_not_shared(address: InterfaceAddress) -> str:
    """Return why hosts cannot share an address, and the way out; empty if they can."""
    ip, network = address.ip, address.network
    if ip.is_multicast or ip.is_unspecified or ip == _BROADCAST:
        return "is not an address that a host can have; share one of the segment's subnet"
    if ip.is_loopback:
        return "is a loopback address, which stays in its machine; share one of the segment's subnet"
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return f"is an IPv4 address written as IPv6; share {ip.ipv4_mapped}"
    if network.prefixlen == 0:
        return "has prefix length 0, so that everybody would be on its link; write the length of the segment's subnet"
    if network.prefixlen >= ip.max_prefixlen - 1:
        return ""
    if ip == network.network_address:
        return f"is the address of the network {network} itself; share one of its hosts, or write /{ip.max_prefixlen}"
    if isinstance(ip, IPv4Address) and ip == network.broadcast_address:
        return f"is the broadcast address of {network}; share one of its hosts, or write /{ip.max_prefixlen}"
    return ""


_FIRST: dict[str, Callable[[Any], Any]] = {
    "interface": _interface,
    "dialect": _dialect,
    "vhid": _in_range("vhid", 1, 255),
}
"""How settings are put into their final types, those that come before advbase and advskew, whose limits differ."""

_ONE: dict[str, Callable[[Any], Any]] = {
    "dead_ratio": _in_range("dead ratio", 1, 255),
    "announce_every_s": _optional(_in_range("announce_every_s", 0, _DAY_S)),
    "passphrase": _passphrase,
    "name": _line("name"),
    **{flag: _flag(flag) for flag in ("preempt", "broadcasts", "neutral", "ignores_link")},
    "mac_mode": _optional(_mac_mode),
    "lladdr": _optional(_lladdr),
    "multicast_group": _optional(_multicast_group),
}
"""The same for those that come after."""

_MANY: dict[str, Callable[[Any], Any]] = {
    "addresses": _shared_address,
    "peers": _peer,
    "groups": _line("group"),
    "peer_dialects": _dialect,
}
"""The same for each item of those that are lists."""


def _check_interval(advbase: int, advskew: int) -> Iterator[SettingProblem]:
    """Refuse an interval of nothing, as which OpenBSD takes 1/256 s: a pair of such hosts never comes to rest."""
    if not advbase and not advskew:
        yield SettingProblem(
            "",
            "advbase 0 with advskew 0 is an interval of 0/256 s, and the shortest is 1/256 s; "
            f"write advskew {CALM_ADVSKEW} or more, or advbase 1",
        )


def _check_addresses(addresses: tuple[InterfaceAddress, ...], dialect: Dialect) -> Iterator[SettingProblem]:
    if not addresses:
        yield SettingProblem("addresses", "a virtual host needs at least one shared address")
    limit = dialect.limits.addresses
    if limit is not None and len(addresses) > limit:
        yield SettingProblem(
            "addresses",
            f"{len(addresses)} shared addresses are too many for dialect {dialect.name}, which signs exactly {limit}",
        )
    for index, address in enumerate(addresses):
        if family_of(address) not in dialect.limits.families:
            text = f"shared address {address} is IPv6; dialect {dialect.name} knows IPv4 only"
            yield SettingProblem("addresses", text, index=index)


def _check_peers_of_dialect(peers: tuple[Address, ...], dialect: Dialect) -> Iterator[SettingProblem]:
    limits = dialect.limits
    for family in Family:
        of_family = [(index, each) for index, each in enumerate(peers) if each.version == family]
        if of_family and family not in limits.peer_families:
            index, peer = of_family[0]
            text = (
                f"peer {peer}: dialect {dialect.name} knows no unicast peers with IPv{family}; "
                "remove it or use another dialect"
            )
            yield SettingProblem("peers", text, index=index)
        elif limits.peers is not None and len(of_family) > limits.peers:
            text = f"{len(of_family)} peers are too many for dialect {dialect.name}, which sends to {limits.peers}"
            yield SettingProblem("peers", text)


def _check_peers(peers: tuple[Address, ...], addresses: tuple[InterfaceAddress, ...]) -> Iterator[SettingProblem]:
    families = {family_of(each) for each in addresses}
    for index, peer in enumerate(peers):
        if peer in [each.ip for each in addresses]:
            text = f"peer {peer} is a shared address; name the peer's own"
            yield SettingProblem("peers", text, index=index)
        elif addresses and family_of(peer) not in families:
            text = (
                f"peer {peer}: no IPv{peer.version} address is shared, so nothing would be sent to it; "
                "advertisements travel in the family of the shared addresses"
            )
            yield SettingProblem("peers", text, index=index)


def _check_group(group: IPv4Address | None, dialect: Dialect) -> Iterator[SettingProblem]:
    if group is not None and not dialect.limits.has_own_group:
        text = f"multicast group {group}: dialect {dialect.name} knows 224.0.0.18 only"
        yield SettingProblem("multicast_group", text)


def _check_key(passphrase: Passphrase, dialect: Dialect) -> Iterator[SettingProblem]:
    if len(passphrase) > dialect.limits.key_octets:
        text = f"key of {len(passphrase)} octets is too long: dialect {dialect.name} takes {dialect.limits.key_octets}"
        yield SettingProblem("passphrase", text)


def _check_dead_ratio(dead_ratio: int, dialect: Dialect) -> Iterator[SettingProblem]:
    if dead_ratio != DEAD_RATIO and not dialect.limits.has_dead_ratio:
        text = f"dead ratio {dead_ratio}: dialect {dialect.name} waits for {DEAD_RATIO} only"
        yield SettingProblem("dead_ratio", text)


def _check_lladdr(lladdr: MacAddress | None, dialect: Dialect) -> Iterator[SettingProblem]:
    if lladdr is not None and not dialect.signs_lladdr:
        yield SettingProblem("lladdr", f"lladdr {lladdr}: dialect {dialect.name} does not sign it; remove it")


def _check_peer_dialects(
    peer_dialects: tuple[Dialect, ...],
    interface: str,
    vhid: int,
    name: str,
    dialect: Dialect,
    addresses: tuple[InterfaceAddress, ...],
    peers: tuple[Address, ...],
    *others: Any,
) -> Iterator[SettingProblem]:
    for theirs in peer_dialects:
        found = [
            *incompatibilities(dialect, theirs, tuple(each.ip for each in addresses)),
            *_setting_conflicts(theirs, *others),
            *_peer_conflicts(theirs, addresses, peers),
        ]
        for conflict in found:
            text = f"{name or HostKey(interface, vhid)} cannot share its addresses with {theirs.name}: {conflict}"
            yield SettingProblem("peer_dialects", text)


def _setting_conflicts(
    theirs: Dialect, passphrase: Passphrase, lladdr: MacAddress | None, group: IPv4Address | None
) -> Iterator[str]:
    """Yield the settings that another dialect does not support, as text. Source: carp.md 3.4, 3.5."""
    if len(passphrase) > theirs.limits.key_octets:
        yield f"its key has at most {theirs.limits.key_octets} octets, and this one {len(passphrase)}"
    if lladdr is not None and not theirs.signs_lladdr:
        yield f"it does not sign the link-layer address {lladdr}"
    if group is not None and not theirs.limits.has_own_group:
        yield f"it knows the group 224.0.0.18 only, not {group}"


def _peer_conflicts(
    theirs: Dialect, addresses: tuple[InterfaceAddress, ...], peers: tuple[Address, ...]
) -> Iterator[str]:
    """Yield the families in which another dialect cannot send to peers, as text. Source: carp.md 7.2."""
    for family in sorted({family_of(each) for each in addresses} & {family_of(each) for each in peers}):
        if family not in theirs.limits.peer_families:
            yield f"it knows no unicast peers with IPv{family}"


_TOGETHER: tuple[tuple[tuple[str, ...], Callable[..., Iterator[SettingProblem]]], ...] = (
    (("advbase", "advskew"), _check_interval),
    (("addresses", "dialect"), _check_addresses),
    (("peers", "dialect"), _check_peers_of_dialect),
    (("peers", "addresses"), _check_peers),
    (("multicast_group", "dialect"), _check_group),
    (("passphrase", "dialect"), _check_key),
    (("dead_ratio", "dialect"), _check_dead_ratio),
    (("lladdr", "dialect"), _check_lladdr),
    (
        (
            *("peer_dialects", "interface", "vhid", "name", "dialect", "addresses", "peers"),
            *("passphrase", "lladdr", "multicast_group"),
        ),
        _check_peer_dialects,
    ),
)
"""What is judged together, and by which check; each gets the values in the order of the names."""

_IF_ANY = frozenset(("peers", "multicast_group", "lladdr", "peer_dialects"))
"""With none of these, () or None, there is nothing to be judged."""


def _number_of(name: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not _NUMBER.fullmatch(text):
            raise ConfigError(f"{name} {text!r} is not a whole number")
        return int(text)

    return parse


def _seconds_of(name: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if _NUMBER.fullmatch(text):
            return int(text)
        seconds = parse_duration(text, name=name)
        if not seconds.is_integer():
            raise ConfigError(f"{name} {text!r} is not a whole number of seconds")
        return int(seconds)

    return parse


def _flag_of(name: str) -> Callable[[str], bool]:
    def parse(text: str) -> bool:
        if text.lower() not in _FLAGS:
            raise ConfigError(f"{name} {text!r} is neither yes nor no; write one of {', '.join(_FLAGS)}")
        return _FLAGS[text.lower()]

    return parse


def _lladdr_of(text: str) -> MacAddress | None:
    try:
        return MacAddress.parse(text) if text else None
    except ValueError:
        raise ConfigError(f"lladdr {text!r} is not a MAC address; write 00:00:5e:00:01:01") from None


_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_FLAGS = {"yes": True, "no": False, "true": True, "false": False, "on": True, "off": False, "1": True, "0": False}

_OF_TEXT: Mapping[str, Callable[[str], Any]] = {
    **{name: _number_of(name) for name in ("vhid", "advskew", "dead_ratio")},
    **{name: _seconds_of(name) for name in ("advbase", "announce_every_s")},
    **{name: _flag_of(name) for name in ("preempt", "broadcasts", "neutral", "ignores_link")},
    "dialect": dialects.by_name,
    "peer_dialects": dialects.by_name,
    "mac_mode": lambda text: text.lower() or None,
    "lladdr": _lladdr_of,
    "multicast_group": lambda text: text or None,
}
"""How text becomes what the constructor takes; the rest is taken as it is."""
