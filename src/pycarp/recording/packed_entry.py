"""Entries as a ring keeps them: the datagrams of one in columns, which are few objects.

A BACKUP of thousands of hosts keeps as many datagrams for some seconds. Python's collector of garbage would look at
each of them again and again, which is a tenth of what such a BACKUP costs.
"""

from typing import Any, NamedTuple, TypeAlias

from pycarp.core.effects import Step
from pycarp.core.inputs import DatagramsReceived
from pycarp.recording.recorder import Entry
from pycarp.vocabulary import Datagram


class PackedEntry(NamedTuple):
    """An entry without its datagrams, whose fields are in ``columns``."""

    entry: Entry
    columns: tuple[tuple[Any, ...], ...]

    @property
    def at_ns(self) -> int:
        """When the step was."""
        return self.entry.at_ns

    @property
    def step(self) -> Step | None:
        """The step; None if the engine raised an exception."""
        return self.entry.step

    def unpacked(self) -> Entry:
        """Return the entry with its datagrams."""
        datagrams = tuple(map(Datagram._make, zip(*self.columns, strict=True)))
        return self.entry._replace(event=DatagramsReceived(datagrams))


KeptEntry: TypeAlias = Entry | PackedEntry

_NO_DATAGRAMS = DatagramsReceived(())


def packed(entry: Entry) -> KeptEntry:
    """Return an entry to keep; ``unpacked`` returns it again."""
    event = entry.event
    if not isinstance(event, DatagramsReceived) or not event.datagrams:
        return entry
    return PackedEntry(entry._replace(event=_NO_DATAGRAMS), tuple(zip(*event.datagrams, strict=True)))
