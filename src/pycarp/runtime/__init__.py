"""Floor 5, below the rest of it: what runs an engine, whatever the clock, the network and the machine are. Pure."""

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
