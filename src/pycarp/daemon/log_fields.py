"""The fields of a log record beside its text: host, vhid, interface, state, reason, peer, epoch."""

import contextvars
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
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


class _About:
    """A context manager; of a class of its own, because each of thousands of hosts enters several at its start."""

    __slots__ = ("_fields", "_token")

    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _current.set(self._fields)

    def __exit__(self, *_exception: object) -> None:
        _current.reset(self._token)


def about(fields: Fields) -> AbstractContextManager[None]:
    """Add these fields to every record that is made within the context."""
    return _About(fields)


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
