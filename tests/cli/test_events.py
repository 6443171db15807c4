"""``pycarp events`` as its user meets it; what is kept and sent is in tests/daemon/test_event_history.py."""

from pathlib import Path

import pytest

from pycarp.daemon.control_messages import EventsRequest, RefusedReply, Reply, Request
from tests.support.control import host_of, scripted_daemon, status_of


def refusing(request: Request) -> Reply:
    """Answer as a daemon that refuses to tell what happened."""
    if isinstance(request, EventsRequest):
        return RefusedReply("there is no host carp7; there are: carp0", is_usage=True)
    return status_of(host_of("carp0"))


@pytest.mark.parametrize("words", [(), ("--follow",), ("--json",)], ids=str)
def test_a_refusal_is_one_line_and_the_end(tmp_path: Path, words: tuple[str, ...]) -> None:
    with scripted_daemon(tmp_path / "s", refusing) as daemon:
        done = daemon.pycarp("events", *words)

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "pycarp: there is no host carp7; there are: carp0\n"
