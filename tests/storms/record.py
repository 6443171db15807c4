"""What a run leaves behind: everything that happened, for the checker to judge."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from pycarp import Reason, State
from pycarp.testing import Ownership
from tests.storms.plan import Action, Plan
from tests.storms.spans import Spans, union


class Promise(StrEnum):
    """What is never to happen."""

    TWO_OWNERS = "two owners"
    ONE_MASTER = "not exactly one MASTER in the end"
    PREFERRED = "not the preferred MASTER in the end"
    HELD_BY_OTHERS = "addresses held by no MASTER"
    MASTER_WITHOUT = "MASTER without addresses beside a healthy BACKUP"
    RESTRICTED = "a host that is restricted to backup became MASTER"
    GROUP_APART = "a group is not together in the end"
    UNSETTLED = "does not settle"
    DEMOTION_LEFT = "demotion left behind"
    CALL_HANGS = "a call never returns"
    EXCEPTION = "unexpected exception"
    NODE_FAILED = "node failed"
    LEFT_OVER = "task or timer left behind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A broken promise; ``kind`` is what violations of one cause have in common."""

    promise: Promise
    kind: str
    at_s: float
    words: str

    @property
    def label(self) -> str:
        """Promise and kind."""
        return f"{self.promise}: {self.kind}"


@dataclass(frozen=True, slots=True)
class Change:
    """A host got into a state; None stands for a host that is not there."""

    at_s: float
    state: State | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Done:
    """An action that was carried out, and when."""

    at_s: float
    action: Action


Host = tuple[int, int]
"""The number of a member, and a vhid."""


@dataclass(slots=True, kw_only=True)
class Record:
    """Everything that happened in a run."""

    plan: Plan
    done: list[Done] = field(default_factory=list)
    changes: dict[Host, list[Change]] = field(default_factory=dict)
    history: tuple[Ownership, ...] = ()
    vhids: dict[str, int] = field(default_factory=dict)
    """By shared address: of which vhid it is."""
    calm_at_s: float = 0.0
    """From when on nothing was wrong any more."""
    end_s: float = 0.0
    rolls: list[tuple[float, float]] = field(default_factory=list)
    """From when to when rolling changes of what is signed were made, one host after the other."""
    intervals_s: float = 0.0
    """The longest advertisement interval that any host may have had."""
    violations: list[Violation] = field(default_factory=list)
    """What the run itself saw."""
    transcript: str = ""

    def resolved(self) -> Plan:
        """Return the plan without what could not be done, and with numbers for MASTER and BACKUP."""
        return Plan(
            **{name: getattr(self.plan, name) for name in Plan.__dataclass_fields__ if name != "actions"},
            actions=tuple(each.action for each in self.done),
        )

    def spans(self, begins: Callable[[Action], bool], *ends: str, who: int | None = None) -> Spans:
        """Return from each action that ``begins`` something to the next one in ``ends``, of one member or of any.

        Calm ends all.
        """
        spans, since_s = [], inf
        for each in self.done:
            if who is not None and each.action.who != who:
                continue
            if begins(each.action):
                since_s = min(since_s, each.at_s)
            elif each.action.do in ends:
                spans.append((since_s, each.at_s))
                since_s = inf
        return union(spans, [(since_s, self.calm_at_s)])
