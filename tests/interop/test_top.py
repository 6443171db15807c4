"""``pycarp top`` beside real daemons."""

import os
import signal
from pathlib import Path

import pytest

from tests.cli.test_top import running
from tests.support.daemons import Pycarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system


async def test_a_hand_over_and_the_death_of_a_daemon_are_seen_as_they_happen(tmp_path: Path) -> None:
    require("ip", "bridge")
    with (
        new_segment(a="192.168.1.1/24", b="192.168.1.2/24") as segment,
        Pycarp(segment, "a", tmp_path) as a,
        Pycarp(segment, "b", tmp_path, advskew=100, after=a) as b,
    ):
        a.become_master(15)
        wait_until(lambda: b.is_in("BACKUP"), 15)
        async with running(a.control, b.control) as screen:
            await screen.until(lambda: [row[2] for row in screen.rows] == ["MASTER", "BACKUP"])
            await screen.press("h")
            await screen.until(lambda: "Hand the addresses" in screen.dialog)
            await screen.press("y")
            await screen.until(lambda: "192.168.1.2 is MASTER after" in screen.top.message)
            await screen.until(lambda: [row[2] for row in screen.rows] == ["BACKUP", "MASTER"])
            await screen.until(lambda: "MASTER -> INIT (handed over" in screen.text("#events"))

            os.kill(b.process.pid, signal.SIGKILL)
            await screen.until(lambda: [row[2] for row in screen.rows] == ["MASTER", "unknown"])
            assert "NO ANSWER" in screen.text("#head")
