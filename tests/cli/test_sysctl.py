"""``pycarp sysctl`` as its user meets it."""

from pathlib import Path

import pytest

from pycarp.daemon.control_messages import Reply, Request, StatusRequest, SysctlReply, SysctlRequest
from pycarp.errors import UsageError
from tests.support.control import scripted_daemon, status_of

PREEMPT = "net.inet.carp.preempt"
DEMOTION = "net.inet.carp.demotion"


def answer(request: Request) -> Reply:
    """Answer as a daemon whose every switch is 3, and that refuses 9."""
    if isinstance(request, SysctlRequest):
        if request.value == 9:
            raise UsageError("9 is outside 0-2")
        return SysctlReply(name=request.name, before=3, value=3 if request.value is None else request.value)
    return status_of()


def test_without_words_all_are_shown(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        assert daemon.pycarp("sysctl").stdout == "net.inet.carp.allow: 1\nnet.inet.carp.log: 2\n"
        assert daemon.asked == [StatusRequest()]


def test_one_is_shown_and_one_is_set(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        result = daemon.pycarp("sysctl", PREEMPT, f"{DEMOTION}=-50", f"{PREEMPT}=0")

        assert result.stdout == f"{PREEMPT}: 3\n{DEMOTION}: 3 -> -50\n{PREEMPT}: 3 -> 0\n"
        assert daemon.asked == [SysctlRequest(PREEMPT), SysctlRequest(DEMOTION, -50), SysctlRequest(PREEMPT, 0)]


def test_what_the_daemon_warns_of_is_printed(tmp_path: Path) -> None:
    reply = SysctlReply(name=DEMOTION, before=0, value=300, warning="300 is outside")
    with scripted_daemon(tmp_path / "s", lambda _request: reply) as daemon:
        result = daemon.pycarp("sysctl", f"{DEMOTION}=300")

    assert result.stdout == f"{DEMOTION}: 0 -> 300\n"
    assert (result.exit_code, result.stderr) == (0, "pycarp: warning: 300 is outside\n")


def test_a_mistake_in_the_last_word_changes_nothing(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        result = daemon.pycarp("sysctl", f"{PREEMPT}=1", f"{DEMOTION}=much")

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"pycarp: {DEMOTION}: 'much' is not a whole number\n"
        assert daemon.asked == []


def test_what_the_daemon_refuses_is_wrong_usage(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        result = daemon.pycarp("sysctl", f"{PREEMPT}=9")

    assert (result.exit_code, result.stderr) == (2, "pycarp: 9 is outside 0-2\n")


@pytest.mark.parametrize("words", ["-a", "net.inet.carp", "net.inet.carp."])
def test_freebsds_words_for_all_of_them(tmp_path: Path, words: str) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        assert daemon.pycarp("sysctl", words).stdout == daemon.pycarp("sysctl").stdout


def test_n_shows_the_value_alone(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        assert daemon.pycarp("sysctl", "-n", PREEMPT).stdout == "3\n"
        assert daemon.pycarp("sysctl", "-n", "net.inet.carp").stdout == "1\n2\n"


def test_all_beside_one_is_wrong_usage(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        assert daemon.pycarp("sysctl", "-a", PREEMPT).stderr.startswith("pycarp: -a shows all sysctls")
