"""The fields of a log record beside its text: host, vhid, interface, state, reason, peer, epoch."""

import contextlib
import contextvars
import logging
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from pycarp.core.events import (
    AdvertisementRejected,
    ConflictWon,
    DecisionChange,
    Event,
    MasterHeard,
    PeerMismatch,
    StateChange,
)
from pycarp.core.snapshot import HostSnapshot

Fields = Mapping[str, str | int]
"""Values by name, such as ``host``; empty for a record about the whole daemon."""

_NOTHING: Fields = MappingProxyType({})
_current: contextvars.ContextVar[Fields] = contextvars.ContextVar("pycarp_log_fields", default=_NOTHING)
_ATTRIBUTE = "carp_fields"


@contextlib.contextmanager
def about(fields: Fields) -> Iterator[None]:
    """Add these fields to every record that is made within the context."""
    token = _current.set(fields)
    try:
        yield
    finally:
        _current.reset(token)


def attach(record: logging.LogRecord) -> None:
    """Store the fields in a record, before it goes to another thread."""
    if not hasattr(record, _ATTRIBUTE):
        setattr(record, _ATTRIBUTE, _current.get())


def fields_of(record: logging.LogRecord) -> Fields:
    """Return the fields of a record."""
    fields: Fields = getattr(record, _ATTRIBUTE, {})
    return fields


def fields_of_event(event: Event, name: str, host: HostSnapshot | None) -> Fields:
    """Return the fields of an event of the host ``name``; ``host`` is its present snapshot, None if it has departed."""
    fields: dict[str, str | int] = {"host": name, "vhid": event.key.vhid, "interface": event.key.link}
    match event:
        case StateChange(new=new, epoch=epoch, reason=reason):
            peer = {} if event.peer is None else {"peer": str(event.peer)}
            return fields | {"state": new.value, "reason": reason.name.lower().replace("_", "-"), "epoch": epoch} | peer
        case MasterHeard() | ConflictWon() | PeerMismatch() | AdvertisementRejected():
            fields["peer"] = str(event.source)
        case DecisionChange(source=source, decision=decision):
            fields |= {"peer": str(source), "decision": decision.name.lower().replace("_", "-")}
        case _:
            pass
    if host is not None:
        fields |= {"state": host.state.value, "epoch": host.epoch}
    return fields
