"""pycarp's own grammar: TOML with every setting there is. The tables below are the schema; unknown keys are errors."""

import contextlib
import inspect
import os
import re
import shlex
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import msgspec

from pycarp import actuators, dialects, monitors, registry, transports
from pycarp.auth.key import Passphrase
from pycarp.config.model import BESIDE_HOSTS, IN_HOSTS, NodeConfig, Where
from pycarp.config.netmask_words import netmask_length, why_no_host_has
from pycarp.config.parents import NoParentError, Parents, unused_renames
from pycarp.config.problems import CUT_BY_THE_BSDS, ConfigProblems, Problem
from pycarp.config.source_text import plain
from pycarp.core.host_config import DEFAULT_GROUPS, HostConfig
from pycarp.core.host_settings import interface_address, problems_of
from pycarp.dialects.rules import DEAD_RATIO
from pycarp.errors import ConfigError, SettingProblem, SettingProblems
from pycarp.spelling import meant
from pycarp.system.files.bounded_read import read_first_line
from pycarp.vocabulary import Address, HostKey, LinkFacts, MacAddress, MacMode

if TYPE_CHECKING:
    from pycarp.config.service_reader import ServiceReader

DEFINITIONS = {
    "host": "HostTable",
    "node": "NodeTable",
    "sync_group": "SyncGroupTable",
    "http": "HttpTable",
    "failback": "FailbackTable",
    "hook": "HookTable",
    "check": "CheckTable",
}
"""The tables of ``KEYS`` in the schema."""

_PASSWORDS = ("password", "password_file", "password_credential", "password_env")
_TABLES = ("node", "host", *BESIDE_HOSTS)
_DIALECTS = tuple(each.name for each in dialects.ALL)
CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The folder in which systemd gives credentials to a service. Source: systemd.exec(5)."""

SYSCTL_PREFIX = "net.inet.carp."

_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
_ENUM = re.compile(r"Invalid enum value .*")
_ITEM = re.compile(r"\$\[(\d+)\]")
_TYPE = re.compile(r"\b(array|str|int|float|bool|object)\b")
_TYPES = {
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a fraction",
    "bool": "true or false",
    "object": "a table",
}
"""The words of TOML for msgspec's."""

_HEADER = re.compile(r"\s*\[\[?\s*([A-Za-z_.]+)\s*\]")
_KEY = re.compile(r"(\s*)([A-Za-z_]+)\s*=")

Octet = Annotated[int, msgspec.Meta(ge=0, le=255)]
OctetFromOne = Annotated[int, msgspec.Meta(ge=1, le=255)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=24 * 3600)]
Switch = Annotated[int, msgspec.Meta(ge=0, le=1)]
_SUM_MOST = 2**31 - 1
Text = Annotated[str, msgspec.Meta(min_length=1)]


class SysctlTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``[node.sysctls]``: what ``pycarp sysctl`` sets, without ``net.inet.carp.``."""

    allow: Switch | None = None
    preempt: Switch | None = None
    log: Annotated[int, msgspec.Meta(ge=0, le=2)] | None = None
    demotion: Annotated[int, msgspec.Meta(ge=-_SUM_MOST, le=_SUM_MOST)] | None = None
    senderr_demotion_factor: Annotated[int, msgspec.Meta(ge=0, le=_SUM_MOST)] | None = None
    ifdown_demotion_factor: Annotated[int, msgspec.Meta(ge=0, le=_SUM_MOST)] | None = None


class NodeTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``[node]``: the machine."""

    hostname: str = ""
    transport: str = ""
    actuator: str = ""
    monitor: str = ""
    external_change_limit: Annotated[int, msgspec.Meta(ge=0)] | None = None
    sysctls: SysctlTable = msgspec.field(default_factory=SysctlTable)


class HostTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``[[host]]``: one virtual host. One of ``password``, and where it is: of a file the first line counts."""

    interface: Text
    vhid: OctetFromOne
    addresses: Annotated[list[str], msgspec.Meta(min_length=1)]
    password: str | None = None
    password_file: Text | None = None
    password_credential: Text | None = None
    password_env: Text | None = None
    name: str = ""
    advbase: Octet = 1
    advskew: Octet = 0
    preempt: bool = False
    dialect: str = "universal"
    peers: list[str] = msgspec.field(default_factory=list)
    multicast_group: str | None = None
    broadcasts: bool = False
    dead_ratio: OctetFromOne = DEAD_RATIO
    lladdr: str | None = None
    groups: list[Text] = msgspec.field(default_factory=lambda: list(DEFAULT_GROUPS))
    neutral: bool = False
    ignores_link: bool = False
    mac_mode: MacMode | None = None
    announce_every_s: Seconds | None = None
    peer_dialects: list[str] = msgspec.field(default_factory=list)
    check: list[dict[str, Any]] = msgspec.field(default_factory=list)
    hook: list[dict[str, Any]] = msgspec.field(default_factory=list)
    failback: dict[str, Any] | None = None

    def __repr__(self) -> str:
        """Return it without its password."""
        return f"HostTable({self.interface!r}, {self.vhid})"


class File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A whole file; ``check``, ``hook`` and ``failback`` are for every host."""

    node: NodeTable = msgspec.field(default_factory=NodeTable)
    host: list[HostTable] = msgspec.field(default_factory=list)
    check: list[dict[str, Any]] = msgspec.field(default_factory=list)
    hook: list[dict[str, Any]] = msgspec.field(default_factory=list)
    failback: dict[str, Any] | None = None
    sync_group: list[dict[str, Any]] = msgspec.field(default_factory=list)
    http: dict[str, Any] | None = None


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a file."""
    # Imported here because only who wants all that can be written needs all that checks and hooks do.
    from pycarp.config.service_tables import (  # noqa: PLC0415
        FailbackTable,
        HookTable,
        HttpTable,
        SyncGroupTable,
    )
    from pycarp.config.toml_keys import KEYS  # noqa: PLC0415
    from pycarp.health.table import check_schema  # noqa: PLC0415

    made = msgspec.json.schema(File)
    services = (HookTable, FailbackTable, SyncGroupTable, HttpTable)
    _, tables = msgspec.json.schema_components(services, ref_template="#/$defs/{name}")
    made["$defs"] |= tables | {"CheckTable": check_schema()}
    for each in made["$defs"].values():
        if "description" in each:
            # Releases of msgspec differ in whether they take the indent away.
            each["description"] = inspect.cleandoc(each["description"])
    # The other tables know these as tables of any kind.
    lists = {"check": "CheckTable", "hook": "HookTable", "sync_group": "SyncGroupTable"}
    optional = {"failback": "FailbackTable", "http": "HttpTable"}
    for owner in ("File", "HostTable", "SyncGroupTable"):
        properties = made["$defs"][owner]["properties"]
        for name in properties.keys() & lists.keys():
            properties[name]["items"] = {"$ref": f"#/$defs/{lists[name]}"}
        for name in properties.keys() & optional.keys():
            properties[name]["anyOf"] = [{"$ref": f"#/$defs/{optional[name]}"}, {"type": "null"}]
    for table, keys in KEYS.items():
        properties = made["$defs"][DEFINITIONS[table]]["properties"]
        for key in keys:
            properties[key.name]["description"] = key.value.replace("`", "")
    return made


def read(
    text: str, *, file: str, links: Sequence[LinkFacts] = (), renames: Mapping[str, str] | None = None
) -> NodeConfig:
    """Return the configuration in a file; arguments and errors are those of ``rcconf.read``."""
    text = plain(text)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigProblems([_syntax_problem(exc, file, text)]) from None
    except RecursionError:
        raise ConfigProblems([Problem(file, 1, 1, "tables are nested too deeply")]) from None
    reader = _Reader(file, text, links, renames or {})
    config = reader.read(tables)
    if reader.problems:
        raise ConfigProblems(reader.problems)
    return config


def _syntax_problem(exc: tomllib.TOMLDecodeError, file: str, text: str) -> Problem:
    match = _PLACE.search(str(exc))
    line, column = (int(match[1]), int(match[2])) if match else (max(text.count("\n"), 1), 1)
    what = _PLACE.sub("", str(exc)).replace("(at end of document)", "at the end of the file").strip()
    hint = "close the quote on its line" if what.endswith(r"'\n'") else ""
    return Problem(file, line, column, f"this is not TOML: {what}", hint)


S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")


class _Reader:
    """Turns tables into hosts; collects problems instead of stopping at the first."""

    def __init__(self, file: str, text: str, links: Sequence[LinkFacts], renames: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._places = _places(text)
        self._lines = text.split("\n")
        self._parents = Parents({}, links)
        self._renames = renames
        self._keys: set[HostKey] = set()
        self._owners: dict[tuple[str, Address], HostKey] = {}
        self._hosts: dict[HostKey, Where] = {}
        self._secret_files: dict[HostKey, Path] = {}
        self._secret_variables: dict[HostKey, str] = {}
        self._services: ServiceReader | None = None

    def read(self, tables: dict[str, Any]) -> NodeConfig:
        """Return what could be understood."""
        for key in sorted(tables.keys() - set(_TABLES)):
            hint = (
                "name each file to pycarp itself" if key in ("include", "includes", "import") else _likely(key, _TABLES)
            )
            where, name = ((key, 0), "") if (key, 0, "") in self._places else (("", 0), key)
            self.complain(where, name, f"unknown key {key}; there are: {', '.join(_TABLES)}", hint)
        node = self.table(NodeTable, tables.get("node", {}), ("node", 0), nested={"sysctls": SysctlTable})
        found = tables.get("host", [])
        if isinstance(found, dict):
            self.complain(("host", 0), "", "host is a list of tables", "write [[host]] above each, instead of [host]")
            found = [found]
        elif not isinstance(found, list) or not found:
            if not any(_likely(key, ["host"]) for key in tables):
                self.complain(("host", 0), "", "no [[host]] is here", "add [[host]] with interface, vhid, addresses")
            found = []
        hosts = [host for index, table in enumerate(found) if (host := self._host(table, ("host", index)))]
        if not tables.keys().isdisjoint(BESIDE_HOSTS):
            self._service_reader().read_file(tables, hosts)
        names = [table.get("interface") for table in found if isinstance(table, dict)]
        for complaint, hint in unused_renames(self._renames, [name for name in names if isinstance(name, str)]):
            self.complain(("", 0), "", complaint, hint)
        if node is None:
            return NodeConfig(hosts=())
        self._check_names(node)
        sysctls = msgspec.structs.asdict(node.sysctls)
        services = self._services
        return NodeConfig(
            hosts=tuple(hosts),
            hostname=node.hostname,
            transport=node.transport,
            actuator=node.actuator,
            monitor=node.monitor,
            external_change_limit=node.external_change_limit,
            sysctls=tuple((SYSCTL_PREFIX + name, value) for name, value in sysctls.items() if value is not None),
            http=services.http if services else None,
            checks=tuple(services.checks) if services else (),
            hooks=tuple(services.hooks) if services else (),
            failbacks=tuple(services.failbacks) if services else (),
            sync_groups=tuple(services.sync_groups) if services else (),
            places={key: self.place(where, "vhid") for key, where in self._hosts.items()},
            secret_files=self._secret_files,
            secret_variables=self._secret_variables,
        )

    def _service_reader(self) -> "ServiceReader":
        if self._services is None:
            # Imported here because most configurations have nothing of it, and it needs all that checks and hooks do.
            from pycarp.config.service_reader import ServiceReader  # noqa: PLC0415

            self._services = ServiceReader(self, Path(self._file).parent)
        return self._services

    def _check_names(self, node: NodeTable) -> None:
        """Complain about a transport, an actuator or a monitor of which there is none."""
        for key, kind in (("transport", transports), ("actuator", actuators), ("monitor", monitors)):
            name = getattr(node, key)
            if name not in ("", *kind.NAMES) and name not in registry.registered(key):
                self._named(kind.by_name, name, ("node", 0), key, known=kind.NAMES)

    def table(
        self,
        kind: type[S],
        table: object,
        where: Where,
        nested: Mapping[str, type[msgspec.Struct]] | None = None,
        *,
        is_partial: bool = False,
    ) -> S | None:
        """Return a table, each of its values checked by itself, so that all that is wrong is told.

        Return None for one that is wrong; if it may be ``is_partial``, what is right of it, and None for required keys.
        """
        if not isinstance(table, dict):
            self.complain(where, "", f"{where[0]} is not a table")
            return None
        before = len(self.problems)
        fields = _fields(kind)
        if not nested and table.keys() <= fields.keys():
            # Nearly every table is right; of one that is not, all that is wrong is found out below.
            with contextlib.suppress(msgspec.ValidationError):
                return msgspec.convert(table, kind)
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in fields:
                self.complain(
                    where, key, f"unknown key {key}", _likely(key, fields) or f"there are: {', '.join(fields)}"
                )
            elif nested and key in nested:
                values[key] = self.table(nested[key], value, (f"{where[0]}.{key}", 0))
            else:
                values[key] = self._value(fields[key].type, value, where, key)
        for name, field in fields.items():
            if field.required and name not in table and not _is_meant(name, table, fields):
                self.complain(where, "", f"{name} is missing")
        if len(self.problems) == before:
            return kind(**values)
        required = dict.fromkeys(name for name, field in fields.items() if field.required)
        return kind(**required | _without_none(values)) if is_partial else None

    def _value(self, kind: Any, value: object, where: Where, key: str) -> object:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as exc:
            # Text is not shown: it may be a password that slipped here.
            shown = f"{key} {value}" if type(value) in (int, float) and key not in _PASSWORDS else key
            known = _members_of(kind)
            hint = _likely(str(value), known) if known else ""
            if key not in _PASSWORDS:
                hint = hint or _written_rightly(key, value, _in_words(exc))
            self.complain(where, key, _out_of_bounds(key, value, kind) or f"{shown}: {_in_words(exc, known)}", hint)
            return None

    # Hosts

    def _host(self, raw: object, where: Where) -> HostConfig | None:
        before = len(self.problems)
        others = {key: raw[key] for key in IN_HOSTS if key in raw} if isinstance(raw, dict) else {}
        raw = {key: raw[key] for key in raw if key not in IN_HOSTS} if isinstance(raw, dict) else raw
        host = self._host_itself(raw, where)
        if others:
            self._service_reader().read_host(others, None if host is None else host.key)
        return host if len(self.problems) == before else None

    def _host_itself(self, raw: object, where: Where) -> HostConfig | None:
        before = len(self.problems)
        table = self.table(HostTable, raw, where, is_partial=True)
        if table is None:
            return None
        is_whole = len(self.problems) == before
        secret = self._secret(table, where) if is_whole or self._has_one_secret(table, raw) else None
        settings = self._settings(table, secret, where)
        if "interface" in settings:
            try:
                self._parents.check(settings["interface"])
            except NoParentError as exc:
                self.complain(where, "interface", str(exc), exc.hint)
        self._check_addresses(table, settings, where)
        if not is_whole or secret is None:
            self._complain_of(problems_of(settings), settings, where)
            return None
        host = self._built(settings, where)
        if host is None or len(self.problems) > before:
            return host
        self._check_unique(host, where)
        self._hosts.setdefault(host.key, where)
        if (secret_file := self._secret_file(table, where)) is not None:
            self._secret_files[host.key] = secret_file
        if table.password_env is not None:
            self._secret_variables[host.key] = table.password_env
        return host

    @staticmethod
    def _has_one_secret(table: HostTable, raw: object) -> bool:
        """Whether nothing that was written about the password was wrong by its type."""
        written = [key for key in _PASSWORDS if isinstance(raw, dict) and key in raw]
        return all(getattr(table, key) is not None for key in written)

    def _settings(self, table: HostTable, secret: Passphrase | None, where: Where) -> dict[str, Any]:
        """Return what ``HostConfig`` takes, without what is missing or wrong, which is complained about."""
        named = {"dialect": self._named(dialects.by_name, table.dialect, where, "dialect", known=_DIALECTS)}
        if table.lladdr:
            named["lladdr"] = self._named(_mac, table.lladdr, where, "lladdr")
        others = [
            self._named(dialects.by_name, each, where, "peer_dialects", known=_DIALECTS) for each in table.peer_dialects
        ]
        same = (
            *("vhid", "addresses", "advbase", "advskew", "preempt", "name", "multicast_group", "broadcasts"),
            *("dead_ratio", "neutral", "ignores_link", "mac_mode", "announce_every_s"),
        )
        return _without_none(
            {name: getattr(table, name) for name in same}
            | named
            | {
                "interface": self._renames.get(table.interface, table.interface),
                "passphrase": secret,
                "peers": tuple(table.peers),
                "groups": tuple(table.groups),
                "peer_dialects": tuple(each for each in others if each is not None),
            }
        )

    def _built(self, settings: dict[str, Any], where: Where) -> HostConfig | None:
        """Return the host, or None when settings do not work, of which all are complained about."""
        try:
            return HostConfig(**settings)
        except SettingProblems as exc:
            self._complain_of(exc.problems, settings, where)
        return None

    def _complain_of(self, problems: Iterable[SettingProblem], settings: dict[str, Any], where: Where) -> None:
        """Complain about settings, each at its place."""
        for problem in problems:
            item = None if problem.index is None else str(settings[problem.setting][problem.index])
            secret = next((each for each in _PASSWORDS if (*where, each) in self._places), "password")
            key = secret if problem.setting == "passphrase" else problem.setting
            self.complain(where, key, problem.text, problem.hint, item=item)

    def _named(self, make: Any, text: str, where: Where, key: str, *, known: Collection[str] = ()) -> Any:
        try:
            return make(text)
        except ConfigError as exc:
            self.complain(where, key, str(exc), _likely(text, known))
            return None

    def _secret(self, table: HostTable, where: Where) -> Passphrase | None:
        said = [key for key in _PASSWORDS if getattr(table, key) is not None]
        if not said and self._is_secret_misspelt(where):
            return None
        if len(said) != 1:
            hint = "without a password anybody could take the address"
            self.complain(where, "password", f"write one of {', '.join(_PASSWORDS)}", hint)
            return None
        (key,) = said
        try:
            return self._passphrase(key, table, where)
        except ConfigError as exc:
            hint = CUT_BY_THE_BSDS if "too long" in str(exc) else ""
            self.complain(where, key, str(exc), hint)
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "this is no path"
            hint = self._how_to_make(key, table) if isinstance(exc, FileNotFoundError) else ""
            self.complain(where, key, f"cannot read {getattr(table, key)}: {why}", hint)
        return None

    def _is_secret_misspelt(self, where: Where) -> bool:
        """Whether an unknown key, which is complained about, resembles one of those for the password."""
        keys = [key for name, index, key in self._places if (name, index) == where]
        return any(_likely(key, _PASSWORDS) for key in keys if key not in HostTable.__struct_fields__)

    def _how_to_make(self, key: str, table: HostTable) -> str:
        """Return the command that makes a missing file with a password."""
        if key != "password_file" or table.password_file is None:
            return ""
        file = Path(self._file).parent / table.password_file
        folder = "" if file.parent.exists() else f"mkdir -p {shlex.quote(str(file.parent))}; "
        return f"make it on every host: {folder}umask 077; echo SECRET > {shlex.quote(str(file))}"

    def _passphrase(self, key: str, table: HostTable, where: Where) -> Passphrase | None:
        if table.password is not None:
            return Passphrase(table.password)
        if table.password_env is not None:
            text = os.environ.get(table.password_env)
            if not text:
                hint = f"set it where pycarp is started: {table.password_env}=SECRET"
                self.complain(where, key, f"the environment has no {table.password_env}, or it is empty", hint)
                return None
            return Passphrase(os.fsencode(text))
        file = self._secret_file(table, where)
        return None if file is None else Passphrase(read_first_line(file, 4096).removesuffix(b"\n"))

    def _secret_file(self, table: HostTable, where: Where) -> Path | None:
        """Return where the password is, if it is in a file or in a credential of systemd."""
        if table.password_file is not None:
            return Path(self._file).parent / table.password_file
        name = table.password_credential
        if name is None:
            return None
        if "/" in name or name in (".", ".."):
            self.complain(where, "password_credential", "a credential has a name, and no path")
            return None
        folder = os.environ.get(CREDENTIALS)
        if not folder:
            hint = f"systemd sets it for LoadCredential={name}:FILE; elsewhere set it to a folder with a file {name}"
            self.complain(where, "password_credential", f"{CREDENTIALS} is not set", hint)
            return None
        return Path(folder) / name

    def _check_addresses(self, table: HostTable, settings: Mapping[str, Any], where: Where) -> None:
        """Complain about what ``HostConfig`` takes, although it is no address that hosts share."""
        for text in settings.get("addresses", ()):
            try:
                address = interface_address(text).ip
            except ValueError:
                continue
            length = netmask_length(address)
            why = f"{address} is a netmask, not an address" if length is not None else why_no_host_has(address)
            if why:
                self.complain(where, "addresses", why, 'write "ADDRESS/LENGTH"', item=text)
        for key in ("addresses", "peers") if "interface" in settings else ():
            for text in settings.get(key, ()):
                scope = text.partition("/")[0].partition("%")[2]
                if scope and scope not in (table.interface, settings["interface"]):
                    why = f"an address belongs to {scope}, not to {table.interface}"
                    self.complain(where, key, why, f"write %{table.interface}, or nothing", item=text)

    def _check_unique(self, host: HostConfig, where: Where) -> None:
        if host.key in self._keys:
            hint = "give each virtual host of an interface a vhid of its own, or one host all addresses"
            self.complain(where, "vhid", f"vhid {host.vhid} is used twice on {host.interface}", hint)
        self._keys.add(host.key)
        for address in host.addresses:
            # A link-local address is another one on each link.
            where_it_is = host.interface if address.ip.is_link_local else ""
            owner = self._owners.setdefault((where_it_is, address.ip), host.key)
            if owner != host.key:
                self.complain(where, "addresses", f"{address.ip} is shared by {owner} already")

    def place(self, where: Where, key: str, item: str | None = None) -> tuple[int, int]:
        """Return where a key stands, or the ``item`` of its list as far as it is written without escapes."""
        outer, _dot, inner = where[0].rpartition(".")
        candidates = ((*where, key), (f"{where[0]}.{key}", 0, ""), (*where, ""), (outer, 0, inner))
        place = next((self._places[each] for each in candidates if each in self._places), (1, 1))
        if item is None:
            return place
        end = min((line for line, _column in self._places.values() if line > place[0]), default=len(self._lines) + 1)
        for number in range(place[0], end):
            for quoted in (f'"{item}"', f"'{item}'"):
                if (at := self._lines[number - 1].find(quoted)) >= 0:
                    return number, at + 1
        return place

    def complain(self, where: Where, key: str, text: str, hint: str = "", *, item: str | None = None) -> None:
        line, column = self.place(where, key, item)
        self.problems.append(Problem(self._file, line, column, text, hint))


@cache
def _fields(kind: Any) -> dict[str, msgspec.structs.FieldInfo]:
    """Return the keys of a table; found out once, because a file may have thousands of hosts."""
    return {each.name: each for each in msgspec.structs.fields(kind)}


def _places(text: str) -> dict[tuple[str, int, str], tuple[int, int]]:
    """Return where tables and their keys begin, as far as one can tell without a parser that remembers it."""
    found: dict[tuple[str, int, str], tuple[int, int]] = {}
    counts: dict[str, int] = {}
    table: Where = ("", 0)
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.match(line):
            name = header[1]
            table = (name, counts.get(name, 0))
            counts[name] = table[1] + 1
            found.setdefault((*table, ""), (number, line.index("[") + 1))
        elif key := _KEY.match(line):
            found.setdefault((*table, key[2]), (number, len(key[1]) + 1))
    return found


def _likely(text: str, known: Collection[str]) -> str:
    """Return the hint about what was meant; empty if it resembles nothing that is known."""
    close = meant(text, known)
    return f"did you mean {close}?" if close else ""


def _is_meant(name: str, table: Mapping[str, Any], fields: Collection[str]) -> bool:
    """Whether an unknown key of a table, which is complained about, resembles ``name`` more than any other one."""
    return any(_likely(key, fields) == f"did you mean {name}?" for key in table if key not in fields)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _mac(text: str) -> MacAddress:
    try:
        return MacAddress.parse(text)
    except ValueError:
        raise ConfigError("lladdr is not a MAC address; write 00:00:5e:00:01:01") from None


def _written_rightly(key: str, value: object, why: str) -> str:
    """Return how a value of another type is meant to be written, empty if that is not clear."""
    if isinstance(value, str) and "expected a list" in why:
        return f'write {key} = ["{value}"]'
    if isinstance(value, str) and "expected a whole number" in why and re.fullmatch(r"[0-9]+", value):
        return f"write {key} = {value}"
    return f"write {key} = true" if "expected true or false" in why else ""


def _out_of_bounds(key: str, value: object, kind: Any) -> str:
    """Return what is wrong with a number outside of its bounds, or a list that is too short; empty for neither."""
    bounds = _bounds_of(kind)
    is_number = type(value) in (int, float)
    if is_number and bounds.ge is not None and bounds.le is not None and not bounds.ge <= value <= bounds.le:  # type: ignore[operator]
        return f"{key} {value} is outside {bounds.ge}-{bounds.le}"
    if isinstance(value, list) and bounds.min_length and len(value) < bounds.min_length:
        return f"{key} has {len(value) or 'no'} item{'s' * (len(value) != 1)}; name at least {bounds.min_length}"
    return ""


def _bounds_of(kind: Any) -> msgspec.Meta:
    """Return the bounds of a type, or of a part of it; none if it has none."""
    found = [each for each in getattr(kind, "__metadata__", ()) if isinstance(each, msgspec.Meta)]
    return found[0] if found else next((_bounds_of(part) for part in get_args(kind)), msgspec.Meta())


def _members_of(kind: Any) -> list[str]:
    """Return the words that an enumeration has, which is or is part of a type; none if there is none."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(each.value) for each in kind]
    return [word for part in get_args(kind) for word in _members_of(part)]


def _in_words(exc: msgspec.ValidationError, known: Collection[str] = ()) -> str:
    """Return msgspec's message as a piece of a sentence; it never holds the value.

    ``known`` are the words of the enumeration that the value should be of.
    """
    text, _at, path = str(exc).replace("`", "").replace(" | null", "").partition(" - at ")
    text = _ENUM.sub(f"unknown; known are: {', '.join(known)}", text)
    text = _TYPE.sub(lambda match: _TYPES.get(match[0], match[0]), text)
    item = _ITEM.fullmatch(path)
    return (f"item {int(item[1]) + 1}: " if item else "") + text[:1].lower() + text[1:]
