"""One process runs a vhid on an interface of a network namespace."""

import asyncio
import errno
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.errors import UsageError
from pycarp.system.recovery import host_locks
from pycarp.system.recovery.host_locks import HostLocks
from pycarp.vocabulary import HostKey
from tests.support.namespaces import Namespace, entered, joined_namespaces
from tests.support.system import require

ONE, TWO = HostKey("pct-none0", 1), HostKey("pct-none0", 2)


@pytest.fixture
def locks() -> Iterator[HostLocks]:
    require(root=False)
    made = HostLocks()
    yield made
    made.close()


@pytest.fixture
def others() -> Iterator[HostLocks]:
    made = HostLocks()
    yield made
    made.close()


def take(locks: HostLocks, *keys: HostKey, timeout_s: float = 0) -> None:
    asyncio.run(locks.take(keys, timeout_s=timeout_s))


def test_a_host_that_another_has_is_refused_by_vhid_interface_and_pid(locks: HostLocks, others: HostLocks) -> None:
    take(others, ONE)

    with pytest.raises(UsageError, match=f"vhid 1 on pct-none0 is run by another pycarp, pid {os.getpid()};"):
        take(locks, ONE)


def test_another_vhid_of_the_interface_is_free(locks: HostLocks, others: HostLocks) -> None:
    take(others, ONE)

    take(locks, TWO)

    assert host_locks.living().keys() >= {ONE, TWO}


def test_all_are_locked_or_none(locks: HostLocks, others: HostLocks) -> None:
    take(others, TWO)

    with pytest.raises(UsageError):
        take(locks, ONE, TWO)

    assert ONE not in host_locks.living()


def test_looking_many_times_leaves_the_pid_known(locks: HostLocks, others: HostLocks) -> None:
    take(others, ONE)

    for _ in range(12):
        assert host_locks.living()[ONE] == os.getpid()

    with pytest.raises(UsageError, match=f"pid {os.getpid()};"):
        take(locks, ONE)


def connections(key: HostKey) -> int:
    """Return how many connections to a lock have not been closed by its holder."""
    table = Path("/proc/thread-self/net/unix").read_text(encoding="utf-8").splitlines()
    # The lock itself is listed as well.
    return sum(line.endswith(f"@pycarp/host/{key.link}/{key.vhid}") for line in table) - 1


def test_whoever_is_refused_leaves_nothing_with_the_holder(locks: HostLocks, others: HostLocks) -> None:
    async def refuse() -> None:
        await others.take([ONE])
        for _ in range(5):
            with pytest.raises(UsageError, match=f"pid {os.getpid()};"):
                await locks.take([ONE], timeout_s=0.1)
        await asyncio.sleep(0.05)

        assert connections(ONE) == 0

    asyncio.run(refuse())


def test_who_waits_for_a_lock_asks_once(locks: HostLocks, others: HostLocks) -> None:
    # Its event loop has ended, so that nobody hangs up.
    take(others, ONE)

    with pytest.raises(UsageError):
        take(locks, ONE, timeout_s=0.2)

    assert connections(ONE) == 1


def connect(name: str, number: int) -> None:
    for _ in range(number):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(name)


def test_a_holder_without_descriptors_hangs_up_later_and_does_not_spin(
    others: HostLocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    accept = socket.socket.accept

    def out_of_descriptors(sock: socket.socket) -> tuple[socket.socket, object]:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return accept(sock)

    async def ask() -> None:
        await others.take([ONE])
        monkeypatch.setattr(socket.socket, "accept", out_of_descriptors)
        connect("\0pycarp/host/pct-none0/1", 2)
        await asyncio.sleep(0.15)
        assert tries <= 2
        assert connections(ONE) == 2
        await asyncio.sleep(0.35)
        assert connections(ONE) == 0

    asyncio.run(ask())


def test_a_holder_hangs_up_on_a_crowd_bit_by_bit(others: HostLocks) -> None:
    async def ask() -> None:
        await others.take([ONE])
        connect("\0pycarp/host/pct-none0/1", 100)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert 0 < connections(ONE) < 100
        await asyncio.sleep(0.6)
        assert connections(ONE) == 0

    asyncio.run(ask())


def test_a_host_takes_one_descriptor(locks: HostLocks) -> None:
    async def descriptors() -> tuple[int, int]:
        await locks.take([ONE])
        before = len(os.listdir("/proc/self/fd"))
        await locks.take([HostKey("pct-none0", vhid) for vhid in range(1, 101)])
        return before, len(os.listdir("/proc/self/fd"))

    before, after = asyncio.run(descriptors())

    assert after - before == 99


def test_what_one_has_may_be_taken_again(locks: HostLocks) -> None:
    take(locks, ONE)

    take(locks, ONE, TWO)

    assert host_locks.living()[TWO] == os.getpid()


def test_one_that_leaves_in_time_makes_room(locks: HostLocks, others: HostLocks) -> None:
    async def take_turns() -> None:
        await others.take([ONE])
        asyncio.get_running_loop().call_later(0.1, others.close)
        await locks.take([ONE], timeout_s=5)

    asyncio.run(take_turns())

    assert host_locks.living()[ONE] == os.getpid()


def test_a_killed_process_has_no_lock_any_more(locks: HostLocks) -> None:
    program = (
        "import asyncio, sys\nfrom pycarp.system.recovery.host_locks import HostLocks\n"
        "from pycarp.vocabulary import HostKey\n"
        "locks = HostLocks()\nasyncio.run(locks.take([HostKey('pct-none0', 1)]))\nprint(flush=True)\nsys.stdin.read()"
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(UsageError, match=f"pid {holder.pid};"):
            take(locks, ONE)
        holder.kill()
        holder.wait()

        take(locks, ONE)


@pytest.mark.system
def test_a_name_that_a_stranger_has_taken_keeps_nobody_from_starting(locks: HostLocks) -> None:
    require()
    ready = multiprocessing.get_context("fork").Event()
    over = multiprocessing.get_context("fork").Event()

    def squat() -> None:
        os.setuid(65534)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind("\0pycarp/host/pct-none0/1")
            sock.listen()
            ready.set()
            over.wait(10)

    stranger = multiprocessing.get_context("fork").Process(target=squat)
    stranger.start()
    try:
        assert ready.wait(5)
        take(locks, ONE)
        assert ONE not in host_locks.living()
    finally:
        over.set()
        stranger.join()


@pytest.fixture
def namespaces() -> Iterator[tuple[Namespace, Namespace]]:
    require()
    with joined_namespaces() as made:
        yield made


ETH0 = HostKey("eth0", 1)


@pytest.mark.system
def test_each_network_namespace_has_its_own_hosts(
    namespaces: tuple[Namespace, Namespace], locks: HostLocks, others: HostLocks
) -> None:
    left, right = namespaces
    with entered(left):
        take(locks, ETH0)

    with entered(right):
        take(others, ETH0)


@pytest.mark.system
@pytest.mark.parametrize("change", ["rename", "make anew"])
def test_the_lock_outlives_what_becomes_of_the_interface(
    namespaces: tuple[Namespace, Namespace], locks: HostLocks, others: HostLocks, change: str
) -> None:
    left, _right = namespaces
    with entered(left):
        take(others, ETH0)
        key = ETH0
        if change == "rename":
            left.ip("link", "set", "eth0", "down")
            left.ip("link", "set", "eth0", "name", "lan0")
            key = HostKey("lan0", 1)
        else:
            left.ip("link", "del", "eth0")
            left.ip("link", "add", "eth0", "type", "bridge")

        with pytest.raises(UsageError, match="is run by another pycarp"):
            take(locks, key)


@pytest.mark.system
def test_another_vhid_of_a_renamed_interface_is_free(
    namespaces: tuple[Namespace, Namespace], locks: HostLocks, others: HostLocks
) -> None:
    left, _right = namespaces
    with entered(left):
        take(others, ETH0)
        left.ip("link", "set", "eth0", "down")
        left.ip("link", "set", "eth0", "name", "lan0")

        take(locks, HostKey("lan0", 2))

        others.close()
        take(locks, HostKey("lan0", 1))


@pytest.mark.system
def test_the_sign_of_a_stranger_keeps_nobody_from_starting(
    namespaces: tuple[Namespace, Namespace], locks: HostLocks, others: HostLocks
) -> None:
    left, _right = namespaces
    context = multiprocessing.get_context("fork")
    ready, over = context.Event(), context.Event()
    with entered(left):
        left.ip("link", "add", "lan0", "type", "bridge")
        index = socket.if_nametoindex("lan0")
        take(others, ETH0)

        def pretend() -> None:
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(f"\0pycarp/link/{index}/eth0/{'0' * 16}")
                sock.listen()
                ready.set()
                over.wait(10)

        stranger = context.Process(target=pretend)
        stranger.start()
        try:
            assert ready.wait(5)
            take(locks, HostKey("lan0", 1))
        finally:
            over.set()
            stranger.join()
