"""Which events nobody wished for: what a flight recorder is dumped for."""

from pycarp.core.events import ActuationFailed, Event, StateChange
from pycarp.core.state import Reason

_REASONS = frozenset(
    {
        Reason.MASTER_SILENT,
        Reason.MASTER_TOO_SLOW,
        Reason.MASTER_DEMOTED,
        Reason.BETTER_MASTER,
        Reason.TIE_LOST,
        Reason.CANNOT_SEND,
        Reason.NOT_HELD,
        Reason.ABSENT,
        Reason.LINK_DOWN,
        Reason.NODE_FAILED,
    }
)
"""The others are the wish of an administrator, here or at the MASTER that bows out, or the start."""


def triggers_dump(event: Event) -> bool:
    """Say whether somebody will ask why: a failure somewhere, no wish, and not how every host starts."""
    if isinstance(event, StateChange):
        # A host that never heard anybody is the first one here.
        return event.reason in _REASONS and not (event.reason is Reason.MASTER_SILENT and event.peer is None)
    return isinstance(event, ActuationFailed)
