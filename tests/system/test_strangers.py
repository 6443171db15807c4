"""A clean-up spares the device of a living daemon, whatever that daemon's state folder."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pycarp.system.recovery.dead_daemons import Spared
from tests.support.leftover_program import DEVICE
from tests.support.namespaces import LINK, Namespace, joined_namespaces
from tests.support.recovery import clean_in, leave, state_of
from tests.support.system import require

pytestmark = pytest.mark.system

VHID = int(DEVICE.mac.rpartition(":")[2], 16)
PROGRAM = """
import asyncio, sys
from pycarp.system.recovery.host_locks import HostLocks
from pycarp.vocabulary import HostKey
from pathlib import Path
from pycarp.system.recovery.journal import Journal
if len(sys.argv) > 3:
    journal = Journal.begin(Path(sys.argv[3]))
locks = HostLocks()
asyncio.run(locks.take([HostKey(sys.argv[1], int(sys.argv[2]))]))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    require("ip")
    with joined_namespaces() as (left, _right):
        yield left


@contextmanager
def running_elsewhere(namespace: Namespace, *, vhid: int, folder: Path | None = None) -> Iterator[int]:
    """Run a daemon with a host and a journal, in this folder or in an unknown one; yield its pid."""
    argv = ["ip", "netns", "exec", namespace.name, sys.executable, "-c", PROGRAM, LINK, str(vhid)]
    argv += [] if folder is None else [str(folder)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


async def test_what_a_daemon_of_another_folder_may_have_is_left_alone(namespace: Namespace, tmp_path: Path) -> None:
    leave(namespace, tmp_path)
    before = state_of(namespace)

    with running_elsewhere(namespace, vhid=VHID) as pid:
        report = await clean_in(namespace, tmp_path)

    assert Spared(DEVICE, f"a running pycarp, pid {pid}, may have it") in report.spared
    assert report.undone == ()
    assert state_of(namespace) == before


async def test_when_that_daemon_is_gone_it_is_a_leftover_like_any_other(namespace: Namespace, tmp_path: Path) -> None:
    before = state_of(namespace)
    leave(namespace, tmp_path)
    with running_elsewhere(namespace, vhid=VHID):
        pass

    await clean_in(namespace, tmp_path)

    assert state_of(namespace) == before


async def test_a_device_of_another_vhid_is_nobody_else_s(namespace: Namespace, tmp_path: Path) -> None:
    leave(namespace, tmp_path)

    with running_elsewhere(namespace, vhid=VHID + 1):
        report = await clean_in(namespace, tmp_path)

    assert DEVICE in [each.resource for each in report.undone]


async def test_a_daemon_of_the_same_folder_is_believed_what_it_has_noted(namespace: Namespace, tmp_path: Path) -> None:
    """An address that a dead daemon left on the link is removed, though a living daemon has hosts there."""
    before = state_of(namespace)
    leave(namespace, tmp_path)

    with running_elsewhere(namespace, vhid=VHID + 1, folder=tmp_path):
        report = await clean_in(namespace, tmp_path)

    assert report.spared == ()
    assert state_of(namespace) == before
