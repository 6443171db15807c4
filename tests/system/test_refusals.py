"""Errors of the kernel: each handler, reached by a real cause."""

import contextlib
import errno
import os
import resource
import subprocess
import threading
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path

import pytest

from pycarp.errors import ActuatorError
from pycarp.system.addresses import sysctl_files
from pycarp.system.addresses.interfaces import interfaces, is_administratively_up
from pycarp.system.addresses.link_addresses import AddressError, add, delete, index_of, present
from pycarp.system.addresses.link_sysctls import BELOW_DEVICE, LinkSysctls
from pycarp.system.addresses.ownership_index import OwnershipIndex
from pycarp.system.guardian.guardian import Guardian
from pycarp.system.recovery import state_folder
from pycarp.system.recovery.journal import Device, Journal, Shared
from pycarp.system.recovery.kernel_clean_up import KernelCleanUp
from pycarp.system.recovery.null_journal import NullJournal
from pycarp.system.rtnetlink.netlink_reader import Netlink
from pycarp.system.rtnetlink.notifications import Notifications
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import HostKey
from tests.support.daemons import children
from tests.support.descriptors import descriptors_left, open_descriptors
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require, unprivileged

pytestmark = pytest.mark.system

ADDRESS = ip_interface("10.77.0.50/24")
DEVICE = Device("carp0", LINK, "00:00:5e:00:01:07")


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A network namespace that the thread of the test has entered."""
    require("ip")
    with joined_namespaces() as (ours, _theirs), entered(ours):
        yield ours


@pytest.fixture
def route(namespace: Namespace) -> Iterator[RouteSocket]:
    with RouteSocket() as opened:
        yield opened


# Addresses


def test_an_address_that_may_not_be_added_or_removed_is_in_the_error(route: RouteSocket, namespace: Namespace) -> None:
    index = index_of(LINK)
    with unprivileged():
        with pytest.raises(AddressError, match="Operation not permitted") as adding:
            add(route, index, (ADDRESS,), (), None)
        with pytest.raises(AddressError, match="Operation not permitted") as deleting:
            delete(route, index, (namespace.own,))

    assert (adding.value.address, deleting.value.address) == (ADDRESS, namespace.own)


def test_of_a_link_that_is_not_there_there_are_no_addresses(route: RouteSocket) -> None:
    assert (index_of("nosuchlink0"), present(route, 4711)) == (0, [])
    delete(route, 4711, (ADDRESS,))


def test_a_switch_that_may_not_be_set_is_named_with_the_way_out_and_later_it_is_set(namespace: Namespace) -> None:
    key = HostKey(LINK, 1)
    sysctls = LinkSysctls(NullJournal())
    path = f"net/ipv4/conf/{LINK}/arp_announce"
    before = sysctl_files.read(path)
    with unprivileged(), pytest.raises(ActuatorError, match=rf"^cannot set net\.ipv4\.conf\.{LINK}\..*: Permission"):
        sysctls.need(key, BELOW_DEVICE)
    sysctls.need(key, BELOW_DEVICE)
    during = sysctl_files.read(path)
    with unprivileged(), pytest.raises(PermissionError):
        sysctls.release(key)
    sysctls.release(key)

    assert (before, during, sysctl_files.read(path)) == ("0", "2", "0")


# Links


async def test_a_link_that_is_not_there_has_no_facts(namespace: Namespace) -> None:
    async with Netlink() as netlink:
        assert await netlink.link_facts("nosuchlink0") is None


async def test_a_name_that_no_link_can_have_is_an_os_error(namespace: Namespace) -> None:
    async with Netlink() as netlink:
        with pytest.raises(OSError) as caught:  # noqa: PT011  the number tells
            await netlink.link_facts("a-name-that-is-longer-than-fifteen-octets" * 4)

    assert caught.value.errno in (errno.ERANGE, errno.EINVAL)


async def test_what_a_removal_may_not_do_is_an_os_error(namespace: Namespace) -> None:
    async with KernelCleanUp() as kernel:
        with unprivileged():
            with pytest.raises(OSError, match="Operation not permitted"):
                await kernel.delete_device(LINK)
            with pytest.raises(OSError, match="Operation not permitted"):
                await kernel.delete_address(LINK, namespace.own)
        with pytest.raises(OSError, match=r"Numerical result out of range|Invalid argument"):
            await kernel.exists("a-name-that-is-longer-than-fifteen-octets" * 4)


async def test_removing_what_is_gone_is_well(namespace: Namespace) -> None:
    async with KernelCleanUp() as kernel:
        for _ in range(2):
            await kernel.delete_address(LINK, namespace.own)
            await kernel.delete_device(LINK)


def test_whether_a_link_is_up_is_what_an_administrator_said(namespace: Namespace) -> None:
    assert is_administratively_up(LINK)
    namespace.ip("link", "set", LINK, "down")

    assert not is_administratively_up(LINK)
    assert not is_administratively_up("nosuchlink0")


def test_links_that_vanish_while_all_are_listed_are_left_out(namespace: Namespace) -> None:
    """On a host of containers, links come and go all the time."""
    flicker = "link add flick0 type veth peer name flick1\nlink del flick0\n" * 60
    storm = threading.Thread(target=lambda: namespace.ip_batch(flicker))
    storm.start()
    rounds = 0
    while storm.is_alive():
        assert LINK in {each.name for each in interfaces()}
        rounds += 1
    storm.join()

    assert rounds > 5


# Sockets and memory


def test_notifications_that_cannot_be_bound_leave_nothing_open(namespace: Namespace) -> None:
    before = open_descriptors()
    for _ in range(2):
        Notifications().close()
    with descriptors_left(0), pytest.raises(OSError, match="Too many open files"):
        Notifications()

    assert open_descriptors() == before


@pytest.mark.parametrize("left", range(8))
async def test_a_guardian_that_gets_no_descriptors_is_an_error_and_keeps_none(left: int) -> None:
    require()
    before = open_descriptors(), children(os.getpid())
    guardian = Guardian(notice=lambda _notice: None)
    with descriptors_left(left), pytest.raises(ActuatorError, match=r"^cannot start the guardian with .*python.*: "):
        await guardian.start()

    assert (open_descriptors(), children(os.getpid())) == before


# The journal


@contextlib.contextmanager
def tiny_file_system(folder: Path) -> Iterator[Path]:
    """A file system of a few pages for all files."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=755", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write pages until there is no room for another."""
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


def test_a_journal_on_a_full_disk_is_not_begun_and_leaves_no_file(tmp_path: Path) -> None:
    require("mount")
    with tiny_file_system(tmp_path) as folder:
        state_folder.make(folder)
        fill(folder / "filler")
        before = open_descriptors()
        with pytest.raises(
            ActuatorError, match=r"^cannot use .*: No space left on device; name another folder with --"
        ):
            Journal.begin(folder)

        assert state_folder.journals(folder) == []
        assert open_descriptors() == before
        (folder / "filler").unlink()
        Journal.begin(folder).end()


def record_many(journal: Journal) -> None:
    """Record more than a page takes."""
    for number in range(200):
        journal.record(Shared(LINK, f"10.77.{number}.1/24"))


def test_what_a_full_disk_takes_not_is_not_recorded_and_later_it_is(tmp_path: Path) -> None:
    require("mount")
    with tiny_file_system(tmp_path) as folder:
        journal = Journal.begin(folder)
        journal.record(DEVICE)
        with pytest.raises(ActuatorError, match=r"^cannot record .* in .*journal: No space left on device$"):
            record_many(journal)
        recorded = journal.resources

        assert recorded == (DEVICE, *(Shared(LINK, f"10.77.{number}.1/24") for number in range(len(recorded) - 1)))
        for each in reversed(recorded[1:]):
            with contextlib.suppress(ActuatorError):
                journal.strike(each)
        assert journal.path.read_bytes().endswith(b"\n")
        journal.end()


def test_a_file_that_may_grow_no_more_is_told(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: the kernel sends SIGXFSZ, which Python ignores, and refuses the rest."""
    require()
    journal = Journal.begin(tmp_path)
    journal.record(DEVICE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.path.stat().st_size + 10, before[1]))
    try:
        with pytest.raises(ActuatorError, match=r"^cannot record .*: File too large$"):
            journal.record(Shared(LINK, "10.77.0.1/24"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    journal.record(Shared(LINK, "10.77.0.1/24"))

    assert journal.path.read_bytes().count(b"\n") == 3
    journal.strike(Shared(LINK, "10.77.0.1/24"))
    journal.strike(DEVICE)
    journal.end()


# The ownership index


def test_a_host_that_comes_again_shares_its_addresses_again() -> None:
    owners, one, other = OwnershipIndex(), HostKey(LINK, 1), HostKey(LINK, 2)
    for key in (one, other):
        owners.share(key, (ADDRESS,))
    owners.forget(one)
    owners.forget(one)

    assert owners.shared_by(one) == frozenset()
    assert owners.shared_by(other) == {ADDRESS}
    assert owners.share(one, (ADDRESS,)) == {ADDRESS}
    assert owners.share(one, (ADDRESS,)) == frozenset()
