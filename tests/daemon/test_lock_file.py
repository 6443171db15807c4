"""A file that one process has locked as long as it lives."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pycarp.daemon.lock_file import LockFile


def take(path: Path, *, timeout_s: float = 0) -> LockFile | int:
    return asyncio.run(LockFile.take(path, timeout_s=timeout_s))


def taken(path: Path) -> LockFile:
    lock = take(path)
    assert isinstance(lock, LockFile)
    return lock


def test_who_comes_second_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    lock = taken(tmp_path / "lock")

    assert take(tmp_path / "lock") == os.getpid()
    lock.release()


def test_a_release_leaves_nothing_and_makes_room(tmp_path: Path) -> None:
    for _ in range(2):
        taken(tmp_path / "lock").release()

        assert list(tmp_path.iterdir()) == []


def test_a_file_of_a_dead_process_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("999999\n")

    taken(tmp_path / "lock").release()


def test_a_release_leaves_what_somebody_else_has_put_there(tmp_path: Path) -> None:
    lock = taken(tmp_path / "lock")
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").write_text("somebody else's")

    lock.release()

    assert (tmp_path / "lock").read_text() == "somebody else's"


def test_a_holder_that_does_not_say_who_it_is_is_nobody_known(tmp_path: Path) -> None:
    lock = taken(tmp_path / "lock")
    (tmp_path / "lock").write_text("no number")

    assert take(tmp_path / "lock") == 0
    lock.release()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "target")

    with pytest.raises(OSError, match="symbolic"):
        take(tmp_path / "lock")

    assert (tmp_path / "target").read_text() == "precious"


def test_only_its_owner_may_open_it(tmp_path: Path) -> None:
    lock = taken(tmp_path / "lock")

    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    lock.release()


def test_of_many_that_come_and_go_there_is_never_more_than_one(tmp_path: Path) -> None:
    """Each removes the file when it goes, while others have it open already."""
    program = (
        "import asyncio, os, sys\nfrom pathlib import Path\nfrom pycarp.daemon.lock_file import LockFile\n"
        "async def main():\n"
        "    for _ in range(30):\n"
        "        lock = await LockFile.take(Path(sys.argv[1]), timeout_s=60)\n"
        "        os.close(os.open(sys.argv[2], os.O_CREAT | os.O_EXCL))\n"
        "        await asyncio.sleep(0.001)\n"
        "        os.unlink(sys.argv[2])\n"
        "        lock.release()\n"
        "asyncio.run(main())\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "lock"), str(tmp_path / "alone")]
    several = [subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) for _ in range(4)]

    assert [each.communicate(timeout=60)[1] for each in several] == [""] * len(several)
