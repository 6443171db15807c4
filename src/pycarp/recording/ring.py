"""Keeps the last minutes of entries in memory, bounded in time and number, for the flight recorder.

``triggers_dump`` names the events after which it is written: those that no administrator asked for.
"""

from collections import deque

import msgspec

from pycarp.core.checkpoint import Checkpoint, PendingCheckpoint
from pycarp.core.events import ActuationFailed, Event, StateChange
from pycarp.core.state import Reason
from pycarp.recording.packed_entry import KeptEntry, packed
from pycarp.recording.recorder import Entry
from pycarp.vocabulary import NS_PER_S

KEPT_NS = 120 * NS_PER_S
KEPT_MOST = 8192
"""The most steps and datagrams with up to two thousand hosts; in a flood these are only the last seconds."""

_SECTION_NS = KEPT_NS // 6
_SECTION_LEAST, _SECTION_MOST = KEPT_MOST // 8, KEPT_MOST // 2
_ENTRIES_PER_HOST, _LEAST_ENTRIES_PER_HOST = 16, 4
"""A section is so long, because a checkpoint takes as long as some entries for each host.

Within the bounds 16 entries, and never less than 4: one second of thousands of hosts must not need one checkpoint more.
"""


class _Section(msgspec.Struct):
    """Some entries, and the checkpoint before them; ``most`` is how many there may be."""

    checkpoint: PendingCheckpoint
    most: int
    entries: list[KeptEntry] = msgspec.field(default_factory=list)
    size: int = 0


class Ring:
    """A ``Sink`` of sections, each with a checkpoint, that forgets the oldest ones."""

    def __init__(self) -> None:
        self._sections: deque[_Section] = deque()

    @property
    def wants_checkpoint(self) -> bool:
        """True if the present section is full."""
        if not self._sections:
            return True
        section = self._sections[-1]
        if section.size >= section.most:
            return True
        entries = section.entries
        return bool(entries) and entries[-1].at_ns - entries[0].at_ns >= _SECTION_NS

    def begin(self, checkpoint: PendingCheckpoint) -> None:
        """Begin a section with a checkpoint, and remove sections that are too old."""
        hosts = len(checkpoint)
        most = max(_SECTION_LEAST, min(_ENTRIES_PER_HOST * hosts, _SECTION_MOST), _LEAST_ENTRIES_PER_HOST * hosts)
        self._sections.append(_Section(checkpoint, most))
        newest_ns = max((each.entries[-1].at_ns for each in self._sections if each.entries), default=0)
        while len(self._sections) > 1 and (
            sum(each.size for each in self._sections) > max(KEPT_MOST, 2 * most) - most
            or self._sections[0].entries[-1].at_ns < newest_ns - KEPT_NS
        ):
            self._sections.popleft()

    def take(self, entry: Entry) -> None:
        """Add an entry to the present section."""
        section = self._sections[-1]
        section.entries.append(packed(entry.brief()))
        section.size += entry.size

    @property
    def has_failed(self) -> bool:
        """True if the engine raised an exception in the last entry."""
        return bool(self._sections) and bool(self._sections[-1].entries) and self._sections[-1].entries[-1].step is None

    def kept(self) -> tuple[Checkpoint, list[Entry]] | None:
        """Return the oldest checkpoint and every entry since; None before the first."""
        found = self.captured()
        return None if found is None else (found[0].complete(), [each.unpacked() for each in found[1]])

    def captured(self) -> tuple[PendingCheckpoint, list[KeptEntry]] | None:
        """Return what ``kept`` does; another thread may complete it, which takes long with many hosts."""
        if not self._sections or not self._sections[0].entries:
            return None
        checkpoint = self._sections[0].checkpoint
        checkpoint.capture_rest()
        return checkpoint, [entry for section in self._sections for entry in section.entries]

    def section_at(self, at_ns: int) -> tuple[Checkpoint, list[Entry]] | None:
        """Return the last checkpoint before an instant and every entry from there to it; None if none is kept."""
        before = [each for each in self._sections if each.entries and each.entries[0].at_ns <= at_ns]
        if not before:
            return None
        section = before[-1]
        return section.checkpoint.complete(), [each.unpacked() for each in section.entries if each.at_ns <= at_ns]


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
        Reason.LINK_DELETED,
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
