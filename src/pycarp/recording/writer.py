"""Converts entries to lines without secrets.

It does not take secrets out of what an engine did, which would be forgotten in the one place or the other: it lets a
second engine do the same, which never knew them, and writes down what that one does. Both should agree in all but
what is signed. Where they do not, which is a bug of pycarp, the line says in words what the first one did.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec.structs
from msgspec import structs

from pycarp.auth.key import Passphrase
from pycarp.core.checkpoint import Checkpoint
from pycarp.core.effects import Effect, HoldAddresses, Publish, SetPacketFilter, Step, Transmit
from pycarp.core.engine import Engine
from pycarp.core.events import AdvertisementRejected, SettingsChange, StateChange
from pycarp.core.host_table import without_rest
from pycarp.core.statistics import DropReason
from pycarp.recording.anonymizer import Anonymizer
from pycarp.recording.lines import checkpoint_line, head_of, result_of, step_line
from pycarp.recording.recorded_entropy import RecordedEntropy
from pycarp.recording.recorder import Entry, exception_line, is_routine
from pycarp.vocabulary import Outgoing

_SIGNED = slice(16, 36)
_SUMMED = slice(6, 8)


class Writer:
    """Makes the lines of a recording from a checkpoint on.

    ``entropy`` returns 64 random bits, for the throw-away keys. ``rest`` is called after each host of the checkpoint is
    made, and written.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, entropy: Callable[[], int], rest: Callable[[], object] = without_rest
    ) -> None:
        self._anonymizer = Anonymizer(entropy)
        self._draws = RecordedEntropy()
        self.unlike = 0
        """How many lines are not what the engine did."""
        self._double = Engine.from_checkpoint(
            self._anonymizer.checkpoint(checkpoint),
            entropy=self._draws,
            diagnose_peer=self._anonymizer.diagnose_peer,
            rest=rest,
        )
        self._rest = rest

    def opening(self, *, version: str, at_ns: int, wall_ns: int) -> bytes:
        """Return the first two lines of a file; ``wall_ns`` is the wall-clock time at ``at_ns``, since 1970."""
        checkpoint = self._double.begin_checkpoint().complete(self._rest)
        return head_of(version=version, at_ns=at_ns, wall_ns=wall_ns) + checkpoint_line(checkpoint, self._rest)

    def line(self, entry: Entry) -> bytes:
        """Return the line of the next entry; it says so if the engine takes another step the second time."""
        event = self._anonymizer.input(entry.event)
        self._draws.refill(entry.drawn)
        step, raised = None, ""
        try:
            step = self._double.handle(event, entry.at_ns)
        except Exception as bug:  # noqa: BLE001  an entry that breaks the second engine is still to be seen
            raised = exception_line(bug)
        unlike = ""
        if not (self._draws.were_right and raised == entry.raised and _is_alike(entry, step)):
            self.unlike += 1
            unlike = _what_happened(entry)
        event = self._anonymizer.diagnosed_input() or event
        return step_line(entry.at_ns, event, self._draws.taken, result_of(step, raised), unlike)


def _what_happened(entry: Entry) -> str:
    """Return what an engine did, without anything that may be secret: the kinds of effects, and the transitions."""
    if entry.step is None:
        return f"the engine raised {entry.raised}"
    kinds = [f"{entry.routine} advertisements or renewals"] if entry.routine else map(_kind_of, entry.step.effects)
    return f"{', '.join(kinds) or 'no effects'}; the next deadline {entry.step.deadline_ns} ns"


def _kind_of(effect: Effect) -> str:
    match effect:
        case Publish(StateChange(old=old, new=new, reason=reason)):
            return f"{old} -> {new} ({reason})"
        case Publish(event):
            return type(event).__name__
        case _:
            return type(effect).__name__


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
            return msgspec.structs.replace(effect, lease_timings=structs.replace(lease_timings, bow_out=bow_out))
        case Publish(SettingsChange() as event):
            return structs.replace(event, config=replace(event.config, passphrase=Passphrase("")))
        case Publish(AdvertisementRejected() as event):
            return structs.replace(event, reason=DropReason.NOT_AUTHENTIC, finding="")
        case SetPacketFilter(link, packet_filter) if packet_filter is not None:
            digests = (len(packet_filter.upcoming), len(packet_filter.repeated))
            return link, digests, packet_filter.every, packet_filter.every_repeated
        case _:
            return effect


def _unsigned(outgoing: Outgoing) -> Outgoing:
    octets = bytearray(outgoing.payload)
    for part in (_SUMMED, _SIGNED):
        octets[part] = bytes(part.stop - part.start)
    return msgspec.structs.replace(outgoing, payload=bytes(octets))
