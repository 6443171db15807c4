"""The result of the lab as people and scripts see it."""

import datetime
from io import StringIO

from rich.console import Console
from rich.text import Text

from pycarp.lab.lab_report import as_json, show, table, timeline
from pycarp.lab.requests import Request
from pycarp.lab.trial import Event, Expectation, Result

A, B = "192.168.1.50", "192.168.1.51"
BEGAN_S = 1_800_000_000.0


def result(*, requests: list[Request] | None = None) -> Result:
    """Return a trial of ten seconds: two without an event, then eight from the cut on."""
    found = Result(BEGAN_S, requests=requests or [])
    found.events = [
        Event(name="all is well", at_s=BEGAN_S, until_s=BEGAN_S + 2),
        Event(
            name="hosta is cut off",
            at_s=BEGAN_S + 2.0006,
            until_s=BEGAN_S + 10,
            takeover_s=3.391,
            takeover_since="its last advertisement",
        ),
    ]
    return found


def request(after_s: float, *, address: str = A, is_ok: bool = True, took_s: float = 0.01) -> Request:
    return Request(at_s=BEGAN_S + after_s, address=address, is_ok=is_ok, took_s=took_s, is_served=True)


def log_line(after_s: float, text: str) -> str:
    at = datetime.datetime.fromtimestamp(BEGAN_S + after_s)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} carp: {text}\n"


def plain(lines: list[str]) -> list[str]:
    return [Text.from_markup(line).plain for line in lines]


def cells(of: Result) -> list[list[str]]:
    """Return the table's rows as rich prints them."""
    console = Console(file=StringIO(), width=200)
    console.print(table(of))
    assert isinstance(console.file, StringIO)
    rows = [line for line in console.file.getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]


def test_the_time_line_is_in_the_order_of_time_whoever_tells() -> None:
    logs = {"hosta": log_line(2.5, "second"), "hostb": log_line(1.5, "first")}

    lines = plain(timeline(result(), logs))

    assert [line.split()[-1] for line in lines] == ["first", "off", "second"]


def test_the_time_line_counts_seconds_from_the_beginning() -> None:
    assert plain(timeline(result(), {"hosta": log_line(2.5, "hello")}))[-1] == "   2.500 s    hosta     hello"


def test_what_the_lab_did_comes_before_what_the_daemon_logged_in_the_same_millisecond() -> None:
    lines = plain(timeline(result(), {"hosta": log_line(2.0009, "leaving")}))

    assert [line.split()[-1] for line in lines] == ["off", "leaving"]


def test_lines_of_one_log_with_the_same_stamp_keep_their_order() -> None:
    log = log_line(1.0, "carp0 shares an address") + log_line(1.0, "INIT -> BACKUP")

    lines = plain(timeline(result(), {"hosta": log}))

    assert [line.split()[-1] for line in lines[:2]] == ["address", "BACKUP"]


def test_brackets_in_a_log_are_no_markup() -> None:
    lines = plain(timeline(result(), {"hosta": log_line(1.0, "address [fe80::1] [/bold] kept")}))

    assert lines[0].endswith("address [fe80::1] [/bold] kept")


def test_log_lines_without_a_stamp_are_left_out() -> None:
    assert len(timeline(result(), {"hosta": "Traceback (most recent call last):\n"})) == 1


def test_failures_of_an_event_are_one_line_at_the_first() -> None:
    requests = [request(after_s, is_ok=False) for after_s in (2.5, 3.0, 4.5)]

    lines = plain(timeline(result(requests=requests), {}))

    assert lines[-1] == f"   2.500 s    client    3 requests to {A} fail, for 2.00 s"


def test_a_single_failure_has_no_duration() -> None:
    assert plain(timeline(result(requests=[request(2.5, is_ok=False)]), {}))[-1].endswith(f"1 request to {A} fails")


def test_a_request_without_an_address_failed_at_the_name_server() -> None:
    lines = plain(timeline(result(requests=[request(2.5, address="", is_ok=False)]), {}))

    assert lines[-1].endswith("1 request to the name server fails")


def test_the_table_shows_for_each_event_takeover_gaps_failed_and_slow() -> None:
    requests = [
        request(2.01),
        request(2.02, is_ok=False),
        request(4.51, took_s=0.3),
        *(request(2.1 + 0.1 * n, address=B) for n in range(79)),
        *(request(4.6 + 0.1 * n) for n in range(54)),
    ]

    row = cells(result(requests=requests))[-1]

    assert row == ["hosta is cut off", "", "3.39 s after its last advertisement", "2.50 s", "100 ms", "1", "1"]


def test_json_sums_up_requests_failures_and_broken_promises() -> None:
    trial = result(requests=[request(1.0), request(1.5), request(2.5, is_ok=False)])
    trial.expectations.append(Expectation("the moon stays where it is", is_met=False))

    found = as_json(trial)

    assert (found["requests"], found["failed"], found["users_without_page"]) == (3, 1, 0)
    assert found["expectations"] == [{"text": "the moon stays where it is", "is_met": False, "is_inconclusive": False}]


def test_people_are_shown_the_time_line_the_table_and_what_was_expected() -> None:
    trial = result()
    trial.expectations += [Expectation("hosta [sic] is back", is_met=True), Expectation("nobody noticed", is_met=False)]
    trial.expectations.append(Expectation("it was quick", is_met=False, is_inconclusive=True))
    console = Console(file=StringIO(), width=200)

    show(console, trial, {"hosta": log_line(2.5, "second")})

    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[1:4] == ["time line", "   2.000 s  hosta is cut off", "   2.500 s    hosta     second"]
    assert any(line.startswith("what each event cost") for line in lines)
    assert lines[-3:] == [
        "met          hosta [sic] is back",
        "NOT MET      nobody noticed",
        "inconclusive it was quick",
    ]
