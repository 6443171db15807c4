"""Locks of the state folder: nobody who was stopped stops the others."""

import os
import time
from pathlib import Path

import pytest

from pycarp.system import state_folder


def test_who_holds_the_lock_of_the_switches_for_too_long_is_named(tmp_path: Path) -> None:
    with state_folder.sysctls_locked(tmp_path):
        began_s = time.monotonic()
        with (
            pytest.raises(TimeoutError, match=f"sysctls.lock is held by pid {os.getpid()} for more than 0.1 s"),
            state_folder.sysctls_locked(tmp_path, patience_s=0.1),
        ):
            pass

    assert time.monotonic() - began_s < 1


def test_the_lock_of_the_switches_is_free_again(tmp_path: Path) -> None:
    for _ in range(2):
        with state_folder.sysctls_locked(tmp_path, patience_s=0):
            pass


def test_who_cleans_for_too_long_is_named(tmp_path: Path) -> None:
    descriptor = state_folder.try_to_lock_cleaning(tmp_path)
    assert descriptor is not None

    assert state_folder.try_to_lock_cleaning(tmp_path) is None
    assert f"another pycarp (pid {os.getpid()}) has been cleaning up in" in state_folder.busy(tmp_path, 5)
    os.close(descriptor)
