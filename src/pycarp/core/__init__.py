"""Layer 4: when things happen. Pure: inputs and a time in, effects and a deadline out.

What is exported is imported at its first use: a command that shows a state needs no engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycarp.core.effects import (
        Announce,
        DropAddresses,
        Effect,
        HoldAddresses,
        Publish,
        RenewAddresses,
        SetPacketFilter,
        Step,
        Transmit,
    )
    from pycarp.core.engine import Engine
    from pycarp.core.inputs import Input

__all__ = [
    "Announce",
    "DropAddresses",
    "Effect",
    "Engine",
    "HoldAddresses",
    "Input",
    "Publish",
    "RenewAddresses",
    "SetPacketFilter",
    "Step",
    "Transmit",
]

_MODULES = {"Engine": "engine", "Input": "inputs"}


def __getattr__(name: str) -> object:
    """Return what is exported under a name; AttributeError if nothing is."""
    if name not in __all__:
        raise AttributeError(f"module 'pycarp.core' has no attribute {name!r}")
    module = import_module(f"pycarp.core.{_MODULES.get(name, 'effects')}")
    value = globals()[name] = getattr(module, name)
    return value
