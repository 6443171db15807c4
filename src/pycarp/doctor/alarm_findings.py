"""Repeats the alarms of the daemons that run here: they saw what a few seconds do not show."""

from collections.abc import Collection, Iterator

from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.subject import Subject

_WARNINGS = frozenset({"stalled", "contested"})
"""What is over for now, or is mended each time."""

_SAME = {"not-authentic": "digest", "own-address": "loop", "same-vrid": "collision"}
"""The kind of a finding that says the same as an alarm."""


def findings(subject: Subject, found: Collection[str]) -> Iterator[Finding]:
    """Yield the alarms of the hosts, unless a finding of the same kind was made; ``found`` are those kinds."""
    for host in subject.hosts:
        for alarm in host.alarms:
            if alarm.name in found or _SAME.get(alarm.name) in found:
                continue
            yield Finding(
                kind=alarm.name,
                severity=Severity.WARNING if alarm.name in _WARNINGS else Severity.PROBLEM,
                subject=host.name,
                words=alarm.text,
                reason="the daemon has this alarm now",
                command=_elsewhere(alarm.command),
            )


def _elsewhere(command: str) -> str:
    """Return the command of an alarm; to be told of this very command helps nobody."""
    return "sudo pycarp doctor   # on the other host as well" if command.startswith("pycarp doctor") else command
