"""A plan: who is on the segment, and what administrators, programs and the network do to it, at which time.

A plan is a value. It prints as JSON, can be read back, replayed, and shrunk by dropping actions. ``draw`` makes one
from a seed; each seed switches each class of actions on or off, so that rare combinations get whole plans of their own.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from random import Random
from typing import Any

from pycarp import Restriction

MASTER, BACKUP = -1, -2
"""Whom an action is for, if not the member of a number: who is MASTER or BACKUP by then; a run makes it a number."""

CAUSES = ("disk", "probe", "lag")

HEALTHY_MAX_US = 1_000
"""Up to here a delay is that of a healthy segment."""


CLOCKS_MAX = 50
"""By so many thousandths the clock of a machine may be fast or slow, and nobody notices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What is done at a time; ``do`` is the name of a method of ``run.Storm``, the rest are its arguments.

    ``amount`` is in the unit that the method says, ``name`` a cause, state, group or actuation, ``others`` are members.
    """

    at_us: int
    do: str
    who: int = 0
    vhid: int = 1
    amount: int = 0
    name: str = ""
    others: tuple[int, ...] = ()

    def value(self) -> dict[str, Any]:
        """Return what JSON can say, without what is as usual."""
        usual = {each.name: each.default for each in fields(self)}
        return {name: value for name, value in asdict(self).items() if usual[name] != value or name == "at_us"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The settings of all members, the segment as it is when nothing is wrong, and the actions in their order."""

    seed: int = 0
    advskews: tuple[int, ...] = (0, 100)
    advbase: int = 1
    preempt: bool = False
    vhids: tuple[int, ...] = (1,)
    families: tuple[int, ...] = (4,)
    peers: bool = False
    delay_us: int = 50
    jitter_us: int = 0
    duplicates: int = 0
    """Of a thousand datagrams so many arrive twice."""
    clocks: tuple[int, ...] = ()
    """By how many thousandths the clock of each member is fast; nothing for clocks that are right."""
    group: bool = False
    """Whether the hosts of a machine move together."""
    failback: bool = False
    """Whether hosts follow a failback policy."""
    rest_us: int = 1_000_000
    """How long things stay as they are after the last action, before everything is put right."""
    actions: tuple[Action, ...] = field(default=())

    @property
    def span_s(self) -> float:
        """When the last action begins."""
        return max((each.at_us for each in self.actions), default=0) / 1e6

    def to_json(self) -> str:
        """Return the plan as JSON, an action a line."""
        head = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "actions"}
        actions = ",\n  ".join(json.dumps(each.value()) for each in self.actions)
        return json.dumps(head)[:-1] + f', "actions": [\n  {actions}\n]}}\n'


def from_json(text: str) -> Plan:
    """Return the plan that ``to_json`` wrote."""
    given = json.loads(text)
    actions = tuple(Action(**{**each, "others": tuple(each.get("others", ()))}) for each in given.pop("actions"))
    rest: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return Plan(actions=actions, **rest)


Draw = Callable[["Pen"], None]


@dataclass(slots=True)
class Pen:
    """What writes a plan: dice, the plan so far, and the time that the next action has."""

    dice: Random
    plan: Plan
    at_us: int = 0
    actions: list[Action] = field(default_factory=list)

    def act(self, do: str, *, after_us: int = 0, **arguments: Any) -> None:
        """Write an action, ``after_us`` microseconds after the time of now."""
        self.actions.append(Action(at_us=self.at_us + after_us, do=do, **arguments))

    def anybody(self) -> int:
        """Return a member; the MASTER and a BACKUP are as likely as all the others."""
        number = self.dice.randrange(len(self.plan.advskews))
        return self.dice.choice((MASTER, MASTER, BACKUP, number, number, number))

    def somebody(self) -> int:
        """Return the number of a member."""
        return self.dice.randrange(len(self.plan.advskews))

    def vhid(self) -> int:
        """Return a vhid."""
        return self.dice.choice(self.plan.vhids)

    def cause(self) -> str:
        """Return a cause of demotion or restriction."""
        return self.dice.choice(CAUSES)

    def demotion(self) -> int:
        """Return an amount of demotion: small, or beyond the cap."""
        return self.dice.choice((1, 20, 100, 120, 200, 240, 255, -20, self.dice.randrange(1, 256)))

    def pause_us(self) -> int:
        """Return a pause before the next action: none, below a delay, of the length of a hand-shake, or long."""
        low, high = self.dice.choice(((0, 1), (1, 1_000), (500, 25_000), (20_000, 200_000), (10**5, 4 * 10**6)))
        return self.dice.randrange(low, high)

    def span_us(self) -> int:
        """Return how long something lasts."""
        low, high = self.dice.choice(((0, 2_000), (2_000, 30_000), (30_000, 10**6), (10**6, 8 * 10**6)))
        return self.dice.randrange(low, high)


# What administrators and programs do


def _demote(pen: Pen) -> None:
    who, vhid, cause = pen.anybody(), pen.vhid(), pen.cause()
    if pen.dice.random() < 0.35:
        pen.act("restore", who=who, vhid=vhid, name=cause)
    else:
        pen.act("demote", who=who, vhid=vhid, name=cause, amount=pen.demotion())


def _demote_node(pen: Pen) -> None:
    name, group = pen.cause(), pen.dice.choice(("node", "carp", "web"))
    pen.act(f"demote_{group}", who=pen.anybody(), name=name, amount=pen.dice.choice((0, 0, pen.demotion())))


def _last(pen: Pen) -> None:
    who, vhid, cause = pen.anybody(), pen.vhid(), pen.cause()
    pen.act("last", who=who, vhid=vhid, name=cause)
    if pen.dice.random() < 0.7:
        pen.act("restore", who=pen.somebody() if who < 0 else who, vhid=vhid, name=cause, after_us=pen.span_us())


def _restrict(pen: Pen) -> None:
    who, vhid, cause = pen.anybody(), pen.vhid(), pen.cause()
    pen.act("restrict", who=who, vhid=vhid, name=cause, amount=pen.dice.randrange(len(Restriction)))
    if pen.dice.random() < 0.7:
        pen.act("unrestrict", who=pen.somebody() if who < 0 else who, vhid=vhid, name=cause, after_us=pen.span_us())


def _force(pen: Pen) -> None:
    pen.act("force", who=pen.anybody(), vhid=pen.vhid(), name=pen.dice.choice(("MASTER", "MASTER", "BACKUP")))


def _admin(pen: Pen) -> None:
    who, vhid = pen.anybody(), pen.vhid()
    pen.act("down", who=who, vhid=vhid)
    pen.act("up", who=pen.somebody() if who < 0 else who, vhid=vhid, after_us=pen.span_us())


def _bounce(pen: Pen) -> None:
    pen.act("bounce", who=pen.anybody(), vhid=pen.vhid(), amount=pen.dice.choice((1, 1, 2)))


def _hand_over(pen: Pen) -> None:
    who, vhid = pen.dice.choice((MASTER, MASTER, pen.somebody())), pen.vhid()
    pen.act("hand_over", who=who, vhid=vhid, amount=pen.dice.choice((1000, 1000, 20, 1, 3000)))
    if pen.dice.random() < 0.5:
        pen.act("restore", who=pen.somebody(), vhid=vhid, name="handed over", after_us=pen.span_us())


def _cancel(pen: Pen) -> None:
    pen.act("hand_over", who=MASTER, vhid=pen.vhid(), amount=1000)
    pen.act("cancel", after_us=pen.dice.randrange(0, pen.dice.choice((2, 1_000, 50_000))))


def _advskew(pen: Pen) -> None:
    pen.act("advskew", who=pen.anybody(), vhid=pen.vhid(), amount=_skew(pen.dice, pen.plan.advbase))


def _rolling(pen: Pen) -> None:
    what = pen.dice.choice(("addresses", "passphrase", "advbase", "preempt"))
    pen.act("roll", name=what, amount=pen.dice.choice((0, 1, 40, 900)))


def _add(pen: Pen) -> None:
    who, vhid = pen.anybody(), pen.vhid()
    pen.act("remove", who=who, vhid=vhid)
    pen.act("add", who=pen.somebody() if who < 0 else who, vhid=vhid, after_us=pen.span_us())


def _leave(pen: Pen) -> None:
    who = pen.anybody()
    pen.act("leave", who=who)
    if pen.dice.random() < 0.8:
        pen.act("start", who=pen.somebody() if who < 0 else who, after_us=pen.span_us())


def _take_away(pen: Pen) -> None:
    for number in range(pen.dice.choice((1, 1, 12))):
        pen.act("take_away", who=MASTER, vhid=pen.vhid(), after_us=number * 20_000)


# What actuators do


def _slow(pen: Pen) -> None:
    who = pen.anybody()
    amount = pen.dice.choice((1, 5, 12, 19, 21, 40, 150, 800))
    pen.act("slow", who=who, name=pen.dice.choice(("drop", "drop", "hold")), amount=amount)
    if who >= 0 and pen.dice.random() < 0.5:
        pen.act("repair", who=who, after_us=pen.span_us())


def _fail_hold(pen: Pen) -> None:
    who = pen.anybody()
    pen.act("fail", who=who, name="hold", amount=pen.dice.choice((0, 0, 1)))
    if who >= 0:
        pen.act("repair", who=who, after_us=pen.span_us() * pen.dice.choice((1, 10)))


def _hang_hold(pen: Pen) -> None:
    who = pen.anybody()
    pen.act("hang", who=who, name=pen.dice.choice(("hold", "announce")))
    if who >= 0:
        pen.act("repair", who=who, after_us=pen.span_us() * pen.dice.choice((1, 10)))


def _fail_drop(pen: Pen) -> None:
    who = pen.anybody()
    pen.act(pen.dice.choice(("fail", "hang")), who=who, name="drop")
    if who >= 0:
        pen.act("repair", who=who, after_us=pen.span_us())


# What machines and networks do


def _link(pen: Pen) -> None:
    who = pen.anybody()
    pen.act("link_down", who=who)
    pen.act("link_up", who=pen.somebody() if who < 0 else who, after_us=pen.dice.choice((0, pen.span_us())))


def _loss(pen: Pen) -> None:
    pen.act("loss", amount=pen.dice.choice((10, 100, 300, 800)))
    pen.act("heal", after_us=pen.span_us())


def _partition(pen: Pen) -> None:
    count = len(pen.plan.advskews)
    some = tuple(sorted(pen.dice.sample(range(count), pen.dice.randrange(1, count))))
    pen.act("partition", others=some)
    pen.act("heal", after_us=pen.span_us())


def _delay(pen: Pen) -> None:
    pen.act("delay", amount=pen.dice.choice((2_000, 5_000, 12_000, 30_000)))
    pen.act("heal", after_us=pen.span_us())


def _kill(pen: Pen) -> None:
    who = pen.anybody()
    pen.act(pen.dice.choice(("kill", "kill", "guardian")), who=who)
    if pen.dice.random() < 0.8:
        pen.act("start", who=pen.somebody() if who < 0 else who, after_us=pen.span_us())


def _stop(pen: Pen) -> None:
    who = pen.anybody()
    pen.act("stop", who=who)
    if who >= 0:
        pen.act("continue_", who=who, after_us=pen.span_us())


def _mute(pen: Pen) -> None:
    who = pen.anybody()
    pen.act("fail_sends", who=who, amount=pen.dice.choice((0, *pen.plan.families)))
    if who >= 0:
        pen.act("repair_sends", who=who, after_us=pen.span_us())


BENIGN: Mapping[str, Draw] = {
    "demote": _demote,
    "demote_node": _demote_node,
    "last": _last,
    "restrict": _restrict,
    "force": _force,
    "admin": _admin,
    "bounce": _bounce,
    "hand_over": _hand_over,
    "cancel": _cancel,
    "advskew": _advskew,
    "rolling": _rolling,
    "add": _add,
    "leave": _leave,
    "take_away": _take_away,
    "slow": _slow,
    "fail_hold": _fail_hold,
    "hang_hold": _hang_hold,
    "link": _link,
}
"""Classes under which two owners are 0 ns, slow drops apart."""

FAULTS: Mapping[str, Draw] = {
    "fail_drop": _fail_drop,
    "loss": _loss,
    "partition": _partition,
    "delay": _delay,
    "kill": _kill,
    "stop": _stop,
    "mute": _mute,
}
"""Classes under which two owners have a bound; see ``bounds``."""

CLASSES: Mapping[str, Draw] = {**BENIGN, **FAULTS}


def _skew(dice: Random, advbase: int) -> int:
    """Return an advskew; without advbase a host needs some to be as slow as its timers."""
    if advbase:
        return dice.choice((0, 0, 1, 50, 100, 100, 200, 239, 240, 254, dice.randrange(255)))
    return dice.randrange(12, 120)


def draw(seed: int, *, benign_only: bool = False) -> Plan:
    """Return the plan of a seed, always the same one."""
    dice = Random(f"storm {seed}")
    count = dice.choice((2, 2, 3, 3, 3, 4, 5, 6, 7))
    advbase = dice.choice((1, 1, 1, 1, 2, 0))
    same = _skew(dice, advbase)
    skews = tuple(same if dice.random() < 0.2 else _skew(dice, advbase) for _ in range(count))
    total_us = dice.choice((50, 50, 200, HEALTHY_MAX_US))
    jitter_us = dice.choice((0, total_us - 20))
    plan = Plan(
        seed=seed,
        advskews=skews,
        advbase=advbase,
        preempt=dice.random() < 0.5,
        vhids=dice.choice(((1,), (1,), (1, 2))),
        families=dice.choice(((4,), (4,), (6,), (4, 6))),
        peers=dice.random() < 0.25,
        delay_us=total_us - jitter_us,
        jitter_us=jitter_us,
        duplicates=dice.choice((0, 0, 100, 500)),
        clocks=tuple(dice.randrange(-CLOCKS_MAX, CLOCKS_MAX + 1) for _ in range(count)) if dice.random() < 0.2 else (),
        rest_us=dice.choice((20_000, 1_000_000, 1_000_000, 5_000_000)),
        failback=dice.random() < 0.25,
    )
    plan = replace(plan, group=len(plan.vhids) > 1 and dice.random() < 0.6)
    classes = [each for each in BENIGN if dice.random() < dice.choice((0.15, 0.5))]
    if dice.random() < 0.4 and not benign_only:
        classes += [each for each in FAULTS if dice.random() < 0.3]
    if not classes:
        classes = [dice.choice(tuple(BENIGN))]
    pen = Pen(dice, plan, at_us=dice.randrange(8_000_000))
    for _ in range(dice.choice((2, 4, 8, 16))):
        CLASSES[dice.choice(classes)](pen)
        pen.at_us += pen.pause_us()
    actions = sorted(pen.actions, key=lambda each: each.at_us)
    return replace(plan, actions=tuple(actions))
