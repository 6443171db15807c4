"""A health check and how its answers count: pure values, without clock or task."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from pycarp.aio.arguments import check_amount, check_cause
from pycarp.core.checks import check_flag, check_span
from pycarp.errors import ConfigError
from pycarp.placement.isolation import counted as counted_answers

SHORTEST_INTERVAL_S = 0.05

LONGEST_S = 24 * 3600

COUNT_MAX = 1000


class Answer(StrEnum):
    """What one run of a check found."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"
    """The check could not find out: it raised, or did not end in time."""


class Finding(msgspec.Struct, frozen=True):
    """An answer, and the sentence that says why."""

    answer: Answer
    detail: str = ""
    """A sentence without capital and full stop, such as "127.0.0.1:80 accepts connections"; empty if there is none."""


Probe = Callable[[], Awaitable["Finding | Answer | bool | None"]]
"""A coroutine function that looks once: a ``Finding``, an ``Answer``, True or nothing for ok, or False for fail.

Whatever it raises counts as unknown.
"""


class Request(msgspec.Struct, frozen=True):
    """A probe that asks somebody who is to answer in time: at the timeout it fails, while any other is unknown."""

    ask: Callable[[], Awaitable[Finding]]
    silence: str
    """What it means that nobody answers, such as "192.0.2.1 does not answer"; how long it took is added."""

    def __call__(self) -> Awaitable[Finding]:
        """Ask once."""
        return self.ask()


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A check of one virtual host.

    ``probe`` is awaited every ``every_s`` seconds (0.05 to a day), and cancelled after ``timeout_s``, which may exceed
    the interval: runs never overlap, and a run that is late begins when the last one has ended. ``fall`` bad answers in
    a row make the check fail, ``rise`` good ones make it pass (1 to 1000). With ``unknown`` ``FAIL``, the default, a
    run without an answer is a bad one; with ``OK`` it is a good one, with ``UNKNOWN`` it changes nothing.

    A check that fails makes the host the last of all, see ``VirtualHost.demote``; with ``by`` it adds so much to the
    advskew instead. Before its first answers it counts as failing. With ``gate`` the host is not MASTER at all, even if
    nobody else is, before the check has passed for the first time; with ``release`` it is not either while it fails.

    Raises ConfigError for a value out of range.
    """

    name: str
    probe: Probe
    every_s: float = 1.0
    timeout_s: float = 2.0
    rise: int = 2
    fall: int = 3
    by: int | None = None
    unknown: Answer = Answer.FAIL
    gate: bool = False
    release: bool = False

    def __post_init__(self) -> None:
        check_cause(self.name)
        if not callable(self.probe):
            raise ConfigError(f"probe {self.probe!r} cannot be called; pass a coroutine function")
        check_span("every_s", self.every_s, most_s=LONGEST_S)
        if self.every_s < SHORTEST_INTERVAL_S:
            raise ConfigError(f"every_s {self.every_s:g} s is below {SHORTEST_INTERVAL_S:g} s")
        check_span("timeout_s", self.timeout_s, most_s=LONGEST_S)
        for what, count in (("rise", self.rise), ("fall", self.fall)):
            if type(count) is not int or not 1 <= count <= COUNT_MAX:
                raise ConfigError(f"{what} {count!r} is not a whole number from 1 to {COUNT_MAX}")
        if self.by is not None:
            check_amount(self.by)
            if self.by < 1:
                raise ConfigError(f"by={self.by} does not demote; pass 1 or more, or leave it out to require the check")
        check_flag("gate", self.gate)
        check_flag("release", self.release)
        if self.release and self.by is not None:
            raise ConfigError(f"by={self.by} beside release: a host that leaves its addresses has nothing to add to")
        if self.unknown not in tuple(Answer):
            raise ConfigError(f"unknown {self.unknown!r} is none of {', '.join(Answer)}")

    @property
    def cause(self) -> str:
        """The cause of the demotion while this check fails."""
        return f"check {self.name}"


@dataclass(slots=True)
class CheckState:
    """Whether a check passes: False until ``rise`` good answers in a row, then True until ``fall`` bad ones."""

    passes: bool = False
    in_a_row: int = 0
    """Answers in a row that speak against ``passes``."""

    last: Finding | None = None

    has_passed: bool = False
    """Whether it has passed at all."""

    changed_at_s: float | None = None
    """When ``passes`` changed last, in the time of the loop; None before the first change."""

    def record(self, check: Check, finding: Finding, *, at_s: float) -> bool:
        """Count what a run found at a time of the loop; return True if ``passes`` changed."""
        has_changed = self._count(check, finding)
        if has_changed:
            self.changed_at_s = at_s
        return has_changed

    def _count(self, check: Check, finding: Finding) -> bool:
        self.last = finding
        counted = check.unknown if finding.answer is Answer.UNKNOWN else finding.answer
        if counted is Answer.UNKNOWN:
            return False
        before, is_good = self.passes, counted is Answer.OK
        self.passes, self.in_a_row = counted_answers(
            self.in_a_row, passes=before, is_good=is_good, rise=check.rise, fall=check.fall
        )
        self.has_passed |= self.passes
        return self.passes is not before
