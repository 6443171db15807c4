"""Some scenario produces every declared reason, event, effect and counter."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from pycarp.core import effects as effects_module
from pycarp.core import events as events_module
from pycarp.core.effects import Effect, Publish
from pycarp.core.events import (
    AddressesHeld,
    Event,
    EventsMissed,
    FloodChange,
    LoopStalled,
    Mismatch,
    PeerMismatch,
    StateChange,
)
from pycarp.core.inputs import Input, PacketFilterFailed, PacketsRead
from pycarp.core.state import EDGES, Reason, State
from pycarp.core.statistics import DropReason, Statistic
from pycarp.dialects import ALL, Dialect
from pycarp.sim.scenario.world import WorldRecord
from tests.support.scenarios import ROOT, SCENARIOS, played

NOT_OF_THE_CORE: dict[type[Event], str] = {
    AddressesHeld: "the shell's, which is told when they are; tests/aio/test_before_hold.py",
    LoopStalled: "the runtime's; tests/runtime/test_runtime.py",
    FloodChange: "of a transport that can filter; tests/core/test_floods.py",
    EventsMissed: "that of a slow observer; tests/aio/test_subscriptions.py",
}
NOT_OF_THE_ENGINE = {Reason.NODE_FAILED}
"""The node publishes it when the engine may have failed, see tests/aio/test_failure.py."""

NEVER_COUNTED = {
    Statistic.HEADER_DROPS: "a kernel's buffers; a process is handed whole packets",
    Statistic.STATES_SENT: "declared by the BSDs and used by none, carp.md 4.1",
}


def records() -> Iterator[WorldRecord]:
    return chain.from_iterable(played(path).records for path in SCENARIOS)


def effects() -> Iterator[Effect]:
    return chain.from_iterable(record.effects for record in records())


def events() -> list[Event]:
    return [effect.event for effect in effects() if isinstance(effect, Publish)]


def names(things: Iterable[object]) -> list[str]:
    return sorted(getattr(thing, "__name__", str(thing)) for thing in things)


def test_every_reason_comes_about() -> None:
    assert (
        names(set(Reason) - NOT_OF_THE_ENGINE - {event.reason for event in events() if isinstance(event, StateChange)})
        == []
    )


def test_every_edge_is_walked_for_every_of_its_reasons() -> None:
    drawn = {(old, new, reason) for (old, new), reasons in EDGES.items() for reason in reasons}
    walked = {(event.old, event.new, event.reason) for event in events() if isinstance(event, StateChange)}

    assert names(drawn - walked) == []


def test_every_event_comes_about() -> None:
    declared = {each for each in vars(events_module).values() if isinstance(each, type) and issubclass(each, Event)}

    assert names(declared - {Event} - set(NOT_OF_THE_CORE) - {type(event) for event in events()}) == []


def test_every_effect_comes_about() -> None:
    of_a_flood = {effects_module.SetPacketFilter}

    assert names(set(effects_module.Effect.__args__) - of_a_flood - {type(effect) for effect in effects()}) == []


def test_every_input_comes_about() -> None:
    of_a_flood = {PacketsRead, PacketFilterFailed}

    assert names(set(Input.__args__) - of_a_flood - {type(record.event) for record in records()}) == []


def test_every_mismatch_comes_about() -> None:
    found = {event.mismatch for event in events() if isinstance(event, PeerMismatch)}

    assert names(set(Mismatch) - found) == []


def test_every_reason_to_drop_comes_about() -> None:
    assert names(set(DropReason) - {record.dropped for record in records()}) == []


def test_every_counter_counts() -> None:
    counted = set(chain.from_iterable(record.counted for record in records()))

    assert names(set(Statistic) - counted) == names(set(NEVER_COUNTED))


def test_every_dialect_has_scenarios() -> None:
    assert {dialect.name for dialect in ALL} <= {path.parent.name for path in SCENARIOS}


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_the_scenarios_of_a_dialect_walk_through_every_state(dialect: Dialect) -> None:
    changes = [
        effect.event.new
        for path in (ROOT / dialect.name).glob("*.carp")
        for record in played(path).records
        for effect in record.effects
        if isinstance(effect, Publish) and isinstance(effect.event, StateChange)
    ]

    assert set(changes) == set(State)


def knobs_of(path: Path) -> set[int]:
    """Return the numbers that a scenario cites as ``dialects.md 2, 3, 15 to 18``."""
    found = set()
    text = path.read_text().replace("\n# ", " ")
    for cited in re.findall(r"dialects\.md ((?:\d+(?:, | to | and )?)+)", text):
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", cited):
            found |= set(range(int(first), int(last or first) + 1))
    return found


@pytest.mark.parametrize("knob", range(1, 28))
def test_every_knob_is_shown_by_a_scenario(knob: int) -> None:
    assert [path.stem for path in SCENARIOS if knob in knobs_of(path)]
