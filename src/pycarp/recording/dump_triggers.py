"""The events after which the flight recorder is dumped: those that no administrator asked for."""

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
"""All other reasons are commands of an administrator, here or at the MASTER that bows out, or the start."""


def triggers_dump(event: Event) -> bool:
    """Return whether an operator will ask for the cause: a failure, but no command and not the start of a host."""
    if isinstance(event, StateChange):
        # A host that has never heard a MASTER is the first of its segment.
        return event.reason in _REASONS and not (event.reason is Reason.MASTER_SILENT and event.peer is None)
    return isinstance(event, ActuationFailed)
