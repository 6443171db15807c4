"""``pycarp plan`` and ``pycarp reload`` as their user meets them."""

import json
from pathlib import Path

import pytest

from pycarp.daemon.control_messages import (
    DoneReply,
    Drift,
    DriftReply,
    DriftRequest,
    HostDrift,
    IfconfigRequest,
    PlannedChange,
    PlanReply,
    PlanRequest,
    ReloadRequest,
    Reply,
    Request,
    StatusRequest,
)
from tests.support.control import host_of, peer_of, scripted_daemon, status_of

TEXT = """\
[[host]]
interface = "fxp0"  # the wire
vhid = 1
password = "testpass"
addresses = ["192.168.1.50/24"]
"""
CHANGE = PlannedChange(
    name="carp0",
    kind="changed",
    what="advskew 50 -> 0",
    cost="no interruption",
    settings=[],
    leaves_master=False,
    about_s=0.0,
)
DRIFT = Drift(name="carp0", setting="advskew", file=0, running=50, reload="sets it back", can_be_saved=True)
WARNING = "carp0: until 192.168.1.5 has the same addresses and password, neither hears the other, and both are MASTER"


class Daemon:
    """A daemon whose carp0 was changed while it ran, with warnings if wanted; ``file`` is its own."""

    def __init__(self, file: Path, *, warnings: tuple[str, ...] = (), grammar: str = "") -> None:
        self.file = file
        self.grammar = grammar
        self.warnings = list(warnings)

    def __call__(self, request: Request) -> Reply:
        if isinstance(request, DriftRequest):
            host = HostDrift(name="carp0", interfaces=["em0", "fxp0"], vhid=1, advskew=50, password="secret")
            return DriftReply(
                file=str(self.file), grammar=self.grammar, hosts=[host], sysctls={"preempt": 1}, left_out=[]
            )
        if isinstance(request, StatusRequest):
            return status_of(host_of(heard=[peer_of("192.168.1.5")]))
        if isinstance(request, IfconfigRequest):
            return DoneReply()
        assert isinstance(request, PlanRequest | ReloadRequest)
        return PlanReply(changes=[CHANGE], drift=[DRIFT], warnings=self.warnings)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pycarp.toml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def test_changes_and_drift_are_a_line_each_and_warnings_go_elsewhere(tmp_path: Path, file: Path) -> None:
    with scripted_daemon(tmp_path / "s", Daemon(file, warnings=(WARNING,))) as daemon:
        done = daemon.pycarp("plan")

    assert done.stdout == (
        "carp0: advskew 50 -> 0; no interruption\n"
        "drift: carp0: advskew was changed from 0 to 50 while it ran; reload sets it back\n"
    )
    assert done.stderr == f"pycarp: warning: {WARNING}\n"


def test_scripts_get_one_object(tmp_path: Path, file: Path) -> None:
    with scripted_daemon(tmp_path / "s", Daemon(file)) as daemon:
        found = json.loads(daemon.pycarp("plan", "--json").stdout)

    assert found["changes"][0]["what"] == "advskew 50 -> 0"
    assert found["drift"][0]["reload"] == "sets it back"
    assert found["warnings"] == []


def test_saving_writes_the_file_of_the_daemon_and_no_password_is_shown(tmp_path: Path, file: Path) -> None:
    with scripted_daemon(tmp_path / "s", Daemon(file)) as daemon:
        done = daemon.pycarp("plan", "--save")

    assert done.exit_code == 0
    assert done.stdout.splitlines()[:2] == [
        "saved: carp0: advskew 50, the password",
        "saved: net.inet.carp.preempt: 1",
    ]
    assert "secret" not in done.output
    assert file.read_text().startswith(TEXT.replace("testpass", "secret") + "advskew = 50\n")
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("hosts", "sysctls", "saved", "added"),
    [
        (1, {}, ["saved: carp0: advskew 50"], "advskew = 50\n"),
        (0, {"preempt": 1}, ["saved: net.inet.carp.preempt: 1"], "\n[node.sysctls]\npreempt = 1\n"),
        (0, {}, [], ""),
    ],
)
def test_what_was_changed_alone_is_saved(
    tmp_path: Path, file: Path, hosts: int, sysctls: dict[str, int], saved: list[str], added: str
) -> None:
    daemon = Daemon(file)
    changed = HostDrift(name="carp0", interfaces=["em0", "fxp0"], vhid=1, advskew=50)

    def answer(request: Request) -> Reply:
        if isinstance(request, DriftRequest):
            return DriftReply(file=str(file), grammar="toml", hosts=[changed] * hosts, sysctls=sysctls, left_out=[])
        return daemon(request)

    with scripted_daemon(tmp_path / "s", answer) as asked:
        done = asked.pycarp("plan", "--save")

    assert [line for line in done.stdout.splitlines() if line.startswith("saved")] == saved
    assert file.read_text() == TEXT + added


def test_saving_into_another_file_leaves_the_own_one(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(TEXT)
    with scripted_daemon(tmp_path / "s", Daemon(file)) as daemon:
        assert daemon.pycarp("plan", "--save", str(other)).exit_code == 0

    assert "advskew = 50" in other.read_text()
    assert file.read_text() == TEXT


@pytest.mark.parametrize("grammar", ["rc.conf", ""])
def test_another_grammar_is_refused_with_the_way_out(tmp_path: Path, grammar: str) -> None:
    file = tmp_path / "rc.conf"
    file.write_text('ifconfig_fxp0_alias0="inet vhid 1 pass testpass 192.168.1.50/24"\n')
    before = file.read_text()
    with scripted_daemon(tmp_path / "s", Daemon(file, grammar=grammar)) as daemon:
        done = daemon.pycarp("plan", "--save")

    assert done.exit_code == 2
    assert f"pycarp convert {file} --to toml --output pycarp.toml" in done.stderr
    assert file.read_text() == before


def test_a_reload_without_a_terminal_warns_and_goes_on(tmp_path: Path, file: Path) -> None:
    with scripted_daemon(tmp_path / "s", Daemon(file, warnings=(WARNING,))) as daemon:
        done = daemon.pycarp("reload")

        assert (done.exit_code, done.stderr) == (0, f"pycarp: warning: {WARNING}\n")
        assert daemon.asked[-1] == ReloadRequest()


@pytest.mark.parametrize("word", ["--yes", "--force"])
def test_a_script_that_is_sure_is_not_warned(tmp_path: Path, file: Path, word: str) -> None:
    with scripted_daemon(tmp_path / "s", Daemon(file, warnings=(WARNING,))) as daemon:
        assert daemon.pycarp("reload", word).stderr == ""
        assert daemon.asked == [ReloadRequest(is_forced=True)]


@pytest.mark.parametrize("change", [("alias", "192.168.1.52/24"), ("-alias", "192.168.1.50"), ("pass",)], ids=str)
def test_a_signed_change_while_others_are_heard_warns(tmp_path: Path, file: Path, change: tuple[str, ...]) -> None:
    with scripted_daemon(tmp_path / "s", Daemon(file)) as daemon:
        done = daemon.pycarp("ifconfig", "carp0", *change, stdin="new\n")

        assert (done.exit_code, done.stderr.startswith(f"pycarp: warning: {WARNING}; with rolling 60")) == (0, True)
        assert daemon.pycarp("ifconfig", "carp0", *change, "rolling", "60", stdin="new\n").stderr == ""
        assert daemon.pycarp("ifconfig", "carp0", *change, "--yes", stdin="new\n").stderr == ""


def test_a_change_that_is_not_signed_needs_no_warning(tmp_path: Path, file: Path) -> None:
    with scripted_daemon(tmp_path / "s", Daemon(file)) as daemon:
        assert daemon.pycarp("ifconfig", "carp0", "advskew", "50").stderr == ""
