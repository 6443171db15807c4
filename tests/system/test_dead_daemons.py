"""Clean-up after a dead daemon: its resources are removed, those of others are left alone."""

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pycarp.errors import ActuatorError, ConfigError
from pycarp.system.addresses import sysctl_files
from pycarp.system.recovery import journal_file, state_folder
from pycarp.system.recovery.dead_daemons import Report, clean
from pycarp.system.recovery.journal import Device, Journal, Resource, Shared, Sysctl
from pycarp.vocabulary import MacAddress
from tests.support.leftover_program import DEVICE, SWITCHES
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.recovery import clean_in, leave, running_program, state_of
from tests.support.system import require, unprivileged

ARP_IGNORE = f"net/ipv4/conf/{LINK}/arp_ignore"
_ETH_P_ALL = 0x0003


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as both:
        yield both


@pytest.fixture
def namespace(pair: tuple[Namespace, Namespace]) -> Namespace:
    return pair[0]


def left_behind(namespace: Namespace, folder: Path, *resources: Resource) -> Path:
    """Return the journal of a dead daemon with these resources."""
    with entered(namespace):
        journal = Journal.begin(folder)
    for each in resources:
        journal.record(each)
    journal.end()
    return journal.path


def folder_of_all() -> Path:
    """Return a new folder that every user can enter, unlike ``tmp_path``."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    return folder


def give_away(folder: Path) -> None:
    for each in (folder, *folder.iterdir()):
        os.chown(each, 65534, -1)


def from_the_shared_mac(sock: socket.socket) -> list[str]:
    """Return the frames from the virtual MAC that have arrived; discard all others."""
    frames = []
    with contextlib.suppress(BlockingIOError):
        while True:
            frames.append(sock.recv(2048))
    return [frame.hex() for frame in frames if frame[6:12] == MacAddress.parse(DEVICE.mac).octets]


def rewritten(path: Path, **changes: object) -> None:
    """Change the place in a journal's header."""
    first, _newline, rest = path.read_bytes().partition(b"\n")
    header = msgspec.json.decode(first, type=journal_file.Header)
    place = msgspec.structs.replace(header.place, **changes)
    path.write_bytes(journal_file.header_line(msgspec.structs.replace(header, place=place)) + rest)


async def test_where_no_daemon_ever_was_there_is_nothing_to_clean_and_nothing_is_made(tmp_path: Path) -> None:
    assert await clean(tmp_path / "state") == Report()
    assert not (tmp_path / "state").exists()


@pytest.mark.system
async def test_what_a_killed_daemon_left_is_undone(namespace: Namespace, tmp_path: Path) -> None:
    before = state_of(namespace)
    leave(namespace, tmp_path)
    left = state_of(namespace)

    report = await clean_in(namespace, tmp_path)

    assert left != before
    assert state_of(namespace) == before
    assert [str(each) for each in report.undone] == [
        "removed address fd88::50/64 from eth0",
        "removed address 10.88.0.50/24 from eth0",
        "removed device carp0 from eth0",
        "restored net.ipv4.conf.eth0.arp_announce to 0",
        "restored net.ipv4.conf.eth0.arp_ignore to 0",
    ]
    assert (report.spared, report.failed, report.held) == ((), (), ())
    assert state_folder.journals(tmp_path) == []


@pytest.mark.system
async def test_cleaning_sends_nothing_from_the_shared_mac(pair: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    ours, theirs = pair
    with entered(theirs), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as sock:
        sock.setblocking(False)
        leave(ours, tmp_path)
        await asyncio.sleep(1.5)
        while_it_lived = from_the_shared_mac(sock)
        await clean_in(ours, tmp_path)
        await asyncio.sleep(1.5)

        assert while_it_lived != []
        assert from_the_shared_mac(sock) == []


@pytest.mark.system
async def test_a_rehearsal_says_it_all_and_does_nothing(namespace: Namespace, tmp_path: Path) -> None:
    leave(namespace, tmp_path)
    left = state_of(namespace)

    rehearsed = await clean_in(namespace, tmp_path, is_rehearsal=True)

    assert state_of(namespace) == left
    assert await clean_in(namespace, tmp_path) == rehearsed


@pytest.mark.system
async def test_what_a_living_daemon_has_stays_and_is_named(namespace: Namespace, tmp_path: Path) -> None:
    with running_program(namespace, tmp_path) as process:
        there = state_of(namespace)
        report = await clean_in(namespace, tmp_path)

        assert state_of(namespace) == there

    assert report.undone == ()
    (held,) = report.held
    assert str(held).startswith(f"held by running pycarp, pid {process.pid}: net.ipv4.conf.eth0.arp_ignore, ")
    assert DEVICE in held.resources


@pytest.mark.system
async def test_what_a_living_daemon_took_over_from_a_dead_one_stays(namespace: Namespace, tmp_path: Path) -> None:
    leave(namespace, tmp_path)
    with entered(namespace):
        living = Journal.begin(tmp_path)
        living.record(DEVICE)
        living.record(Shared(DEVICE.name, "10.77.0.50/24"))
        living.impose(ARP_IGNORE, "1")

    report = await clean_in(namespace, tmp_path)

    assert "10.77.0.50/24" in namespace.ip("addr", "show", "dev", DEVICE.name)
    with entered(namespace):
        assert {path: sysctl_files.read(path) for path in SWITCHES} == dict(zip(SWITCHES, "10", strict=True))
        living.restore(ARP_IGNORE)
        assert sysctl_files.read(ARP_IGNORE) == "0"
    assert DEVICE not in [each.resource for each in report.undone]
    living.end()


@pytest.mark.system
@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ("type veth peer name other0", "it is no macvlan but of kind veth"),
        ("link eth0 address 02:00:00:00:00:01 type macvlan", "its MAC address is 02:00:00:00:00:01 and not 00:00:5e"),
        ("link other0 address 00:00:5e:00:01:07 type macvlan", "it is on other0 and not on eth0"),
    ],
)
async def test_a_device_that_only_has_the_same_name_stays(
    namespace: Namespace, tmp_path: Path, made: str, reason: str
) -> None:
    if "link other0" in made:
        namespace.ip("link", "add", "other0", "type", "veth", "peer", "name", "other1")
    namespace.ip("link", "add", "name", "carp0", *made.split())
    path = left_behind(namespace, tmp_path, DEVICE)
    there = state_of(namespace)

    report = await clean_in(namespace, tmp_path)

    assert state_of(namespace) == there
    (spared,) = report.spared
    assert str(spared).startswith(f"left carp0 alone: {reason}")
    assert not path.exists()


@pytest.mark.system
@pytest.mark.parametrize("address", ["10.99.0.1/24", "fd99::1/64"])
async def test_an_address_that_somebody_else_has_added_stays(
    namespace: Namespace, tmp_path: Path, address: str
) -> None:
    namespace.ip("addr", "add", address, "dev", LINK)
    left_behind(namespace, tmp_path, Shared(LINK, address))

    report = await clean_in(namespace, tmp_path)

    assert address in namespace.ip("addr", "show", "dev", LINK)
    assert [str(each) for each in report.spared] == [f"left {address} on eth0 alone: somebody else has put it there"]


@pytest.mark.system
async def test_an_address_with_another_prefix_length_stays(namespace: Namespace, tmp_path: Path) -> None:
    left_behind(namespace, tmp_path, Shared(LINK, f"{namespace.address}/25"))

    await clean_in(namespace, tmp_path)

    assert str(namespace.own) in namespace.addresses()


@pytest.mark.system
async def test_the_machines_own_address_that_came_after_ours_stays_as_it_was(
    namespace: Namespace, tmp_path: Path
) -> None:
    """With the first address of a network, Linux removes the others."""
    leave(namespace, tmp_path)
    own = ("10.88.0.9/24", "brd", "+", "dev", LINK, "label", f"{LINK}:own", "valid_lft", "600", "preferred_lft", "500")
    namespace.ip("addr", "add", *own)

    await clean_in(namespace, tmp_path)

    shown = namespace.ip("addr", "show", "dev", LINK)
    assert "10.88.0.50" not in shown
    assert f"inet 10.88.0.9/24 brd 10.88.0.255 scope global dynamic {LINK}:own" in shown
    assert "valid_lft 600sec preferred_lft 500sec" in shown or "valid_lft 599sec preferred_lft 499sec" in shown


@pytest.mark.system
async def test_routes_stay_when_the_first_address_of_their_network_goes(namespace: Namespace, tmp_path: Path) -> None:
    """With its last address, Linux removes all routes of a link."""
    namespace.ip("addr", "flush", "dev", LINK)
    leave(namespace, tmp_path)
    namespace.ip("addr", "add", "10.88.0.9/24", "dev", LINK)
    namespace.ip("route", "add", "default", "via", "10.88.0.1", "dev", LINK, "onlink")

    await clean_in(namespace, tmp_path)

    assert "10.88.0.50" not in namespace.ip("addr", "show", "dev", LINK)
    assert "default via 10.88.0.1" in namespace.ip("route")


@pytest.mark.system
async def test_a_switch_that_somebody_has_changed_since_stays(namespace: Namespace, tmp_path: Path) -> None:
    left_behind(namespace, tmp_path, Sysctl(ARP_IGNORE, "0", "1"))
    with entered(namespace):
        sysctl_files.write(ARP_IGNORE, "2")

    report = await clean_in(namespace, tmp_path)

    assert [str(each) for each in report.spared] == [
        "left net.ipv4.conf.eth0.arp_ignore alone: it is 2, and pycarp had set it to 1"
    ]
    with entered(namespace):
        assert sysctl_files.read(ARP_IGNORE) == "2"


@pytest.mark.system
async def test_what_was_noted_and_never_done_is_nothing_to_undo(namespace: Namespace, tmp_path: Path) -> None:
    noted = (Sysctl(ARP_IGNORE, "0", "1"), DEVICE, Shared(LINK, "10.99.0.1/24"), Shared("nosuch0", "10.99.0.1/24"))
    left_behind(namespace, tmp_path, *noted)

    assert await clean_in(namespace, tmp_path) == Report()
    assert state_folder.journals(tmp_path) == []


@pytest.mark.system
async def test_switches_of_a_link_that_is_gone_are_gone_with_it(namespace: Namespace, tmp_path: Path) -> None:
    left_behind(namespace, tmp_path, Sysctl("net/ipv4/conf/nosuch0/arp_ignore", "0", "1"))

    assert await clean_in(namespace, tmp_path) == Report()


@pytest.mark.system
async def test_the_journal_of_another_boot_only_goes(namespace: Namespace, tmp_path: Path) -> None:
    leave(namespace, tmp_path)
    (path,) = state_folder.journals(tmp_path)
    rewritten(path, boot_id="another")
    there = state_of(namespace)

    assert await clean_in(namespace, tmp_path) == Report()
    assert state_of(namespace) == there
    assert not path.exists()


@pytest.mark.system
async def test_the_journal_of_another_namespace_stays(pair: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    ours, theirs = pair
    leave(ours, tmp_path)
    there = state_of(ours)

    assert await clean_in(theirs, tmp_path) == Report()
    assert state_of(ours) == there
    assert len(state_folder.journals(tmp_path)) == 1


@pytest.mark.system
async def test_the_journal_of_a_namespace_that_is_gone_goes_when_its_number_is_given_again(
    namespace: Namespace, tmp_path: Path
) -> None:
    path = left_behind(namespace, tmp_path, Shared(LINK, str(namespace.own)))
    rewritten(path, cookie=1)

    assert await clean_in(namespace, tmp_path) == Report()
    assert not path.exists()


@pytest.mark.system
async def test_a_torn_line_is_ignored_and_the_rest_undone(namespace: Namespace, tmp_path: Path) -> None:
    before = state_of(namespace)
    leave(namespace, tmp_path)
    (path,) = state_folder.journals(tmp_path)
    with path.open("ab") as file:
        file.write(journal_file.line("record", Shared(LINK, str(namespace.own)))[:-7])

    report = await clean_in(namespace, tmp_path)

    assert state_of(namespace) == before
    assert report.failed == ()


@pytest.mark.system
async def test_a_journal_whose_writer_died_over_its_first_line_goes(namespace: Namespace, tmp_path: Path) -> None:
    (tmp_path / "1-2-3.journal").write_text('{"version"')

    assert await clean_in(namespace, tmp_path) == Report()
    assert state_folder.journals(tmp_path) == []


@pytest.mark.system
async def test_a_damaged_journal_is_told_and_kept_and_what_can_be_read_is_undone(
    namespace: Namespace, tmp_path: Path
) -> None:
    before = state_of(namespace)
    leave(namespace, tmp_path)
    (path,) = state_folder.journals(tmp_path)
    with path.open("ab") as file:
        file.write(b"garbage\n")

    report = await clean_in(namespace, tmp_path)

    assert state_of(namespace) == before
    (failed,) = report.failed
    assert str(failed).startswith(f"cannot read {path}: line ")
    assert str(failed).endswith("; look what is left of that daemon, and remove the file")
    assert path.exists()


@pytest.mark.system
async def test_a_journal_of_another_version_is_told_and_kept(namespace: Namespace, tmp_path: Path) -> None:
    path = left_behind(namespace, tmp_path, DEVICE)
    path.write_text(path.read_text().replace('"version":1', '"version":2', 1))

    report = await clean_in(namespace, tmp_path)

    (failed,) = report.failed
    assert "it is of version 2, and only 1 is known here" in str(failed)
    assert path.exists()


@pytest.mark.system
async def test_what_the_kernel_refuses_is_told_and_its_journal_kept(namespace: Namespace) -> None:
    folder = folder_of_all()
    try:
        leave(namespace, folder)
        there = state_of(namespace)
        give_away(folder)
        with entered(namespace), unprivileged():
            report = await clean(folder)

        assert state_of(namespace) == there
        assert "cannot release carp0: Operation not permitted; run as root or give the process CAP_NET_ADMIN" in [
            str(each) for each in report.failed
        ]
        assert len(state_folder.journals(folder)) == 1
    finally:
        shutil.rmtree(folder)


@pytest.mark.system
async def test_what_others_wrote_is_not_believed(namespace: Namespace, tmp_path: Path) -> None:
    leave(namespace, tmp_path)
    (path,) = state_folder.journals(tmp_path)
    os.chown(path, 65534, -1)
    there = state_of(namespace)

    assert await clean_in(namespace, tmp_path) == Report()
    assert state_of(namespace) == there


@pytest.mark.system
async def test_of_two_who_clean_at_once_one_does_it_all(namespace: Namespace, tmp_path: Path) -> None:
    before = state_of(namespace)
    leave(namespace, tmp_path)

    with entered(namespace):
        reports = await asyncio.gather(clean(tmp_path), clean(tmp_path))

    assert state_of(namespace) == before
    assert sorted(len(each.undone) for each in reports) == [0, 5]
    assert all(each.failed == () for each in reports)


async def test_who_cleans_waits_for_another_and_not_for_ever(tmp_path: Path) -> None:
    (tmp_path / "1-2-3.journal").touch()
    cleaning = state_folder.try_to_lock_cleaning(tmp_path)
    assert cleaning is not None
    began_s = time.monotonic()
    try:
        with pytest.raises(ActuatorError, match=r"another pycarp \(pid \d+\) has been cleaning up"):
            await clean(tmp_path, timeout_s=0.3)
    finally:
        os.close(cleaning)
    assert 0.3 <= time.monotonic() - began_s < 0.45


@pytest.mark.system
async def test_a_folder_that_may_not_be_used_is_named_with_the_way_out(tmp_path: Path) -> None:
    require()
    folder = folder_of_all()
    try:
        Journal.begin(folder).record(Device("carp0", LINK, "00:00:5e:00:01:07"))
        with unprivileged(), pytest.raises(ConfigError, match=r"Permission denied; run as root or .* --state DIR"):
            await clean(folder)
    finally:
        shutil.rmtree(folder)
