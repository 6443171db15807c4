"""Layer 5: records the inputs of an engine without its secrets, and replays them. Pure, as the engine is.

A ``Recorder`` wraps an engine and passes each step to ``Sink``s. The entries of a sink may have passphrases, so they
stay in memory; a ``Writer`` makes lines of them that anybody may read. A ``Replay`` passes the lines to a new engine
and compares every step.
"""

from pycarp.recording.lines import Recording, read
from pycarp.recording.recorder import Entry, Recorder, Sink
from pycarp.recording.replay import Difference, Played, Replay, transitions
from pycarp.recording.ring import Ring, triggers_dump
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
