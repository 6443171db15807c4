"""Simulates a story."""

from pycarp.sim.outcome import Outcome
from pycarp.sim.story import Story


def simulate(story: Story, *, tells: bool = False) -> Outcome:
    """Return what comes of a story; with ``tells`` also in lines that people can read."""
    raise NotImplementedError
