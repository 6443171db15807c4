"""What systemd is told, by a socket that plays it."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.daemon.service_notifier import ServiceNotifier, is_on_time, status_line
from pycarp.testing import run


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(5)
        yield made


def notifier(systemd: socket.socket, **more: str) -> ServiceNotifier:
    return ServiceNotifier({"NOTIFY_SOCKET": systemd.getsockname(), **more})


def heard(systemd: socket.socket) -> list[str]:
    systemd.setblocking(False)
    messages = []
    while True:
        try:
            messages.append(systemd.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_it_hears_of_start_and_end(systemd: socket.socket) -> None:
    narrative = notifier(systemd)
    narrative.ready()
    narrative.stopping()

    assert heard(systemd) == ["READY=1", "STOPPING=1\nSTATUS=leaving"]


def test_a_reload_comes_with_its_time(systemd: socket.socket) -> None:
    notifier(systemd).reloading()

    (message,) = heard(systemd)
    first, second = message.splitlines()
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_an_abstract_socket_is_written_with_an_at_sign() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0pycarp-test-{os.getpid()}")
        ServiceNotifier({"NOTIFY_SOCKET": f"@pycarp-test-{os.getpid()}"}).ready()

        assert heard(systemd) == ["READY=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}], ids=["without", "gone"])
def test_nobody_to_tell_is_no_fault(environment: dict[str, str]) -> None:
    ServiceNotifier(environment).ready()


def test_what_the_manager_does_not_take_at_once_is_sent_later_in_its_order(systemd: socket.socket) -> None:
    async def plan() -> None:
        narrative = notifier(systemd)
        for number in range(1000):
            narrative.status([("carp0", f"{number}")])
        narrative.reloading()
        narrative.ready()
        narrative.status([("carp0", "BACKUP")])
        narrative.status([("carp0", "MASTER")])
        heard(systemd)
        await asyncio.sleep(1)

    run(plan())

    late = heard(systemd)
    assert [each.partition("\n")[0] for each in late] == ["RELOADING=1", "READY=1", "STATUS=carp0 MASTER"]


def test_a_manager_that_never_reads_is_not_waited_for(systemd: socket.socket) -> None:
    async def plan() -> None:
        narrative = notifier(systemd)
        for number in range(10_000):
            narrative.status([("carp0", f"{number}")])
            if number % 100 == 0:
                await asyncio.sleep(1)

    run(plan())

    assert len(heard(systemd)) < 10_000


def test_a_status_is_one_line(systemd: socket.socket) -> None:
    notifier(systemd).status([("carp0", "MASTER")], "the last reload was refused: a.toml:\nREADY=1")

    assert heard(systemd) == ["STATUS=carp0 MASTER; the last reload was refused: a.toml: READY=1"]


def test_few_hosts_are_named_and_many_are_counted() -> None:
    assert status_line([("carp0", "MASTER"), ("carp1", "BACKUP")]) == "carp0 MASTER, carp1 BACKUP"
    assert status_line([(f"carp{n}", "MASTER" if n else "BACKUP") for n in range(255)]) == "1 BACKUP, 254 MASTER"
    assert status_line([]) == "no virtual host"


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "ours"}, 3),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
    ids=str,
)
def test_the_watchdog_is_ours_only_when_it_says_so(environment: dict[str, str], watchdog_s: float | None) -> None:
    ours = {name: value.replace("ours", str(os.getpid())) for name, value in environment.items()}

    assert ServiceNotifier(ours).watchdog_s == watchdog_s


def signs_of_life(systemd: socket.socket, *, stuck_after_s: float, during_s: float = 10) -> int:
    async def plan() -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        task = asyncio.create_task(
            notifier(systemd, WATCHDOG_USEC="2000000").keep_alive(lambda: loop.time() - began_s < stuck_after_s)
        )
        await asyncio.sleep(during_s)
        task.cancel()

    run(plan())
    return heard(systemd).count("WATCHDOG=1")


def test_signs_of_life_come_twice_as_often_as_needed(systemd: socket.socket) -> None:
    assert signs_of_life(systemd, stuck_after_s=100) == 10


def test_without_progress_there_is_no_sign_of_life(systemd: socket.socket) -> None:
    assert signs_of_life(systemd, stuck_after_s=3.5) == 4


@pytest.mark.parametrize(
    ("deadline_ns", "is_well"),
    [(None, True), (5_000_000_000, True), (4_000_000_001, True), (4_000_000_000, False), (1, False)],
)
def test_a_timer_that_is_a_second_overdue_is_no_progress(deadline_ns: int | None, is_well: bool) -> None:
    assert is_on_time(deadline_ns, now_ns=5_000_000_000) is is_well


def test_a_loop_that_hangs_gives_no_sign_of_life(systemd: socket.socket) -> None:
    async def plan() -> None:
        task = asyncio.create_task(notifier(systemd, WATCHDOG_USEC="100000").keep_alive(lambda: True))
        await asyncio.sleep(0.01)
        heard(systemd)
        time.sleep(0.3)  # noqa: ASYNC251  # that is the fault
        assert heard(systemd) == []
        await asyncio.sleep(0.01)
        assert heard(systemd) == ["WATCHDOG=1"]
        task.cancel()

    asyncio.run(plan())
