"""Floor 4: when things happen. Pure: inputs and a time in, effects and a deadline out."""

from pycarp.core.effects import (
    Announce,
    DropAddresses,
    Effect,
    HoldAddresses,
    ProlongAddresses,
    Publish,
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
    "ProlongAddresses",
    "Publish",
    "SetPacketFilter",
    "Step",
    "Transmit",
]
