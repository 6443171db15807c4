"""``pycarp demo``: what it shows, in virtual time, and how it ends."""

import io
import re
import signal
import subprocess
import sys
from typing import NamedTuple

import pytest
from rich.console import Console

from pycarp.cli.demo import play
from pycarp.cli.live_display import LiveDisplay
from pycarp.core.state import State
from pycarp.testing import run

LINE = re.compile(r" *(\d+\.\d{3}) s  (.*)")


class Shown(NamedTuple):
    """The demonstration's lines with their times, the headlines, and the rows of the table at its end."""

    lines: list[tuple[float, str]]
    headlines: list[str]
    rows: list[list[str]]


@pytest.fixture(scope="module")
def shown() -> Shown:
    output = io.StringIO()
    with LiveDisplay(Console(file=output)) as display:
        run(play(display))
    text, _title, table = output.getvalue().partition("what happened when")
    lines = text.splitlines()
    found = [match for line in lines if (match := LINE.fullmatch(line))]
    return Shown(
        lines=[(float(match[1]), match[2]) for match in found],
        headlines=[line for line in lines if line[:1].isalnum()],
        rows=[re.split(r" {2,}", line.strip()) for line in table.splitlines()[1:]],
    )


def test_each_step_happens_in_its_order_and_at_its_time(shown: Shown) -> None:
    """A MASTER advertises once a second; the kernel of this demonstration is an event loop without load."""
    assert [(round(at_s, 2), text) for at_s, text in shown.lines] == [
        (3.0, "  hosta carp0: BACKUP -> MASTER (master timed out)"),
        (3.0, "  hostb carp0: BACKUP -> MASTER (master timed out)"),
        (4.2, "hosta dies without a word"),
        (7.39, "  provider carp0: BACKUP -> MASTER (master timed out; 192.168.1.3 silent for 3.391 s)"),
        (8.59, "hosta is powered on"),
        (10.99, "  still: provider MASTER, hosta BACKUP"),
        (10.99, "provider: ifconfig carp0 down && ifconfig carp0 up"),
        (10.99, "  provider carp0: MASTER -> INIT (administratively down)"),
        (10.99, "  provider carp0: INIT -> BACKUP (initialization complete)"),
        (10.99, "  hosta carp0: BACKUP -> MASTER (master bowed out; heard 192.168.1.5)"),
        (12.19, "hosta dies without a word"),
        (15.29, "  provider carp0: BACKUP -> MASTER (master timed out; 192.168.1.3 silent for 3.391 s)"),
        (15.29, "hosta is powered on with preemption"),
        (16.6, "  hosta carp0: BACKUP -> MASTER (preempting a slower master; heard 192.168.1.5)"),
        (16.6, "  provider carp0: MASTER -> BACKUP (more frequent advertisement received; heard 192.168.1.3)"),
    ]


def test_the_table_says_when_each_began_and_what_was_measured(shown: Shown) -> None:
    heading, *rows = shown.rows

    assert heading == ["at", "event", "outcome", "measured"]
    assert [row[1:3] for row in rows] == [
        ["power on", "hosta and hostb are MASTER"],
        ["hosta dies", "provider takes 192.168.1.50"],
        ["hosta returns, preempt 0", "provider keeps 192.168.1.50"],
        ["carp0 down, up", "hosta has 192.168.1.50 again"],
        ["hosta returns, preempt 1", "hosta takes 192.168.1.50"],
    ]
    assert [float(row[0].removesuffix(" s")) for row in rows] == pytest.approx([0, 4.2, 8.59, 10.99, 15.29], abs=0.01)
    assert [row[3].partition(" ")[2] for row in rows] == [
        "s after power on",
        "s after the last advertisement",
        "change",
        "ms: the bow-out tells it",
        "s: at provider's next advertisement",
    ]
    measured = [float(row[3].split()[0]) for row in rows if row[3] != "no change"]
    assert measured == pytest.approx([3.0, 3.391, 0, 1.309], abs=0.002)


def test_five_chapters_have_a_headline_each(shown: Shown) -> None:
    assert shown.headlines[0].startswith("Three machines, two shared addresses, one vhid for each")
    assert [line[:2] for line in shown.headlines[1:-1]] == ["1.", "2.", "3.", "4.", "5."]
    assert shown.headlines[-1].startswith("That is all.")


def last_table(output: str) -> list[list[str]]:
    """Return the cells of the table that a terminal showed last, without its heading."""
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).rpartition("who answers now")[2]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in shown.splitlines() if line[:1] == "│"]


def test_a_terminal_keeps_a_table_of_who_answers() -> None:
    output = io.StringIO()
    with LiveDisplay(Console(file=output, force_terminal=True, width=120)) as display:
        run(play(display))

    assert last_table(output.getvalue()) == [
        ["hosta", "MASTER", "-"],
        ["hostb", "-", "MASTER"],
        ["provider", "BACKUP", "BACKUP"],
    ]


def test_a_machine_that_died_is_shown_as_dead() -> None:
    output = io.StringIO()
    with LiveDisplay(Console(file=output, force_terminal=True, width=120)) as display:
        display.state("hosta", "192.168.1.50", State.MASTER)
        display.state("hosta", "192.168.1.50", None)

    assert last_table(output.getvalue()) == [["hosta", "dead"]]


def test_a_pipe_is_shown_lines_alone() -> None:
    output = io.StringIO()
    with LiveDisplay(Console(file=output)) as display:
        display.state("hosta", "192.168.1.50", State.MASTER)
        display.line(1.5, "hosta [bold]dies[/bold]")

    assert output.getvalue() == "  1.500 s  hosta dies\n"


def test_ctrl_c_ends_it_without_a_traceback() -> None:
    command = [sys.executable, "-m", "pycarp", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        while not demo.stdout.readline().startswith("1. Power on"):
            assert demo.poll() is None
        demo.send_signal(signal.SIGINT)
        _output, complaint = demo.communicate(timeout=5)

    assert (demo.returncode, complaint.split()) == (1, ["Aborted!"])
