"""What ``pycarp top`` shows, as text."""

from pathlib import Path

import msgspec
import pytest

from pycarp.cli.host_words import names_of_addresses, role_of
from pycarp.cli.top.daemon_watch import GRACE_S, LEAST_S, WatchedDaemon
from pycarp.cli.top.host_rows import (
    HEADINGS,
    UNKNOWN,
    HostRow,
    Order,
    chosen_rows,
    details_of,
    head_of,
    rows_of,
    shown_events,
    widths_for,
)
from pycarp.daemon.control_messages import Alarm, CheckStatus, EventRecord, HostStatus
from tests.support.control import cause_of, host_of, peer_of, status_of

ALARM = Alarm(name="two-masters", text="192.168.1.4 is MASTER as well", command="pycarp why HOST")


def watched(*hosts: HostStatus) -> WatchedDaemon:
    """Return a daemon that answered at 100 s."""
    daemon = WatchedDaemon(path=Path("/run/pycarp/pycarp.sock"))
    daemon.take(status_of(*hosts), 100)
    return daemon


def row_of(host: HostStatus, *, age_s: float = 0) -> HostRow:
    (row,) = rows_of([watched(host)], 100 + age_s)
    return row


def cell(row: HostRow, heading: str) -> str:
    return row.cells[HEADINGS.index(heading)]


def test_a_timer_counts_down_between_two_answers() -> None:
    backup = host_of(state="BACKUP", next_s=3.0)

    assert [cell(row_of(backup, age_s=each), "NEXT") for each in (0, 1, 2.5)] == [
        "takes 3.0s",
        "takes 2.0s",
        "takes 0.5s",
    ]


def test_a_master_that_was_due_has_sent_and_counts_down_anew() -> None:
    master = host_of(effective_advbase=1, effective_advskew=0, next_s=0.5)

    assert [cell(row_of(master, age_s=each), "NEXT") for each in (0.25, 0.75)] == ["sends 0.2s", "sends 0.8s"]


def test_a_daemon_that_is_silent_too_long_has_no_state_and_no_timer() -> None:
    row = row_of(host_of(), age_s=LEAST_S + GRACE_S + 0.5)

    assert (row.state, cell(row, "NEXT"), cell(row, "FOR"), cell(row, "MASTER")) == (UNKNOWN, "", "", "")
    assert cell(row, "REMARK") == "was MASTER"
    assert list(details_of(row))[1].startswith("state unknown: its daemon does not answer; 3.5s ago it was MASTER")


def test_a_daemon_that_refused_a_connection_is_not_believed_at_once() -> None:
    daemon = watched(host_of())
    daemon.lose("no pycarp answers", 100.5)

    assert [row.state for row in rows_of([daemon], 100.5)] == [UNKNOWN]
    assert head_of(daemon, 101) == "NO ANSWER for 1.0s, state unknown: hosta pid 4711: no pycarp answers"


def test_a_daemon_that_was_started_again_is_told_by_its_process() -> None:
    daemon = watched(host_of())
    daemon.take(msgspec.structs.replace(status_of(host_of(state="INIT")), pid=4712), 103)

    assert (
        head_of(daemon, 103.2)
        == "hosta pid 4712 (started again; was pid 4711), up 1m00s: 1 INIT, 1 with a problem; 0.2s old"
    )


def test_the_head_counts_states_and_problems() -> None:
    daemon = watched(host_of("web"), host_of("db", state="BACKUP", alarms=[ALARM]), host_of("app", state="BACKUP"))

    assert head_of(daemon, 100.5) == "hosta pid 4711, up 1m00s: 1 MASTER, 2 BACKUP, 1 with a problem; 0.5s old"


def test_an_alarm_is_marked_named_and_first_of_the_details() -> None:
    row = row_of(host_of(alarms=[ALARM]))

    assert (cell(row, ""), cell(row, "REMARK")) == ("!", "two-masters")
    assert list(details_of(row))[2] == "ALARM two-masters: 192.168.1.4 is MASTER as well; next: pycarp why HOST"


def test_checks_peers_and_demotions_are_details() -> None:
    checks = [
        CheckStatus(name="nginx", passes=True, answer="ok", detail="", by=50, s_ago=3),
        CheckStatus(name="disk", passes=False, answer="fail", detail="it is full", by=50, s_ago=3),
    ]
    host = host_of(checks=checks, heard=[peer_of("192.168.1.4", has_left=True)], demotion=[cause_of("check disk", 50)])

    lines = list(details_of(row_of(host), {"192.168.1.4": "web2"}))

    assert "check nginx passes for 3.0s" in lines
    assert "check disk fails for 3.0s: it is full; demoted by 50" in lines
    assert "demoted by 50: check disk" in lines
    assert "heard 192.168.1.4 (web2), which claims 1+0, 0.1s ago, has left: follows the master" in lines


@pytest.mark.parametrize(
    ("text", "only_problems", "order", "names"),
    [
        ("", False, Order.CONFIGURED, ["web", "db", "app"]),
        ("", False, Order.NAME, ["app", "db", "web"]),
        ("", False, Order.STATE, ["db", "web", "app"]),
        ("", False, Order.PROBLEMS, ["app", "web", "db"]),
        ("", True, Order.CONFIGURED, ["app"]),
        ("TWO", False, Order.CONFIGURED, ["app"]),
        ("3@fxp0", False, Order.CONFIGURED, ["app"]),
        ("nothing", False, Order.CONFIGURED, []),
    ],
)
def test_rows_are_searched_and_sorted(text: str, only_problems: bool, order: Order, names: list[str]) -> None:
    hosts = [
        host_of("web", state="BACKUP"),
        host_of("db", vhid=2),
        host_of("app", vhid=3, state="INIT", is_up=False, alarms=[ALARM]),
    ]

    chosen = chosen_rows(rows_of([watched(*hosts)], 100), text=text, only_problems=only_problems, order=order)

    assert [row.host.name for row in chosen] == names


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_the_columns_fill_a_terminal_from_80_columns_on(columns: int) -> None:
    assert sum(widths_for(columns)) == columns


def test_transitions_and_warnings_of_all_daemons_are_shown_in_their_order() -> None:
    def event(seq: int, second: int, level: str = "info", **about: str | int) -> EventRecord:
        at = f"2026-01-01T00:00:{second:02}.000+00:00"
        return EventRecord(seq=seq, at=at, level=level, text=f"{second}", about=about)

    one, other = watched(host_of()), watched(host_of())
    one.events.extend([event(1, 1, reason="ready"), event(2, 2), event(3, 5, "warning")])
    other.events.append(event(1, 3, reason="master-silent"))

    assert [each.text for each in shown_events([one, other], everything=False)] == ["1", "3", "5"]
    assert [each.text for each in shown_events([one, other], everything=True)] == ["1", "2", "3", "5"]


def test_addresses_have_the_names_of_the_hosts_file(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("# mine\n192.168.1.4\tweb2 web2.example  # the other one\n\n::1 localhost\nbad\n")
    names = names_of_addresses(tmp_path / "hosts")

    host = host_of(state="BACKUP", master="192.168.1.4", heard=[peer_of("192.168.1.4")], next_s=3.29)

    assert names == {"192.168.1.4": "web2", "::1": "localhost"}
    assert names_of_addresses(tmp_path / "none") == {}
    assert role_of(host, names) == (
        "BACKUP of 192.168.1.4 (web2), which is faster: 1+0 against 1+150; "
        "takes over 3.39 s after its last advertisement; does not preempt"
    )


@pytest.mark.parametrize(
    ("host", "role"),
    [
        (host_of(stage="holds the addresses"), "MASTER, holds the addresses"),
        (host_of(stage="holds the addresses", missing=["192.168.1.50/24"]), "MASTER, without 192.168.1.50/24"),
        (
            host_of(stage="the addresses are being put on the interface"),
            "MASTER, and not yet with its addresses: the addresses are being put on the interface",
        ),
        (host_of(state="INIT", is_up=False), "INIT, takes no part: set down by an administrator"),
        (
            host_of(state="BACKUP", master=None, next_s=1.25),
            "BACKUP, and hears no MASTER; takes over in 1.2 s unless a MASTER advertises",
        ),
    ],
    ids=["holds", "misses", "takes over", "set down", "alone"],
)
def test_a_role_says_what_a_host_does_and_does_not(host: HostStatus, role: str) -> None:
    assert role_of(host) == role
