"""Layer 5, its lowest part: runs an engine on any clock, network and actuator. Pure."""

from pycarp.runtime.ports import Door, Ports
from pycarp.runtime.reconciler import Attempt, CancelAttempt, Gate, Idle, Next, Pace, Reconciler, RetryAt, Todo
from pycarp.runtime.runtime import Runtime

__all__ = [
    "Attempt",
    "CancelAttempt",
    "Door",
    "Gate",
    "Idle",
    "Next",
    "Pace",
    "Ports",
    "Reconciler",
    "RetryAt",
    "Runtime",
    "Todo",
]
