"""``pycarp why --at`` and ``--last``: from the daemon's events, and from its flight recorder."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
import pytest

from pycarp.core.inputs import HostAdded, Input, LinkChanged
from pycarp.daemon.control_messages import (
    EventRecord,
    EventsEnd,
    EventsRequest,
    FlightEnd,
    FlightLines,
    FlightRequest,
    RefusedReply,
    Reply,
    Request,
    WhyReply,
    WhyRequest,
)
from pycarp.daemon.streams import Send, Stream
from pycarp.vocabulary import LinkFacts
from tests.support.control import change_of, host_of, scripted_daemon
from tests.support.hosts import config, link
from tests.support.recordings import WALL_NS, a_takeover, lines_of

BEGAN = datetime.datetime.fromtimestamp(WALL_NS / 1e9, datetime.UTC)
NAME = config().name
OWN: dict[str, str | int] = {"host": NAME, "vhid": 1, "interface": "fxp0"}
PRESENT = host_of(NAME, last_change=msgspec.structs.replace(change_of(3), at=BEGAN.isoformat(), epoch=2))


def at(seconds: float) -> str:
    """Return a time that long after the beginning of the recording, as an operator writes it."""
    return (BEGAN + datetime.timedelta(seconds=seconds)).isoformat()


def event(seq: int, seconds: float, text: str, **about: str | int) -> EventRecord:
    return EventRecord(seq=seq, at=at(seconds), level="info", text=text, about=about)


EVENTS = (
    event(1, -10, "the daemon has started"),
    event(2, -5, "1@fxp0: INIT -> BACKUP (initialization complete)", **OWN, reason="ready", state="BACKUP", epoch=1),
    event(3, -4, "2@fxp0: of another host", host="dns", vhid=2, interface="fxp0"),
    event(4, -3, "1@fxp0: check nginx fails", **OWN),
    event(5, 100, "1@fxp0: BACKUP -> MASTER (x)", **OWN, reason="master-silent", state="MASTER", epoch=2),
    event(6, 200, "1@fxp0: MASTER -> BACKUP (y)", **OWN, reason="better-master", state="BACKUP", epoch=3),
)


def daemon(
    *events: EventRecord, flight: tuple[Reply, ...] = (FlightEnd(),), asked: list[Request] | None = None
) -> Callable[[Request], Reply]:
    """Return what answers like a daemon with these events and this recording."""

    def answer(request: Request) -> Reply:
        replies: tuple[Reply, ...] = ()
        match request:
            case WhyRequest():
                return WhyReply(host=PRESENT, outlook=[])
            case EventsRequest():
                replies = (*events, EventsEnd(seq=len(events)))
            case FlightRequest():
                replies = flight
            case _:
                raise AssertionError(request)

        async def run(send: Send) -> None:
            for each in replies:
                await send(each)

        if asked is not None:
            asked.append(request)
        return cast("Reply", Stream(run))

    return answer


def recording() -> tuple[Reply, ...]:
    return FlightLines([each.decode() for each in lines_of(a_takeover())]), FlightEnd()


def shown(folder: Path, answer: Callable[[Request], Reply], *words: str) -> list[str]:
    with scripted_daemon(folder / "s", answer) as scripted:
        result = scripted.pycarp("why", NAME, *words)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_the_flight_recorder_says_what_was_claimed_and_heard_and_what_would_have_come(tmp_path: Path) -> None:
    lines = shown(tmp_path, daemon(*EVENTS, flight=recording()), "--at", at(2.5))

    assert "by the flight recorder:" in lines[0]
    assert lines[1].startswith(f"{NAME} (1@fxp0) is BACKUP for ")
    assert any(line.startswith("It claims:  every ") for line in lines)
    assert any(line.startswith("Next:       MASTER in ") for line in lines)
    assert any("check nginx fails" in line for line in lines)
    assert not any("another host" in line and "2@" in line for line in lines)
    assert lines[-1].startswith("Then: ")
    assert "BACKUP -> MASTER (x)" in lines[-1]


def test_hosts_of_one_vhid_on_two_interfaces_are_told_apart(tmp_path: Path) -> None:
    facts = LinkFacts(name="fxp1", is_up=True, is_certain=True, addresses=link().addresses)
    first: list[tuple[Input, float]] = [(LinkChanged(facts), 0.5), (HostAdded(config(interface="fxp1")), 0.6)]
    recorded = lines_of([*first, *a_takeover()])
    flight = (FlightLines([each.decode() for each in recorded]), FlightEnd())

    found = json.loads("\n".join(shown(tmp_path, daemon(*EVENTS, flight=flight), "--at", at(2.5), "--json")))

    assert found["host"]["interface"] == "fxp0"


def test_beyond_the_flight_recorder_the_events_say_what_it_was_and_what_led_to_it(tmp_path: Path) -> None:
    first, second, note, _empty, *chain = shown(tmp_path, daemon(*EVENTS), "--at", at(150))

    assert first.endswith("from the daemon's events:")
    assert second == f"{NAME} (1@fxp0) is MASTER"
    assert note == "(the flight recorder does not reach back so far, and no file of it has that time)"
    assert [each.split("  ")[-1] for each in chain] == [
        "1@fxp0: INIT -> BACKUP (initialization complete)",
        "1@fxp0: check nginx fails",
        "1@fxp0: BACKUP -> MASTER (x)",
        "1@fxp0: MASTER -> BACKUP (y)",
    ]
    assert chain[-1].startswith("Then: ")


def test_a_file_of_the_flight_recorder_serves_as_well(tmp_path: Path) -> None:
    file = tmp_path / "flight-20231114-221320-1-1.jsonl"
    file.write_bytes(b"".join(lines_of(a_takeover())))

    lines = shown(tmp_path, daemon(*EVENTS, flight=(FlightEnd(str(file)),)), "--at", at(2.5))

    assert f"by {file}:" in lines[0]


def test_who_may_not_read_the_flight_recorder_gets_the_events(tmp_path: Path) -> None:
    refusal = RefusedReply("user nobody may only look")

    lines = shown(tmp_path, daemon(*EVENTS, flight=(refusal,)), "--at", at(150))

    assert lines[2] == "(the flight recorder cannot be read: user nobody may only look)"


def test_a_time_before_everything_says_how_far_the_events_reach_back(tmp_path: Path) -> None:
    def refused(*events: EventRecord) -> str:
        with scripted_daemon(tmp_path / "s", daemon(*events)) as scripted:
            result = scripted.pycarp("why", NAME, "--at", at(-3600))
        assert (result.exit_code, result.stdout) == (2, "")
        return result.stderr

    assert "the daemon's events begin at" in refused(*EVENTS)
    assert "keeps 4000 transitions, and its transitions begin at" in refused(*EVENTS[1:])
    assert "the daemon has no event yet" in refused()


def test_the_last_transition_is_explained_as_of_just_after_it(tmp_path: Path) -> None:
    asked: list[Request] = []

    lines = shown(tmp_path, daemon(*EVENTS[:5], asked=asked), "--last")

    assert lines[-1].endswith("BACKUP -> MASTER (x)")
    assert FlightRequest(pytest.approx(WALL_NS / 1e9 + 100.002)) in asked  # type: ignore[arg-type]


def test_scripts_get_one_object(tmp_path: Path) -> None:
    found = json.loads("\n".join(shown(tmp_path, daemon(*EVENTS, flight=recording()), "--at", at(2.5), "--json")))

    assert (found["type"], found["state"], found["source"]) == ("why-at", "BACKUP", "the flight recorder")
    assert (found["host"]["state"], found["then"]["seq"]) == ("BACKUP", 5)
    assert [each["seq"] for each in found["events"]] == [2, 4]


def test_a_time_and_the_last_transition_exclude_each_other(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", daemon()) as scripted:
        result = scripted.pycarp("why", NAME, "--last", "--at", "5m ago")

    assert (result.exit_code, result.stderr) == (2, "pycarp: --at and --last exclude each other\n")
