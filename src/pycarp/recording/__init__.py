"""Floor 5: the inputs of an engine written down without its secrets, and played again. Pure, as the engine is.

A ``Recorder`` stands before an engine and gives each step to ``Sink``s. What a sink keeps may hold passphrases and is
for memory only; a ``Writer`` makes lines of it that may be read by anybody. A ``Replay`` feeds the lines to a fresh
engine and compares every step.
"""

from pycarp.recording.dump_triggers import triggers_dump
from pycarp.recording.lines import Recording, read
from pycarp.recording.recorder import Entry, Recorder, Sink
from pycarp.recording.replay import Difference, Played, Replay, transitions
from pycarp.recording.ring import Ring
from pycarp.recording.writer import Writer

__all__ = [
    "Difference",
    "Entry",
    "Played",
    "Recorder",
    "Recording",
    "Replay",
    "Ring",
    "Sink",
    "Writer",
    "read",
    "transitions",
    "triggers_dump",
]
