"""What is asked at a terminal before something that may disturb others, and what is done where nobody can answer."""

import subprocess
import sys
from pathlib import Path

import pytest

from pycarp.daemon.control_messages import IfconfigRequest, ReloadRequest, Request
from tests.cli.test_plan import WARNING, Daemon
from tests.support.control import ScriptedDaemon, scripted_daemon
from tests.support.terminal import CTRL_C, CTRL_D, Session, at_terminal

QUESTION = "Go on? [y/N]: "
ENDS = "carp2 ends here: the file has it no longer"


class OfFile(Daemon):
    """A daemon whose file is of no interest."""

    def __init__(self, *warnings: str) -> None:
        super().__init__(Path("/nowhere"), warnings=warnings)


def reload(daemon: ScriptedDaemon, answer: str | None = None, *words: str, redirected: str = "") -> Session:
    """Run ``pycarp reload`` at a terminal where somebody answers its question."""
    answers = {} if answer is None else {QUESTION: answer}
    return at_terminal("reload", "--control", str(daemon.path), *words, answers=answers, redirected=redirected)


def reloads(daemon: ScriptedDaemon) -> list[Request]:
    return [each for each in daemon.asked if isinstance(each, ReloadRequest)]


def test_a_reload_says_what_ends_and_goes_on_when_that_is_wanted(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", OfFile(ENDS, WARNING)) as daemon:
        session = reload(daemon, "y\n")

        assert session.shown.splitlines()[:3] == [
            f"pycarp: warning: {ENDS}",
            f"pycarp: warning: {WARNING}",
            f"{QUESTION}y",
        ]
        assert "carp0: advskew 50 -> 0; no interruption" in session.shown
        assert (session.status, reloads(daemon)) == (0, [ReloadRequest(is_forced=True)])


@pytest.mark.parametrize("answer", ["n\n", "\n", "no\n", CTRL_C, CTRL_D], ids=["n", "Enter", "no", "Ctrl-C", "Ctrl-D"])
def test_a_reload_that_is_not_wanted_changes_nothing(tmp_path: Path, answer: str) -> None:
    with scripted_daemon(tmp_path / "s", OfFile(ENDS)) as daemon:
        session = reload(daemon, answer)

        assert session.shown.rstrip().endswith("Aborted!")
        assert "Traceback" not in session.shown
        assert (session.status, reloads(daemon)) == (1, [])


def test_an_answer_that_is_none_is_asked_for_again(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", OfFile(ENDS)) as daemon:
        session = at_terminal(
            "reload", "--control", str(daemon.path), answers={QUESTION: "perhaps\n", "invalid input": "y\n"}
        )

        assert (session.status, len(reloads(daemon))) == (0, 1)


def test_a_reload_that_disturbs_nobody_asks_nothing(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", OfFile()) as daemon:
        session = reload(daemon)

        assert QUESTION not in session.shown
        assert (session.status, reloads(daemon)) == (0, [ReloadRequest()])


@pytest.mark.parametrize("word", ["--yes", "--force"])
def test_who_is_sure_is_asked_nothing(tmp_path: Path, word: str) -> None:
    with scripted_daemon(tmp_path / "s", OfFile(ENDS)) as daemon:
        session = reload(daemon, None, word)

        assert ENDS not in session.shown
        assert (session.status, reloads(daemon)) == (0, [ReloadRequest(is_forced=True)])


def test_the_question_is_at_the_terminal_when_the_output_goes_into_a_file(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", OfFile(ENDS)) as daemon:
        session = reload(daemon, "y\n", redirected="stdout")

        assert session.elsewhere.startswith("carp0: advskew 50 -> 0; no interruption\n")
        assert reloads(daemon) == [ReloadRequest(is_forced=True)]


def test_who_would_not_see_the_question_is_not_asked(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", OfFile(ENDS)) as daemon:
        session = reload(daemon, redirected="stderr")

        assert session.elsewhere == f"pycarp: warning: {ENDS}\n"
        assert (session.status, reloads(daemon)) == (0, [ReloadRequest()])


def test_with_a_closed_standard_input_nothing_is_asked(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", OfFile(ENDS)) as daemon:
        argv = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "pycarp", "reload"]
        done = subprocess.run(
            [*argv, "--control", str(daemon.path)], capture_output=True, text=True, timeout=30, check=False
        )

        assert (done.returncode, done.stderr) == (0, f"pycarp: warning: {ENDS}\n")
        assert reloads(daemon) == [ReloadRequest()]


def change(daemon: ScriptedDaemon, *words: str, answers: dict[str, str], redirected: str = "") -> Session:
    """Run ``ifconfig carp0 WORDS`` at a terminal."""
    argv = ("ifconfig", "carp0", *words, "--control", str(daemon.path))
    return at_terminal(*argv, answers=answers, redirected=redirected)


def changes(daemon: ScriptedDaemon) -> list[Request]:
    return [each for each in daemon.asked if isinstance(each, IfconfigRequest)]


ALIAS = ("alias", "192.168.1.52/24")


@pytest.mark.parametrize(
    ("answer", "asked"),
    [("y\n", [IfconfigRequest(host="carp0", add=["192.168.1.52/24"])]), ("n\n", [])],
    ids=["y", "n"],
)
def test_a_live_change_that_others_do_not_know_of_is_asked_about(
    tmp_path: Path, answer: str, asked: list[Request]
) -> None:
    with scripted_daemon(tmp_path / "s", OfFile()) as daemon:
        session = change(daemon, *ALIAS, answers={QUESTION: answer})

        assert session.shown.startswith(f"pycarp: warning: {WARNING}; with rolling 60")
        assert changes(daemon) == asked


def test_a_password_is_asked_for_before_the_question(tmp_path: Path) -> None:
    answers = {"New password of carp0: ": "hunter2\n", "Once more: ": "hunter2\n", QUESTION: "y\n"}
    with scripted_daemon(tmp_path / "s", OfFile()) as daemon:
        session = change(daemon, "pass", answers=answers)

        assert "hunter2" not in session.shown
        assert changes(daemon) == [IfconfigRequest(host="carp0", passphrase="hunter2")]


LAST = ("-alias", "192.168.1.50")
OF_LAST = f"carp0 ends here without 192.168.1.50, its last address. {QUESTION}"


def test_the_end_of_a_host_is_asked_about_at_the_terminal_when_the_output_goes_into_a_file(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", OfFile()) as daemon:
        session = change(daemon, *LAST, answers={OF_LAST: "y\n"}, redirected="stdout")

        assert session.status == 0
        assert changes(daemon) == [IfconfigRequest(host="carp0", remove=["192.168.1.50"], is_forced=True)]


def test_the_end_of_a_host_is_left_to_the_daemon_to_refuse_where_nobody_sees_the_question(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", OfFile()) as daemon:
        change(daemon, *LAST, answers={}, redirected="stderr")

        assert changes(daemon) == [IfconfigRequest(host="carp0", remove=["192.168.1.50"])]
