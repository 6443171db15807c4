"""Several pycarp processes on one machine: what a command without ``--control`` asks."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli, daemons
from pycarp.daemon import control_paths
from pycarp.daemon.control_messages import (
    DoneReply,
    HandoverReply,
    HandoverRequest,
    IfconfigRequest,
    LinkStatus,
    Reply,
    Request,
    StatusReply,
    SysctlRequest,
)
from tests.support.control import ScriptedDaemon, host_of, scripted_daemon, status_of


def daemon_of(path: Path, name: str, vhid: int) -> "ScriptedDaemon":
    """Return a daemon of one host, not started yet."""

    def answer(request: Request) -> Reply:
        match request:
            case IfconfigRequest():
                return DoneReply()
            case HandoverRequest():
                return HandoverReply(host=name, master="192.0.2.9")
            case _:
                return status(name, vhid)

    return ScriptedDaemon(path, answer)


def status(name: str, vhid: int) -> StatusReply:
    links = {"fxp0": LinkStatus({"ipackets": vhid}, {"bad-ttl": 1}, floods=1)}
    return msgspec.structs.replace(
        status_of(host_of(name, vhid=vhid)), counters={"ipackets": vhid}, links=links, groups={"carp": vhid}
    )


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ScriptedDaemon]]:
    """Two processes whose sockets are found."""
    made = [daemon_of(tmp_path / f"{vhid}.sock", f"{vhid}@fxp0", vhid) for vhid in (1, 2)]
    monkeypatch.setattr(daemons, "ucarp_paths", lambda: [each.path for each in made])
    with scripted_daemon(made[0].path, made[0].answer) as one, scripted_daemon(made[1].path, made[1].answer) as other:
        yield [one, other]


def pycarp(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_the_status_is_of_all_hosts(two: list[ScriptedDaemon]) -> None:
    shown = json.loads(pycarp("status", "--json").stdout)

    assert [host["name"] for host in shown["hosts"]] == ["1@fxp0", "2@fxp0"]
    assert (shown["counters"], shown["groups"]) == ({"ipackets": 3}, {"carp": 3})


def test_counters_are_added_up(two: list[ScriptedDaemon]) -> None:
    counted = json.loads(pycarp("netstat", "--json", "-I", "fxp0").stdout)

    assert counted == {"counters": {"ipackets": 3}, "drops": {"bad-ttl": 2}, "floods": 2}


def test_a_change_goes_to_the_process_that_has_the_host(two: list[ScriptedDaemon]) -> None:
    assert pycarp("ifconfig", "2@fxp0", "down").exit_code == 0
    assert pycarp("handover", "1@fxp0").exit_code == 0

    assert [type(each).__name__ for daemon in two for each in daemon.asked if not is_status(each)] == [
        "HandoverRequest",
        "IfconfigRequest",
    ]


def is_status(request: Request) -> bool:
    return type(request).__name__ == "StatusRequest"


def test_what_is_meant_for_one_of_several_has_to_be_said(two: list[ScriptedDaemon]) -> None:
    result = pycarp("sysctl", "net.inet.carp.preempt=1")

    assert result.exit_code == 2
    lines = [f"  --control {each.path}  ({number}@fxp0)" for number, each in enumerate(two, 1)]
    assert result.stderr.splitlines()[1:] == lines
    assert not any(isinstance(each, SysctlRequest) for daemon in two for each in daemon.asked)


def test_a_host_that_nobody_has_is_named_with_those_there_are(two: list[ScriptedDaemon]) -> None:
    result = pycarp("ifconfig", "3@fxp0", "down")

    assert (result.exit_code, result.stderr) == (
        2,
        "pycarp: no virtual host '3@fxp0' here; there are: 1@fxp0, 2@fxp0\n",
    )


def test_one_that_does_not_answer_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    living, dead = daemon_of(tmp_path / "1.sock", "1@fxp0", 1), tmp_path / "dead.sock"
    monkeypatch.setattr(daemons, "ucarp_paths", lambda: [dead, living.path])
    with scripted_daemon(living.path, living.answer):
        result = pycarp("status")

    assert result.exit_code == 1
    assert f"no pycarp answers at {dead}" in result.stderr
    assert "1@fxp0" in result.stdout


def test_a_socket_that_was_named_is_the_only_one_that_is_asked(two: list[ScriptedDaemon]) -> None:
    assert two[1].pycarp("status").exit_code == 0

    assert (len(two[0].asked), len(two[1].asked)) == (0, 1)


def test_sockets_of_other_network_namespaces_are_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ucarp-eth0-1.sock", "ucarp-eth0-1.sock.lock", "ucarp-eth0-2.netns-7.sock", "pycarp.sock"):
        (tmp_path / name).touch()
    monkeypatch.setattr(control_paths, "_folders", lambda: [tmp_path])
    found = []
    for namespace in ("", ".netns-7"):
        monkeypatch.setattr(control_paths, "_namespace", lambda namespace=namespace: namespace)
        found.append([each.name for each in control_paths.ucarp_paths()])

    assert found == [["ucarp-eth0-1.sock"], ["ucarp-eth0-2.netns-7.sock"]]
    assert control_paths.ucarp_path("eth0", 2) == tmp_path / "ucarp-eth0-2.netns-7.sock"
