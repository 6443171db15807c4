"""Finds the devices of variables in rc.conf: ``ifconfig_em0_5`` is about the device em0.5.

rc writes the characters ``.``, ``/``, ``-`` and ``+`` of a device's name as ``_``, so a variable alone does not tell;
``vlans_em0="5"`` and ``cloned_interfaces`` do. Source: ltr() and vlan_up() in FreeBSD's network.subr, carp.md 8.2.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from pycarp.config.shell_script import Assignment
from pycarp.vocabulary import LinkFacts

_REPLACED = re.compile(r"[./+-]")
_VLANS = re.compile(r"vlans_(\w+)")
_NAME = re.compile(r"ifconfig_(\w+)_name")
_TAG = re.compile(r"[1-9][0-9]*")


class InterfaceNames:
    """The devices of a file by their names in its variables, and what they are called on this machine."""

    def __init__(
        self, variables: Mapping[str, Assignment], links: Sequence[LinkFacts], renames: Mapping[str, str]
    ) -> None:
        self._renames = renames
        self._live = [facts.name for facts in links]
        self._named = {
            match[1]: each.value.strip()
            for name, each in variables.items()
            if (match := _NAME.fullmatch(name)) and each.is_certain
        }
        """New names of renamed devices by their old ones: ``ifconfig_em0_name="wan"``."""
        self._devices = _devices(variables)

    def device(self, link: str) -> str:
        """Return the name of the device that a variable is about, as the file's own machine has it."""
        if link in self._devices:
            return self._devices[link]
        alike = [name for name in self._live if _in_variables(name) == link]
        return alike[0] if link not in self._live and len(alike) == 1 else link

    def here(self, link: str) -> str:
        """Return the name on this machine of the device of a variable."""
        device = self.device(link)
        previous = [old for old, new in self._named.items() if new == device]
        found = (self._renames[name] for name in (device, link, *previous) if name in self._renames)
        return next(found, device)

    def knows(self, name: str, links: Collection[str]) -> bool:
        """Return whether one of the interfaces with these names in variables is called so, or was before."""
        return name in links or name in self._named or any(self.device(link) == name for link in links)


def _devices(variables: Mapping[str, Assignment]) -> dict[str, str]:
    """Return the devices whose names the file itself says, by their names in variables."""
    found: dict[str, str] = {}
    for list_name in ("cloned_interfaces", "network_interfaces"):
        listed = variables.get(list_name)
        for word in listed.words() if listed and listed.is_certain else ():
            device = word.text.partition(":")[0]
            found[_in_variables(device)] = device
    # A VLAN may be on a VLAN, whose own line stands anywhere.
    for _ in range(3):
        for name, each in variables.items():
            match = _VLANS.fullmatch(name)
            parent = found.get(match[1], match[1]) if match else ""
            for word in each.words() if match and each.is_certain else ():
                device = f"{parent}.{word.text}" if _TAG.fullmatch(word.text) else word.text
                found[_in_variables(device)] = device
    return found


def _in_variables(device: str) -> str:
    return _REPLACED.sub("_", device)
