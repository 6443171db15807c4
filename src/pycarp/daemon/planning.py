"""Describes the changes of a reload, as ``plan`` and ``reload`` send them over the control socket."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pycarp.config.model import Attached, HttpConfig, NodeConfig
from pycarp.core.host_config import HostConfig
from pycarp.core.state import State
from pycarp.daemon.control_messages import Drift, HostDrift, PlannedChange, PlanReply, SettingChange, Value
from pycarp.daemon.drift import LEAVES, line, setting_name, value_of
from pycarp.daemon.reconfiguration import (
    Addition,
    Change,
    Cost,
    Move,
    Reconfiguration,
    Removal,
    Replacement,
    cost,
    differing,
    name_of,
    words,
)
from pycarp.errors import UsageError
from pycarp.system.addresses.interfaces import why_unfit
from pycarp.vocabulary import HostKey

if TYPE_CHECKING:
    from pycarp.health import Check

_KINDS: dict[type[Change], str] = {
    Addition: "added",
    Removal: "removed",
    Reconfiguration: "changed",
    Replacement: "restarted",
    Move: "moved",
}


EVERY_HOST = "every host"
"""The name that stands for all hosts of the machine."""

_RECENT_S = 1.0

_UNSPECIFIED = ("::", "0.0.0.0")


def lines(reply: PlanReply) -> list[str]:
    """Return the changes of a reload and the live changes, one per line."""
    changes = [f"{each.name}: {each.what}{'; ' * bool(each.cost)}{each.cost}" for each in reply.changes]
    return changes + [f"drift: {line(each)}" for each in reply.drift]


def obstacle(config: HostConfig) -> str:
    """Return why a host cannot work on its interface; empty if it can, or if the interface does not exist yet."""
    return why_unfit(config.interface, needs_multicast=_needs_multicast(config))


class RecentObstacles:
    """Caches ``obstacle`` for a second by interface, because many hosts may be on one."""

    def __init__(
        self, ask: Callable[[HostConfig], str] = obstacle, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._now_s = now_s
        self._known: dict[tuple[str, bool], tuple[float, str]] = {}

    def of(self, config: HostConfig) -> str:
        """Return why a host cannot work on its interface; empty if it can."""
        what, now_s = (config.interface, _needs_multicast(config)), self._now_s()
        asked_at_s, found = self._known.get(what, (-math.inf, ""))
        if now_s - asked_at_s > _RECENT_S:
            found = self._ask(config)
            self._known[what] = (now_s, found)
        return found


def _needs_multicast(config: HostConfig) -> bool:
    return not all(config.has_peers_in(family) for family in config.families)


def unheard(name: str, state: str, sources: Iterable[str]) -> list[str]:
    """Return a warning if other hosts will not hear a host once it signs otherwise, and may become MASTER as well.

    ``sources`` are where advertisements came from. A MASTER hears no BACKUP, and cannot know whether there is one.
    """
    heard = [each for each in dict.fromkeys(sources) if each not in _UNSPECIFIED]
    if state == State.INIT or not (heard or state == State.MASTER):
        return []
    who = " and ".join(heard) or "every BACKUP"
    until = f"until {who} has the same addresses and password, neither hears the other, and both are MASTER"
    return [f"{name}: {until}; with rolling 60 nothing is lost where all hosts are pycarp"]


def planned(change: Change, states: Mapping[HostKey, State], rolling_s: float) -> PlannedChange:
    """Return a change of hosts with its cost; ``states`` are those of the running hosts."""
    price = cost(change, states, rolling_s=rolling_s)
    return PlannedChange(
        name=name_of(change),
        kind=_KINDS[type(change)],
        what=words(change),
        cost=price.text,
        settings=[] if isinstance(change, Addition | Removal) else list(_settings(change.old, change.new)),
        leaves_master=price.leaves_master,
        about_s=price.about_s,
    )


def _settings(old: HostConfig, new: HostConfig) -> Iterator[SettingChange]:
    for name in sorted(differing(old, new)):
        if hasattr(old, name):
            yield SettingChange(setting=setting_name(name), old=value_of(old, name), new=value_of(new, name))


def switched(switch: tuple[str, int, int]) -> PlannedChange:
    """Return the change of a sysctl: its name, old and new value."""
    name, before, value = switch
    settings = [SettingChange(setting="value", old=before, new=value)]
    what = f"{before} -> {value}"
    return PlannedChange(
        name=name, kind="sysctl", what=what, cost="", settings=settings, leaves_master=False, about_s=0.0
    )


def http_changes(old: HttpConfig | None, new: HttpConfig | None) -> Iterator[PlannedChange]:
    """Return what changes of HTTP without a restart: its names, and its token, which is not shown."""
    if old is None or new is None:
        return
    if old.names != new.names:
        before, after = (", ".join(each.names) or "none" for each in (old, new))
        settings = [SettingChange(setting="names", old=_as_text(list(old.names)), new=_as_text(list(new.names)))]
        yield _of_http(f"names {before} -> {after}", settings)
    if old.token != new.token:
        fate = "removed" if new.token is None else "added" if old.token is None else "changed"
        yield _of_http(f"token {fate}", [])


def _of_http(what: str, settings: list[SettingChange]) -> PlannedChange:
    return PlannedChange(
        name="http", kind="http", what=what, cost="", settings=settings, leaves_master=False, about_s=0.0
    )


def attached_changes(
    old: NodeConfig, new: NodeConfig, states: Mapping[HostKey, State] = MappingProxyType({})
) -> Iterator[PlannedChange]:
    """Return what changes about the checks and hooks of hosts that stay, and of those of every host.

    ``states`` are those of the hosts that run.
    """
    names: dict[HostKey | None, str] = {host.key: host.name for host in new.hosts}
    staying: dict[HostKey | None, str] = {host.key: names[host.key] for host in old.hosts if host.key in names}
    kinds: tuple[tuple[str, Iterable[Attached[Any]], Iterable[Attached[Any]]], ...] = (
        ("check", old.checks, new.checks),
        ("hook", old.hooks, new.hooks),
        ("failback", old.failbacks, new.failbacks),
        ("sync group", old.sync_groups, new.sync_groups),
    )
    for kind, before, after in kinds:
        present, wanted = ({(each.host, each.name): each for each in some} for some in (before, after))
        for host, name in sorted(present.keys() | wanted.keys(), key=str):
            was, will = present.get((host, name)), wanted.get((host, name))
            shown_name = EVERY_HOST if host is None else staying.get(host)
            if shown_name is not None and was != will:
                is_master = any(states.get(key) is State.MASTER for key in (staying if host is None else [host]) if key)
                yield _attached_change(kind, f"{kind} {name}".strip(), shown_name, was, will, is_master=is_master)


def _attached_change(
    kind: str, what: str, name: str, was: Attached[Any] | None, will: Attached[Any] | None, *, is_master: bool
) -> PlannedChange:
    fate = "added" if was is None else "removed" if will is None else "changed"
    before, after = ({} if each is None else each.table for each in (was, will))
    settings = [
        SettingChange(setting=key, old=_as_text(before.get(key)), new=_as_text(after.get(key)))
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]
    price = _until_it_passes(name, will.item) if was is None and will and kind == "check" else Cost("")
    return PlannedChange(
        name=name,
        kind=kind,
        what=f"{what} {fate}",
        cost=price.text,
        settings=settings,
        leaves_master=price.leaves_master and is_master,
        about_s=price.about_s,
    )


def _until_it_passes(name: str, check: "Check") -> Cost:
    """Return the cost of a new check, which counts as failing until it has passed."""
    if check.gate or check.release:
        who = "no host is" if name == EVERY_HOST else f"{name} is not"
        return Cost(f"{who} MASTER before it has passed", leaves_master=True, about_s=None)
    if check.by is None:
        return Cost(f"{name} is the last of all until it has passed", leaves_master=True)
    return Cost(f"{name} is demoted by {check.by} until it has passed")


def _as_text(value: object) -> Value:
    if value is None or isinstance(value, int | str):
        return value
    return [str(each) for each in value] if isinstance(value, list) else str(value)


def kept(name: str, setting: str, *, file: int, running: int) -> Drift:
    """Return the live changes that a reload keeps and that no file can express."""
    return Drift(name=name, setting=setting, file=file, running=running, reload=LEAVES, can_be_saved=False)


def host_drift(loaded: HostConfig, running: HostConfig, interfaces: list[str]) -> HostDrift:
    """Return the live changes of a host for a file; raises UsageError for a password that no file can hold."""
    changed = differing(loaded, running)
    return HostDrift(
        name=running.name,
        interfaces=interfaces,
        vhid=running.vhid,
        advbase=running.advbase if "advbase" in changed else None,
        advskew=running.advskew if "advskew" in changed else None,
        addresses=[str(each) for each in running.addresses] if "addresses" in changed else None,
        password=_text(running) if "passphrase" in changed else None,
    )


def _text(config: HostConfig) -> str:
    try:
        return config.passphrase.key.rstrip(b"\x00").decode()
    except UnicodeDecodeError:
        raise UsageError(f"{config.name}: the password is not UTF-8, which a text file cannot hold") from None
