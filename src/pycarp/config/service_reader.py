"""Reads the tables of services: checks, hooks, failback and sync groups, beside or inside ``[[host]]``."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from pycarp.config.model import Attached, HttpConfig, Where
from pycarp.config.service_tables import (
    FailbackTable,
    HookTable,
    HttpTable,
    SyncGroupTable,
    hook_of,
    http_of,
    policy_of,
)
from pycarp.core.host_config import HostConfig
from pycarp.errors import ConfigError, SettingProblems
from pycarp.failback import FailbackPolicy
from pycarp.health import Check, check_of
from pycarp.hooks import Hook
from pycarp.placement.share import SyncGroupConfig
from pycarp.vocabulary import HostKey

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")


class TableReader(Protocol):
    """Reads single tables, and collects their problems."""

    def table(self, kind: type[S], table: object, where: Where) -> S | None:
        """Return a table, or None, with complaints, for one that is wrong."""

    def complain(self, where: Where, key: str, text: str, hint: str = "") -> None:
        """Complain about a key of a table, or about the table if the key is empty."""

    def place(self, where: Where, key: str) -> tuple[int, int]:
        """Return line and column of a key."""


class ServiceReader:
    """Collects the services in a file; reports each problem at its place."""

    def __init__(self, reader: TableReader, folder: Path) -> None:
        """Read for a file in ``folder``, below which the files are that it names."""
        self._folder = folder
        self.checks: list[Attached[Check]] = []
        self.hooks: list[Attached[Hook]] = []
        self.failbacks: list[Attached[FailbackPolicy]] = []
        self.sync_groups: list[Attached[SyncGroupConfig]] = []
        self.http: HttpConfig | None = None
        self._reader = reader
        self._counts: Counter[str] = Counter()

    def read_host(self, tables: Mapping[str, Any], host: HostKey | None) -> None:
        """Read what is inside a host; None stands for a host that is wrong itself."""
        self._read(tables, "host.", host)
        self._read_failback(tables, "host.failback", host)

    def read_file(self, tables: Mapping[str, Any], hosts: Sequence[HostConfig]) -> None:
        """Read what is beside the hosts, which have been read before."""
        self._read(tables, "", None)
        self._read_failback(tables, "failback", None)
        if "http" in tables:
            table = self._reader.table(HttpTable, tables["http"], ("http", 0))
            self.http = None if table is None else self._made(lambda: http_of(table, self._folder), ("http", 0))
        for raw, where in self._tables(tables.get("sync_group"), "sync_group"):
            self._read_sync_group(raw, where, hosts)

    def _read(self, tables: Mapping[str, Any], prefix: str, host: HostKey | None) -> None:
        """Read checks and hooks; ``prefix`` is the name of the table that they are in."""
        self._attach(self.checks, tables.get("check"), f"{prefix}check", host, self._check)
        self._attach(self.hooks, tables.get("hook"), f"{prefix}hook", host, self._hook, is_one_list=True)

    def _attach(
        self,
        found: list[Attached[T]],
        raw: object,
        name: str,
        host: HostKey | None,
        read: Callable[[object, Where], T | None],
        *,
        is_one_list: bool = False,
    ) -> None:
        """Add what a list of tables says; complain about a table that is wrong, and about a name used twice.

        ``is_one_list`` if what belongs to a host and what belongs to every host are called from one list.
        """
        for table, where in self._tables(raw, name):
            item = read(table, where)
            # What is inside of a wrong host is neither that of another one nor of every host.
            if item is None or not isinstance(table, dict) or (host is None and "." in name):
                continue
            called = str(getattr(item, "name", ""))
            beside = [each for each in found if each.host == host or (is_one_list and None in (each.host, host))]
            if any(each.name == called for each in beside):
                self._reader.complain(where, "name", f"two are called {called}", 'give each a name = "..." of its own')
            found.append(Attached(host=host, item=item, table=table, place=self._reader.place(where, "")))

    def _tables(self, raw: object, name: str) -> list[tuple[object, Where]]:
        """Return the tables of a list, and where each is; a single table is complained about, and read all the same."""
        tables = [] if raw is None else raw if isinstance(raw, list) else [raw]
        found = []
        for table in tables:
            where = (name, self._counts[name])
            self._counts[name] += 1
            if table is raw:
                self._reader.complain(where, "", f"{name} is a list of tables", f"write [[{name}]]")
            found.append((table, where))
        return found

    def _check(self, table: object, where: Where) -> Check | None:
        if not isinstance(table, dict):
            self._reader.complain(where, "", f"{where[0]} is not a table")
            return None
        try:
            return check_of(table)
        except SettingProblems as exc:
            for each in exc.problems:
                self._reader.complain(where, each.setting, each.text, each.hint)
            return None

    def _hook(self, table: object, where: Where) -> Hook | None:
        found = self._reader.table(HookTable, table, where)
        return None if found is None else self._made(lambda: hook_of(found), where)

    def _read_failback(self, tables: Mapping[str, Any], name: str, host: HostKey | None) -> None:
        raw = tables.get("failback")
        if raw is None:
            return
        where = (name, self._counts[name])
        self._counts[name] += 1
        if isinstance(raw, list):
            self._reader.complain(where, "", f"{name} is one table", f"write [{name}]")
            return
        table = self._reader.table(FailbackTable, raw, where)
        policy = None if table is None else self._made(lambda: policy_of(table), where)
        if policy is not None:
            place = self._reader.place(where, "")
            self.failbacks.append(Attached(host=host, item=policy, table=raw, place=place))

    def _read_sync_group(self, raw: object, where: Where, hosts: Sequence[HostConfig]) -> None:
        table = self._reader.table(SyncGroupTable, _without(raw, "check", "hook"), where)
        named = {host.name: host.key for host in hosts}
        keys = [] if table is None else [named[name] for name in table.hosts if name in named]
        leader = keys[0] if keys else None
        if isinstance(raw, dict):
            self._read(raw, "sync_group.", leader)
        if table is None:
            return
        for name in [each for each in table.hosts if each not in named]:
            known = ", ".join(named) or "none"
            self._reader.complain(where, "hosts", f"there is no host {name}", f"there are: {known}")
        taken = {key for each in self.sync_groups for key in each.item.hosts}
        for name in [name for name, key in named.items() if key in taken and key in keys]:
            self._reader.complain(where, "hosts", f"{name} is in another sync group already")
        for name in [name for name, key in named.items() if keys.count(key) > 1]:
            self._reader.complain(where, "hosts", f"{name} is named twice")
        if any(each.name == table.name for each in self.sync_groups):
            self._reader.complain(where, "name", f"two are called {table.name}", "give each a name of its own")
        item = SyncGroupConfig(name=table.name, hosts=tuple(keys))
        assert isinstance(raw, dict)
        place = self._reader.place(where, "")
        self.sync_groups.append(Attached(host=None, item=item, table=_without(raw, "check", "hook"), place=place))

    def _made(self, make: Callable[[], T], where: Where) -> T | None:
        try:
            return make()
        except ConfigError as exc:
            self._reader.complain(where, str(exc).split(" ")[0].rstrip(":"), str(exc))
            return None


def _without(table: Any, *keys: str) -> Any:
    return {key: value for key, value in table.items() if key not in keys} if isinstance(table, dict) else table
