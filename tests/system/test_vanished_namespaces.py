"""Journals go with their network namespaces, and with no namespace that anything may still refer to."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pycarp.system.recovery.dead_daemons import Report, clean, forget_vanished
from pycarp.system.recovery.journal import Journal, Shared
from pycarp.system.recovery.vanished_namespaces import vanished
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require, unprivileged

pytestmark = pytest.mark.system

WITHIN_S = 10.0
A_WHILE_S = 0.5
"""Longer than the kernel takes to end a namespace that nothing refers to."""


class Passing:
    """A namespace that ends when it is told to, and the journal of a daemon that died in it."""

    def __init__(self, namespace: Namespace, folder: Path, end: Callable[[], None]) -> None:
        self.namespace, self.end = namespace, end
        with entered(namespace):
            self.number = os.stat("/proc/thread-self/ns/net").st_ino
            journal = Journal.begin(folder)
        journal.record(Shared(LINK, str(namespace.own)))
        journal.end()
        self.journal = journal.path


@pytest.fixture
def passing(tmp_path: Path) -> Iterator[Passing]:
    require("ip")
    with ExitStack() as stack:
        namespace, _other = stack.enter_context(joined_namespaces())
        yield Passing(namespace, tmp_path, stack.close)


def wait_until_forgotten(passing: Passing, folder: Path) -> None:
    ends_s = time.monotonic() + WITHIN_S
    while passing.journal.exists():
        assert time.monotonic() < ends_s
        forget_vanished(folder)
        time.sleep(0.05)


def test_a_journal_goes_when_its_namespace_has_gone(passing: Passing, tmp_path: Path) -> None:
    passing.end()

    wait_until_forgotten(passing, tmp_path)


async def test_a_release_in_another_namespace_removes_it_too(passing: Passing, tmp_path: Path) -> None:
    passing.end()

    ends_s = time.monotonic() + WITHIN_S
    while passing.journal.exists():
        assert time.monotonic() < ends_s
        assert await clean(tmp_path) == Report()


async def test_a_rehearsal_removes_nothing(passing: Passing, tmp_path: Path) -> None:
    passing.end()
    await asyncio.sleep(A_WHILE_S)

    await clean(tmp_path, is_rehearsal=True)

    assert passing.journal.exists()


def test_a_journal_stays_while_its_namespace_is_there(passing: Passing, tmp_path: Path) -> None:
    forget_vanished(tmp_path)

    assert passing.journal.exists()


def test_a_namespace_that_only_a_socket_refers_to_is_there(passing: Passing, tmp_path: Path) -> None:
    with entered(passing.namespace):
        unseen = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with unseen:
        passing.end()
        time.sleep(A_WHILE_S)
        forget_vanished(tmp_path)

        assert passing.journal.exists()

    wait_until_forgotten(passing, tmp_path)


def test_the_journal_of_a_daemon_that_runs_stays(passing: Passing, tmp_path: Path) -> None:
    with entered(passing.namespace):
        journal = Journal.begin(tmp_path)
    passing.end()
    wait_until_forgotten(passing, tmp_path)

    assert journal.path.exists()
    journal.end()


def test_who_may_make_no_namespace_is_certain_of_nothing(passing: Passing) -> None:
    passing.end()
    time.sleep(A_WHILE_S)

    with unprivileged():
        assert vanished({passing.number}) == set()


def test_a_number_that_another_kind_of_namespace_has_is_that_of_no_network() -> None:
    numbers = {kind: os.stat(f"/proc/self/ns/{kind}").st_ino for kind in ("net", "uts", "mnt")}

    assert vanished(set(numbers.values())) == {numbers["uts"], numbers["mnt"]}


def test_nothing_is_made_in_the_folder_of_a_user_who_could_not_open_it(passing: Passing, tmp_path: Path) -> None:
    passing.end()
    wait_until_forgotten(passing, tmp_path)
    (tmp_path / "cleaning.lock").unlink()

    forget_vanished(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_absent_stays_absent(tmp_path: Path) -> None:
    forget_vanished(tmp_path / "none")

    assert not (tmp_path / "none").exists()
