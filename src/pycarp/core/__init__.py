"""Layer 4: when things happen. Pure: inputs and a time in, effects and a deadline out."""

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
