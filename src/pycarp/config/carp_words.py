"""The words of FreeBSD's ifconfig about carp: ``vhid 1 advskew 100 pass testpass 192.168.1.50/24``."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

from pycarp.config.shell import Word

Complain = Callable[[Word, str, str], None]
"""(where, what is wrong, the way out)"""

_FLAGS = frozenset({"inet", "alias", "add", "up"})
_NUMBERS = {"vhid": (1, 255), "advbase": (1, 255), "advskew": (0, 254)}
_AFTER_VHID = frozenset({"advbase", "advskew", "pass", "state"})
_ONLY_CARP = frozenset({"vhid", "advbase", "advskew", "pass"})
_IGNORED_WITH_ARGUMENT = frozenset({"broadcast", "description", "descr", "fib", "metric", "mtu"})
_UNSUPPORTED = frozenset({"peer", "peer6", "mcast", "mcast6", "carpver", "vrrpprio", "vrrpinterval", "carpdev"})
_NO_IPV6 = "IPv6 is not shared; this version shares IPv4 addresses only"
_KEYWORDS = (
    frozenset({"inet6", "netmask", "pass", "state", "down"})
    | _FLAGS
    | frozenset(_NUMBERS)
    | _IGNORED_WITH_ARGUMENT
    | _UNSUPPORTED
)


@dataclass(slots=True)
class CarpWords:
    """What a specification says; None and empty for what it does not say. An address without a prefix has None for it.

    What is missing from one that ``has_faults`` may be what could not be understood.
    """

    where: Word
    numbers: dict[str, tuple[Word, int]] = field(default_factory=dict)
    passphrase: Word | None = field(default=None, repr=False)
    addresses: list[tuple[Word, IPv4Address, int | None]] = field(default_factory=list)
    has_faults: bool = False

    def number(self, name: str, default: int) -> int:
        """Return the value of vhid, advbase or advskew."""
        return self.numbers[name][1] if name in self.numbers else default

    @property
    def interfaces(self) -> tuple[IPv4Interface, ...]:
        """The addresses with their prefixes; one that has none is alone in its subnet."""
        return tuple(
            IPv4Interface((address, 32 if prefix is None else prefix)) for _word, address, prefix in self.addresses
        )

    def merge(self, other: "CarpWords", complain: Complain) -> None:
        """Add what another line says about the same host; the last number wins, two passwords are a mistake."""
        self.numbers |= other.numbers
        if self.passphrase and other.passphrase and self.passphrase.text != other.passphrase.text:
            complain(other.passphrase, "another pass for the same vhid", "give all addresses of a vhid the same")
        self.passphrase = other.passphrase or self.passphrase
        self.has_faults |= other.has_faults
        self.addresses += other.addresses


def is_about_carp(words: list[Word]) -> bool:
    """Say whether the words attach something to a vhid, even if vhid itself is misspelt or missing."""
    return any(word.text in _ONLY_CARP or _resembles_vhid(word.text) for word in words)


def own_addresses(words: list[Word]) -> list[IPv4Interface]:
    """Return the plain addresses of an interface line; whatever else it says is not our business."""
    return list(parse(words, Word("", 1, 1), lambda _where, _what, _out: None).interfaces)


def parse(words: list[Word], where: Word, complain: Complain, *, vhid_first: bool = False) -> CarpWords:
    """Return what the words say and complain about each that cannot be understood.

    ``where`` is for complaints about what is missing; ``vhid_first`` is the order that FreeBSD 10 and newer wants.
    """
    parser = _Parser(words, CarpWords(where), complain, vhid_first=vhid_first)
    parser.parse()
    return parser.said


class _Parser:
    """Consumes the words from the left."""

    def __init__(self, words: list[Word], said: CarpWords, complain: Complain, *, vhid_first: bool) -> None:
        self.said = said
        self._rest = list(words)
        self._tell = complain
        self._vhid_first = vhid_first

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
        if word.text in _FLAGS:
            return
        if word.text in _NUMBERS:
            self._take_number(word)
        elif word.text in _IGNORED_WITH_ARGUMENT:
            self._argument(word)
        elif word.text in _KEYWORDS:
            self._take_keyword(word)
        else:
            self._take_address(word)

    def _take_keyword(self, word: Word) -> None:
        match word.text:
            case "pass":
                self.said.passphrase = self._argument(word)
            case "netmask":
                self._take_netmask(word)
            case "state":
                self._take_state(word)
            case "inet6":
                self._rest.clear()
                self._complain(word, _NO_IPV6, "leave IPv6 addresses out")
            case "down":
                self._complain(word, "down at start is not possible", "use 'pycarp ifconfig NAME down' afterwards")
            case unsupported:
                self._argument(word)
                self._complain(word, f"{unsupported} is known to the BSDs, but not supported here", "remove it")

    def _take_number(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is None:
            return
        low, high = _NUMBERS[keyword.text]
        number = _number(argument.text)
        if number is None:
            # The word is not shown: it may be a password that slipped here.
            self._complain(argument, f"{keyword.text} needs a number", f"write {keyword.text} {low} to {high}")
        elif not low <= number <= high:
            self._complain(argument, f"{keyword.text} {number} is outside {low}-{high}", "")
        else:
            self.said.numbers[keyword.text] = (argument, number)

    def _take_state(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is not None and argument.text.lower() != "backup":
            self._complain(keyword, "every host starts as backup", "use 'pycarp ifconfig NAME state master' afterwards")

    def _take_netmask(self, keyword: Word) -> None:
        argument = self._argument(keyword)
        if argument is None:
            return
        prefix = _prefix_of_mask(argument.text)
        if prefix is None:
            self._complain(argument, "this is not a netmask", "write 255.255.255.0 or 0xffffff00")
        elif not self.said.addresses:
            self._complain(keyword, "netmask stands before its address", "write ADDRESS netmask MASK")
        else:
            word, address, _none = self.said.addresses[-1]
            self.said.addresses[-1] = (word, address, prefix)

    def _take_address(self, word: Word) -> None:
        text, slash, length = word.text.partition("/")
        prefix = _number(length)
        try:
            address = IPv4Address(text)
        except ValueError:
            self._complain_about(word)
            return
        if slash and (prefix is None or not 0 <= prefix <= 32):
            self._complain(word, f"{address} has no prefix length of 0-32", "write ADDRESS/24")
        else:
            self.said.addresses.append((word, address, prefix))

    def _complain_about(self, word: Word) -> None:
        """Complain about an unknown word without showing it; it may be a password, and ``testpass`` resembles pass."""
        close = difflib.get_close_matches(word.text, _KEYWORDS, n=1)
        if _is_ipv6(word.text):
            self._complain(word, _NO_IPV6, "leave IPv6 addresses out")
        elif close:
            self._complain(word, "unknown word", f"did you mean {close[0]}?")
            self._skip_argument_of(close[0])
        else:
            self._complain(word, "unknown word", "expected vhid, advbase, advskew, pass, netmask or an address")

    def _skip_argument_of(self, keyword: str) -> None:
        takes_one = keyword not in _FLAGS
        if takes_one and self._rest and self._rest[0].text not in _KEYWORDS:
            self._rest.pop(0)

    def _argument(self, keyword: Word) -> Word | None:
        if self._rest:
            return self._rest.pop(0)
        self._complain(keyword, f"{keyword.text} has no value", f"write {keyword.text} VALUE")
        return None


def _resembles_vhid(text: str) -> bool:
    return bool(difflib.get_close_matches(text, ["vhid"], cutoff=0.75))


def _number(text: str) -> int | None:
    """Return a decimal number, None if it is none; more digits than any bound has are cut, Python refuses thousands."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        return None
    magnitude = int(digits.lstrip("0")[:9] or "0")
    return -magnitude if text.startswith("-") else magnitude


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text.partition("/")[0])
    except ValueError:
        return False
    return True


def _prefix_of_mask(text: str) -> int | None:
    """Return the prefix length of ``255.255.255.0`` or ``0xffffff00``; None if it is no netmask."""
    try:
        mask = int(text, 16) if text.lower().startswith("0x") else int(IPv4Address(text))
    except ValueError:
        return None
    inverse = mask ^ 0xFFFF_FFFF
    if not 0 <= mask <= 0xFFFF_FFFF or inverse & (inverse + 1):
        return None
    return 32 - inverse.bit_length()
