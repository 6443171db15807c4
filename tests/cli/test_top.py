"""``pycarp top`` as its user meets it, without a terminal; what it shows as text is in test_host_rows.py."""

import asyncio
import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
from textual.pilot import Pilot
from textual.widgets import DataTable, Footer, Static

from pycarp.cli.top.daemon_watch import LEAST_S
from pycarp.cli.top.top_app import Top
from pycarp.core.engine import HANDED_OVER
from pycarp.daemon.control_messages import (
    Alarm,
    DemoteRequest,
    DoneReply,
    DrainedHost,
    DrainReply,
    DrainRequest,
    EventRecord,
    EventsRequest,
    HandoverReply,
    HandoverRequest,
    HostStatus,
    RefusedReply,
    Reply,
    Request,
    RestoreRequest,
    StatusRequest,
    UndrainRequest,
)
from pycarp.daemon.streams import Send, Stream
from tests.support.control import ScriptedDaemon, cause_of, host_of, scripted_daemon, status_of

ALARM = Alarm(name="two-masters", text="192.168.1.4 is MASTER as well", command="pycarp why HOST")
HOSTS = (
    host_of("web"),
    host_of("db", vhid=2, state="BACKUP", master="192.168.1.4"),
    host_of("app", vhid=3, state="INIT", alarms=[ALARM]),
)
WITHIN_S = 15.0

Answer = Callable[[Request], Reply | None]


def event(seq: int, text: str = "1@fxp0: BACKUP -> MASTER") -> EventRecord:
    at = f"2026-01-01T00:00:{seq % 60:02}.000+00:00"
    return EventRecord(seq=seq, at=at, level="info", text=text, about={"host": "web", "reason": "master-silent"})


def answering(
    *hosts: HostStatus, answer: Answer = lambda _request: None, events: tuple[EventRecord, ...] = (), pid: int = 4711
) -> Callable[[Request], Reply]:
    """Return what answers like a daemon with these hosts, and all else by ``answer``."""

    async def follow(send: Send) -> None:
        for each in events:
            await send(each)
        await asyncio.Event().wait()

    def reply(request: Request) -> Reply:
        if isinstance(request, StatusRequest):
            return msgspec.structs.replace(status_of(*hosts), pid=pid)
        if isinstance(request, EventsRequest):
            return cast("Reply", Stream(follow))
        return answer(request) or RefusedReply("not that", is_usage=True)

    return reply


class Screen:
    """What is on the screen of a running top."""

    def __init__(self, top: Top, pilot: Pilot[None]) -> None:
        self.top = top
        self._pilot = pilot

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def type(self, text: str) -> None:
        await self._pilot.press(*("space" if each == " " else each for each in text))

    async def click(self, where: str) -> None:
        await self._pilot.click(where)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not is_so():
                await self._pilot.pause(0.02)

    @property
    def rows(self) -> list[list[str]]:
        table: DataTable[Any] = self.top.screen_stack[0].query_one(DataTable)
        return [[str(each).strip() for each in table.get_row_at(row)] for row in range(table.row_count)]

    @property
    def states(self) -> dict[str, str]:
        return {row[1]: row[2] for row in self.rows}

    def text(self, name: str) -> str:
        return str(self.top.screen_stack[0].query_one(name, Static).content)

    @property
    def dialog(self) -> str:
        """What the dialog says; empty without one."""
        if len(self.top.screen_stack) == 1:
            return ""
        return "\n".join(str(each.content) for each in self.top.screen.query(Static))


@contextlib.asynccontextmanager
async def running(*paths: Path, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Screen]:
    top = Top(lambda: list(paths))
    async with top.run_test(size=size) as pilot:
        yield Screen(top, pilot)


@contextlib.asynccontextmanager
async def showing(folder: Path, *hosts: HostStatus, **options: Any) -> AsyncIterator[tuple[Screen, ScriptedDaemon]]:
    """A top that shows the hosts of a daemon, the first one selected."""
    with scripted_daemon(folder / "s", answering(*hosts, **options)) as daemon:
        async with running(daemon.path) as screen:
            await screen.until(lambda: len(screen.rows) == len(hosts))
            yield screen, daemon


def changes(daemon: ScriptedDaemon) -> list[Request]:
    """Return what the daemon was asked beside looking."""
    return [each for each in daemon.asked if not isinstance(each, StatusRequest | EventsRequest)]


async def test_every_host_is_a_row_and_the_cursor_chooses_the_details(tmp_path: Path) -> None:
    async with showing(tmp_path, *HOSTS, events=(event(1),)) as (screen, _daemon):
        assert screen.states == {"web": "MASTER", "db": "BACKUP", "app": "INIT"}
        assert screen.text("#head").startswith("hosta pid 4711, up 1m")
        await screen.press("down", "j", "k", "j")
        await screen.until(lambda: "ALARM two-masters" in screen.text("#details"))
        await screen.until(lambda: "BACKUP -> MASTER" in screen.text("#events"))


async def test_all_keys_that_matter_are_seen_in_80_columns(tmp_path: Path) -> None:
    async with showing(tmp_path, *HOSTS) as (screen, _daemon):
        footer = screen.top.query_one(Footer)

        assert screen.top.screen.size == (80, 24)
        assert max(each.region.right for each in footer.children) <= 80
        assert screen.top.query_one(DataTable).virtual_size.width <= 80


async def test_two_hundred_and_fifty_five_hosts_are_shown_and_reached_by_the_keyboard(tmp_path: Path) -> None:
    hosts = [host_of(f"h{vhid}", vhid=vhid) for vhid in range(1, 256)]

    async with showing(tmp_path, *hosts) as (screen, _daemon):
        await screen.press("end")
        await screen.until(lambda: str(screen.top.query_one("#details-box").border_title) == "h255 (255@fxp0)")
        await screen.press("slash")
        await screen.type("h77")
        await screen.until(lambda: list(screen.states) == ["h77"])
        await screen.press("escape")
        await screen.until(lambda: len(screen.rows) == 255)


async def test_only_problems_are_shown_if_that_is_wanted(tmp_path: Path) -> None:
    async with showing(tmp_path, *HOSTS) as (screen, _daemon):
        await screen.press("p")

        assert list(screen.states) == ["app"]
        assert "only hosts with problems" in screen.text("#head")


async def test_the_help_names_every_key(tmp_path: Path) -> None:
    async with showing(tmp_path, *HOSTS) as (screen, _daemon):
        await screen.press("question_mark")
        shown = screen.dialog
        await screen.press("escape")

        assert all(f"{key}  " in shown for key in "dumrhb/poe?q")
        assert screen.dialog == ""


async def test_the_daemon_is_asked_at_most_once_a_second_however_much_happens(tmp_path: Path) -> None:
    many = tuple(event(seq) for seq in range(1, 500))
    began_s = asyncio.get_running_loop().time()
    async with showing(tmp_path, *HOSTS, events=many) as (_screen, daemon):
        await asyncio.sleep(2.5)
        took_s = asyncio.get_running_loop().time() - began_s

        assert sum(isinstance(each, StatusRequest) for each in daemon.asked) <= took_s / LEAST_S + 1
        assert sum(isinstance(each, EventsRequest) for each in daemon.asked) == 1


async def test_a_daemon_that_ends_is_unknown_and_one_that_is_started_again_is_shown(tmp_path: Path) -> None:
    async with running(tmp_path / "s") as screen:
        await screen.until(lambda: "no pycarp answers" in screen.text("#head"))
        with scripted_daemon(tmp_path / "s", answering(*HOSTS)):
            await screen.until(lambda: screen.states.get("web") == "MASTER")
        await screen.until(lambda: set(screen.states.values()) == {"unknown"})
        assert "NO ANSWER" in screen.text("#head")
        await screen.press("d")
        assert "does not answer: nothing can be changed" in screen.top.message
        with scripted_daemon(tmp_path / "s", answering(*HOSTS, pid=4712)):
            await screen.until(lambda: screen.states.get("web") == "MASTER")
            assert "pid 4712 (started again; was pid 4711)" in screen.text("#head")


async def test_a_drain_is_asked_for_with_its_reason_and_its_outcome_is_told(tmp_path: Path) -> None:
    def answer(request: Request) -> Reply | None:
        drained = DrainedHost(host="web", was_master=True, master="192.168.1.4", answers=True)
        return DrainReply(hosts=[drained], took_s=0.0123) if isinstance(request, DrainRequest) else None

    async with showing(tmp_path, *HOSTS, answer=answer) as (screen, daemon):
        await screen.press("d")
        await screen.until(lambda: "Drain web, which is MASTER?" in screen.dialog)
        await screen.type("new kernel")
        assert changes(daemon) == []
        await screen.press("enter")
        await screen.until(lambda: "drained; 192.168.1.4 is MASTER after 12.3 ms and answers" in screen.top.message)

        assert changes(daemon) == [DrainRequest(host="1@fxp0", reason="new kernel")]


async def test_nothing_is_changed_without_a_yes(tmp_path: Path) -> None:
    async with showing(tmp_path, *HOSTS) as (screen, daemon):
        for key, no in (("d", "escape"), ("u", "n"), ("h", "enter"), ("m", "escape"), ("b", "escape")):
            await screen.press(key)
            await screen.until(lambda: screen.dialog != "")
            await screen.press(no)
            await screen.until(lambda: screen.dialog == "")

        assert changes(daemon) == []


async def test_the_addresses_are_handed_over_and_taken_back(tmp_path: Path) -> None:
    def answer(_request: Request) -> Reply:
        return HandoverReply(host="web", master="192.168.1.4", took_s=0.005)

    async with showing(tmp_path, *HOSTS, answer=answer) as (screen, daemon):
        await screen.press("h")
        await screen.until(lambda: "Hand the addresses of web over" in screen.dialog)
        await screen.press("y")
        await screen.until(lambda: "192.168.1.4 is MASTER after 5.0 ms" in screen.top.message)
        await screen.press("b")
        await screen.until(lambda: "End the hand-over of web?" in screen.dialog)
        await screen.click("#yes")
        await screen.until(lambda: "no longer" in screen.top.message)

        assert [each.is_back for each in changes(daemon) if isinstance(each, HandoverRequest)] == [False, True]


async def test_a_host_is_demoted_for_a_cause_and_restored(tmp_path: Path) -> None:
    causes = [cause_of("slow disk", 50, is_wanted=True), cause_of(HANDED_OVER, 50, is_wanted=True)]
    host = host_of("web", demotion=[*causes, cause_of("link down", 240)])

    async with showing(tmp_path, host, answer=lambda _request: DoneReply()) as (screen, daemon):
        await screen.press("m")
        await screen.until(lambda: "Demote web" in screen.dialog)
        await screen.type("50")
        await screen.press("enter")
        await screen.type("slow disk")
        await screen.press("enter")
        await screen.until(lambda: "web: demoted by 50: slow disk" in screen.top.message)
        await screen.press("r")
        await screen.until(lambda: "End which demotion of web?" in screen.dialog)
        await screen.press("enter")
        await screen.until(lambda: "web: not demoted any more: slow disk" in screen.top.message)

        assert changes(daemon) == [
            DemoteRequest(host="1@fxp0", cause="slow disk", by=50),
            RestoreRequest(host="1@fxp0", cause="slow disk"),
        ]


async def test_a_demotion_that_makes_no_sense_changes_nothing(tmp_path: Path) -> None:
    said = {"241,slow": "'241' is neither 1-240 nor last", "x,slow": "'x' is neither", "5,": "needs a cause"}
    async with showing(tmp_path, *HOSTS) as (screen, daemon):
        for typed, answer in said.items():
            await screen.press("m")
            await screen.until(lambda: screen.dialog != "")
            for text in typed.split(","):
                await screen.type(text)
                await screen.press("enter")
            await screen.until(lambda answer=answer: answer in screen.top.message)  # type: ignore[misc]

        assert changes(daemon) == []


async def test_what_the_daemon_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    def answer(request: Request) -> Reply | None:
        return RefusedReply("web is not drained", is_usage=True) if isinstance(request, UndrainRequest) else None

    async with showing(tmp_path, *HOSTS, answer=answer) as (screen, _daemon):
        await screen.press("u")
        await screen.until(lambda: screen.dialog != "")
        await screen.press("y")
        await screen.until(lambda: "web: failed: web is not drained" in screen.top.message)


async def test_the_hosts_of_all_processes_are_shown(tmp_path: Path) -> None:
    def of_ucarp(request: Request) -> Reply:
        if isinstance(request, StatusRequest):
            return status_of(host_of("9@fxp0", vhid=9))
        return RefusedReply("pycarp ucarp keeps no events", is_usage=True)

    with (
        scripted_daemon(tmp_path / "one", answering(*HOSTS)) as one,
        scripted_daemon(tmp_path / "other", of_ucarp) as other,
    ):
        async with running(one.path, other.path) as screen:
            await screen.until(lambda: list(screen.states) == ["web", "db", "app", "9@fxp0"])


def test_without_a_terminal_it_says_what_to_use(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pycarp", "top", "--control", str(tmp_path / "s")]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "pycarp: pycarp top needs a terminal; for scripts: pycarp status --watch --json\n"


def test_only_this_command_imports_textual() -> None:
    code = (
        "import sys, pycarp.cli.status, pycarp.cli.why, pycarp.cli.top.top_command; sys.exit('textual' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_its_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['textual'] = None; from pycarp.__main__ import main; main()"
    with scripted_daemon(tmp_path / "s", answering(*HOSTS)) as daemon:
        ours, theirs = pty.openpty()
        argv = [sys.executable, "-c", code, "top", "--control", str(daemon.path)]
        done = subprocess.run(argv, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, check=False, timeout=30)
        for each in (ours, theirs):
            os.close(each)

    assert (done.returncode, done.stderr.decode()) == (
        1,
        "pycarp: the command needs textual: pip install 'pycarp[top]'\n",
    )
