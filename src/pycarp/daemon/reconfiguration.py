"""Compares two configurations: what changes in a running daemon, and how long addresses lack an owner. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import fields

import msgspec

from pycarp.aio.virtual_host import RECONFIGURABLE
from pycarp.core.host_config import HostConfig
from pycarp.core.state import State
from pycarp.dialects import Dialect
from pycarp.vocabulary import NS_PER_S, Address, HostKey, InterfaceAddress

IN_PLACE = RECONFIGURABLE
"""The settings that ``VirtualHost.reconfigure`` changes while the host keeps its state."""

_GROUPS_TO_JOIN = "groups to join"

SIGNED = frozenset({"addresses", "passphrase"})
"""The settings that hosts of a vhid must share to authenticate each other."""


class Removal(msgspec.Struct, frozen=True):
    """A host leaves."""

    old: HostConfig

    @property
    def key(self) -> HostKey:
        """The name of the host."""
        return self.old.key


class _FromTo(msgspec.Struct, frozen=True):
    old: HostConfig
    new: HostConfig

    @property
    def key(self) -> HostKey:
        """The name of the host."""
        return self.new.key


class Reconfiguration(_FromTo, frozen=True):
    """A host gets other settings and keeps state, epoch and mastership."""


class Replacement(_FromTo, frozen=True):
    """A host leaves and comes back with settings that cannot be changed in place."""


class Addition(msgspec.Struct, frozen=True):
    """A host comes."""

    new: HostConfig

    @property
    def key(self) -> HostKey:
        """The name of the host."""
        return self.new.key


class Move(_FromTo, frozen=True):
    """A host leaves and comes back on another interface, or with another vhid."""

    @property
    def key(self) -> HostKey:
        """The name of the host while it runs."""
        return self.old.key


_COMPARED = tuple(each.name for each in fields(HostConfig) if each.compare)

Change = Removal | Reconfiguration | Replacement | Move | Addition


class Cost(msgspec.Struct, frozen=True):
    """What a change costs, in words.

    ``about_s`` is about how long nobody answers for the addresses unless another host takes over at once: 0 without an
    interruption, None where only another host can take over.
    """

    text: str
    leaves_master: bool = False
    about_s: float | None = 0.0


def diff(old: Iterable[HostConfig], new: Iterable[HostConfig]) -> tuple[Change, ...]:
    """Return what leads from one set of hosts to another, in the order in which it disturbs least.

    What may fail comes first: hosts that are added and have nothing to do with those that leave. Then changes in place,
    hosts that leave, hosts that are made anew, and hosts that need what others have left: a name or an address.
    Hosts with equal settings are not in it.
    """
    before, after = {each.key: each for each in old}, {each.key: each for each in new}
    gone = [each for key, each in before.items() if key not in after]
    come = [each for key, each in after.items() if key not in before]
    moves = _moves(gone, come)
    removals = [Removal(each) for each in gone if each not in [move.old for move in moves]]
    both = [(before[key], after[key]) for key in before if key in after and before[key] != after[key]]
    are_in_place = [differing(one, other) <= IN_PLACE for one, other in both]
    inplace = [Reconfiguration(*pair) for pair, is_in_place in zip(both, are_in_place, strict=True) if is_in_place]
    replacements = [Replacement(*pair) for pair, is_in_place in zip(both, are_in_place, strict=True) if not is_in_place]
    additions = [Addition(each) for each in come if each not in [move.new for move in moves]]
    given_up = [*gone, *(one for one, _other in both)]
    late = [each for each in additions if any(_is_in_way(one, each.new) for one in given_up)]
    first = [each for each in additions if each not in late]
    return (*first, *inplace, *removals, *replacements, *moves, *late)


def words(change: Change) -> str:
    """Return a short description of a change, without passphrases."""
    match change:
        case Removal():
            return "removed"
        case Addition(new):
            return f"added, shares {', '.join(str(each) for each in new.addresses)}"
        case _:
            return _words(change.old, change.new)


def cost(change: Change, states: Mapping[HostKey, State], *, rolling_s: float = 0) -> Cost:
    """Return the cost of a change; ``states`` are those of the running hosts."""
    state = states.get(change.key, State.INIT)
    match change:
        case Addition(new):
            return Cost(f"BACKUP for about {_takeover_s(new):.1f} s at least")
        case Reconfiguration(old, new):
            return Cost(_in_place(old, new, rolling_s))
        case _ if state is not State.MASTER:
            return Cost(f"no interruption, it is {state.value}")
        case Removal(old):
            return _leaving(old)
        case _:
            return _coming_back(change.old, change.new)


def name_of(change: Change) -> str:
    """Return the name of the host, as it is while it runs."""
    return change.new.name if isinstance(change, Addition) else change.old.name


def differing(old: HostConfig, new: HostConfig) -> set[str]:
    """Return the names of the settings that differ; ``groups to join`` when a host must listen elsewhere than before.

    A name that only repeats vhid and interface is none.
    """
    names = {name for name in _COMPARED if getattr(old, name) != getattr(new, name)}
    if (old.name, new.name) == (str(old.key), str(new.key)):
        names.discard("name")
    return names | ({_GROUPS_TO_JOIN} if _groups(old) != _groups(new) else set())


def is_signed(old: HostConfig, new: HostConfig) -> bool:
    """Return True if hosts with the old and the new settings do not hear each other."""
    return _signed(old) != _signed(new)


def _signed(config: HostConfig) -> tuple[object, frozenset[Address]]:
    return config.passphrase, frozenset(each.ip for each in config.addresses)


def _moves(gone: Iterable[HostConfig], come: Iterable[HostConfig]) -> list[Move]:
    """Pair hosts that leave with those that come in their place: of the same name, or with the same addresses."""
    left, moves = list(come), []
    for old in gone:
        new = next((each for each in left if _is_heir(old, each)), None)
        if new is not None:
            left.remove(new)
            moves.append(Move(old, new))
    return moves


def _is_heir(old: HostConfig, new: HostConfig) -> bool:
    has_half = old.interface == new.interface or old.vhid == new.vhid
    return old.name == new.name or (has_half and set(old.addresses) == set(new.addresses))


def _groups(config: HostConfig) -> set[Address]:
    return {config.group_of(family) for family in config.families if not config.has_peers_in(family)}


def _is_in_way(old: HostConfig, new: HostConfig) -> bool:
    return old.name == new.name or bool({each.ip for each in old.addresses} & {each.ip for each in new.addresses})


def _leaving(old: HostConfig) -> Cost:
    if old.dialect.bow_out:
        return Cost("leaves MASTER, the next host takes over at once", leaves_master=True, about_s=None)
    about_s = _takeover_s(old)
    text = f"leaves MASTER, about {about_s:.1f} s until the next host takes over"
    return Cost(text, leaves_master=True, about_s=about_s)


def _coming_back(old: HostConfig, new: HostConfig) -> Cost:
    unless = " unless another host takes over at once" if old.dialect.bow_out else ""
    about_s = _takeover_s(new)
    return Cost(f"{old.name} leaves MASTER, about {about_s:.1f} s{unless}", leaves_master=True, about_s=about_s)


def _in_place(old: HostConfig, new: HostConfig, rolling_s: float) -> str:
    if not is_signed(old, new):
        return "no interruption"
    if rolling_s:
        return f"no interruption within {rolling_s:g} s"
    return "no interruption with rolling 60; without it, hosts that are not changed yet do not hear it"


def _takeover_s(config: HostConfig) -> float:
    """Return how long the host itself waits before it is MASTER, when it hears nobody."""
    return config.dialect.master_down_ns(config.advbase, config.advskew, config.dead_ratio) / NS_PER_S


def _words(old: HostConfig, new: HostConfig) -> str:
    return ", ".join(word for name in sorted(differing(old, new)) for word in _word(name, old, new))


def _word(name: str, old: HostConfig, new: HostConfig) -> list[str]:
    match name:
        case "passphrase":
            return ["another password"]
        case "addresses":
            gone, come = set(old.addresses) - set(new.addresses), set(new.addresses) - set(old.addresses)
            said = [f"{_counted(come)} more"] if come else []
            return said + ([f"{_counted(gone)} less"] if gone else []) or ["addresses in another order"]
        case "groups to join":
            return ["listens to other multicast groups"]
        case _:
            return [f"{name} {shown(getattr(old, name))} -> {shown(getattr(new, name))}"]


def shown(value: object) -> str:
    """Return a setting for people."""
    if isinstance(value, tuple):
        return " ".join(shown(each) for each in value) or "none"
    return "none" if value is None else value.name if isinstance(value, Dialect) else str(value)


def _counted(addresses: set[InterfaceAddress]) -> str:
    return "one address" if len(addresses) == 1 else f"{len(addresses)} addresses"
