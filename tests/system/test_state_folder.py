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
