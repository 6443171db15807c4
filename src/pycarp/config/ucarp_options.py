"""ucarp's command line: its options, abbreviations and bases of numbers. Source: carp.md 8.6.

Not copied: numbers cut to eight bits and numbers that end in letters; both are errors here.
"""

import getopt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from pycarp import dialects, transports
from pycarp.auth.key import PASSPHRASE_MAX, Passphrase
from pycarp.core.host_config import HostConfig
from pycarp.dialects import UCARP, Dialect
from pycarp.dialects.rules import DEAD_RATIO
from pycarp.errors import ConfigError
from pycarp.system.files.bounded_read import read_first_line

SCRIPT_TIMEOUT_S = 60
LOG_FORMATS = ("text", "json", "journald")
SCRIPT_TIMEOUT_MAX_S = 24 * 3600

BAD_ARGUMENTS = 1
"""ucarp's exit status for arguments that are missing or wrong."""

CANNOT_START = 2
"""ucarp's exit status when the protocol cannot be started."""

_LONG_BY_SHORT = {
    "i": "interface=",
    "s": "srcip=",
    "v": "vhid=",
    "p": "pass=",
    "o": "passfile=",
    "P": "preempt",
    "n": "neutral",
    "a": "addr=",
    "h": "help",
    "b": "advbase=",
    "k": "advskew=",
    "u": "upscript=",
    "d": "downscript=",
    "r": "deadratio=",
    "D": "debug",
    "z": "shutdown",
    "B": "daemonize",
    "S": "ignoreifstate",
    "M": "nomcast",
    "f": "facility=",
    "x": "xparam=",
}
_LONG_ONLY = ("mcastip=", "dialect=", "transport=", "script-timeout=", "control=", "log-format=")
"""All but the first are ours; none makes an abbreviation ambiguous that ucarp understands."""

LONG_OPTIONS = frozenset(name.removesuffix("=") for name in (*_LONG_BY_SHORT.values(), *_LONG_ONLY))
"""The names of all options."""


def long_name(letter: str) -> str:
    """Return the long name of a short option, empty for one that ucarp does not know."""
    return _LONG_BY_SHORT.get(letter, "").removesuffix("=")


_SHORT = "".join(letter + ":" * name.endswith("=") for letter, name in _LONG_BY_SHORT.items())
_NUMBER = re.compile(r"[ \t]*\+?(0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,20}|[1-9][0-9]{0,18})", re.ASCII)


class UcarpUsage(Exception):  # noqa: N818  (it may be no error: --help)
    """The usage is to be shown; ``complaint`` says why, empty when it was asked for.

    ``option`` is the one that ucarp does not know, or that lacks its value, without hyphens.
    """

    def __init__(self, complaint: str = "", option: str = "") -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.option = option


class UcarpProblems(ConfigError):  # noqa: N818  (it is plural)
    """Everything that is wrong with a command line; ``exit_status`` is what ucarp exits with.

    ``options`` are the long names of the options that the problems are about, one each; empty for several at once.
    """

    def __init__(self, problems: Sequence[str], exit_status: int, options: Sequence[str] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
        self.exit_status = exit_status
        self.options = tuple(options) or ("",) * len(self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class UcarpCommand:
    """What a command line asks for.

    ``interface`` is empty where none is named. ``facility`` is None where syslog is not wanted. ``ignored_arguments``
    counts the words that are no options, which ucarp passes over. ``control`` is empty for the usual socket,
    ``log_format`` for ucarp's own lines. ``prefix`` is the length behind ``address``, None without one.
    """

    interface: str
    source: IPv4Address
    vhid: int
    passphrase: Passphrase = field(repr=False)
    address: IPv4Address
    multicast_group: IPv4Address | None = None
    advbase: int = 1
    advskew: int = 0
    dead_ratio: int = DEAD_RATIO
    preempt: bool = False
    neutral: bool = False
    ignores_link: bool = False
    broadcasts: bool = False
    up_script: str = ""
    down_script: str = ""
    extra: str | None = None
    runs_script_at_exit: bool = False
    daemonizes: bool = False
    facility: str | None = "daemon"
    is_verbose: bool = False
    dialect: Dialect = UCARP
    transport: str = "auto"
    script_timeout_s: int = SCRIPT_TIMEOUT_S
    ignored_arguments: int = 0
    passfile: str = ""
    control: str = ""
    log_format: str = ""
    prefix: int | None = None

    def host(self, interface: str = "") -> HostConfig:
        """Return the virtual host; ``interface`` is the device where the command line names none."""
        return HostConfig(
            interface=self.interface or interface,
            vhid=self.vhid,
            passphrase=self.passphrase,
            addresses=(self.address,),
            advbase=self.advbase,
            advskew=self.advskew,
            preempt=self.preempt,
            dialect=self.dialect,
            multicast_group=self.multicast_group,
            broadcasts=self.broadcasts,
            dead_ratio=self.dead_ratio,
            neutral=self.neutral,
            ignores_link=self.ignores_link,
        )


def parse(arguments: Sequence[str], *, takes_prefix: bool = False) -> UcarpCommand:
    """Return what the arguments, without the program's name, ask for.

    ``takes_prefix`` allows ``10.0.0.1/24`` as an address: ucarp up to 1.5.2 refuses it, later versions take it.

    Raises UcarpUsage for no arguments, ``--help`` and options that do not exist, UcarpProblems for everything else.
    """
    if not arguments:
        raise UcarpUsage
    long = [*_LONG_BY_SHORT.values(), *_LONG_ONLY]
    try:
        pairs, others = getopt.gnu_getopt(list(arguments), _SHORT, long)
    except getopt.GetoptError as exc:
        raise UcarpUsage(str(exc), exc.opt) from None
    said = {_LONG_BY_SHORT.get(name[1:], name[2:]).removesuffix("="): value for name, value in _secrets_unified(pairs)}
    if "help" in said:
        raise UcarpUsage
    return _Reader(said, len(others), takes_prefix=takes_prefix).read()


def _secrets_unified(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the options with only the last of the passwords: given and in a file are the same thing."""
    secrets = {"-p", "--pass", "-o", "--passfile"}
    last = max((index for index, (name, _value) in enumerate(pairs) if name in secrets), default=-1)
    return [pair for index, pair in enumerate(pairs) if pair[0] not in secrets or index == last]


class _Reader:
    """Turns texts into values; collects problems instead of stopping at the first."""

    def __init__(self, said: dict[str, str], ignored_arguments: int, *, takes_prefix: bool) -> None:
        self._said = said
        self._takes_prefix = takes_prefix
        self._ignored_arguments = ignored_arguments
        self._problems: list[str] = []
        self._options: list[str] = []
        self._exit_status = CANNOT_START

    def read(self) -> UcarpCommand:
        """Return the command; raises UcarpProblems."""
        vhid = self._number("vhid", 1, 255, 0)
        if "vhid" not in self._said:
            self._complain("vhid", "You must supply a valid virtual host id: --vhid=1")
        secret = self._secret()
        source = self._address("srcip", "You must supply a persistent source address: --srcip=ADDRESS")
        address = self._address("addr", "You must supply a virtual host address: --addr=ADDRESS")
        if source is not None and source == address:
            self._complain("addr", f"{address} is srcip, this machine's own address: --addr is one more, which moves")
        group = self._group()
        # ucarp takes 0 with an advskew, and then its backups are no more patient than an interval (carp.md 5.2).
        advbase = self._number("advbase", 1, 255, 1)
        advskew = self._number("advskew", 0, 255, 0)
        dead_ratio = self._number("deadratio", 1, 255, DEAD_RATIO)
        dialect = self._dialect()
        self._check_transport()
        self._check_log_format()
        timeout_s = self._number("script-timeout", 1, SCRIPT_TIMEOUT_MAX_S, SCRIPT_TIMEOUT_S)
        if secret is None or source is None or address is None or dialect is None or self._problems:
            raise UcarpProblems(self._problems, self._exit_status, self._options)
        facility = self._said.get("facility", "daemon")
        command = UcarpCommand(
            interface=self._said.get("interface", ""),
            source=source,
            vhid=vhid,
            passphrase=secret,
            address=address,
            multicast_group=group,
            advbase=advbase,
            advskew=advskew,
            dead_ratio=dead_ratio,
            preempt="preempt" in self._said,
            neutral="neutral" in self._said,
            ignores_link="ignoreifstate" in self._said,
            broadcasts="nomcast" in self._said,
            up_script=self._said.get("upscript", ""),
            down_script=self._said.get("downscript", ""),
            extra=self._said.get("xparam"),
            runs_script_at_exit="shutdown" in self._said,
            daemonizes="daemonize" in self._said,
            facility=None if facility.lower() == "none" else facility.lower(),
            is_verbose="debug" in self._said,
            dialect=dialect,
            transport=self._said.get("transport", "auto"),
            script_timeout_s=timeout_s,
            ignored_arguments=self._ignored_arguments,
            passfile=self._said.get("passfile", ""),
            control=self._said.get("control", ""),
            log_format=self._said.get("log-format", ""),
            prefix=self._prefix("addr"),
        )
        self._check(command)
        return command

    def _check(self, command: UcarpCommand) -> None:
        """Check the host's own rules last, those about several options among them."""
        try:
            command.host("eth0")
        except ConfigError as exc:
            raise UcarpProblems([str(exc)], BAD_ARGUMENTS) from exc

    def _complain(self, option: str, text: str, exit_status: int = BAD_ARGUMENTS) -> None:
        self._problems.append(text)
        self._options.append(option)
        self._exit_status = min(self._exit_status, exit_status)

    def _number(self, option: str, low: int, high: int, default: int) -> int:
        text = self._said.get(option)
        if text is None:
            return default
        match = _NUMBER.fullmatch(text)
        if match is None:
            # The text is not shown: it may be a password that slipped here.
            self._complain(option, f"{option} must be a number between {low} and {high}")
            return default
        digits = match[1]
        is_octal = digits.startswith("0") and digits.isdecimal()
        number = int(digits, 8 if is_octal else 0)
        if not low <= number <= high:
            self._complain(option, f"{option} must be between {low} and {high}, not {number}")
            return default
        return number

    def _address(self, option: str, complaint: str) -> IPv4Address | None:
        text = self._said.get(option)
        if text is None:
            if complaint:
                self._complain(option, complaint)
            return None
        takes_prefix = self._takes_prefix and option != "mcastip"
        try:
            return IPv4Interface(text).ip if takes_prefix else IPv4Address(text)
        except ValueError:
            wanted = "an IPv4 address is wanted" if takes_prefix else "an IPv4 address without prefix is wanted"
            self._complain(option, f"Invalid address for --{option}: {wanted}")
            return None

    def _prefix(self, option: str) -> int | None:
        """Return the length behind an address that is right, None where none is written."""
        text = self._said[option]
        return IPv4Interface(text).network.prefixlen if "/" in text else None

    def _group(self) -> IPv4Address | None:
        group = self._address("mcastip", "")
        if group is not None and not group.is_multicast:
            self._complain("mcastip", f"--mcastip: {group} is outside 224.0.0.0-239.255.255.255", CANNOT_START)
        return group

    def _check_transport(self) -> None:
        name = self._said.get("transport", "auto")
        if name not in transports.NAMES and name not in transports.names():
            self._complain("transport", f"unknown transport {name!r}; known are: {', '.join(transports.names())}")

    def _check_log_format(self) -> None:
        name = self._said.get("log-format", "")
        if name not in ("", *LOG_FORMATS):
            self._complain("log-format", f"unknown log format {name!r}; known are: {', '.join(LOG_FORMATS)}")

    def _dialect(self) -> Dialect | None:
        try:
            return dialects.by_name(self._said.get("dialect", UCARP.name))
        except ConfigError as exc:
            self._complain("dialect", str(exc))
            return None

    def _secret(self) -> Passphrase | None:
        octets = self._secret_octets()
        if octets is None:
            return None
        if not octets:
            self._complain("pass", "You must supply a password: --pass=SECRET or --passfile=FILE")
            return None
        try:
            return Passphrase(octets)
        except ConfigError as exc:
            too_long = len(octets) > PASSPHRASE_MAX
            self._complain("pass", f"Password too long: {exc}" if too_long else str(exc), CANNOT_START)
            return None

    def _secret_octets(self) -> bytes | None:
        if "passfile" not in self._said:
            return self._said.get("pass", "").encode(errors="surrogateescape")
        file = self._said["passfile"]
        try:
            # Blanks and a carriage return at its end belong to the password, as with ucarp.
            line = read_first_line(Path(file), 4096)
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else exc
            self._complain("passfile", f"unable to open passfile {file} for reading: {why}")
            return None
        if not line:
            self._complain("passfile", f"error reading passfile {file}: unexpected end of file")
            return None
        return line.removesuffix(b"\n")
