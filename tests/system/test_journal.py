"""The journal of a daemon's resources on this machine."""

import contextlib
import json
import os
import resource as limits
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.errors import ActuatorError, ConfigError
from pycarp.system.addresses import sysctl_files
from pycarp.system.recovery import journal_file, state_folder
from pycarp.system.recovery.journal import Device, Journal, Resource, Shared, Sysctl
from tests.support.namespaces import LINK, entered, joined_namespaces
from tests.support.system import require, unprivileged

DEVICE = Device("carp0", "eth0", "00:00:5e:00:01:07")
SHARED = Shared("carp0", "192.0.2.1/24")
FORWARDING = "net/ipv4/ip_forward"
ARP_IGNORE = f"net/ipv4/conf/{LINK}/arp_ignore"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal.begin(tmp_path / "state")
    yield made
    with contextlib.suppress(OSError):
        made.end()


def noted(journal: Journal) -> tuple[Resource, ...]:
    """Return the resources that a reader finds in the file."""
    found = journal_file.read(journal.path)
    assert found is not None
    return found.resources


def is_held(path: Path) -> bool:
    found = journal_file.read(path)
    assert found is not None
    return found.is_held


def test_the_file_is_for_its_owner_alone_and_the_folder_can_be_listed_by_all(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        journal = Journal.begin(tmp_path / "run" / "state")
    finally:
        os.umask(before)

    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert journal.folder.stat().st_mode & 0o777 == 0o755
    journal.end()


def test_the_first_line_says_when_where_and_who(journal: Journal) -> None:
    first = json.loads(journal.path.read_text().splitlines()[0])

    assert first["version"] == 1
    assert first["pid"] == os.getpid()
    assert first["place"]["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert first["place"]["netns"] == os.stat("/proc/self/ns/net").st_ino
    assert journal.path.name.startswith(f"{first['place']['netns']}-{os.getpid()}-")


def test_what_is_recorded_and_not_struck_out_can_be_read_in_its_order(journal: Journal) -> None:
    switch = Sysctl(FORWARDING, "0", "1")
    for each in (switch, DEVICE, SHARED):
        journal.record(each)
    journal.strike(DEVICE)

    assert noted(journal) == journal.resources == (switch, SHARED)


@pytest.mark.parametrize(
    ("resource", "kind", "what"),
    [
        (DEVICE, "device", {"name": "carp0", "link": "eth0", "mac": "00:00:5e:00:01:07"}),
        (SHARED, "shared", {"link": "carp0", "address": "192.0.2.1/24"}),
        (Sysctl(FORWARDING, "0", "1"), "sysctl", {"path": FORWARDING, "before": "0", "ours": "1"}),
    ],
)
def test_an_upgrade_reads_what_the_version_before_it_has_written(
    journal: Journal, resource: Resource, kind: str, what: dict[str, str]
) -> None:
    """The words in the file stay, however the code calls these things."""
    journal.record(resource)
    journal.strike(resource)

    lines = [json.loads(each) for each in journal.path.read_text().splitlines()[1:]]
    assert lines == [{"verb": verb, "kind": kind, "what": what} for verb in ("record", "strike")]


def test_recording_twice_is_recording_once(journal: Journal) -> None:
    journal.record(DEVICE)
    journal.record(DEVICE)
    journal.strike(DEVICE)
    journal.strike(DEVICE)

    assert noted(journal) == ()
    assert len(journal.path.read_text().splitlines()) == 3


def test_a_journal_in_which_nothing_is_left_goes_at_the_end(journal: Journal) -> None:
    journal.record(DEVICE)
    journal.strike(DEVICE)
    journal.end()

    assert state_folder.journals(journal.folder) == []


def test_a_journal_in_which_something_is_left_stays_for_a_later_start(journal: Journal) -> None:
    journal.record(DEVICE)
    journal.end()

    assert noted(journal) == (DEVICE,)
    assert not is_held(journal.path)


def test_several_daemons_have_journals_side_by_side(journal: Journal) -> None:
    other = Journal.begin(journal.folder)

    assert len(state_folder.journals(journal.folder)) == 2
    other.end()


def test_a_journal_is_held_as_long_as_its_owner_lives(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from pycarp.system.recovery.journal import Journal;"
        "journal = Journal.begin(pathlib.Path(sys.argv[1])); print(journal.path, flush=True); input()"
    )
    argv = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        held_before = is_held(path)
        process.kill()

    assert held_before
    assert not is_held(path)


def test_a_program_that_the_owner_started_does_not_hold_it(journal: Journal) -> None:
    journal.record(DEVICE)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        journal.end()

        assert not is_held(journal.path)
    finally:
        child.kill()
        child.wait()


def test_a_torn_last_line_is_ignored(journal: Journal) -> None:
    journal.record(DEVICE)
    with journal.path.open("ab") as file:
        file.write(journal_file.line("strike", DEVICE)[:-1])

    assert noted(journal) == (DEVICE,)


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        '{"verb":"record","kind":"cable","what":{}}',
        '{"verb":"record","kind":"device","what":{"name":"x"}}',
        '{"verb":"record","kind":"sysctl","what":{"path":"net/../../etc/passwd","before":"0","ours":"1"}}',
        '{"verb":"record","kind":"sysctl","what":{"path":"kernel/panic","before":"0","ours":"1"}}',
    ],
)
def test_another_line_that_cannot_be_read_is_damage_and_the_rest_is_read(journal: Journal, text: str) -> None:
    with journal.path.open("a") as file:
        file.write(f"{text}\n")
    journal.record(DEVICE)

    found = journal_file.read(journal.path)

    assert found is not None
    assert found.damage is not None
    assert found.damage.startswith("line 2: ")
    assert found.resources == (DEVICE,)


def test_what_cannot_be_written_is_not_recorded_and_the_next_line_is_whole(journal: Journal) -> None:
    """Write half a line, then fail as on a full disk."""
    soft, hard = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (journal.path.stat().st_size + 10, hard))
    try:
        with pytest.raises(ActuatorError, match=r"cannot record carp0 in .*journal: File too large"):
            journal.record(DEVICE)
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, (soft, hard))
    journal.record(SHARED)

    assert noted(journal) == journal.resources == (SHARED,)


def record_and_strike_together(journal: Journal) -> None:
    with journal.together():
        journal.record(DEVICE)
        journal.strike(SHARED)


def test_what_is_recorded_together_is_written_at_the_end_of_that(journal: Journal) -> None:
    journal.record(SHARED)
    with journal.together():
        journal.record(DEVICE)
        journal.strike(SHARED)
        during = noted(journal)

    assert during == (SHARED,)
    assert noted(journal) == journal.resources == (DEVICE,)


def test_what_cannot_be_written_together_is_neither_recorded_nor_struck_out(journal: Journal) -> None:
    journal.record(SHARED)
    before = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (journal.path.stat().st_size + 20, before[1]))
    try:
        with pytest.raises(ActuatorError, match="cannot write to"):
            record_and_strike_together(journal)
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, before)

    assert noted(journal) == journal.resources == (SHARED,)


def test_a_journal_that_grew_long_is_shortened_and_never_let_go(journal: Journal) -> None:
    journal.record(DEVICE)
    for _ in range(2000):
        journal.record(SHARED)
        journal.strike(SHARED)

    assert journal.path.stat().st_size < 300_000
    assert noted(journal) == (DEVICE,)
    assert is_held(journal.path)
    assert [each.name for each in journal.folder.iterdir() if each.suffix == ".new"] == []


@pytest.mark.system
def test_a_folder_that_cannot_be_used_is_named_with_the_way_out(tmp_path: Path) -> None:
    require()
    (tmp_path / "roots").mkdir(mode=0o700)
    said = rf"^cannot use {tmp_path}/roots/state.*: Permission denied; run as root or name another .* --state DIR$"
    with unprivileged(), pytest.raises(ConfigError, match=said):
        Journal.begin(tmp_path / "roots" / "state")


def test_a_file_in_the_place_of_the_folder_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    with pytest.raises(ConfigError, match=r"state.*: Not a directory; name another folder with --state DIR"):
        Journal.begin(tmp_path / "state")


def test_a_daemon_that_begins_waits_for_a_cleaner_and_not_for_ever(tmp_path: Path) -> None:
    cleaning = state_folder.try_to_lock_cleaning(tmp_path)
    assert cleaning is not None

    began_s = time.monotonic()
    with pytest.raises(
        ActuatorError, match=r"another pycarp \(pid \d+\) has been cleaning up in .* for more than 0\.3 s"
    ):
        Journal.begin(tmp_path, timeout_s=0.3)
    assert 0.3 <= time.monotonic() - began_s < 0.45

    os.close(cleaning)
    Journal.begin(tmp_path).end()


def test_a_value_that_another_daemon_has_set_is_not_the_one_before(journal: Journal) -> None:
    value = sysctl_files.read(FORWARDING)
    assert value is not None
    other = Journal.begin(journal.folder)

    assert journal.before(FORWARDING) is None
    other.record(Sysctl(FORWARDING, "of old", value))
    assert journal.before(FORWARDING) == "of old"
    other.end()


def test_what_another_daemon_had_set_before_somebody_changed_it_does_not_count(journal: Journal) -> None:
    other = Journal.begin(journal.folder)
    other.record(Sysctl(FORWARDING, "of old", "4711"))

    assert journal.before(FORWARDING) is None
    other.end()


def test_a_switch_is_shared_as_long_as_another_living_daemon_has_recorded_it(journal: Journal) -> None:
    other = Journal.begin(journal.folder)
    journal.record(Sysctl(FORWARDING, "0", "1"))

    assert not journal.is_shared(FORWARDING)
    other.record(Sysctl(FORWARDING, "0", "1"))
    assert journal.is_shared(FORWARDING)
    other.end()
    assert not journal.is_shared(FORWARDING)


def test_what_another_daemon_has_beside_a_switch_does_not_make_it_shared(journal: Journal) -> None:
    other = Journal.begin(journal.folder)
    for each in (DEVICE, SHARED, Sysctl("net/ipv4/conf/eth0/arp_ignore", "0", "1")):
        other.record(each)

    assert not journal.is_shared(FORWARDING)
    other.end()


@pytest.mark.system
def test_a_switch_that_two_daemons_want_is_restored_by_the_last_of_them(tmp_path: Path) -> None:
    require("ip")
    values = []
    with joined_namespaces() as (ours, _theirs), entered(ours):
        first, second = Journal.begin(tmp_path), Journal.begin(tmp_path)
        first.impose(ARP_IGNORE, "1")
        second.impose(ARP_IGNORE, "1")
        values.append(sysctl_files.read(ARP_IGNORE))
        for each in (first, second):
            each.restore(ARP_IGNORE)
            each.end()
            values.append(sysctl_files.read(ARP_IGNORE))

    assert values == ["1", "1", "0"]
    assert state_folder.journals(tmp_path) == []


@pytest.mark.system
def test_a_switch_that_somebody_has_changed_since_is_left_as_it_is(tmp_path: Path) -> None:
    require("ip")
    with joined_namespaces() as (ours, _theirs), entered(ours):
        journal = Journal.begin(tmp_path)
        journal.impose(ARP_IGNORE, "1")
        sysctl_files.write(ARP_IGNORE, "2")
        journal.restore(ARP_IGNORE)
        journal.end()

        assert sysctl_files.read(ARP_IGNORE) == "2"


@pytest.mark.system
def test_a_switch_can_be_imposed_again_with_another_value(tmp_path: Path) -> None:
    require("ip")
    with joined_namespaces() as (ours, _theirs), entered(ours):
        journal = Journal.begin(tmp_path)
        for value in ("1", "1", "2"):
            journal.impose(ARP_IGNORE, value)

        assert journal.resources == (Sysctl(ARP_IGNORE, "0", "2"),)
        journal.restore(ARP_IGNORE)
        assert sysctl_files.read(ARP_IGNORE) == "0"
        journal.end()


def test_a_switch_that_does_not_exist_is_named(journal: Journal) -> None:
    with pytest.raises(ActuatorError, match=r"cannot set net/ipv4/conf/nosuch/arp_ignore: .*does not have it"):
        journal.impose("net/ipv4/conf/nosuch/arp_ignore", "1")

    assert journal.resources == ()
