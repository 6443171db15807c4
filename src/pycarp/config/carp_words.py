"""The words of ifconfig about carp: ``vhid 1 advskew 100 pass testpass 192.168.1.50/24``; FreeBSD's and OpenBSD's."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_address, ip_interface

from pycarp.config.shell import Word
from pycarp.vocabulary import CARP_GROUPS, Address, Family, Interface, MacAddress, family_of

Complain = Callable[[Word, str, str], None]
"""(where, what is wrong, the way out)"""

_AFTER_VHID = frozenset({"advbase", "advskew", "pass", "state"})
_ONLY_CARP = frozenset({"vhid", "advbase", "advskew", "pass"})
_BITS = {Family.IPV4: 32, Family.IPV6: 128}
_CARPVER = "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The words that a system's ifconfig knows beside those that all do.

    ``numbers`` have their bounds, ``unsupported`` the reason why not. ``ignored`` and ``unsupported`` words take an
    argument, ``flags`` none.
    """

    numbers: Mapping[str, tuple[int, int]]
    keywords: frozenset[str]
    flags: frozenset[str]
    ignored: frozenset[str]
    unsupported: Mapping[str, str]

    @property
    def all(self) -> frozenset[str]:
        """Every word."""
        return self.keywords | self.flags | self.ignored | frozenset(self.numbers) | frozenset(self.unsupported)


_COMMON = frozenset({"inet", "inet6", "netmask", "prefixlen", "pass", "state", "down"})
_NOT_HERE = "it is known to the BSDs, but not supported here"
_NO_VRRP = "it belongs to VRRPv3, which is another protocol"
_COMMON_IGNORED = frozenset({"broadcast", "description", "descr", "metric", "mtu"})

FREEBSD_WORDS = Vocabulary(
    numbers={"vhid": (1, 255), "advbase": (1, 255), "advskew": (0, 254)},
    keywords=_COMMON | {"peer", "peer6", "mcast", "mcast6", "carpver"},
    flags=frozenset({"alias", "add", "up", "no_dad"}),
    ignored=_COMMON_IGNORED | {"fib"},
    unsupported={"vrrpprio": _NO_VRRP, "vrrpinterval": _NO_VRRP, "carpdev": _NOT_HERE},
)
"""Source: carp.md 8.1 to 8.3."""

OPENBSD_WORDS = Vocabulary(
    numbers={"vhid": (1, 255), "advbase": (0, 255), "advskew": (0, 255)},
    keywords=_COMMON | {"carpdev", "carppeer", "-carppeer", "carpnodes", "balancing", "lladdr", "group", "-group"},
    flags=frozenset({"alias", "up"}),
    ignored=_COMMON_IGNORED | {"rdomain", "priority", "llprio", "rtlabel", "vltime", "pltime"},
    unsupported={"-g": "a group is demoted while it runs"},
)
"""Source: carp.md 8.4."""


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
    has_faults: bool = False

    def number(self, name: str, default: int) -> int:
        """Return the value of vhid, advbase or advskew."""
        return self.numbers[name][1] if name in self.numbers else default

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """The addresses with their prefixes; one that has none is alone in its subnet."""
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
        self.peers += other.peers
        self.multicast_group = other.multicast_group or self.multicast_group
        self.carpdev = other.carpdev or self.carpdev
        self.lladdr = other.lladdr or self.lladdr
        self.groups += other.groups
        self.left_groups += other.left_groups


def is_about_carp(words: list[Word]) -> bool:
    """Say whether the words attach something to a vhid, even if vhid itself is misspelt or missing."""
    return any(word.text in _ONLY_CARP or _resembles_vhid(word.text) for word in words)


def own_addresses(words: list[Word]) -> list[Interface]:
    """Return the plain addresses of an interface line; whatever else it says is not our business."""
    said = parse(words, Word("", 1, 1), lambda _where, _what, _out: None)
    return [each for each in said.interfaces if isinstance(each, IPv4Interface) or not each.ip.is_link_local]


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
        self._rest = list(words)
        self._tell = complain
        self._vocabulary = vocabulary
        self._all = vocabulary.all
        self._vhid_first = vhid_first
        self._family = Family.IPV4

    def parse(self) -> None:
        """Consume everything."""
        while self._rest:
            word = self._rest.pop(0)
            if self._vhid_first and word.text in _AFTER_VHID and self._vhid_follows():
                self._complain(word, f"{word.text} stands before vhid", "write vhid first, as FreeBSD demands")
            self._take(word)

    def _vhid_follows(self) -> bool:
        return "vhid" not in self.said.numbers and any(word.text == "vhid" for word in self._rest)

    def _complain(self, where: Word, text: str, hint: str) -> None:
        self.said.has_faults = True
        self._tell(where, text, hint)

    def _take(self, word: Word) -> None:
        if word.text in self._vocabulary.flags:
            return
        if word.text in self._vocabulary.numbers:
            self._take_number(word)
        elif word.text in self._vocabulary.ignored:
            self._argument(word)
        elif word.text in self._vocabulary.unsupported:
            self._argument(word)
            self._complain(word, f"{word.text}: {self._vocabulary.unsupported[word.text]}", "remove it")
        elif word.text in self._vocabulary.keywords:
            self._take_keyword(word)
        else:
            self._take_address(word)

    def _take_keyword(self, word: Word) -> None:  # noqa: C901  (a line a word)
        match word.text:
            case "inet" | "inet6":
                self._family = Family.IPV6 if word.text == "inet6" else Family.IPV4
            case "pass":
                self.said.passphrase = self._argument(word)
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

    def _take_number(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is not None:
            self._store_number(keyword.text, argument, argument.text)

    def _store_number(self, name: str, where: Word, text: str) -> None:
        low, high = self._vocabulary.numbers[name]
        number = number_of(text)
        if number is None:
            # The word is not shown: it may be a password that slipped here.
            self._complain(where, f"{name} needs a number", f"write {name} {low} to {high}")
        elif not low <= number <= high:
            self._complain(where, f"{name} {number} is outside {low}-{high}", "")
        else:
            self.said.numbers[name] = (where, number)

    def _take_nodes(self, argument: Word) -> None:
        """Take ``VHID:ADVSKEW``; several nodes are balancing, of which an address would be in two places."""
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
        elif address == CARP_GROUPS[family]:
            self._forget_peers(family)
        elif isinstance(address, IPv4Address) and address.is_multicast:
            self.said.multicast_group = address
        else:
            self.said.peers.append((argument, address))

    def _forget_peers(self, family: Family) -> None:
        self.said.peers = [each for each in self.said.peers if family_of(each[1]) is not family]
        if family is Family.IPV4:
            self.said.multicast_group = None

    def _take_version(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is not None and argument.text != _CARPVER:
            self._complain(argument, "carpver other than 2 is not CARP", "write carpver 2, or remove it")

    def _take_state(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is not None and argument.text.lower() != "backup":
            self._complain(keyword, "every host starts as backup", "use 'pycarp ifconfig NAME state master' afterwards")

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
        word, address, _none = self.said.addresses[-1]
        self.said.addresses[-1] = (word, address, prefix)

    def _take_address(self, word: Word) -> None:
        text, slash, length = word.text.partition("/")
        prefix = number_of(length)
        address = _address(text)
        if address is None:
            self._complain_about(word)
            return
        bits = _BITS[family_of(address)]
        if slash and (prefix is None or not 0 <= prefix <= bits):
            example = 24 if bits == 32 else 64
            self._complain(word, f"{address} has no prefix length of 0-{bits}", f"write ADDRESS/{example}")
        elif family_of(address) is not self._family:
            family = "inet" if bits == 32 else "inet6"
            self._complain(word, f"{address} needs {family} before it", f"write {family} {word.text}")
        else:
            self.said.addresses.append((word, address, prefix))

    def _complain_about(self, word: Word) -> None:
        """Complain about an unknown word without showing it; it may be a password, and ``testpass`` resembles pass."""
        close = difflib.get_close_matches(word.text, self._all, n=1)
        if close:
            self._complain(word, "unknown word", f"did you mean {close[0]}?")
            self._skip_argument_of(close[0])
        else:
            self._complain(word, "unknown word", "expected vhid, advbase, advskew, pass, netmask or an address")

    def _skip_argument_of(self, keyword: str) -> None:
        takes_one = keyword not in self._vocabulary.flags | {"inet", "inet6", "down", "mcast", "mcast6", "-carppeer"}
        if takes_one and self._rest and self._rest[0].text not in self._all:
            self._rest.pop(0)

    def _argument(self, keyword: Word) -> Word | None:
        if self._rest:
            return self._rest.pop(0)
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


def prefix_of_mask(text: str) -> int | None:
    """Return the prefix length of ``255.255.255.0`` or ``0xffffff00``; None if it is no netmask."""
    try:
        mask = int(text, 16) if text.lower().startswith("0x") else int(IPv4Address(text))
    except ValueError:
        return None
    inverse = mask ^ 0xFFFF_FFFF
    if not 0 <= mask <= 0xFFFF_FFFF or inverse & (inverse + 1):
        return None
    return 32 - inverse.bit_length()


def _address(text: str) -> Address | None:
    """Return an address; None if it is none, or one that means something on a single link only (``%em0``)."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id is not None else address
