"""Reads keepalived.conf, and turns VRRP into CARP. Source: keepalived.conf(5).

A ``vrrp_instance`` becomes a host, ``vrrp_script`` and what is tracked its checks, ``notify`` scripts its hooks, and
``vrrp_sync_group`` a sync group. What has no equal is a note with its line, and what to do instead.

The higher of two priorities wins in VRRP, the lower of two advskews in CARP: advskew is 254 - priority, 0 for the
255 of an owner. A weight above 0 is added to the priority while its script passes, so it counts as there.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address, ip_interface
from pathlib import PurePath
from typing import Any

from pycarp.auth.key import PASSPHRASE_MAX
from pycarp.config import keepalived_keywords as keywords
from pycarp.config.host_building import secret_of
from pycarp.config.keepalived_text import Statement, parse
from pycarp.config.model import Attached, NodeConfig
from pycarp.config.netmask_words import netmask_length, why_no_host_has
from pycarp.config.parents import NoParentError, Parents, unused_renames
from pycarp.config.problems import ConfigProblems, Problem
from pycarp.config.service_tables import FailbackTable, HookTable, hook_of, policy_of
from pycarp.config.shell_script import Word
from pycarp.config.ucarp_settings import likely
from pycarp.core.host_config import HostConfig
from pycarp.core.host_settings import problems_of
from pycarp.durations import format_duration
from pycarp.errors import ConfigError, SettingProblem, SettingProblems
from pycarp.failback import FailbackPolicy
from pycarp.health import Check, check_of
from pycarp.hooks import Hook
from pycarp.hooks.hook import On
from pycarp.placement.share import SyncGroupConfig
from pycarp.vocabulary import CARP_GROUPS, Address, Family, HostKey, InterfaceAddress, LinkFacts, MacMode

ANOTHER_PROTOCOL = (
    "CARP is another protocol than VRRP: change all machines of a set at the same time; "
    "the virtual MAC address stays 00:00:5e:00:01:VHID"
)

_PRIORITY_MOST = 254
_OWNER = 255
_PRIORITY = 100
_PROBLEMS_MAX = 100
"""The most problems of a file that are reported: with more, it is probably of another kind."""

_TRUTHS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
_NOTIFY = {
    "notify_master": On.MASTER,
    "notify_backup": On.BACKUP,
    "notify_fault": On.FAULT,
    "notify_master_rx_lower_pri": On.CONFLICT_WON,
}
_STATES = (On.MASTER, On.BACKUP, On.FAULT)
"""The states that a plain ``notify`` is called with, in capitals, which pycarp's hooks know as well."""

_INCLUDES = ("include", "includea", "includeb", "includem", "includer", "includew")
_AT_THE_END = "write it as ExecStopPost= of the unit that runs pycarp"
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\\.")
_SHELL_SIGNS = re.compile(r"[|&;<>()$`*?~\n]")
_CONFLICT = re.compile(r"<{7}|={7}|>{7}")
_BASH_ONLY = re.compile(r"/dev/(tcp|udp)/|\[\[")

_TOP = ("global_defs", "vrrp_instance", "vrrp_script", "vrrp_track_process", "vrrp_sync_group", "include")
_GLOBAL = (
    "vrrp_mcast_group4", "vrrp_startup_delay", "default_interface", "vrrp_down_timer_adverts",
    "vrrp_garp_master_refresh",
)  # fmt: skip
_INSTANCE = (
    "state", "interface", "virtual_router_id", "priority", "advert_int", "nopreempt", "preempt", "preempt_delay",
    "virtual_ipaddress", "virtual_ipaddress_excluded", "unicast_peer", "unicast_src_ip", "mcast_src_ip", "mcast_dst_ip",
    "authentication", "track_script", "track_interface", "track_process", "dont_track_primary", "use_vmac",
    "down_timer_adverts", "garp_master_refresh", "notify", "notify_stop", "include", *_NOTIFY,
)  # fmt: skip
_GROUP = ("group", "track_script", "track_interface", "track_process", "notify", "notify_stop", "include", *_NOTIFY)
_SCRIPT = ("script", "interval", "timeout", "rise", "fall", "weight")
_PROCESS = ("process", "weight")
KNOWN = tuple(dict.fromkeys((*_TOP, *_GLOBAL, *_INSTANCE, *_GROUP, *_SCRIPT, *_PROCESS)))
"""The keywords that have an equivalent, or a note of their own."""

_TRACKED = ("track_script", "track_interface", "track_process")
_READ_LAST = (*_TRACKED, "notify")
"""What depends on the interface or the priority of its instance, which may be written below it."""


def read(
    text: str,
    *,
    file: str,
    links: Sequence[LinkFacts] = (),
    renames: Mapping[str, str] | None = None,
    password: str | None = None,
) -> NodeConfig:
    """Return the hosts of the instances; arguments and errors are those of ``rcconf.read``.

    ``password`` is that of instances without ``auth_pass``. Files that the text includes are named, not read.
    """
    reader = _Reader(file, Parents({}, links), renames or {}, password)
    config = reader.read(text)
    if reader.problems:
        raise ConfigProblems(reader.problems[:_PROBLEMS_MAX])
    return config


@dataclass(slots=True)
class _Source:
    """An object that can be tracked: the table of its check without a name, and its own weight."""

    where: Word
    table: dict[str, Any]
    weight: int = 0
    is_tracked: bool = False


@dataclass(slots=True)
class _Tracked:
    """What an instance tracks: the table of a check, without ``by``."""

    where: Word
    table: dict[str, Any]
    weight: int


@dataclass(slots=True)
class _Instance:
    """The settings of an instance."""

    name: str
    where: Word
    numbers: dict[str, tuple[Word, int]] = field(default_factory=dict)
    interface: Word | None = None
    secret: Word | None = field(default=None, repr=False)
    addresses: list[tuple[Word, InterfaceAddress, str]] = field(default_factory=list)
    """With the device that each names; empty where none does."""

    peers: list[tuple[Word, Address]] = field(default_factory=list)
    source: Word | None = None
    group: Word | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    failback: dict[str, Any] = field(default_factory=dict)
    tracked: list[_Tracked] = field(default_factory=list)
    hooks: list[tuple[Word, dict[str, Any]]] = field(default_factory=list)
    is_master: bool = False
    """True if it starts as MASTER."""

    not_beside_master: list[Word] = field(default_factory=list)
    has_faults: bool = False


class _Reader:
    """Reads one file, and collects all problems."""

    def __init__(self, file: str, parents: Parents, renames: Mapping[str, str], password: str | None) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._parents = parents
        self._renames = renames
        self._password = password
        self._notes: list[tuple[int, str]] = []
        self._includes: list[Word] = []
        self._scripts: dict[str, _Source] = {}
        self._processes: dict[str, _Source] = {}
        self._defaults: dict[str, Any] = {}
        self._startup_hold: str | None = None
        self._interface: Word | None = None
        self._named: list[str] = []
        self._hosts: dict[str, HostConfig] = {}
        self._keys: dict[HostKey, str] = {}
        self._owners: dict[tuple[str, Address], str] = {}
        """Which instance has an address; with its link, where it is another one on each."""

        self._checks: list[Attached[Check]] = []
        self._hooks: list[Attached[Hook]] = []
        self._hook_names: set[tuple[HostKey, str]] = set()
        self._failbacks: list[Attached[FailbackPolicy]] = []
        self._groups: list[Attached[SyncGroupConfig]] = []
        self._own: dict[str, tuple[InterfaceAddress, ...]] = {}
        self._places: dict[HostKey, tuple[int, int]] = {}
        self._names: set[str] = set()
        self._faulty: set[tuple[int, int]] = set()
        """The places of what could not be read, about which nothing else is said."""

    def read(self, text: str) -> NodeConfig:
        """Return the configuration that could be understood."""
        statements = parse(text, self._complain)
        self._faulty = {(each.line, each.column) for each in self.problems}
        for each in statements:
            self._read_top(each)
        instances = [each for each in statements if each.keyword == "vrrp_instance"]
        for each in instances:
            self._read_instance(each)
        for each in statements:
            if each.keyword == "vrrp_sync_group":
                self._read_group(each)
        for name, source in (*self._scripts.items(), *self._processes.items()):
            if not source.is_tracked:
                self._note(source.where, f"nothing tracks {name}, so it becomes no check")
        for complaint, hint in unused_renames(self._renames, self._named):
            self._complain(Word("", 1, 1), complaint, hint)
        if not instances and not self.problems:
            self._complain_of_nothing()
        notes = [f"{self._file}:{line}: {note}" for line, note in sorted(self._notes, key=lambda each: each[0])]
        if instances:
            notes.insert(0, f"{self._file}:{instances[0].where.line}: {ANOTHER_PROTOCOL}")
        return NodeConfig(
            hosts=tuple(self._hosts.values()),
            checks=tuple(self._checks),
            hooks=tuple(self._hooks),
            failbacks=tuple(self._failbacks),
            sync_groups=tuple(self._groups),
            notes=tuple(notes),
            own=self._own,
            places=self._places,
        )

    # What is outside of instances

    def _complain_of_nothing(self) -> None:
        for each in self._includes:
            self._complain(each, f"{each.text} is read by keepalived here", "give pycarp that file")
        if not self._includes:
            hint = "expected vrrp_instance NAME { ... }; what only balances load stays with keepalived"
            self._complain(Word("", 1, 1), "no vrrp_instance is here", hint)

    def _read_top(self, statement: Statement) -> None:
        match statement.keyword:
            case "global_defs":
                for each in statement.inner:
                    self._read_global(each)
            case "vrrp_script":
                self._read_source(statement, self._scripts, _SCRIPT, keywords.SCRIPT, self._script)
            case "vrrp_track_process" | "vrrp_process":
                self._read_source(statement, self._processes, _PROCESS, keywords.PROCESS, self._process)
            case keyword if keyword in _INCLUDES:
                self._include(statement)
            case "vrrp_instance" | "vrrp_sync_group":
                pass
            case keyword if keyword in _INSTANCE and keyword not in keywords.TOP:
                self._complain(
                    statement.where, f"{keyword} stands outside of every vrrp_instance", "a } above is one too many"
                )
            case _:
                self._pass_over(statement, {**keywords.GLOBAL, **keywords.TOP}, _TOP)

    def _read_global(self, statement: Statement) -> None:
        value = statement.words[1] if len(statement.words) > 1 else None
        match statement.keyword:
            case "vrrp_mcast_group4" if value:
                self._defaults["multicast_group"] = value
            case "vrrp_startup_delay" if value:
                self._startup_hold = self._duration(statement)
            case "default_interface" if value:
                self._interface = value
            case "vrrp_down_timer_adverts" if value:
                self._defaults["dead_ratio"] = self._number(statement.words, 1, 255)
            case "vrrp_garp_master_refresh" if value:
                self._defaults["announce_every_s"] = self._number(statement.words, 0, 24 * 3600)
            case keyword if keyword in _INCLUDES:
                self._include(statement)
            case _:
                self._pass_over(statement, keywords.GLOBAL, _GLOBAL)

    def _include(self, statement: Statement) -> None:
        value = statement.words[-1]
        self._includes.append(value)
        self._note(statement.where, f"{value.text} is read by keepalived here, but not by pycarp; convert it as well")

    def _pass_over(self, statement: Statement, table: Mapping[str, str], known: Sequence[str]) -> None:
        """Note a keyword that has no equal; complain about one that is likely misspelt."""
        keyword = statement.keyword
        if _CONFLICT.fullmatch(keyword):
            self._complain(statement.where, "a conflict of a merge that nobody resolved", "keep one side of it")
        elif keyword in table:
            self._note(statement.where, f"{keyword}: {table[keyword]}")
        elif (close := likely(keyword, (*known, *table))) in known:
            self._complain(statement.where, f"unknown keyword {keyword}", f"did you mean {close}?")
        else:
            why = table.get(close, "pycarp does not know it, and passes it over")
            self._note(statement.where, f"{keyword}: {why}")

    def _read_source(
        self,
        statement: Statement,
        found: dict[str, _Source],
        known: Sequence[str],
        table: Mapping[str, str],
        check: Callable[[Statement, Mapping[str, Statement]], dict[str, Any] | None],
    ) -> None:
        """Read what can be tracked, by its name."""
        if len(statement.words) < 2:
            self._complain(statement.where, f"{statement.keyword} has no name", f"write {statement.keyword} NAME {{")
            return
        said: dict[str, Statement] = {}
        for each in statement.inner:
            if each.keyword in known:
                said[each.keyword] = each
            else:
                self._pass_over(each, table, known)
        made = check(statement, said)
        weight = self._weight(said["weight"].words[1:], said["weight"].where) if "weight" in said else 0
        name = statement.words[1].text
        if name in found:
            self._complain(statement.words[1], f"two are called {name}", "give each a name of its own")
        found[name] = _Source(statement.where, made or {}, weight)

    def _script(self, statement: Statement, said: Mapping[str, Statement]) -> dict[str, Any] | None:
        if "script" not in said:
            self._complain(statement.where, f"{statement.words[1].text} has no script", 'add script "PROGRAM ARGUMENT"')
            return None
        script = said["script"]
        argv = self._argv(script, [each.text for each in script.words[1:]])
        interval = self._seconds(said["interval"]) if "interval" in said else 1.0
        timeout = self._seconds(said["timeout"]) if "timeout" in said else interval
        if argv is None or interval is None or timeout is None:
            return None
        counts = {name: self._number(said[name].words, 1, 1000) if name in said else 1 for name in ("rise", "fall")}
        if None in counts.values():
            return None
        times = {"every": format_duration(interval), "timeout": format_duration(timeout)}
        return {"exec": argv, **times, **counts}

    def _process(self, statement: Statement, said: Mapping[str, Statement]) -> dict[str, Any] | None:
        words = said["process"].words[1:] if "process" in said else []
        name = PurePath(words[0].text.split(" ")[0]).name if words else ""
        if not name:
            self._complain(statement.where, f"{statement.words[1].text} has no process", "add process NAME")
            return None
        if len(words) > 1 or " " in words[0].text:
            self._note(words[0], f"process: the check looks for {name}, whatever its arguments are")
        return {"process": name, "rise": 1, "fall": 1}

    def _argv(self, statement: Statement, texts: Sequence[str]) -> list[str] | None:
        """Return a program and its arguments, through a shell where only one would understand the line."""
        line = " ".join(texts).strip()
        if not line:
            self._complain(statement.where, f"{statement.keyword} names no program", "name one, or remove the line")
            return None
        bare = _QUOTED.sub("", line)
        if _SHELL_SIGNS.search(bare):
            shell = "/bin/bash" if _BASH_ONLY.search(line) else "/bin/sh"
            self._note(statement.where, f"{statement.keyword}: {shell} runs it, because it has signs of a shell")
            return [shell, "-c", line]
        try:
            return shlex.split(line)
        except ValueError:
            self._complain(statement.where, f"{statement.keyword} has a quote that is never closed", "close it")
            return None

    # Instances

    def _read_instance(self, statement: Statement) -> None:
        if len(statement.words) < 2:
            self._complain(statement.where, "vrrp_instance has no name", "write vrrp_instance NAME {")
        name = statement.words[1].text if len(statement.words) > 1 else ""
        if name in self._names and name:
            self._complain(statement.words[1], f"two instances are called {name}", "give each a name of its own")
        self._names.add(name)
        before = len(self.problems)
        said = _Instance(name, statement.where)
        said.settings["preempt"] = True
        for each in sorted(statement.inner, key=lambda each: each.keyword in _READ_LAST):
            self._read_line(each, said)
        unread = any((word.line, word.column) in self._faulty for word in statement.all_words())
        said.has_faults = unread or len(self.problems) > before
        self._finish(said)

    def _read_line(self, statement: Statement, said: _Instance) -> None:  # noqa: C901  (a line a keyword)
        keyword, words = statement.keyword, statement.words
        if not self._has_its_form(statement):
            return
        match keyword:
            case "interface":
                said.interface = words[1]
            case "virtual_router_id" | "priority" | "down_timer_adverts":
                self._take_number(said, keyword, words)
            case "advert_int":
                self._take_interval(said, statement)
            case "state" | "nopreempt" | "preempt" | "dont_track_primary" | "use_vmac":
                self._take_switch(said, statement)
            case "preempt_delay":
                if (delay := self._duration(statement)) is not None:
                    said.failback["failback_delay"] = delay
                    said.not_beside_master.append(statement.where)
            case "garp_master_refresh":
                if seconds := self._number(words, 0, 24 * 3600):
                    said.settings["announce_every_s"] = seconds
            case "virtual_ipaddress" | "virtual_ipaddress_excluded":
                self._take_addresses(said, statement)
            case "unicast_peer":
                self._take_peers(said, statement)
            case "mcast_dst_ip":
                said.group = words[1]
            case "unicast_src_ip" | "mcast_src_ip":
                said.source = words[1]
                self._note(statement.where, f"{keyword}: pycarp sends from the first address of the interface")
            case "authentication":
                self._take_secret(said, statement)
            case _ if keyword in _TRACKED:
                said.tracked += self._tracked(statement, said.interface or self._interface)
            case _ if keyword in _NOTIFY or keyword in ("notify", "notify_stop"):
                said.hooks += self._notified(statement, "INSTANCE", said)
            case keyword if keyword in _INCLUDES:
                self._include(statement)
            case _:
                self._pass_over(statement, keywords.INSTANCE, _INSTANCE)

    def _has_its_form(self, statement: Statement) -> bool:
        """Whether a value or a block is there, which is complained about; note the words behind a value."""
        keyword, words = statement.keyword, statement.words
        if keyword in _WITH_VALUE and len(words) < 2:
            self._complain(statement.where, f"{keyword} has no value", f"write {keyword} VALUE")
            return False
        if keyword in _WITH_BLOCK and statement.block is None:
            why = f"{keyword} has no block, and keepalived takes the lines below for it"
            self._complain(statement.where, why, f"write {keyword} {{, a line each, and }}")
            return False
        if keyword in (*_WITH_VALUE, "state") and len(words) > 2:
            more = " ".join(each.text for each in words[2:])
            self._note(words[2], f"{keyword}: {words[1].text} counts, and {more} behind it is passed over")
        return True

    def _take_number(self, said: _Instance, keyword: str, words: Sequence[Word]) -> None:
        low, high = {"virtual_router_id": (1, 255), "priority": (1, 255), "down_timer_adverts": (1, 255)}[keyword]
        number = self._number(words, low, high)
        if number is not None:
            said.numbers[keyword] = (words[1], number)

    def _take_interval(self, said: _Instance, statement: Statement) -> None:
        seconds = self._seconds(statement)
        if seconds is None:
            return
        whole = max(1, -int(-seconds // 1))
        if whole != seconds:
            self._note(
                statement.where,
                f"advert_int {statement.words[1].text}: advbase is {whole}, because it counts whole seconds; "
                "advbase = 0 is for shorter intervals",
            )
        if whole > 255:
            self._complain(statement.words[1], f"advert_int {whole} is outside 1-255", "CARP's advbase ends there")
        else:
            said.numbers["advert_int"] = (statement.words[1], whole)

    def _take_switch(self, said: _Instance, statement: Statement) -> None:
        keyword = statement.keyword
        value = statement.words[1].text if len(statement.words) > 1 else ""
        match keyword:
            case "state":
                said.is_master = value == "MASTER"
                if said.is_master:
                    self._note(statement.where, "state MASTER: every host starts as BACKUP, and the priority decides")
                elif value != "BACKUP":
                    self._note(
                        statement.where, f"state {value}: there is none of that name, and keepalived takes BACKUP"
                    )
            case "nopreempt":
                said.settings["preempt"] = not _TRUTHS.get(value.lower(), True)
                said.not_beside_master.append(statement.where)
            case "preempt":
                said.settings["preempt"] = _TRUTHS.get(value.lower(), True)
            case "dont_track_primary":
                said.settings["ignores_link"] = True
            case _:
                said.settings["mac_mode"] = MacMode.VIRTUAL
                if value:
                    self._note(statement.where, f"use_vmac {value}: pycarp names the device itself")

    def _take_secret(self, said: _Instance, statement: Statement) -> None:
        for each in statement.inner:
            if each.keyword == "auth_pass" and len(each.words) > 1:
                said.secret = each.words[1]
            elif each.keyword == "auth_pass":
                self._complain(each.where, "auth_pass is empty", "write auth_pass SECRET")
            elif each.keyword != "auth_type":
                self._pass_over(each, {}, ("auth_type", "auth_pass"))

    def _take_addresses(self, said: _Instance, statement: Statement) -> None:
        for each in statement.inner:
            if each.keyword in _INCLUDES:
                self._include(each)
                continue
            address = self._address(each.where)
            device = self._address_options(each)
            if address is not None:
                said.addresses.append((each.where, address, device))
        if statement.keyword == "virtual_ipaddress_excluded" and statement.inner:
            why = "these addresses are shared like the others; all machines need the same list"
            self._note(statement.where, f"virtual_ipaddress_excluded: {why}")

    def _address(self, word: Word) -> InterfaceAddress | None:
        try:
            address = ip_interface(word.text)
        except ValueError:
            self._complain(word, f"{word.text} is no address", "write ADDRESS/LENGTH, one on each line")
            return None
        length = netmask_length(address.ip)
        why = f"{address.ip} is a netmask, not an address" if length is not None else why_no_host_has(address.ip)
        if why:
            self._complain(word, why, "write ADDRESS/LENGTH, one on each line")
            return None
        if "/" not in word.text and isinstance(address.ip, IPv4Address):
            self._note(word, f"{word.text} has no prefix length, so it is /32, as with keepalived")
        return address

    def _address_options(self, statement: Statement) -> str:
        """Return the device that an address names; note what else it says."""
        words = list(reversed(statement.words[1:]))
        device = ""
        while words:
            word = words.pop()
            if word.text == "dev" and words:
                device = words.pop().text
            elif word.text in keywords.ADDRESS_OPTIONS:
                value = "" if word.text in keywords.WITHOUT_VALUE or not words else f" {words.pop().text}"
                self._note(word, f"{word.text}{value}: pycarp sets an address with its prefix length only")
            else:
                self._complain(word, f"unknown option {word.text} of an address", "write one address on each line")
                break
        return device

    def _take_peers(self, said: _Instance, statement: Statement) -> None:
        for each in statement.inner:
            try:
                said.peers.append((each.where, ip_address(each.keyword)))
            except ValueError:
                self._complain(each.where, f"{each.keyword} is no address", "write one address on each line")
            for word in each.words[1:]:
                self._note(word, f"{word.text}: {keywords.INSTANCE['check_unicast_src']}")

    # What is tracked, and who is notified

    def _tracked(self, statement: Statement, interface: Word | None) -> Iterator[_Tracked]:
        for each in statement.inner:
            if each.keyword in _INCLUDES:
                self._include(each)
                continue
            name, weight = each.keyword, self._tracked_weight(each)
            if statement.keyword == "track_interface":
                self._named.append(name)
                link = self._renames.get(name, name)
                if interface is not None and interface.text == name and not weight:
                    continue
                yield _Tracked(each.where, {"name": f"interface {link}", "interface": link}, weight or 0)
                continue
            found = self._scripts if statement.keyword == "track_script" else self._processes
            if name not in found:
                where = f"{self._includes[0].text}, which pycarp has not read, may have it" if self._includes else ""
                self._note(each.where, f"there is no {name}{f'; {where}' if where else ', for keepalived neither'}")
                continue
            source = found[name]
            source.is_tracked = True
            if source.table:
                yield _Tracked(each.where, {"name": name, **source.table}, source.weight if weight is None else weight)

    def _tracked_weight(self, statement: Statement) -> int | None:
        """Return the weight that a line of a tracking block says; None for what has none."""
        words = list(reversed(statement.words[1:]))
        weight = None
        while words:
            word = words.pop()
            if word.text == "weight":
                weight = self._weight(words[-1:], word)
                words = words[:-1]
            elif word.text == "reverse":
                self._complain(word, "reverse: no check of pycarp counts the other way round", "let the script do that")
            elif word.text not in ("noreverse", "no_reverse"):
                self._complain(word, f"unknown word {word.text}", "write one on each line, or weight NUMBER behind it")
        return weight

    def _weight(self, words: Sequence[Word], where: Word) -> int:
        try:
            weight = int(words[0].text)
        except (IndexError, ValueError):
            self._complain(words[0] if words else where, "weight is no whole number", "write weight -20")
            return 0
        if not -_PRIORITY_MOST <= weight <= _PRIORITY_MOST:
            self._complain(words[0], f"weight {words[0].text} is outside -254-254", "keepalived refuses it as well")
            return 0
        for each in words[1:]:
            if each.text == "reverse":
                self._complain(each, "reverse: no check of pycarp counts the other way round", "let the script do that")
        return weight

    def _notified(
        self, statement: Statement, kind: str, said: _Instance | None, name: str = ""
    ) -> Iterator[tuple[Word, dict[str, Any]]]:
        keyword, words = statement.keyword, statement.words
        if keyword == "notify_stop":
            self._note(statement.where, f"notify_stop: pycarp calls nothing when it ends; {_AT_THE_END}")
            return
        argv = self._argv(statement, [each.text for each in words[1:2]])
        if argv is None:
            return
        if len(words) > 2:
            rest = " ".join(each.text for each in words[2:])
            self._note(words[2], f"{rest}: user and group to keepalived; {keywords.SCRIPT['user']}")
        if keyword != "notify":
            yield statement.where, {"on": [str(_NOTIFY[keyword])], "run": argv, "name": self._called(name, keyword)}
            return
        priority = said.numbers.get("priority", (words[0], _PRIORITY))[1] if said else 0
        called = said.name if said else name
        for state in _STATES:
            more = [kind, called, state.upper(), str(priority)]
            run = [*argv[:-1], f"{argv[-1]} {shlex.join(more)}"] if argv[1:2] == ["-c"] else [*argv, *more]
            yield statement.where, {"on": [str(state)], "run": run, "name": self._called(name, f"notify {state}")}

    @staticmethod
    def _called(group: str, keyword: str) -> str:
        return f"{group} {keyword}" if group else keyword

    # From what is said to hosts

    def _finish(self, said: _Instance) -> None:
        said.interface = said.interface or self._interface
        if said.is_master:
            self._forget_beside_master(said)
        self._complain_of_missing(said)
        settings = self._settings(said)
        host = None
        if {"passphrase", "vhid", "addresses", "interface"} <= settings.keys() and not said.has_faults:
            try:
                host = HostConfig(**settings)
            except SettingProblems as exc:
                self._complain_of(exc.problems, said)
        else:
            self._complain_of(problems_of(settings), said)
        if host is None or not self._is_alone(host, said):
            return
        self._hosts[said.name] = host
        where = said.numbers["virtual_router_id"][0]
        self._places[host.key] = (where.line, where.column)
        self._attach(said, host.key)

    def _forget_beside_master(self, said: _Instance) -> None:
        """Leave out what keepalived leaves out of an instance that starts as MASTER."""
        for each in said.not_beside_master:
            why = "keepalived leaves it out beside state MASTER, and so does this; with state BACKUP it counts"
            self._note(each, f"{each.text}: {why}")
        said.settings["preempt"] = True
        said.failback.clear()

    def _complain_of_missing(self, said: _Instance) -> None:
        if said.interface is None and not said.has_faults:
            self._complain(said.where, f"{said.name} has no interface", "add interface NAME")
        if "virtual_router_id" not in said.numbers and not said.has_faults:
            hint = "add virtual_router_id NUMBER, the same on every machine that shares the addresses"
            self._complain(said.where, f"{said.name} has no virtual_router_id", hint)
        if not said.addresses and not said.has_faults:
            hint = "add virtual_ipaddress { ADDRESS/LENGTH }: CARP signs the addresses, so it always has some"
            self._complain(said.where, f"{said.name} has no virtual_ipaddress", hint)
        if said.secret is None and self._password is None and not said.has_faults:
            hint = (
                "pycarp convert --password-file FILE, with the same password on every machine; "
                "or add authentication { auth_pass SECRET }"
            )
            self._complain(said.where, f"{said.name} has no auth_pass, and CARP always needs a password", hint)

    def _settings(self, said: _Instance) -> dict[str, Any]:
        settings = dict(said.settings) | {"name": said.name}
        names = {"virtual_router_id": "vhid", "advert_int": "advbase", "down_timer_adverts": "dead_ratio"}
        settings |= {names[each]: number for each, (_word, number) in said.numbers.items() if each in names}
        settings["advskew"] = max(0, _PRIORITY_MOST - self._full_priority(said))
        for name in ("dead_ratio", "announce_every_s"):
            if self._defaults.get(name):
                settings.setdefault(name, self._defaults[name])
        if (link := self._link(said)) is not None:
            settings["interface"] = link
        if said.addresses:
            settings["addresses"] = tuple(dict.fromkeys(address for _word, address, _device in said.addresses))
        if said.peers:
            settings["peers"] = tuple(address for _word, address in said.peers)
        if (group := self._group(said)) is not None and not said.peers:
            settings["multicast_group"] = group
        if (secret := self._secret(said)) is not None:
            settings["passphrase"] = secret
        return settings

    @staticmethod
    def _full_priority(said: _Instance) -> int:
        """Return the priority with which the instance runs while all that it tracks is well."""
        own = said.numbers.get("priority", (said.where, _PRIORITY))[1]
        return own + sum(max(0, each.weight) for each in said.tracked)

    def _link(self, said: _Instance) -> str | None:
        if said.interface is None:
            return None
        name = said.interface.text
        self._named.append(name)
        for word, address, device in said.addresses:
            if device not in ("", name):
                hint = (
                    f"CARP runs where its addresses are: write interface {device}; "
                    "for several devices a vrrp_instance for each, and all in one vrrp_sync_group"
                )
                self._complain(word, f"{address.ip} is to be on {device}, and this instance runs on {name}", hint)
        link = self._renames.get(name, name)
        try:
            self._parents.check(link)
        except NoParentError as exc:
            self._complain(said.interface, str(exc), exc.hint)
            return None
        if said.source is not None:
            try:
                self._own.setdefault(link, (ip_interface(said.source.text),))
            except ValueError:
                self._complain(said.source, f"{said.source.text} is no address", "write the machine's own address")
        return link

    def _group(self, said: _Instance) -> IPv4Address | None:
        """Return the group of IPv4, None for the usual one."""
        word: Word | None = said.group or self._defaults.get("multicast_group")
        if word is None or (said.group and ":" in word.text):
            return None
        try:
            group = IPv4Address(word.text)
        except ValueError:
            self._complain(word, f"{word.text} is no IPv4 address", "write 224.0.0.18")
            return None
        return None if group == CARP_GROUPS[Family.IPV4] else group

    def _secret(self, said: _Instance) -> Any:
        if said.secret is None:
            return None if self._password is None else secret_of(Word(self._password, 1, 1), self._complain)
        text = said.secret.text
        octets = text.encode("utf-8", "replace")
        if len(octets) > PASSPHRASE_MAX:
            why = f"a password of CARP has at most {PASSPHRASE_MAX} octets, so its first {PASSPHRASE_MAX} are used"
            self._note(said.secret, f"auth_pass: {why}; do so on every machine")
            text = octets[:PASSPHRASE_MAX].decode("utf-8", "ignore")
        return secret_of(Word(text, said.secret.line, said.secret.column), self._complain)

    def _complain_of(self, problems: Sequence[SettingProblem], said: _Instance) -> None:
        """Complain about settings, each at its place."""
        places = {"vhid": "virtual_router_id", "advbase": "advert_int", "dead_ratio": "down_timer_adverts"}
        items = {
            "addresses": [word for word, _address, _device in said.addresses],
            "peers": [word for word, _address in said.peers],
        }
        for problem in problems:
            where = said.where
            if problem.setting in items and problem.index is not None:
                where = items[problem.setting][problem.index]
            elif (name := places.get(problem.setting, problem.setting)) in said.numbers:
                where = said.numbers[name][0]
            elif problem.setting == "interface" and said.interface is not None:
                where = said.interface
            self._complain(where, problem.text, problem.hint)

    def _is_alone(self, host: HostConfig, said: _Instance) -> bool:
        """Whether no other instance has the vhid or an address of a host, which is complained about."""
        other = self._keys.setdefault(host.key, said.name)
        if other != said.name:
            text = f"virtual_router_id {host.vhid} is used twice on {host.interface}, by {other} as well"
            hint = "one vhid shares IPv4 and IPv6 addresses: put all into one instance, or take another number"
            self._complain(said.numbers["virtual_router_id"][0], text, hint)
            return False
        before = len(self.problems)
        for word, address, _device in said.addresses:
            # A link-local address is another one on each link.
            link = host.interface if address.ip.is_link_local else ""
            owner = self._owners.setdefault((link, address.ip), said.name)
            if owner != said.name:
                self._complain(word, f"{address.ip} is shared by {owner} already", "leave it in one of them")
        return len(self.problems) == before

    def _attach(self, said: _Instance, key: HostKey) -> None:
        full = self._full_priority(said)
        # Nothing changes the priority of an owner.
        excess = _OWNER if said.numbers.get("priority", (said.where, 0))[1] == _OWNER else max(0, full - _PRIORITY_MOST)
        names: set[str] = set()
        for each in said.tracked:
            self._attach_check(each, key, excess, names)
        for where, table in said.hooks:
            self._attach_hook(where, table, key)
        failback = {"startup_hold": self._startup_hold} if self._startup_hold is not None else {}
        if table := failback | said.failback:
            try:
                policy = policy_of(FailbackTable(**table))
            except ConfigError as exc:
                self._complain(said.where, str(exc), "")
                return
            self._failbacks.append(Attached(host=key, item=policy, table=table, place=_place(said.where)))

    def _attach_check(self, tracked: _Tracked, key: HostKey, excess: int, names: set[str]) -> None:
        by = max(0, abs(tracked.weight) - excess)
        name = tracked.table["name"]
        if tracked.weight and not by:
            why = f"a priority of more than {_PRIORITY_MOST} counts as {_PRIORITY_MOST}"
            self._note(tracked.where, f"{name} changes nothing, with keepalived neither: {why}; it is left out")
            return
        if name in names:
            self._complain(tracked.where, f"{name} is tracked twice", "track it once")
            return
        names.add(name)
        table = tracked.table | ({"by": by} if by else {})
        if not by:
            why = "while it fails, any other host takes over; with release = true nobody serves when no other is there"
            self._note(tracked.where, f"{name} has no weight: {why}, as with keepalived")
        try:
            check = check_of(table)
        except SettingProblems as exc:
            for each in exc.problems:
                self._complain(tracked.where, each.text, each.hint)
            return
        self._checks.append(Attached(host=key, item=check, table=table, place=_place(tracked.where)))

    def _attach_hook(self, where: Word, table: dict[str, Any], key: HostKey) -> None:
        if (key, table["name"]) in self._hook_names:
            self._complain(where, f"{where.text} stands twice", "leave one of them")
            return
        self._hook_names.add((key, table["name"]))
        try:
            hook = hook_of(HookTable(on=[On(each) for each in table["on"]], run=table["run"], name=table["name"]))
        except ConfigError as exc:
            self._complain(where, str(exc), "")
            return
        self._hooks.append(Attached(host=key, item=hook, table=table, place=_place(where)))

    # Sync groups

    def _read_group(self, statement: Statement) -> None:
        name = statement.words[1].text if len(statement.words) > 1 else ""
        if not name:
            self._complain(statement.where, "vrrp_sync_group has no name", "write vrrp_sync_group NAME {")
        members: list[Word] = []
        tracked: list[_Tracked] = []
        hooks: list[tuple[Word, dict[str, Any]]] = []
        for each in statement.inner:
            if each.keyword == "group":
                members += [word for line in each.inner for word in line.words]
            elif each.keyword in self._names:
                # As older versions of keepalived have it.
                members += each.words
            elif each.keyword in _TRACKED:
                tracked += self._tracked(each, None)
            elif each.keyword in _NOTIFY or each.keyword in ("notify", "notify_stop"):
                hooks += self._notified(each, "GROUP", None, name)
            elif each.keyword in _INCLUDES:
                self._include(each)
            else:
                self._pass_over(each, keywords.GROUP, _GROUP)
        self._finish_group(statement, name, members, tracked, hooks)

    def _finish_group(
        self,
        statement: Statement,
        name: str,
        members: Sequence[Word],
        tracked: Sequence[_Tracked],
        hooks: Sequence[tuple[Word, dict[str, Any]]],
    ) -> None:
        for word in members:
            if word.text not in self._names:
                known = ", ".join(sorted(self._names)) or "none"
                self._complain(word, f"there is no vrrp_instance {word.text}", f"there are: {known}")
        names = list(dict.fromkeys(word.text for word in members if word.text in self._hosts))
        if not names:
            if not members:
                self._note(statement.where, f"vrrp_sync_group {name} has no members, and is left out")
            return
        leader = self._hosts[names[0]].key
        used = {each.name for each in self._checks if each.host == leader}
        for each in tracked:
            self._attach_check(each, leader, 0, used)
        for where, table in hooks:
            self._attach_hook(where, table, leader)
        keys = tuple(self._hosts[each].key for each in names)
        self._check_group(statement, name, names)
        if not any(each.keyword in ("global_tracking", "sync_group_tracking_weight") for each in statement.inner):
            self._note_weights([self._hosts[each].key for each in names])
        if len(names) < 2:
            self._note(statement.where, f"vrrp_sync_group {name} has one member only, and is no group in pycarp")
            return
        item = SyncGroupConfig(name=name, hosts=keys)
        table = {"name": name, "hosts": names}
        self._groups.append(Attached(host=None, item=item, table=table, place=_place(statement.where)))

    def _check_group(self, statement: Statement, name: str, names: Sequence[str]) -> None:
        taken = {key for group in self._groups for key in group.item.hosts}
        for each in names:
            if self._hosts[each].key in taken:
                self._complain(statement.where, f"{each} is in another vrrp_sync_group already", "leave it in one")
        if any(group.name == name for group in self._groups):
            self._complain(statement.where, f"two groups are called {name}", "give each a name of its own")

    def _note_weights(self, members: Sequence[HostKey]) -> None:
        for each in self._checks:
            if each.host in members and each.item.by is not None:
                why = (
                    "keepalived ignores a weight in a vrrp_sync_group, and pycarp counts it: without by it is as before"
                )
                self._note(Word("", *each.place), f"{each.name}: {why}")

    # Values

    def _number(self, words: Sequence[Word], low: int, high: int) -> int | None:
        """Return the whole number behind a keyword; None, with a complaint, for what is none or is out of range."""
        keyword, value = words[0].text, words[1] if len(words) > 1 else None
        if value is None or not re.fullmatch(r"[0-9]{1,9}", value.text, re.ASCII):
            said = f" {value.text}" if value else ""
            self._complain(value or words[0], f"{keyword}{said} is no whole number", f"write {low} to {high}")
            return None
        number = int(value.text)
        if not low <= number <= high:
            self._complain(value, f"{keyword} {number} is outside {low}-{high}", "")
            return None
        return number

    def _seconds(self, statement: Statement) -> float | None:
        """Return the seconds behind a keyword; None, with a complaint, for what is none."""
        value = statement.words[1] if len(statement.words) > 1 else None
        if value is None or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value.text, re.ASCII):
            said = f" {value.text}" if value else ""
            self._complain(value or statement.where, f"{statement.keyword}{said} is no number of seconds", "write 1")
            return None
        return float(value.text)

    def _duration(self, statement: Statement) -> str | None:
        seconds = self._seconds(statement)
        return None if seconds is None else format_duration(seconds)

    def _note(self, where: Word, text: str) -> None:
        self._notes.append((where.line, text))

    def _complain(self, where: Word, text: str, hint: str) -> None:
        if (where.line, where.column) not in self._faulty:
            self.problems.append(Problem(self._file, where.line, where.column, text, hint))


_WITH_BLOCK = frozenset(
    {"virtual_ipaddress", "virtual_ipaddress_excluded", "unicast_peer", "authentication", *_TRACKED}
)
_WITH_VALUE = frozenset(
    {
        *("interface", "virtual_router_id", "priority", "advert_int", "preempt_delay"),
        *("unicast_src_ip", "mcast_src_ip", "mcast_dst_ip"),
    }
)


def _place(word: Word) -> tuple[int, int]:
    return word.line, word.column
