"""What is read while many hosts are measured: their log, the turns of their loop, and a summary of strace."""

import asyncio
import resource
import time
from pathlib import Path

import pytest
from benchmarks.daemon_log import Log
from benchmarks.many_hosts import allow_files
from benchmarks.system_calls import total
from benchmarks.watched_loop import Turn, WatchedSelector, longest, turns

from pycarp.errors import CarpError


def test_a_log_is_read_on_and_a_half_line_counts_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("c9-1 INIT -> BACKUP\nc9-2 INIT -> BAC")
    log = Log(file)

    first = log.count("INIT -> BACKUP")
    with file.open("a") as more:
        more.write("KUP\nc9-1 BACKUP -> MASTER\n")

    assert (first, log.count("INIT -> BACKUP"), log.count("BACKUP -> MASTER")) == (1, 2, 1)


def test_a_loop_that_stands_still_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "loop"

    async def stand_still() -> None:
        time.sleep(0.1)  # noqa: ASYNC251  it is what is to be noticed
        await asyncio.sleep(0.2)
        await asyncio.sleep(0.1)

    loop = asyncio.SelectorEventLoop(WatchedSelector(file))
    loop.run_until_complete(stand_still())
    loop.close()

    by_clock_ms, cpu_ms = longest(turns(file), 0, time.monotonic())
    assert by_clock_ms >= 100
    assert cpu_ms < by_clock_ms


def test_the_longest_turn_is_that_of_a_span_and_an_unfinished_line_is_none(tmp_path: Path) -> None:
    file = tmp_path / "loop"
    file.write_text("10.000 5.00 4.00\n11.000 80.00 3.00\n12.000 90.00 90.00\n13.0")

    noted = turns(file)

    assert noted[0] == Turn(10.0, 5.0, 4.0)
    assert longest(noted, 9.5, 11.5) == (80.0, 4.0)
    assert longest(noted, 20, 30) == (0.0, 0.0)


def test_more_hosts_than_open_files_are_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1024, 4096))

    with pytest.raises(CarpError, match=r"10000 virtual hosts need 10600 open files, .* 4096 .*: ulimit -n 20000"):
        allow_files(10_000)


def test_system_calls_are_the_total_of_the_summary() -> None:
    summary = "71.22    0.070560         735        96         4 futex\n"
    summary += "100.00    0.099077          50      1944         6 total\n"

    assert total(summary) == 1944
    assert total("") == 0
