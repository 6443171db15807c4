"""Converts entries to lines without secrets.

It does not take secrets out of what an engine did, which would be forgotten in the one place or the other: it lets a
second engine do the same, which never knew them, and writes down what that one does. Both must agree in all but
what is signed.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pycarp.auth.key import Passphrase
from pycarp.core.checkpoint import Checkpoint
from pycarp.core.effects import Effect, HoldAddresses, Publish, SetPacketFilter, Step, Transmit
from pycarp.core.engine import Engine
from pycarp.core.events import AdvertisementRejected, SettingsChange
from pycarp.core.statistics import DropReason
from pycarp.errors import RecordingError
from pycarp.recording.anonymizer import Anonymizer
from pycarp.recording.lines import checkpoint_line, head_of, result_of, step_line
from pycarp.recording.recorded_entropy import RecordedEntropy
from pycarp.recording.recorder import Entry, exception_line, is_routine
from pycarp.vocabulary import Outgoing

_SIGNED = slice(16, 36)
_SUMMED = slice(6, 8)


class Writer:
    """Makes the lines of a recording from a checkpoint on.

    ``entropy`` returns 64 random bits, for the throw-away keys.
    """

    def __init__(self, checkpoint: Checkpoint, *, entropy: Callable[[], int]) -> None:
        self._anonymizer = Anonymizer(entropy)
        self._draws = RecordedEntropy()
        self._double = Engine.from_checkpoint(
            self._anonymizer.checkpoint(checkpoint), entropy=self._draws, diagnose_peer=self._anonymizer.diagnose_peer
        )

    def opening(self, *, version: str, at_ns: int, wall_ns: int) -> bytes:
        """Return the first two lines of a file; ``wall_ns`` is the wall-clock time at ``at_ns``, since 1970."""
        return head_of(version=version, at_ns=at_ns, wall_ns=wall_ns) + checkpoint_line(self._double.checkpoint())

    def line(self, entry: Entry) -> bytes:
        """Return the line of the next entry; RecordingError if the engine takes another step the second time."""
        event = self._anonymizer.input(entry.event)
        self._draws.refill(entry.drawn)
        step, raised = None, ""
        try:
            step = self._double.handle(event, entry.at_ns)
        except Exception as bug:
            if entry.step is not None:
                raise
            raised = exception_line(bug)
        if not (self._draws.were_right and raised == entry.raised and _is_alike(entry, step)):
            what = type(entry.event).__name__
            raise RecordingError(f"{what} at {entry.at_ns} ns has other consequences when it happens again")
        return step_line(entry.at_ns, self._anonymizer.diagnosed_input() or event, entry.drawn, result_of(step, raised))


def _is_alike(entry: Entry, other: Step | None) -> bool:
    real = entry.step
    if real is None or other is None:
        return real is other
    if real.deadline_ns != other.deadline_ns:
        return False
    if entry.routine:
        return len(other.effects) == entry.routine and is_routine(other.effects)
    return list(map(_likeness, real.effects)) == list(map(_likeness, other.effects))


def _likeness(effect: Effect) -> Any:
    """Return an effect without the parts that depend on keys."""
    match effect:
        case Transmit(key, outgoing):
            return key, _unsigned(outgoing)
        case HoldAddresses(lease_timings=lease_timings) if lease_timings is not None:
            bow_out = tuple(map(_unsigned, lease_timings.bow_out))
            return replace(effect, lease_timings=replace(lease_timings, bow_out=bow_out))
        case Publish(SettingsChange() as event):
            return replace(event, config=replace(event.config, passphrase=Passphrase("")))
        case Publish(AdvertisementRejected() as event):
            return replace(event, reason=DropReason.NOT_AUTHENTIC, finding="")
        case SetPacketFilter(link, packet_filter) if packet_filter is not None:
            digests = (len(packet_filter.upcoming), len(packet_filter.repeated))
            return link, digests, packet_filter.every, packet_filter.every_repeated
        case _:
            return effect


def _unsigned(outgoing: Outgoing) -> Outgoing:
    octets = bytearray(outgoing.payload)
    for part in (_SUMMED, _SIGNED):
        octets[part] = bytes(part.stop - part.start)
    return replace(outgoing, payload=bytes(octets))
