"""The words of ``pycarp simulate --faults``: faults of the MASTER, and recurring faults that go on meanwhile."""

from collections.abc import Callable, Iterable

import msgspec

from pycarp.errors import UsageError
from pycarp.sim.faults.experiments import CALM, Condition, InjectedFault, RecurringFault
from pycarp.sim.faults.fault_plan import Fault
from pycarp.sim.scenario.scenario_line import span
from pycarp.spelling import guess
from pycarp.vocabulary import NS_PER_S

_LONGEST_FAULT_NS = 3600 * NS_PER_S
_LONGEST_RECURRING_NS = 50 * NS_PER_S
_DEMOTION = 240
_JOINED = " + "
_STANDSTILL_NS = 10 * NS_PER_S

INJECTED_FAULTS = {
    Fault.POWER: "the machine is switched off",
    Fault.CRASH: "the daemon dies; its guardian lives",
    Fault.CRASH_ALL: "daemon and guardian die",
    Fault.LINK_DOWN: "its link goes down",
    Fault.ONE_LINK: "the link of one virtual host goes down",
    Fault.STOP: "the daemon stands still",
    Fault.PAUSE: "the machine stands still",
    Fault.PARTITION: "it is cut off from all others",
    Fault.ONE_WAY: "nobody hears it",
    Fault.SEND_ERRORS: "its sends fail",
    Fault.HAND_OVER: "it hands over, as when the daemon is stopped",
    Fault.ADMIN_DOWN: "it is set down",
    Fault.DEMOTION: "it is demoted",
    Fault.CHECK: "a check that it requires fails",
    Fault.DRAIN: "it is drained",
    Fault.GATE: "it must not be MASTER any more",
    Fault.MEDDLING: "somebody removes its addresses",
}
"""The faults that a trial can inject into the MASTER, with their descriptions."""

_NOT_BY_DEFAULT = frozenset({Fault.ONE_LINK, Fault.ADMIN_DOWN, Fault.CHECK, Fault.DRAIN, Fault.GATE})
_USUAL_SPANS = {Fault.STOP: _STANDSTILL_NS, Fault.PAUSE: _STANDSTILL_NS, Fault.MEDDLING: 0}


class _Word(msgspec.Struct, frozen=True):
    """A recurring fault by name: its default amount, its description, and the function that makes it."""

    usual: str
    words: str
    make: Callable[[str], RecurringFault]


def _share(text: str) -> float:
    value = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    if not 0 < value <= 1:
        raise UsageError(f"{text} is outside 0-100%; write 20% or 0.2")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 1000:
        raise UsageError(f"{text} is outside 0.1-1000 packets a second")
    return value


def _span_ns(text: str, most_ns: int) -> int:
    span_ns = span(text)
    if not 0 < span_ns <= most_ns:
        raise UsageError(f"{text} is outside 0s-{most_ns // NS_PER_S}s")
    return span_ns


def _again_and_again(fault: Fault) -> Callable[[str], RecurringFault]:
    return lambda text: RecurringFault(fault=fault, span_ns=_span_ns(text, _LONGEST_RECURRING_NS))


RECURRING_FAULTS = {
    "loss": _Word("5%", "packets are lost", lambda text: RecurringFault(fault=Fault.LOSS, amount=_share(text))),
    "delay": _Word(
        "100ms",
        "packets take up to so much longer",
        lambda text: RecurringFault(fault=Fault.DELAY, amount=_span_ns(text, _LONGEST_RECURRING_NS) / NS_PER_S),
    ),
    "duplication": _Word(
        "50%", "packets arrive twice", lambda text: RecurringFault(fault=Fault.DUPLICATION, amount=_share(text))
    ),
    "stalls": _Word("1s", "the MASTER's daemon stands still, once a minute", _again_and_again(Fault.STOP)),
    "pauses": _Word("1s", "the MASTER's machine stands still, once a minute", _again_and_again(Fault.PAUSE)),
    "clogs": _Word("1s", "the segment keeps packets back, once a minute", _again_and_again(Fault.CLOG)),
    "replay": _Word(
        "10",
        "old packets come again, so many a second",
        lambda text: RecurringFault(fault=Fault.REPLAY, amount=_rate(text)),
    ),
    "forgery": _Word(
        "10",
        "forged packets come, so many a second",
        lambda text: RecurringFault(fault=Fault.FORGERY, amount=_rate(text)),
    ),
}
"""The faults that last throughout a trial or recur in it, by name."""

_USUAL_CONDITIONS = ("loss=1%", "loss=5%", "loss=20%", "delay=100ms", "stalls=1s")

_ADVBASE_CONDITIONS = ("loss=1%", "delay=100ms", "stalls=1s")
"""The conditions for ``--fastest``: with heavier losses no advbase is free of false takeovers."""


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What to try.

    Each of ``injected_faults`` is injected into the MASTER under each of ``surroundings``. False takeovers are counted
    under each of ``conditions``, and for other advbases under each of ``of_advbases``. Random plans mix ``of_plans``.
    """

    injected_faults: tuple[InjectedFault, ...]
    surroundings: tuple[Condition, ...]
    conditions: tuple[Condition, ...]
    of_advbases: tuple[Condition, ...]
    of_plans: tuple[Fault, ...]


def parse(text: str | None) -> Faults:
    """Return the faults that a text such as ``loss=20%,delay=50ms,stop`` names; the usual ones for None.

    Faults of the MASTER are also tried under the recurring faults that the text names; ``+`` joins several into one
    condition. Raises UsageError for unknown words and amounts.
    """
    words = [each.strip() for each in (text or "").split(",") if each.strip()]
    if text is not None and not words:
        raise UsageError(f"--faults names none; {_known()}")
    injected_faults = tuple(_inject(word) for word in words if word.partition("=")[0] in set(INJECTED_FAULTS))
    named = tuple(_condition(word) for word in words if word.partition("=")[0] not in set(INJECTED_FAULTS))
    faults = [
        *(each.fault for each in injected_faults),
        *(each.fault for condition in named for each in condition.recurring_faults),
    ]
    return Faults(
        injected_faults=injected_faults
        or tuple(_usual_fault(fault) for fault in INJECTED_FAULTS if fault not in _NOT_BY_DEFAULT),
        surroundings=tuple(dict.fromkeys(map(_lasting, named))) or (CALM,),
        conditions=named or (CALM, *map(_condition, _USUAL_CONDITIONS)),
        of_advbases=named or tuple(map(_condition, _ADVBASE_CONDITIONS)),
        of_plans=tuple(dict.fromkeys(faults)),
    )


def table() -> Iterable[tuple[str, str]]:
    """Yield each word and its description, for ``--help``."""
    yield from ((fault.value, words) for fault, words in INJECTED_FAULTS.items())
    yield from ((f"{name}={word.usual}", word.words) for name, word in RECURRING_FAULTS.items())


def _known() -> str:
    return f"known are: {', '.join((*INJECTED_FAULTS, *RECURRING_FAULTS))}"


def _usual_fault(fault: Fault) -> InjectedFault:
    amount = float(_DEMOTION) if fault is Fault.DEMOTION else 0.0
    return InjectedFault(fault=fault, span_ns=_USUAL_SPANS.get(fault), amount=amount)


def _inject(word: str) -> InjectedFault:
    name, equals, amount = word.partition("=")
    usual = _usual_fault(Fault(name))
    if not equals:
        return usual
    try:
        if usual.fault is Fault.DEMOTION:
            return InjectedFault(fault=usual.fault, amount=float(int(amount)))
        if usual.fault is Fault.MEDDLING:
            raise UsageError("it takes no amount")
        return InjectedFault(fault=usual.fault, span_ns=_span_ns(amount, _LONGEST_FAULT_NS))
    except UsageError as exc:
        raise UsageError(f"--faults {word}: {exc}") from exc
    except ValueError:
        example = "240" if usual.fault is Fault.DEMOTION else "10s"
        raise UsageError(f"--faults {word}: {amount!r} is not understood; write {name}={example}") from None


def _condition(word: str) -> Condition:
    recurring_faults = tuple(_recurring_fault(part) for part in word.split("+"))
    return Condition(name=_JOINED.join(_named(part) for part in word.split("+")), recurring_faults=recurring_faults)


def _lasting(condition: Condition) -> Condition:
    """Return the condition without those faults that last only for a span: those may be absent at a given moment."""
    parts = zip(condition.name.split(_JOINED), condition.recurring_faults, strict=True)
    lasting = [(name, recurring) for name, recurring in parts if not recurring.span_ns]
    if not lasting:
        return CALM
    return Condition(name=_JOINED.join(name for name, _o in lasting), recurring_faults=tuple(o for _name, o in lasting))


def _named(word: str) -> str:
    """Return the name of a recurring fault in reports: the word and the amount."""
    name, _equals, amount = word.strip().partition("=")
    return f"{name} {amount or RECURRING_FAULTS[name].usual}"


def _recurring_fault(word: str) -> RecurringFault:
    name, _equals, amount = word.strip().partition("=")
    known = RECURRING_FAULTS.get(name)
    if name in set(INJECTED_FAULTS):
        raise UsageError(f"--faults {word}: only recurring faults can be joined by +: {', '.join(RECURRING_FAULTS)}")
    if known is None:
        raise UsageError(
            f"--faults: unknown fault {name!r}; {_known()}{guess(name, (*INJECTED_FAULTS, *RECURRING_FAULTS))}"
        )
    try:
        return known.make(amount or known.usual)
    except UsageError as exc:
        raise UsageError(f"--faults {word}: {exc}") from exc
    except ValueError:
        raise UsageError(f"--faults {word}: {amount!r} is not understood; write {name}={known.usual}") from None
