"""A real daemon whose interface is renamed or deleted, and whose file follows."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.lab.lab_network import Segment
from tests.interop.test_reload import host
from tests.support.daemons import Toml, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

STARTED_S = 20.0
WITHIN_S = 5.0


@pytest.fixture
def segment() -> Iterator[Segment]:
    require()
    with new_segment(a="192.168.1.3/24", b="192.168.1.5/24") as made:
        yield made


def test_a_reload_that_follows_a_rename_keeps_state_and_epoch(segment: Segment, tmp_path: Path) -> None:
    with Toml(segment, "a", tmp_path, host(1)) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)
        epoch = daemon.hosts["carp1"].epoch
        segment.run("a", ["ip", "link", "set", "fxp0", "name", "lan0"])
        wait_until(lambda: daemon.hosts["carp1"].interface == "lan0", WITHIN_S)
        daemon.file.write_text(host(1, link="lan0") + host(2, link="lan0"))
        done = daemon.command("reload")

        assert done.returncode == 0, done.stderr
        assert "carp1" not in done.stdout
        assert (daemon.hosts["carp1"].state, daemon.hosts["carp1"].epoch) == ("MASTER", epoch)
        wait_until(lambda: daemon.are_in("carp2"), STARTED_S)
        assert daemon.hosts["carp2"].interface == "lan0"
        assert daemon.command("reload").stdout == "nothing has changed\n"


def test_why_explains_a_host_without_a_name_after_its_interface_was_renamed(segment: Segment, tmp_path: Path) -> None:
    with Toml(segment, "a", tmp_path, host(1).replace('name = "carp1"\n', "")) as daemon:
        wait_until(lambda: daemon.are_in("1@fxp0"), STARTED_S)
        segment.run("a", ["ip", "link", "set", "fxp0", "name", "lan0"])
        wait_until(lambda: "1@lan0" in daemon.hosts, WITHIN_S)

        done = daemon.command("why", "1@lan0")

        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("1@lan0 (1@lan0) is MASTER")


def test_the_guardian_bows_out_by_an_interface_that_was_renamed(segment: Segment, tmp_path: Path) -> None:
    more = "advbase = 1\nadvskew = {}\n"
    (tmp_path / "b").mkdir()
    with Toml(segment, "a", tmp_path, host(1, more=more.format(0))) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)
        with Toml(segment, "b", tmp_path / "b", host(1, more=more.format(100))) as other:
            wait_until(lambda: other.are_in("carp1", state="BACKUP"), STARTED_S)
            segment.run("a", ["ip", "link", "set", "fxp0", "name", "lan0"])
            wait_until(lambda: daemon.hosts["carp1"].interface == "lan0", WITHIN_S)
            time.sleep(1.5)
            os.kill(daemon.process.pid, signal.SIGKILL)
            wait_until(lambda: other.are_in("carp1"), STARTED_S)

            wait_until(lambda: bool(other.lines("master bowed out")), WITHIN_S)


def test_an_interface_that_was_deleted_is_not_called_down(segment: Segment, tmp_path: Path) -> None:
    with Toml(segment, "a", tmp_path, host(1)) as daemon:
        wait_until(lambda: daemon.are_in("carp1"), STARTED_S)
        segment.run("a", ["ip", "link", "del", "fxp0"])
        wait_until(lambda: daemon.are_in("carp1", state="INIT"), WITHIN_S)

        assert daemon.lines("-> INIT (interface does not exist)")
        assert not daemon.lines("hardware interface down")
        change = daemon.hosts["carp1"].last_change
        assert change is not None
        assert (change.reason, change.explanation) == (
            "link-deleted",
            "interface fxp0 does not exist; it is waited for",
        )


def test_hosts_that_a_file_has_no_longer_end_only_if_that_is_meant(segment: Segment, tmp_path: Path) -> None:
    with Toml(segment, "a", tmp_path, host(1) + host(2) + host(3)) as daemon:
        wait_until(lambda: daemon.are_in("carp1", "carp2", "carp3"), STARTED_S)
        daemon.file.write_text(host(1) + host(3))
        refused = daemon.command("reload")

        assert refused.returncode == 2
        assert "carp2 ends here: the file has it no longer; if that is meant, say --force" in refused.stderr
        assert daemon.are_in("carp1", "carp2", "carp3")
        assert daemon.command("reload", "--force").returncode == 0
        assert not daemon.are_in("carp2")
        daemon.file.write_text(host(1))
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "carp3" not in daemon.hosts, WITHIN_S)
        wait_until(lambda: bool(daemon.lines("carp: reload: carp3 ends here: the file has it no longer")), WITHIN_S)
