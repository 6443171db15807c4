"""Replays: the first difference is named, and a file may begin anywhere in a life."""

import json
from collections.abc import Callable
from typing import Any

from pycarp.core.inputs import DatagramReceived, HostAdded, TimePassed
from pycarp.recording import Replay, Writer, transitions
from tests.support.histories import entropy
from tests.support.hosts import KEY, advert, config
from tests.support.recordings import WALL_NS, a_takeover, differences, lines_of, played, recorded

LINES = lines_of(a_takeover())


def changed(number: int, change: Callable[[dict[str, Any]], object]) -> list[bytes]:
    line = json.loads(LINES[number - 1])
    change(line)
    return [*LINES[: number - 1], json.dumps(line).encode() + b"\n", *LINES[number:]]


def test_the_transitions_are_told_with_seconds_and_reasons() -> None:
    assert transitions(played(LINES)) == [
        "0.000000000 1@fxp0 INIT -> BACKUP (initialization complete)",
        "5.390625000 1@fxp0 BACKUP -> MASTER (master timed out)",
    ]


def test_an_effect_that_differs_is_named_with_its_field() -> None:
    lines = changed(8, lambda line: line["do"][1]["event"].update(epoch=9))

    (difference,) = differences(lines)

    assert (difference.line, difference.at_ns) == (8, 6_390_625_000)
    assert difference.what == "effect 2: Publish event: StateChange epoch: recorded 9, now 2"


def test_an_octet_that_differs_is_named() -> None:
    def flip(line: dict[str, Any]) -> None:
        outgoing = line["do"][0]["outgoing"]
        outgoing["payload"] = "22" + outgoing["payload"][2:]

    assert differences(changed(8, flip))[0].what.startswith("effect 1: Transmit outgoing: payload: recorded ")


def test_an_effect_that_is_missing_is_named() -> None:
    assert differences(changed(8, lambda line: line["do"].pop()))[0].what.startswith(
        '1 effects were recorded, 2 happen now: {"is":"Publish"'
    )


def test_another_deadline_is_named() -> None:
    (difference,) = differences(changed(8, lambda line: line.update(next=None)))

    assert difference.what == "deadline: recorded None ns, now 6393625000 ns"


def test_other_entropy_is_noticed() -> None:
    line = json.loads(LINES[5])

    (difference,) = differences([*LINES[:5], json.dumps(line | {"drew": [1]}).encode() + b"\n", *LINES[6:]])

    assert difference.what == "it takes other entropy"


def test_an_input_that_is_missing_shows_in_what_follows() -> None:
    assert differences([*LINES[:6], *LINES[7:]])


def test_a_file_that_begins_in_mid_life_replays_alone() -> None:
    kept = recorded(a_takeover())
    assert kept.checkpoint is not None
    writer = Writer(kept.checkpoint, entropy=entropy(3))
    for entry in kept.entries[:5]:
        writer.line(entry)
    opening = writer.opening(version="0.1.0", at_ns=kept.entries[5].at_ns, wall_ns=WALL_NS)
    lines = [*opening.splitlines(keepends=True), *map(writer.line, kept.entries[5:])]

    assert differences(lines) == []
    assert len(transitions(played(lines))) == 1


def test_that_the_engine_raises_is_reproduced() -> None:
    twice = [*a_takeover(), (HostAdded(config()), 9)]
    kept = recorded(twice[:-1])
    broken = json.dumps(
        {
            "at": 9_000_000_000,
            "in": json.loads(LINES[3])["in"],
            "raised": "AssertionError: 1@fxp0 was added twice",
        }
    )

    replay = Replay(played([*LINES, broken.encode() + b"\n"]))
    *_others, last = replay.steps()

    assert len(kept.entries) == last.number - 1
    assert (last.difference, last.raised) == (None, "AssertionError: 1@fxp0 was added twice")


def test_a_host_is_found_by_its_name_and_by_its_key() -> None:
    replay = Replay(played(lines_of(a_takeover(name="carp0"))))
    list(replay.steps())

    found = replay.host("carp0")

    assert found is not None
    assert found == replay.host("1@fxp0")
    assert found.key == KEY
    assert replay.host("carp1") is None


def test_whoever_changes_the_engine_sees_other_transitions() -> None:
    events = a_takeover()
    other = [*events[:-4], (DatagramReceived(advert(counter=3)), 4), (TimePassed(), 6.390625)]

    assert transitions(played(lines_of(other))) != transitions(played(LINES))
