"""Finds the network device of a carp interface, as FreeBSD 9 does: by the subnet of the shared address."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from pycarp.spelling import meant
from pycarp.vocabulary import Address, InterfaceAddress, LinkFacts


class Parent(msgspec.Struct, frozen=True):
    """A network device and the length of the subnet's prefix."""

    link: str
    prefix: int


class NoParentError(Exception):
    """No device matches; ``hint`` is the way out."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(text)
        self.hint = hint


class Parents(msgspec.Struct, frozen=True):
    """Finds parents among the interfaces of the file, under their names here, and the links that exist.

    Without links this is no live machine, and the file is believed.
    """

    declared: Mapping[str, Sequence[InterfaceAddress]]
    links: Sequence[LinkFacts]

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "links", _devices(self.links))

    def containing(self, address: Address) -> Parent:
        """Return the device in whose subnet an address lies; raises NoParentError.

        The file's own interface comes first if it exists on this machine, else the one that has such a subnet.
        """
        declared = [
            Parent(name, _prefix(own)) for name, owns in self.declared.items() for own in _around(address, owns)
        ]
        if not self.links:
            return self._first(address, declared)
        live = [Parent(facts.name, _prefix(own)) for facts in self.links for own in _around(address, facts.addresses)]
        existing = [parent for parent in declared if self._exists(parent.link)]
        if declared and not existing and not live:
            raise self._missing(declared[0].link)
        return self._first(address, existing + live)

    def is_own(self, address: Address) -> bool:
        """Return whether the file gives an interface this address as its own; one on a link may be left by a crash."""
        return any(own.ip == address for owns in self.declared.values() for own in owns)

    def check(self, link: str) -> None:
        """Raise NoParentError unless a device exists; where there are no links, all do that can be a device."""
        device, colon, _label = link.partition(":")
        if colon:
            raise NoParentError(f"{link} is the label of an address, not a network device", f"write {device}")
        if self.links and not self._exists(link):
            raise self._missing(link)

    def _first(self, address: Address, parents: list[Parent]) -> Parent:
        if parents:
            return parents[0]
        family = [own for own in self._all_addresses() if own.version == address.version]
        subnets = sorted({str(own.network) for own in family})
        known = ", ".join(subnets) or "none"
        raise NoParentError(
            f"{address} is in the subnet of no interface; there are: {known}",
            "give an interface an address in that subnet, or correct the shared address",
        )

    def _all_addresses(self) -> list[InterfaceAddress]:
        declared: list[InterfaceAddress] = [own for owns in self.declared.values() for own in owns]
        return declared + [own for facts in self.links for own in facts.addresses]

    def _exists(self, link: str) -> bool:
        return any(facts.name == link for facts in self.links)

    def _missing(self, link: str) -> NoParentError:
        names = ", ".join(facts.name for facts in self.links)
        return NoParentError(
            f"interface {link} does not exist; there are: {names}",
            f"rename it: --map {link}={likely_link(link, self.links)}",
        )


def likely_link(name: str, links: Sequence[LinkFacts]) -> str:
    """Return the interface that a name may mean here: one that resembles it, else one with an address."""
    names = [each.name for each in links if each.name != "lo"]
    addressed = [each.name for each in links if each.name in names and each.addresses]
    return meant(name, names) or next(iter([*addressed, *names]), "eth0")


def _devices(links: Sequence[LinkFacts]) -> tuple[LinkFacts, ...]:
    """Return the devices, with the addresses of what is only a label of an address: ``eth0:0`` is one of eth0."""
    found: dict[str, LinkFacts] = {}
    for facts in sorted(links, key=lambda each: ":" in each.name):
        name = facts.name.partition(":")[0]
        before = found.get(name)
        added = tuple(each for each in facts.addresses if before is None or each not in before.addresses)
        found[name] = replace(before, addresses=before.addresses + added) if before else replace(facts, name=name)
    return tuple(found.values())


def unused_renames(renames: Mapping[str, str], names: Collection[str]) -> list[tuple[str, str]]:
    """Return a problem and a hint for each ``--map`` of an interface that the file does not name."""
    known = ", ".join(dict.fromkeys(names)) or "none"
    return [
        (f"--map {old}={new}: nothing is about {old}", f"there are: {known}")
        for old, new in renames.items()
        if old not in names
    ]


def _around(address: Address, owns: Sequence[InterfaceAddress]) -> list[InterfaceAddress]:
    return [own for own in owns if own.version == address.version and address in own.network]


def _prefix(own: InterfaceAddress) -> int:
    return own.network.prefixlen
