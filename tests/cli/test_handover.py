"""``pycarp handover`` as its user meets it."""

import json
import time
from pathlib import Path

import pytest

from pycarp.aio.virtual_host import HAND_OVER_TIMEOUT_S
from pycarp.daemon.control_messages import HandoverReply, HandoverRequest, Reply, Request
from pycarp.errors import HandOverError, UsageError
from tests.support.control import scripted_daemon


def answer(request: Request) -> Reply:
    """Answer as a daemon whose carp0 is MASTER with a peer, carp1 without one, and carp2 is BACKUP."""
    assert isinstance(request, HandoverRequest)
    if request.host == "carp1":
        raise HandOverError(f"nobody took the addresses of carp1 over within {request.timeout_s:g} s")
    if request.host == "carp2":
        raise UsageError("carp2 is BACKUP; only a MASTER can hand its addresses over")
    if request.is_back:
        return HandoverReply(host="carp0")
    return HandoverReply(host="carp0", master="192.168.1.5", took_s=0.0123)


def test_who_took_over_and_when_is_told(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        result = daemon.pycarp("handover", "carp0")

        assert (result.exit_code, result.stdout) == (0, "carp0: 192.168.1.5 is MASTER after 12.3 ms\n")
        assert daemon.asked == [HandoverRequest(host="carp0", timeout_s=HAND_OVER_TIMEOUT_S)]


def test_taking_it_back_is_told(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        result = daemon.pycarp("handover", "carp0", "--back", "--timeout", "2")

        assert (result.exit_code, result.stdout) == (0, "carp0: demoted by the hand-over no longer\n")
        assert daemon.asked == [HandoverRequest(host="carp0", timeout_s=2, is_back=True)]


def test_scripts_get_one_object_on_one_line(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        (line,) = daemon.pycarp("handover", "carp0", "--json").stdout.splitlines()

    assert json.loads(line) == {"type": "handover", "host": "carp0", "master": "192.168.1.5", "took_s": 0.0123}


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("carp1",), 1, "pycarp: nobody took the addresses of carp1 over within 1 s\n"),
        (("carp2",), 2, "pycarp: carp2 is BACKUP; only a MASTER can hand its addresses over\n"),
    ],
    ids=str,
)
def test_a_refusal_is_one_line_and_its_code(tmp_path: Path, words: tuple[str, ...], code: int, complaint: str) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        result = daemon.pycarp("handover", *words)

    assert (result.exit_code, result.stdout, result.stderr) == (code, "", complaint)


@pytest.mark.parametrize("timeout", ["0.04", "61", "soon"])
def test_a_timeout_that_makes_no_sense_is_wrong_usage(tmp_path: Path, timeout: str) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        assert daemon.pycarp("handover", "carp0", "--timeout", timeout).exit_code == 2
        assert daemon.asked == []


def test_the_answer_is_waited_for_longer_than_the_next_host(tmp_path: Path) -> None:
    """The daemon says after the timeout that nobody came; who asks must not have given up before."""

    def after_the_timeout(request: Request) -> Reply:
        assert isinstance(request, HandoverRequest)
        time.sleep(request.timeout_s + 0.1)
        return answer(request)

    with scripted_daemon(tmp_path / "s", after_the_timeout) as daemon:
        assert daemon.pycarp("handover", "carp1", "--timeout", "0.05").stderr.endswith("within 0.05 s\n")
