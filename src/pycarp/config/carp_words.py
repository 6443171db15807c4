"""Parses ifconfig's words about carp, such as ``vhid 1 pass testpass 192.168.1.50/24``: FreeBSD's and OpenBSD's."""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_address, ip_interface

import msgspec

from pycarp.config.netmask_words import netmask_length, prefix_of_mask, why_no_host_has
from pycarp.config.shell_script import Word
from pycarp.vocabulary import CARP_GROUPS, Address, Family, InterfaceAddress, MacAddress, family_of

Complain = Callable[[Word, str, str], None]
"""Reports a problem: (place, problem, way out)."""

_AFTER_VHID = frozenset({"advbase", "advskew", "pass", "state"})
_ONLY_CARP = frozenset({"vhid", "advbase", "advskew", "pass"})
_BITS = {Family.IPV4: 32, Family.IPV6: 128}
_CARPVER = "2"
FAMILIES = frozenset({"inet", "inet6", "link", "ether"})
_STATES = ("init", "backup", "master")
_FAULTS_MAX = 100
"""The most mistakes of a line that are reported."""

_SPLIT = (
    "rc splits the line at every blank, in quotes as well; choose a pass without blanks on all hosts, "
    "or write this host in TOML"
)
CLONE = re.compile(r"carp\d+")
"""The name of a cloned carp interface of FreeBSD up to 9."""


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """The words that a system's ifconfig knows beside those that all do.

    ``numbers`` have their bounds, ``unsupported`` the reason why not, ``ignored`` how many arguments follow.
    ``unsupported`` words take an argument, ``flags`` none; ``refused`` are flags that cannot be ignored, with the
    reason. ``has_ranges`` says that the system's scripts expand ``192.0.2.10-20/24``, ``splits_quoted`` that they split
    words at blanks in quotes, too.
    """

    numbers: Mapping[str, tuple[int, int]]
    keywords: frozenset[str]
    flags: frozenset[str]
    ignored: Mapping[str, int]
    unsupported: Mapping[str, str]
    refused: Mapping[str, str]
    has_ranges: bool = False
    splits_quoted: bool = False

    @property
    def all(self) -> frozenset[str]:
        """Every word."""
        with_values = (*self.ignored, *self.numbers, *self.unsupported, *self.refused)
        return self.keywords | self.flags | frozenset(with_values)

    @property
    def about_carp(self) -> frozenset[str]:
        """The words that pycarp uses; a mistyped word is compared with these first."""
        return self.keywords | frozenset(self.numbers)


def _switches(words: str) -> frozenset[str]:
    """Return words together with those that undo them: ``arp`` and ``-arp``."""
    return frozenset(sign + word for word in words.split() for sign in ("", "-"))


_COMMON = frozenset({"inet", "inet6", "netmask", "prefixlen", "pass", "state", "down"})
_NOT_HERE = "it is known to the BSDs, but not supported here"
_NO_VRRP = "it belongs to VRRPv3, which is another protocol"
_REMOVES = "a configuration says what there is, not what there is no longer"
_COMMON_FLAGS = _switches("arp staticarp debug promisc link0 link1 link2 wol anycast deprecated tentative autoconf") | {
    "alias", "up", "create", "eui64", "-description", "-descr", "-inet", "-inet6",
}  # fmt: skip
_COMMON_IGNORED = {
    **dict.fromkeys(("broadcast", "description", "descr", "metric", "mtu", "media", "mediaopt", "-mediaopt"), 1),
    **dict.fromkeys(("mode", "instance", "inst", "vltime", "pltime", "vlan", "vlandev", "dest"), 1),
    "tunnel": 2,
}
_COMMON_REFUSED = {"-alias": _REMOVES, "delete": _REMOVES, "destroy": _REMOVES}

FREEBSD_WORDS = Vocabulary(
    numbers={"vhid": (1, 255), "advbase": (1, 255), "advskew": (0, 254)},
    keywords=_COMMON | {"peer", "peer6", "mcast", "mcast6", "carpver"},
    flags=_COMMON_FLAGS
    | {"add", "noautomedia", "SYNCDHCP", "NOSYNCDHCP", "NOAUTO", "WPA"}
    | _switches(
        "no_dad monitor rxcsum txcsum rxcsum6 txcsum6 tso tso4 tso6 lro toe netmap polling mextpg txrtlmt vlanmtu "
        "vlanhwtag vlanhwfilter vlanhwtso vlanhwcsum wol_ucast wol_mcast wol_magic accept_rtadv auto_linklocal "
        "ifdisabled defaultif nud no_radr no_prefer_iface prefer_source ignore_source pcp"
    ),
    ignored=_COMMON_IGNORED
    | dict.fromkeys(
        [
            "fib",
            "tunnelfib",
            "group",
            "-group",
            "name",
            "ether",
            "link",
            "lladdr",
            "vlanpcp",
            "vlanproto",
            "maclabel",
            "mac",
            "vnet",
        ],
        1,
    ),
    unsupported={"vrrpprio": _NO_VRRP, "vrrpinterval": _NO_VRRP, "carpdev": _NOT_HERE},
    refused=_COMMON_REFUSED | {"remove": _REMOVES},
    has_ranges=True,
    splits_quoted=True,
)
"""Source: carp.md 8.1 to 8.3; what does not matter here: ``man 8 ifconfig`` of FreeBSD 14."""

OPENBSD_WORDS = Vocabulary(
    numbers={"vhid": (1, 255), "advbase": (0, 255), "advskew": (0, 255)},
    keywords=_COMMON | {"carpdev", "carppeer", "-carppeer", "carpnodes", "balancing", "lladdr", "group", "-group"},
    flags=_COMMON_FLAGS
    | _switches("mpls autoconfprivacy temporary soii monitor")
    | frozenset(["-rtlabel", "-rdomain", "-priority", "-llprio", "-parent", "-vnetid", "-lladdr"]),
    ignored=_COMMON_IGNORED
    | dict.fromkeys(["rdomain", "priority", "llprio", "rtlabel", "parent", "vnetid", "media"], 1),
    unsupported={"-g": "a group is demoted while it runs"},
    refused=_COMMON_REFUSED | {"-carpdev": _REMOVES, "-pass": _REMOVES},
)
"""Source: carp.md 8.4; what does not matter here: ``man 8 ifconfig`` of OpenBSD."""


@dataclass(slots=True)
class CarpWords:
    """What a specification says; None and empty for what it does not say. An address without a prefix has None for it.

    What is missing from one that ``has_faults`` may be what could not be understood.
    """

    where: Word
    numbers: dict[str, tuple[Word, int]] = field(default_factory=dict)
    passphrase: Word | None = field(default=None, repr=False)
    addresses: list[tuple[Word, Address, int | None]] = field(default_factory=list)
    peers: list[tuple[Word, Address]] = field(default_factory=list)
    multicast_group: IPv4Address | None = None
    carpdev: Word | None = None
    lladdr: MacAddress | None = None
    groups: list[str] = field(default_factory=list)
    left_groups: list[str] = field(default_factory=list)
    spoken_of: set[Family] = field(default_factory=set)
    """The families whose destination, a peer or the group, is named."""
    scopes: list[tuple[Word, str]] = field(default_factory=list)
    """The interfaces that link-local addresses name, as in ``fe80::1%em0``."""
    notes: list[tuple[Word, str]] = field(default_factory=list)
    has_faults: bool = False

    def number(self, name: str, default: int) -> int:
        """Return the value of vhid, advbase or advskew."""
        return self.numbers[name][1] if name in self.numbers else default

    @property
    def interfaces(self) -> tuple[InterfaceAddress, ...]:
        """The addresses with their prefixes; one without a prefix is alone in its subnet (/32 or /128)."""
        return tuple(
            ip_interface((address, _BITS[family_of(address)] if prefix is None else prefix))
            for _word, address, prefix in self.addresses
        )

    def merge(self, other: "CarpWords", complain: Complain) -> None:
        """Add what another line says about the same host; the last number wins, two passwords are a mistake."""
        self.numbers |= other.numbers
        if self.passphrase and other.passphrase and self.passphrase.text != other.passphrase.text:
            complain(other.passphrase, "another pass for the same vhid", "give all addresses of a vhid the same")
        self.passphrase = other.passphrase or self.passphrase
        self.has_faults |= other.has_faults
        self.addresses += other.addresses
        self._take_destinations(other)
        self.scopes += other.scopes
        self.notes += other.notes
        self.carpdev = other.carpdev or self.carpdev
        self.lladdr = other.lladdr or self.lladdr
        self.groups += other.groups
        self.left_groups += other.left_groups

    def _take_destinations(self, other: "CarpWords") -> None:
        """Take the peers or the group of each family from the last line that names any."""
        self.peers = [each for each in self.peers if family_of(each[1]) not in other.spoken_of] + other.peers
        if Family.IPV4 in other.spoken_of:
            self.multicast_group = other.multicast_group
        self.spoken_of |= other.spoken_of


def is_about_carp(words: list[Word]) -> bool:
    """Return whether the words attach something to a vhid, even if vhid itself is misspelt or missing."""
    return any(word.text in _ONLY_CARP or _resembles_vhid(word.text) for word in words)


def own_addresses(words: list[Word]) -> list[InterfaceAddress]:
    """Return the plain addresses of an interface line; its other words are ignored."""
    said = parse(words, Word("", 1, 1), lambda _where, _what, _out: None)
    return [each for each in said.interfaces if isinstance(each, IPv4Interface) or not each.ip.is_link_local]


def specifications(words: list[Word]) -> list[list[Word]]:
    """Return the single specifications of a list, each of which begins with the name of a family.

    Source: ifalias_af_common() in FreeBSD's network.subr, for ``ifconfig_IF_aliases`` and ``ifconfig_IF_aliasN``.
    """
    found: list[list[Word]] = []
    for word in words:
        if word.text in FAMILIES or not found:
            found.append([])
        found[-1].append(word)
    return found


def parse(
    words: list[Word],
    where: Word,
    complain: Complain,
    *,
    vocabulary: Vocabulary = FREEBSD_WORDS,
    vhid_first: bool = False,
) -> CarpWords:
    """Return what the words say and complain about each that cannot be understood.

    ``where`` is for complaints about what is missing; ``vhid_first`` is the order that FreeBSD 10 and newer wants.
    """
    parser = _Parser(words, CarpWords(where), complain, vocabulary, vhid_first=vhid_first)
    parser.parse()
    return parser.said


class _Parser:
    """Consumes the words from the left."""

    def __init__(
        self, words: list[Word], said: CarpWords, complain: Complain, vocabulary: Vocabulary, *, vhid_first: bool
    ) -> None:
        self.said = said
        self._rest = words[::-1]
        """The remaining words, the next one last."""
        self._faults = 0
        self._tell = complain
        self._vocabulary = vocabulary
        self._all = vocabulary.all
        self._vhid_first = vhid_first
        self._family = Family.IPV4
        self._after_pass: Word | None = None
        self._last = 0
        """The number of addresses of the last word: a range has several."""

    def parse(self) -> None:
        """Consume everything."""
        while self._rest and self._faults < _FAULTS_MAX:
            word = self._rest.pop()
            if self._vhid_first and word.text in _AFTER_VHID and self._vhid_follows():
                self._complain(word, f"{word.text} stands before vhid", "write vhid first, as FreeBSD demands")
            self._take(word)

    def _vhid_follows(self) -> bool:
        return "vhid" not in self.said.numbers and any(word.text == "vhid" for word in self._rest)

    def _complain(self, where: Word, text: str, hint: str) -> None:
        self.said.has_faults = True
        self._faults += 1
        self._tell(where, text, hint)

    def _take(self, word: Word) -> None:
        vocabulary = self._vocabulary
        if word.text in vocabulary.flags:
            return
        if word.text in vocabulary.numbers:
            self._take_number(word)
        elif word.text in vocabulary.ignored:
            for _ in range(vocabulary.ignored[word.text]):
                self._argument(word)
        elif word.text in vocabulary.unsupported:
            self._argument(word)
            self._complain(word, f"{word.text}: {vocabulary.unsupported[word.text]}", "remove it")
        elif word.text in vocabulary.refused:
            self._complain(word, f"{word.text}: {vocabulary.refused[word.text]}", "remove it with its address")
        elif word.text in vocabulary.keywords:
            self._take_keyword(word)
        else:
            self._take_address(word)

    def _take_keyword(self, word: Word) -> None:  # noqa: C901  (a line a word)
        match word.text:
            case "inet" | "inet6":
                self._family = Family.IPV6 if word.text == "inet6" else Family.IPV4
            case "pass":
                self._take_pass(word)
            case "netmask":
                self._take_netmask(word)
            case "prefixlen":
                self._take_prefixlen(word)
            case "state":
                self._take_state(word)
            case "down":
                self._complain(word, "down at start is not possible", "use 'pycarp ifconfig NAME down' afterwards")
            case "peer" | "carppeer":
                self._take_peer(word, Family.IPV4)
            case "peer6":
                self._take_peer(word, Family.IPV6)
            case "mcast" | "-carppeer":
                self._forget_peers(Family.IPV4)
            case "mcast6":
                self._forget_peers(Family.IPV6)
            case "carpver":
                self._take_version(word)
            case other:
                self._take_openbsd(word, other)

    def _take_openbsd(self, word: Word, keyword: str) -> None:
        argument = self._argument(word)
        if argument is None:
            return
        match keyword:
            case "carpdev":
                self.said.carpdev = argument
            case "group":
                self.said.groups.append(argument.text)
            case "-group":
                self.said.left_groups.append(argument.text)
            case "lladdr":
                self._take_lladdr(argument)
            case "carpnodes":
                self._take_nodes(argument)
            case _:
                if argument.text != "none":
                    hint = "remove it, and give each vhid addresses of its own"
                    self._complain(word, f"balancing {argument.text} is not supported", hint)

    def _take_pass(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is not None and self._vocabulary.splits_quoted:
            ends = self._end_of_split(argument.text)
            if ends is not None:
                self._complain(argument, "pass has a blank", _SPLIT)
                del self._rest[ends:]
                return
            self._after_pass = self._rest[-1] if self._rest else None
        if argument is not None and argument.text in self._all:
            note = "pass takes the word behind it, which is one of ifconfig's: was the password left out?"
            self.said.notes.append((argument, note))
        self.said.passphrase = argument

    def _end_of_split(self, text: str) -> int | None:
        """Return the index of the word that ends a password with blanks, which begins so; None if it is whole."""
        quote = text[:1]
        if quote not in ("'", '"') or (text.endswith(quote) and len(text) > 1):
            return None
        return next((at for at in reversed(range(len(self._rest))) if self._rest[at].text.endswith(quote)), None)

    def _take_number(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is not None:
            self._store_number(keyword.text, argument, argument.text)

    def _store_number(self, name: str, where: Word, text: str) -> None:
        low, high = self._vocabulary.numbers[name]
        number = number_of(text)
        if number is None:
            # The word is not shown, because it may be a misplaced password.
            self._complain(where, f"{name} needs a number", f"write {name} {low} to {high}")
        elif not low <= number <= high:
            self._complain(where, f"{name} {number} is outside {low}-{high}", "")
        else:
            self.said.numbers[name] = (where, number)

    def _take_nodes(self, argument: Word) -> None:
        """Consume ``VHID:ADVSKEW``; several nodes mean balancing, which would put an address in two places."""
        if "," in argument.text:
            hint = "pycarp does not balance: give each vhid addresses and a carp interface of its own"
            self._complain(argument, "several carpnodes share one address", hint)
            return
        vhid, colon, advskew = argument.text.partition(":")
        if not colon:
            self._complain(argument, "carpnodes needs VHID:ADVSKEW", "write carpnodes 1:100")
            return
        self._store_number("vhid", argument, vhid)
        self._store_number("advskew", argument, advskew)

    def _take_lladdr(self, argument: Word) -> None:
        try:
            self.said.lladdr = MacAddress.parse(argument.text)
        except ValueError:
            self._complain(argument, "this is not a MAC address", "write lladdr 00:00:5e:00:01:01")

    def _take_peer(self, keyword: Word, family: Family) -> None:
        argument = self._argument(keyword)
        if argument is None:
            return
        address = _address(argument.text)
        if address is None or family_of(address) is not family:
            self._complain(argument, f"{keyword.text} needs an IPv{family} address", f"write {keyword.text} ADDRESS")
            return
        self.said.spoken_of.add(family)
        if address == CARP_GROUPS[family]:
            self._forget_peers(family)
        elif isinstance(address, IPv4Address) and address.is_multicast:
            self.said.multicast_group = address
        else:
            self._add_peer(argument, address)

    def _add_peer(self, argument: Word, address: Address) -> None:
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            self.said.scopes.append((argument, address.scope_id))
            address = IPv6Address(int(address))
        if any(family_of(each) is family_of(address) for _word, each in self.said.peers):
            note = "the BSDs keep the last of several peers; pycarp speaks to all of them: leave one if that is meant"
            self.said.notes.append((argument, note))
        self.said.peers.append((argument, address))

    def _forget_peers(self, family: Family) -> None:
        self.said.spoken_of.add(family)
        self.said.peers = [each for each in self.said.peers if family_of(each[1]) is not family]
        if family is Family.IPV4:
            self.said.multicast_group = None

    def _take_version(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is not None and argument.text != _CARPVER:
            self._complain(argument, "carpver other than 2 is not CARP", "write carpver 2, or remove it")

    def _take_state(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is None or argument.text.lower() == "backup":
            return
        if argument.text.lower() not in _STATES:
            self._complain(argument, "state needs init, backup or master", "remove it: every host starts as backup")
            return
        note = "every host starts as backup, whatever state says; use 'pycarp ifconfig NAME state master' afterwards"
        self.said.notes.append((keyword, note))

    def _take_netmask(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is None:
            return
        prefix = prefix_of_mask(argument.text)
        if prefix is None:
            self._complain(argument, "this is not a netmask", "write 255.255.255.0 or 0xffffff00")
        else:
            self._set_prefix(keyword, prefix, Family.IPV4)

    def _take_prefixlen(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is None:
            return
        prefix = number_of(argument.text)
        if prefix is None or not 0 <= prefix <= _BITS[self._family]:
            self._complain(argument, f"prefixlen needs a number of 0-{_BITS[self._family]}", "write prefixlen 64")
        else:
            self._set_prefix(keyword, prefix, self._family)

    def _set_prefix(self, keyword: Word, prefix: int, family: Family) -> None:
        if not self.said.addresses or family_of(self.said.addresses[-1][1]) is not family:
            hint = (
                f"write ADDRESS {keyword.text} LENGTH" if keyword.text == "prefixlen" else "write ADDRESS netmask MASK"
            )
            self._complain(keyword, f"{keyword.text} stands before its address", hint)
            return
        for index in range(len(self.said.addresses) - self._last, len(self.said.addresses)):
            word, address, _none = self.said.addresses[index]
            self.said.addresses[index] = (word, address, prefix)

    def _take_address(self, word: Word) -> None:
        text, slash, length = word.text.partition("/")
        if self._vocabulary.has_ranges and (expanded := _range(word.text)) is not None:
            self._take_range(word, expanded)
            return
        prefix = number_of(length)
        address = _address(text)
        if address is None:
            self._complain_about(word)
            return
        bits = _BITS[family_of(address)]
        if slash and (prefix is None or not 0 <= prefix <= bits):
            example = 24 if bits == 32 else 64
            self._complain(word, f"{address} has no prefix length of 0-{bits}", f"write ADDRESS/{example}")
        else:
            self._add_addresses(word, [(address, prefix)])

    def _take_range(self, word: Word, expanded: "list[tuple[Address, int | None]]") -> None:
        if expanded:
            self._add_addresses(word, expanded)
        else:
            hint = f"write the smaller number first, at most {_RANGE_MAX} addresses: 192.0.2.10-20/24"
            self._complain(word, "this is no range of addresses", hint)

    def _add_addresses(self, word: Word, found: "list[tuple[Address, int | None]]") -> None:
        address = found[0][0]
        if family_of(address) is not self._family:
            family = "inet" if family_of(address) is Family.IPV4 else "inet6"
            self._complain(word, f"{address} needs {family} before it", f"write {family} {word.text}")
        elif (prefix := netmask_length(address)) is not None:
            hint = f"write netmask {address}, or /{prefix} behind the address"
            self._complain(word, f"{address} is a netmask, not an address", hint)
        elif reason := why_no_host_has(address):
            self._complain(word, reason, "write the address that the hosts share")
        else:
            self._last = len(found)
            self.said.addresses += [(word, self._without_scope(word, each), length) for each, length in found]

    def _without_scope(self, word: Word, address: Address) -> Address:
        if isinstance(address, IPv4Address) or address.scope_id is None:
            return address
        if not address.is_link_local:
            hint = "only a link-local address (fe80::) belongs to one interface"
            self._complain(word, f"{address} names an interface", hint)
        self.said.scopes.append((word, address.scope_id))
        return IPv6Address(int(address))

    def _complain_about(self, word: Word) -> None:
        """Complain about an unknown word without showing it; it may be a password, and ``testpass`` resembles pass."""
        if word.text.startswith("#"):
            self._complain(word, "# in quotes begins no comment", "put the comment behind the closing quote")
            self._rest.clear()
            return
        text = word.text.lower()
        close = difflib.get_close_matches(text, self._vocabulary.about_carp, n=1)
        if not close and word is self._after_pass:
            self._complain(word, "unknown word behind pass", f"if it belongs to pass: {_SPLIT}")
            return
        close = close or difflib.get_close_matches(text, self._all, n=1)
        if prefix_of_mask(word.text) is not None:
            # Not even a netmask is shown, because a password may look like one.
            self._complain(word, "this is a netmask, not an address", "write netmask before it")
        elif close:
            self._complain(word, "unknown word", f"did you mean {close[0]}?")
            self._skip_argument_of(close[0])
        else:
            self._complain(word, "unknown word", "expected vhid, advbase, advskew, pass, netmask or an address")

    def _skip_argument_of(self, keyword: str) -> None:
        without = {"inet", "inet6", "down", "mcast", "mcast6", "-carppeer", *self._vocabulary.refused}
        takes_one = keyword not in self._vocabulary.flags | without
        if takes_one and self._rest and self._rest[-1].text not in self._all:
            self._rest.pop()

    def _argument(self, keyword: Word) -> Word | None:
        if self._rest:
            return self._rest.pop()
        self._complain(keyword, f"{keyword.text} has no value", f"write {keyword.text} VALUE")
        return None


def _resembles_vhid(text: str) -> bool:
    return bool(difflib.get_close_matches(text, ["vhid"], cutoff=0.75))


def number_of(text: str) -> int | None:
    """Return a decimal number, None if it is none; more digits than any bound has are cut, Python refuses thousands."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        return None
    magnitude = int(digits.lstrip("0")[:9] or "0")
    return -magnitude if text.startswith("-") else magnitude


def _address(text: str) -> Address | None:
    """Return an address, with its scope if it has one (``%em0``); None if it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


_RANGE_MAX = 2048
"""The most addresses of a range, as in FreeBSD's rc: netif_ipexpand_max."""

_RANGE_IPV4 = re.compile(r"((?:\d+\.){0,3})(\d+)-(\d+)((?:\.\d+){0,3})(?:/(\d+))?", re.ASCII)
_RANGE_IPV6 = re.compile(r"([0-9a-fA-F:]*:)([0-9a-fA-F]{1,4})-([0-9a-fA-F]{1,4})(:[0-9a-fA-F:]*)?(?:/(\d+))?", re.ASCII)


def _range(text: str) -> "list[tuple[Address, int | None]] | None":
    """Return the addresses of ``192.0.2.10-20/24``, none for one that is wrong; None for what is no range.

    Only the first IPv4 address has the prefix, the others are alone in their subnets; IPv6 ones have all the same.
    Source: ifalias_expand_addr_inet() and ifalias_expand_addr_inet6() in FreeBSD's network.subr.
    """
    match = _RANGE_IPV4.fullmatch(text)
    base = 10
    if match is None:
        match, base = _RANGE_IPV6.fullmatch(text), 16
    if match is None:
        return None
    head, low, high, tail, length = match.groups(default="")
    if max(len(low), len(high), len(length)) > 4:
        return []
    numbers = range(int(low, base), int(high, base) + 1)
    if not numbers or len(numbers) > _RANGE_MAX:
        return []
    written = [f"{head}{number if base == 10 else format(number, 'x')}{tail}" for number in numbers]
    addresses = [each for each in map(_address, written) if each is not None]
    bits = 32 if base == 10 else 128
    first = (bits if base == 10 else 64) if not length else int(length)
    if len(addresses) != len(numbers) or first > bits:
        return []
    return [(each, first if base == 16 or at == 0 else bits) for at, each in enumerate(addresses)]
