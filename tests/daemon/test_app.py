"""The whole daemon on a host of its own: each request, each signal, what it leaves behind."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import (
    DoneReply,
    DriftReply,
    DriftRequest,
    GroupReply,
    GroupRequest,
    IfconfigRequest,
    PlanReply,
    PlanRequest,
    ReloadRequest,
    StatusReply,
    StatusRequest,
    SysctlReply,
    SysctlRequest,
)
from pycarp.errors import ControlError
from tests.support.daemons import Pycarp, children, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

ADVSKEW, SHARED = 7, "192.168.1.50"
STARTED_S, SOON_S, LEFT_S = 8.0, 3.0, 2.0
PREEMPT = "net.inet.carp.preempt"


class Supervisor:
    """Plays systemd: a socket that keeps what it is sent."""

    def __init__(self, path: Path) -> None:
        self.received: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        while octets := self._socket.recv(4096):
            self.received += octets.decode().splitlines()

    def finish(self) -> None:
        """Stop receiving."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    supervisor = Supervisor(path)
    yield supervisor
    supervisor.finish()


@pytest.fixture
def daemon(tmp_path: Path, supervisor: Supervisor) -> Iterator[Pycarp]:
    require("ip", "bridge")
    state = ("--state", str(tmp_path / "state"), "--log-format", "json")
    with (
        new_segment(a="192.168.1.3/24") as segment,
        Pycarp(segment, "a", tmp_path, advskew=ADVSKEW, options=(*state, "--user", "root")) as one,
    ):
        wait_until(lambda: one.is_in("MASTER") and one.has_address(SHARED), STARTED_S)
        yield one


def logged(daemon: Pycarp) -> list[str]:
    lines = daemon.log.read_text().splitlines()
    return [json.loads(line)["message"] for line in lines if line.startswith("{")]


def test_it_answers_each_request_and_signal_and_ends_clean(
    daemon: Pycarp, supervisor: Supervisor, tmp_path: Path
) -> None:
    assert "carp: runs as user root (uid 0) with CAP_NET_ADMIN and CAP_NET_RAW only" in logged(daemon)
    wait_until(lambda: "STATUS=carp0 MASTER" in supervisor.received, SOON_S)
    _answers_each_request(daemon.control, daemon.process.pid)
    _logs_signals_that_mean_nothing(daemon)
    _reloads_on_sighup_what_is_right(daemon, tmp_path / "a.rc.conf")

    daemon.process.terminate()

    assert daemon.process.wait(LEFT_S) == 0
    assert not daemon.has_address(SHARED)
    assert not daemon.control.exists()
    assert [path.name for path in (tmp_path / "state").glob("*.journal")] == []
    assert "carp: leaving: dropping addresses, then bowing out" in logged(daemon)
    assert [each for each in supervisor.received if each in ("READY=1", "RELOADING=1", "STOPPING=1")] == [
        *["READY=1"],
        *["RELOADING=1", "READY=1"] * 3,
        *["STOPPING=1"],
    ]


def _answers_each_request(control: Path, pid: int) -> None:
    status = request(control, StatusRequest(), StatusReply)
    assert (status.pid, [host.name for host in status.hosts]) == (pid, ["carp0"])
    assert request(control, SysctlRequest(PREEMPT, 1), SysctlReply).before == 0
    assert request(control, GroupRequest("carp", 5), GroupReply).demotion == 5
    assert request(control, IfconfigRequest(host="carp0", advskew=9), DoneReply) == DoneReply("")
    assert [each.setting for each in request(control, PlanRequest(), PlanReply).drift] == [
        "advskew",
        "demotion",
        "value",
    ]
    assert request(control, DriftRequest(), DriftReply).sysctls == {"preempt": 1}
    (change,) = request(control, ReloadRequest(), PlanReply).changes
    assert (change.name, change.what) == ("carp0", f"advskew 9 -> {ADVSKEW}")


def _logs_signals_that_mean_nothing(daemon: Pycarp) -> None:
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        daemon.process.send_signal(number)
        text = f"carp: {number.name} means nothing here; ask with pycarp status"
        wait_until(partial(lambda text: text in logged(daemon), text), SOON_S)


def _reloads_on_sighup_what_is_right(daemon: Pycarp, file: Path) -> None:
    good = file.read_text()
    file.write_text(good.replace("advskew 7", "advskew 8"))
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.status.advskew == 8, SOON_S)

    file.write_text(good.replace("advskew", "advskw"))
    daemon.process.send_signal(signal.SIGHUP)

    wait_until(lambda: any("nothing is changed" in each for each in logged(daemon)), SOON_S)
    assert (daemon.status.state, daemon.status.advskew) == ("MASTER", 8)


def test_what_a_killed_daemon_left_is_removed_before_the_next_begins(daemon: Pycarp, tmp_path: Path) -> None:
    """The guardian is killed first, while the daemon stands still: it would start another."""
    daemon.process.send_signal(signal.SIGSTOP)
    for child in children(daemon.process.pid):
        os.kill(child, signal.SIGKILL)
    daemon.process.kill()
    daemon.process.wait()
    assert daemon.has_address(SHARED)

    with daemon:
        wait_until(lambda: daemon.is_in("BACKUP"), STARTED_S)
        assert not daemon.has_address(SHARED)
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.process.wait(LEFT_S) == 0
    with pytest.raises(ControlError, match="no pycarp answers"):
        request(daemon.control, StatusRequest(), StatusReply)


def test_the_socket_of_a_group_can_be_connected_to_by_the_group_only(tmp_path: Path) -> None:
    require("ip", "bridge")
    options = ("--control-group", "nogroup", "--state", str(tmp_path / "state"), "--user", "root")
    tmp_path.chmod(0o755)
    with (
        new_segment(a="192.168.1.3/24") as segment,
        Pycarp(segment, "a", tmp_path, options=options) as one,
    ):
        wait_until(lambda: one.is_in("BACKUP"), STARTED_S)
        mode = one.control.stat()

    assert (oct(mode.st_mode & 0o777), mode.st_uid) == ("0o660", 0)
