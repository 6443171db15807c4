"""What the daemon may do once it has started: two capabilities, as the user that it was told to be."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import (
    DoneReply,
    IfconfigRequest,
    PlanReply,
    ReloadRequest,
    StatusReply,
    StatusRequest,
)
from pycarp.errors import CarpError, ControlError
from pycarp.lab.lab_network import Segment
from pycarp.system.recovery.journal import Journal, Shared
from tests.support.daemons import Process, Pycarp, children, new_segment, wait_until
from tests.support.namespaces import entered, joined_namespaces
from tests.support.system import require
from tests.support.unprivileged import World, being, status_of, world

pytestmark = pytest.mark.system

USER, UID = "daemon", "1"
TWO = f"{1 << 12 | 1 << 13:016x}"
LINE = 'cloned_interfaces="carp0"\nifconfig_carp0="vhid 1 advskew {} pass testpass 192.168.1.50/24"\n'
SOON_S = 20.0
NAMESPACE_ENDS_S = 90.0
"""The kernel ends namespaces one after the other, and the other tests make and remove many."""


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("ip", "mount")
    with new_segment(a="192.168.1.3/24", b="192.168.1.5/24") as made:
        yield made


@pytest.fixture
def folder(segment: Segment) -> Iterator[World]:
    with world() as made:
        made.config_of(USER, LINE.format(0))
        made.control.parent.mkdir()
        shutil.chown(made.control.parent, user=USER)
        yield made


def daemon_of(segment: Segment, where: World, *options: str, state: str = "state") -> Process:
    words = ["run", "--rc-conf", str(where.config), "--state", str(where.folder / state)]
    words += ["--control", str(where.control), *options]
    return Process(segment, "a", where.argv(*words), where.log)


def state_of(where: World) -> str:
    try:
        return request(where.control, StatusRequest(), StatusReply).hosts[0].state
    except (CarpError, IndexError):
        return ""


def privileges_of(pid: int) -> tuple[str, ...]:
    found = status_of(pid)
    sets = [found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
    return (found["Uid"].split()[1], found["NoNewPrivs"], *sets)


def test_it_works_as_its_user_with_two_capabilities(segment: Segment, folder: World) -> None:
    """It becomes MASTER, reloads, is changed, replaces its guardian, and leaves nothing."""
    with daemon_of(segment, folder, "--user", USER) as daemon:
        pid = daemon.process.pid
        wait_until(lambda: state_of(folder) == "MASTER", SOON_S)
        (guardian,) = children(pid)
        threads = [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]
        for each in (*threads, guardian):
            assert privileges_of(each) == (UID, "1", TWO, TWO, TWO, TWO, TWO)
        assert daemon.has_address()

        folder.config_of(USER, LINE.format(7))
        (change,) = request(folder.control, ReloadRequest(), PlanReply).changes
        assert (change.name, change.what) == ("carp0", "advskew 0 -> 7")
        request(folder.control, IfconfigRequest(host="carp0", add=["192.168.1.51/24"]), DoneReply)
        wait_until(lambda: daemon.has_address("192.168.1.51"), SOON_S)

        os.kill(guardian, signal.SIGKILL)
        wait_until(lambda: bool(children(pid)) and children(pid) != [guardian], SOON_S)
        wait_until(lambda: bool(daemon.lines("guardian is process")), SOON_S)
        assert privileges_of(children(pid)[0]) == (UID, "1", TWO, TWO, TWO, TWO, TWO)

        segment.run("a", ["ip", "link", "del", "carp0"])
        wait_until(lambda: daemon.has_address("192.168.1.51"), SOON_S)

        daemon.process.terminate()
        assert daemon.process.wait(5) == 0
    assert "carp0" not in segment.run("a", ["ip", "link"])
    assert [each.name for each in folder.state.glob("*.journal")] == []
    assert daemon.lines(f"runs as user {USER} (uid {UID}) with CAP_NET_ADMIN and CAP_NET_RAW only")


def test_its_start_removes_the_journals_of_network_namespaces_that_are_gone(segment: Segment, folder: World) -> None:
    with joined_namespaces() as (passing, _other), entered(passing):
        journal = Journal.begin(folder.state)
    journal.record(Shared("eth0", "192.168.1.50/24"))
    journal.end()
    assert journal.path.exists()

    # The kernel ends a namespace a little later.
    ends_s = time.monotonic() + NAMESPACE_ENDS_S
    while journal.path.exists():
        assert time.monotonic() < ends_s
        with daemon_of(segment, folder, "--user", USER):
            wait_until(lambda: state_of(folder) != "", SOON_S)


def test_after_its_death_the_guardian_cleans_up_as_that_user_and_root_goes_on(segment: Segment, folder: World) -> None:
    with daemon_of(segment, folder, "--user", USER) as daemon:
        wait_until(lambda: state_of(folder) == "MASTER", SOON_S)
        daemon.process.kill()
        daemon.process.wait()
        wait_until(lambda: "carp0" not in segment.run("a", ["ip", "link"]), SOON_S)

    folder.control = folder.folder / "of-root.sock"
    with daemon_of(segment, folder, "--user", "root") as daemon:
        wait_until(lambda: state_of(folder) != "", SOON_S)

        assert privileges_of(daemon.process.pid) == ("0", "1", TWO, TWO, TWO, TWO, TWO)
        assert folder.state.stat().st_uid == 0


def test_root_cleans_up_what_a_daemon_of_another_user_left(segment: Segment, folder: World) -> None:
    with daemon_of(segment, folder, "--user", USER) as daemon:
        wait_until(lambda: state_of(folder) == "MASTER", SOON_S)
        for each in (*children(daemon.process.pid), daemon.process.pid):
            os.kill(each, signal.SIGKILL)
        daemon.process.wait()

    said = segment.run("a", folder.argv("release", "--state", str(folder.state)))

    assert "removed device carp0 from fxp0" in said
    assert "carp0" not in segment.run("a", ["ip", "link"])


def test_daemons_of_two_users_do_not_run_the_same_host(segment: Segment, folder: World) -> None:
    with daemon_of(segment, folder, "--user", USER) as first:
        wait_until(lambda: state_of(folder) != "", SOON_S)
        other = ["run", "--rc-conf", str(folder.config), "--state", str(folder.folder / "another")]
        other += ["--control", str(folder.folder / "another.sock"), "--user", "root"]
        done = segment.popen("a", folder.argv(*other), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _nothing, said = done.communicate(timeout=SOON_S)
        assert (done.returncode, f"vhid 1 on fxp0 is run by another pycarp, pid {first.process.pid}" in said) == (
            2,
            True,
        )

        other[4] = str(folder.state)
        done = segment.popen("a", folder.argv(*other), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _nothing, said = done.communicate(timeout=SOON_S)

        assert done.returncode == 2
        assert f"is used by a running pycarp of another user, pid {first.process.pid}" in said


def test_a_user_that_cannot_work_is_refused_in_one_line(segment: Segment, folder: World) -> None:
    """The folder of the control socket is root's."""
    words = ["run", "--rc-conf", str(folder.config), "--state", str(folder.state), "--user", USER]
    done = segment.popen(
        "a", folder.argv(*words, "--control", str(folder.folder / "x.sock")), stdout=subprocess.DEVNULL, stderr=-1
    )
    _nothing, said = done.communicate(timeout=SOON_S)

    assert done.returncode == 2
    assert said == (
        f"pycarp: cannot run as user {USER}: it may not write in {folder.folder}; choose a folder of that user\n"
    )


def test_a_configuration_that_cannot_be_read_again_is_told_at_the_start(segment: Segment, folder: World) -> None:
    folder.config.chmod(0o600)
    with daemon_of(segment, folder, "--user", USER) as daemon:
        wait_until(lambda: state_of(folder) != "", SOON_S)

        (line,) = daemon.lines("pycarp reload will fail")
        assert f"it may not read {folder.config}; chgrp {USER} and chmod 640 let it" in line
        with pytest.raises(CarpError, match="Permission denied"):
            request(folder.control, ReloadRequest(), PlanReply)
        assert state_of(folder) != ""


def test_root_keeps_two_capabilities_and_its_files(segment: Segment, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    with Pycarp(
        segment, "a", tmp_path, options=("--record", str(record), "--state", str(tmp_path / "state"))
    ) as daemon:
        wait_until(lambda: daemon.is_in("MASTER"), SOON_S)

        assert privileges_of(daemon.process.pid) == ("0", "1", TWO, TWO, TWO, TWO, TWO)
        assert record.stat().st_mode & 0o777 == 0o600


def test_root_keeps_all_where_it_could_not_write_otherwise(segment: Segment, tmp_path: Path) -> None:
    """Somebody runs it with sudo in a folder of his own, which is closed to others."""
    os.chown(tmp_path, 1, 1)
    with Pycarp(segment, "a", tmp_path, options=("--state", str(tmp_path / "state"))) as daemon:
        wait_until(lambda: daemon.is_in("MASTER"), SOON_S)

        assert daemon.lines("does not run as root without the right to pass over permissions: it may not write in")


def test_who_may_look_and_who_may_change(segment: Segment, folder: World) -> None:
    """The kernel says who asks: users of the group look, others are refused, root and the daemon's user may all."""
    with daemon_of(segment, folder, "--user", USER, "--control-group", "games"):
        wait_until(lambda: state_of(folder) == "MASTER", SOON_S)
        assert (folder.control.stat().st_mode & 0o777, folder.control.stat().st_gid) == (0o660, 60)

        with being("nobody", "games"):
            assert state_of(folder) == "MASTER"
            with pytest.raises(ControlError) as caught:
                request(folder.control, IfconfigRequest(host="carp0", is_up=False), DoneReply)
        assert str(caught.value) == f"user nobody may only look; root and user {USER} may change things"
        with being("nobody"), pytest.raises(ControlError, match=f"may not ask the pycarp at {folder.control}"):
            request(folder.control, StatusRequest(), StatusReply)
        with being(USER):
            request(folder.control, IfconfigRequest(host="carp0", advskew=3), DoneReply)
        assert state_of(folder) == "MASTER"


def test_a_user_that_does_not_exist_is_named() -> None:
    require()
    argv = [sys.executable, "-m", "pycarp", "run", "x.toml"]
    for option in ("--user", "--control-group"):
        done = subprocess.run([*argv, option, "nobody-here"], capture_output=True, text=True, check=False)
        assert done.returncode == 2


def test_root_in_a_sandbox_needs_no_other_capability(segment: Segment, tmp_path: Path) -> None:
    """As systemd starts it with CapabilityBoundingSet=."""
    require("setpriv")
    file = tmp_path / "rc.conf"
    file.write_text(LINE.format(0))
    argv = ["setpriv", "--bounding-set=-all,+net_admin,+net_raw", sys.executable, "-m", "pycarp", "run"]
    argv += ["--rc-conf", str(file), "--state", str(tmp_path / "state"), "--control", str(tmp_path / "c.sock")]
    with Process(segment, "a", argv, tmp_path / "log") as daemon:
        wait_until(lambda: bool(daemon.lines("BACKUP -> MASTER")), SOON_S)

        assert privileges_of(daemon.process.pid) == ("0", "1", TWO, TWO, TWO, TWO, TWO)
