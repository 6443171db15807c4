"""Builds a check from a table of TOML or JSON: its kind is the key that is a kind's name, its settings stand beside it.

::

    name = "web"
    http = "http://127.0.0.1:8080/health"
    status = 200
    every = "250ms"
"""

import difflib
from collections.abc import Collection, Mapping
from typing import Any, cast

from pycarp.aio.arguments import AMOUNT_MAX
from pycarp.errors import ConfigError, SettingProblem, SettingProblems
from pycarp.health import kinds, setting
from pycarp.health.health_check import COUNT_MAX, LONGEST_S, SHORTEST_INTERVAL_S, Answer, Check, Probe
from pycarp.health.kinds import Kind
from pycarp.health.setting import Setting

_SHORTEST_TIMEOUT_S = 0.001

SETTINGS: Mapping[str, Setting] = {
    "name": setting.text("web"),
    "every": setting.duration(least_s=SHORTEST_INTERVAL_S, most_s=LONGEST_S),
    "timeout": setting.duration(least_s=_SHORTEST_TIMEOUT_S, most_s=LONGEST_S),
    "rise": setting.whole(1, COUNT_MAX),
    "fall": setting.whole(1, COUNT_MAX),
    "by": setting.whole(1, AMOUNT_MAX),
    "unknown": setting.choice(tuple(map(str, Answer))),
    "gate": setting.flag(),
    "release": setting.flag(),
}
"""The settings that every check has."""

_SYNONYMS = {
    "interval": "every",
    "period": "every",
    "weight": "by",
    "demote": "by",
    "script": "exec",
    "command": "exec",
}
"""What other programs call a key."""

_FIELDS = {"every": "every_s", "timeout": "timeout_s"}
"""What the fields of ``Check`` are called, where their units make a difference."""


def check_of(table: Mapping[str, object], *, others: Collection[str] = ()) -> Check:
    """Return the check that a table describes.

    ``name`` and a kind are required; ``others`` are keys of the caller's own, which are left to it. Raises
    SettingProblems, with all that is wrong.
    """
    reader = _Reader(table, {**SETTINGS, **dict.fromkeys(others, setting.anything())})
    probe = reader.probe()
    values = reader.parsed({key: each for key, each in SETTINGS.items() if key in table}, table)
    if "name" not in table and not reader.is_meant("name"):
        reader.complain("", "name is missing", 'add one such as name = "web"')
    reader.raise_problems()
    assert probe is not None
    try:
        return Check(probe=probe, **_fields(values))
    except ConfigError as exc:
        raise SettingProblems([SettingProblem("", str(exc))]) from None


def probe_of(table: Mapping[str, object]) -> Probe:
    """Return the probe that a table describes: a kind and its settings, and no other keys.

    Raises SettingProblems, with all that is wrong.
    """
    reader = _Reader(table, {})
    probe = reader.probe()
    reader.raise_problems()
    assert probe is not None
    return probe


def check_schema() -> dict[str, Any]:
    """Return the JSON Schema of a table; a kind that others register may have any settings."""
    every = {key: each.schema for key, each in SETTINGS.items()}
    values = {name: kind.value.schema for name, kind in kinds.OWN.items()}
    owned = {key: each.schema for kind in kinds.OWN.values() for key, each in kind.settings.items()}
    return {
        "type": "object",
        "properties": {**every, **values, **owned},
        "required": ["name"],
        "dependentRequired": {name: list(kind.required) for name, kind in kinds.OWN.items() if kind.required},
    }


def _fields(values: Mapping[str, Any]) -> dict[str, Any]:
    fields = {_FIELDS.get(key, key): value for key, value in values.items()}
    return fields | ({"unknown": Answer(fields["unknown"])} if "unknown" in fields else {})


class _Reader:
    """Collects the problems of a table instead of stopping at the first."""

    def __init__(self, table: Mapping[str, object], around: Mapping[str, Setting]) -> None:
        self._table = table
        self._around = around
        self._problems: list[SettingProblem] = []
        self._known: Collection[str] = ()

    def complain(self, key: str, text: str, hint: str = "") -> None:
        self._problems.append(SettingProblem(key, text, hint))

    def raise_problems(self) -> None:
        if self._problems:
            order = list(self._table)
            raise SettingProblems(
                sorted(self._problems, key=lambda each: order.index(each.setting) if each.setting else -1)
            )

    def probe(self) -> Probe | None:
        """Return the probe; None if there is a problem with it."""
        found = self._kinds_in_table()
        if len(found) > 1:
            self.complain(found[1], f"{' and '.join(found)} are in one check", "write a check for each")
        name = found[0] if len(found) == 1 else ""
        kind = self._kind(name) if name else None
        self._known = self._keys_known(name, kind)
        unknown = [key for key in self._table if key not in self._known]
        for key in unknown:
            self._complain_of_unknown_key(key, name if kind else "")
        if not found and not any(_close(key, kinds.names()) for key in unknown):
            self.complain("", "nothing is checked", f"add one of {', '.join(kinds.names())}")
        if kind is None:
            return None
        missing = [each for each in kind.required if each not in self._table]
        for each in missing:
            if not self.is_meant(each):
                self.complain(name, f"{each} is missing; {name} needs it")
        before = len(self._problems)
        value = self.parsed({name: kind.value}, self._table)
        settings = self.parsed({key: each for key, each in kind.settings.items() if key in self._table}, self._table)
        return self._built(name, kind, value, settings) if len(self._problems) == before and not missing else None

    def parsed(self, settings: Mapping[str, Setting], table: Mapping[str, object]) -> dict[str, Any]:
        """Return the values of some keys, without those that are wrong, which are complained about."""
        values: dict[str, Any] = {}
        for key, each in settings.items():
            try:
                values[key] = each.parse(key, table[key])
            except ConfigError as exc:
                self.complain(key, str(exc))
        return values

    def is_meant(self, name: str) -> bool:
        """Return True if a key that is unknown, which is complained about, resembles this one most."""
        unknown = [key for key in self._table if key not in self._known]
        return any(_close(key, self._known) == name for key in unknown)

    def _kinds_in_table(self) -> list[str]:
        found = [key for key in self._table if key in kinds.OWN]
        if found:
            return found
        # Only now, because finding what is registered takes time.
        return [key for key in self._table if key not in self._around and key in kinds.names()]

    def _kind(self, name: str) -> Kind | None:
        try:
            return kinds.kind_named(name)
        except ConfigError as exc:
            self.complain(name, str(exc))
            return None

    def _keys_known(self, name: str, kind: Kind | None) -> Collection[str]:
        if kind is not None:
            return (*self._around, name, *kind.settings)
        return (*self._around, *kinds.names(), *(key for each in kinds.OWN.values() for key in each.settings))

    def _complain_of_unknown_key(self, key: str, name: str) -> None:
        owners = [each for each, other in kinds.OWN.items() if key in other.settings]
        if name and owners:
            self.complain(key, f"{name} has no {key}", f"it belongs to {' and '.join(owners)}")
            return
        meant = _SYNONYMS.get(key) or _close(key, self._known)
        way_out = f"did you mean {meant}?" if meant else f"there are: {', '.join(self._known)}"
        self.complain(key, f"unknown key {key}", way_out)

    def _built(self, name: str, kind: Kind, value: Mapping[str, Any], settings: Mapping[str, Any]) -> Probe | None:
        try:
            probe: Any = kind.build(value[name], **settings)
        except ConfigError as exc:
            self.complain(name, str(exc))
            return None
        except Exception as exc:  # noqa: BLE001  the function of another distribution
            self.complain(name, f"{name} cannot be built: {type(exc).__name__}: {exc}")
            return None
        if not callable(probe):
            self.complain(name, f"{name} returned {probe!r}, which is no coroutine function")
            return None
        return cast("Probe", probe)


def _close(key: str, known: Collection[str]) -> str:
    """Return the key that was meant; empty if it resembles nothing that is known."""
    return next(iter(difflib.get_close_matches(key, known, n=1)), "")
