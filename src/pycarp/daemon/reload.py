"""What another configuration would change in a running daemon, and what that costs. Pure: nothing is done here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from pycarp.core.host_config import HostConfig
from pycarp.core.state import State
from pycarp.vocabulary import NS_PER_S, Address, HostKey, Interface

_IN_PLACE = frozenset({"advbase", "advskew", "preempt", "addresses", "passphrase", "peers"})
"""What ``VirtualHost.reconfigure`` changes without leaving the state."""

_GROUPS_TO_JOIN = "groups to join"

_SIGNED = frozenset({"addresses", "passphrase"})
"""What hosts must agree on to hear each other."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A host leaves."""

    old: HostConfig

    @property
    def key(self) -> HostKey:
        """Whose change it is."""
        return self.old.key


@dataclass(frozen=True, slots=True)
class _FromTo:
    old: HostConfig
    new: HostConfig

    @property
    def key(self) -> HostKey:
        """Whose change it is."""
        return self.new.key


class Reconfiguration(_FromTo):
    """A host gets other settings and keeps state, epoch and mastership."""

    __slots__ = ()


class Replacement(_FromTo):
    """A host leaves and comes back with settings that cannot be changed in place."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Addition:
    """A host comes."""

    new: HostConfig

    @property
    def key(self) -> HostKey:
        """Whose change it is."""
        return self.new.key


Change = Removal | Reconfiguration | Replacement | Addition


def diff(old: Iterable[HostConfig], new: Iterable[HostConfig]) -> tuple[Change, ...]:
    """Return what leads from one set of hosts to another, in the order in which it disturbs least.

    What may fail comes first: hosts that are added and have nothing to do with those that leave. Then changes in place,
    hosts that leave, hosts that are made anew, and hosts that need what others have left: a name or an address.
    Hosts with equal settings are not in it.
    """
    before, after = {each.key: each for each in old}, {each.key: each for each in new}
    removals = [Removal(each) for key, each in before.items() if key not in after]
    both = [(before[key], after[key]) for key in before if key in after and before[key] != after[key]]
    inplace = [Reconfiguration(one, other) for one, other in both if _changed(one, other) <= _IN_PLACE]
    replacements = [Replacement(one, other) for one, other in both if not _changed(one, other) <= _IN_PLACE]
    additions = [Addition(each) for key, each in after.items() if key not in before]
    given_up = [*(each.old for each in removals), *(one for one, _other in both)]
    late = [each for each in additions if any(_is_in_way(one, each.new) for one in given_up)]
    first = [each for each in additions if each not in late]
    return (*first, *inplace, *removals, *replacements, *late)


def price(change: Change, states: Mapping[HostKey, State], *, rolling_s: float = 0) -> str:
    """Return in one line what a change is and what it costs; ``states`` are those of the hosts that run.

    No line shows a passphrase.
    """
    state = states.get(change.key, State.INIT)
    match change:
        case Removal(old):
            return f"{old.name}: removed; {_leaving(old, state)}"
        case Addition(new):
            shared = ", ".join(str(each) for each in new.shared)
            return f"{new.name}: added, shares {shared}; BACKUP for about {_takeover_s(new):.1f} s at least"
        case Replacement(old, new):
            return f"{old.name}: {_words(old, new)}; {_replacing(old, new, state)}"
        case Reconfiguration(old, new):
            return f"{old.name}: {_words(old, new)}; {_in_place(old, new, rolling_s)}"


def _changed(old: HostConfig, new: HostConfig) -> set[str]:
    """Return the names of what differs; ``groups to join`` when a host must listen elsewhere than before."""
    compared = [each.name for each in fields(HostConfig) if each.compare]
    names = {name for name in compared if getattr(old, name) != getattr(new, name)}
    return names | ({_GROUPS_TO_JOIN} if _groups(old) != _groups(new) else set())


def _groups(config: HostConfig) -> set[Address]:
    return {config.group_of(family) for family in config.families if not config.has_peers_in(family)}


def _is_in_way(old: HostConfig, new: HostConfig) -> bool:
    return old.name == new.name or bool({each.ip for each in old.shared} & {each.ip for each in new.shared})


def _leaving(old: HostConfig, state: State) -> str:
    if state is not State.MASTER:
        return f"no interruption, it is {state.value}"
    return (
        "leaves MASTER, the next host takes over at once"
        if old.dialect.bow_out
        else (f"leaves MASTER, about {_takeover_s(old):.1f} s until the next host takes over")
    )


def _replacing(old: HostConfig, new: HostConfig, state: State) -> str:
    if state is not State.MASTER:
        return f"no interruption, it is {state.value}"
    unless = " unless another host takes over at once" if old.dialect.bow_out else ""
    return f"{old.name} leaves MASTER, about {_takeover_s(new):.1f} s{unless}"


def _in_place(old: HostConfig, new: HostConfig, rolling_s: float) -> str:
    if not _changed(old, new) & _SIGNED:
        return "no interruption"
    if rolling_s:
        return f"no interruption within {rolling_s:g} s"
    return "no interruption with rolling 60; without it, hosts that are not changed yet do not hear it"


def _takeover_s(config: HostConfig) -> float:
    """Return how long the host itself waits before it is MASTER, when it hears nobody."""
    return config.dialect.master_down_ns(config.advbase, config.advskew, config.dead_ratio) / NS_PER_S


def _words(old: HostConfig, new: HostConfig) -> str:
    return ", ".join(word for name in sorted(_changed(old, new)) for word in _word(name, old, new))


def _word(name: str, old: HostConfig, new: HostConfig) -> list[str]:
    match name:
        case "passphrase":
            return ["another password"]
        case "addresses":
            gone, come = set(old.shared) - set(new.shared), set(new.shared) - set(old.shared)
            said = [f"{_counted(come)} more"] if come else []
            return said + ([f"{_counted(gone)} less"] if gone else []) or ["addresses in another order"]
        case "dialect":
            return [f"dialect {old.dialect.name} -> {new.dialect.name}"]
        case "advbase" | "advskew" | "dead_ratio" | "name" | "preempt":
            return [f"{name} {getattr(old, name)} -> {getattr(new, name)}"]
        case "groups to join":
            return ["listens to other multicast groups"]
        case _:
            return [f"another {name}"]


def _counted(addresses: set[Interface]) -> str:
    return "one address" if len(addresses) == 1 else f"{len(addresses)} addresses"
