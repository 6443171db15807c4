"""The switches that hold for a whole node, under the names of the sysctls."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``net.inet.carp.allow`` and ``net.inet.carp.preempt``.

    With ``allow`` off, advertisements are counted and ignored, while our own are still sent (measured on NetBSD).
    ``preempt`` is or-ed with each host's own.
    """

    allow: bool = True
    preempt: bool = False
