"""Layer 6: actuators hold and drop the shared addresses. Chosen at run time, by name or as an object."""

import sys
from typing import TYPE_CHECKING, cast

from pycarp import registry
from pycarp.actuators.actuator import Actuator
from pycarp.actuators.null import NullActuator
from pycarp.errors import ConfigError

if TYPE_CHECKING:
    from pycarp.actuators.command_actuator import CommandActuator

__all__ = ["NAMES", "Actuator", "CommandActuator", "NullActuator", "by_name", "names"]

NAMES = ("auto", "netlink", "null")
"""The names of pycarp's own; a ``CommandActuator`` needs its programs, so it is passed as an object."""


def __getattr__(name: str) -> object:
    """Import the actuator of programs when it is asked for."""
    if name != "CommandActuator":
        raise AttributeError(f"module 'pycarp.actuators' has no attribute {name!r}")
    from pycarp.actuators.command_actuator import CommandActuator  # noqa: PLC0415

    return CommandActuator


def names() -> tuple[str, ...]:
    """Return every name that ``by_name`` accepts."""
    return (*NAMES, *registry.registered("actuator"))


def by_name(name: str) -> Actuator:
    """Return a new actuator; ``auto`` is ``netlink`` on Linux. Raises ConfigError for an unknown name."""
    if name == "null":
        return NullActuator()
    if name not in NAMES:
        return cast("Actuator", registry.load("actuator", name, NAMES)())
    if sys.platform != "linux":
        raise ConfigError("the netlink actuator works on Linux only; choose null or pass a CommandActuator")
    # Imported here because pyroute2 takes a good part of a second.
    from pycarp.actuators.netlink_actuator import NetlinkActuator  # noqa: PLC0415
    from pycarp.system.addresses.mac_probe import probe  # noqa: PLC0415

    return NetlinkActuator(probe=probe)
