"""Locks of the state folder: a process that was stopped does not stop the others."""

import os
import time
from pathlib import Path

import pytest

from pycarp.system.recovery import state_folder


def test_who_holds_the_lock_of_the_switches_for_too_long_is_named(tmp_path: Path) -> None:
    with state_folder.sysctls_locked(tmp_path):
        began_s = time.monotonic()
        with (
            pytest.raises(TimeoutError, match=f"sysctls.lock is held by pid {os.getpid()} for more than 0.1 s"),
            state_folder.sysctls_locked(tmp_path, timeout_s=0.1),
        ):
            pass

    assert time.monotonic() - began_s < 1


def test_the_lock_of_the_switches_is_free_again(tmp_path: Path) -> None:
    for _ in range(2):
        with state_folder.sysctls_locked(tmp_path, timeout_s=0):
            pass


def test_who_cleans_for_too_long_is_named(tmp_path: Path) -> None:
    descriptor = state_folder.try_to_lock_cleaning(tmp_path)
    assert descriptor is not None

    assert state_folder.try_to_lock_cleaning(tmp_path) is None
    assert f"another pycarp (pid {os.getpid()}) has been cleaning up in" in state_folder.busy(tmp_path, 5)
    os.close(descriptor)


def test_the_files_of_the_locks_go_when_nobody_needs_them(tmp_path: Path) -> None:
    with state_folder.sysctls_locked(tmp_path):
        state_folder.remove_locks(tmp_path)
        held = sorted(each.name for each in tmp_path.iterdir())
    (tmp_path / "1.journal").touch()
    state_folder.remove_locks(tmp_path)
    with_journal = sorted(each.name for each in tmp_path.iterdir())
    (tmp_path / "1.journal").unlink()
    state_folder.remove_locks(tmp_path)

    assert held == ["cleaning.lock", "sysctls.lock"]
    assert with_journal == ["1.journal", "cleaning.lock", "sysctls.lock"]
    assert list(tmp_path.iterdir()) == []
    state_folder.remove_locks(tmp_path)
    state_folder.remove_locks(tmp_path / "nowhere")


def test_a_lock_whose_file_was_removed_locks_nobody_out(tmp_path: Path) -> None:
    """A process that opened the file before its removal locks the new file instead."""
    removed = state_folder.try_to_lock_cleaning(tmp_path)
    assert removed is not None
    (tmp_path / "cleaning.lock").unlink()
    made = state_folder.try_to_lock_cleaning(tmp_path)

    assert made is not None
    assert os.path.samestat(os.fstat(made), os.stat(tmp_path / "cleaning.lock"))
    os.close(removed)
    os.close(made)
