"""What the kernel says of the process at the other end of a socket."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pycarp.system.files.trust import Peer, groups_of
from tests.support.system import require

CALLER = """
import os, socket, sys
path, uid, gid, groups = sys.argv[1:]
if os.getuid() == 0:
    os.setgroups([int(each) for each in groups.split(",") if each])
    os.setgid(int(gid))
    os.setuid(int(uid))
sock = socket.socket(socket.AF_UNIX)
sock.connect(path)
sock.recv(1)
"""


@contextmanager
def caller(*, uid: int, gid: int, groups: list[int], before: Sequence[str] = ()) -> Iterator[tuple[socket.socket, int]]:
    """A process of a user that has connected: our end of the connection, and its pid; ``before`` is what starts it."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        path = Path(folder) / "s"
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(10)
        Path(folder).chmod(0o755)
        path.chmod(0o666)
        words = [str(path), str(uid), str(gid), ",".join(map(str, groups))]
        with subprocess.Popen([*before, sys.executable, "-c", CALLER, *words]) as process:
            connection, _address = listening.accept()
            with connection:
                yield connection, process.pid


@pytest.mark.system
def test_the_groups_of_a_caller_are_its_primary_one_and_all_others() -> None:
    require()
    with caller(uid=65534, gid=9, groups=[5, 4711]) as (connection, _pid):
        assert groups_of(connection) == {5, 9, 4711}


@pytest.mark.system
def test_a_caller_without_other_groups_has_its_primary_one() -> None:
    require()
    with caller(uid=65534, gid=9, groups=[]) as (connection, _pid):
        assert groups_of(connection) == {9}


@pytest.mark.system
def test_a_caller_is_known_by_what_the_kernel_says_of_it() -> None:
    require()
    with caller(uid=65534, gid=9, groups=[]) as (connection, pid):
        peer = Peer.of(connection)

        assert peer == (pid, 65534, 9)
        assert not peer.is_trustworthy


def test_a_process_of_our_own_user_is_trusted() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert Peer.of(ours) == (os.getpid(), os.geteuid(), os.getegid())
        assert Peer.of(ours).is_trustworthy


@pytest.mark.system
@pytest.mark.parametrize(("capability", "is_trustworthy"), [("net_admin", True), ("net_raw", False)])
def test_of_other_users_those_are_trusted_who_may_change_addresses(capability: str, *, is_trustworthy: bool) -> None:
    require("setpriv")
    before = ["setpriv", "--reuid", "65534", "--clear-groups", f"--inh-caps=-all,+{capability}"]
    with caller(uid=65534, gid=9, groups=[], before=[*before, f"--ambient-caps=-all,+{capability}"]) as (
        connection,
        _pid,
    ):
        peer = Peer.of(connection)

        assert (peer.uid, peer.is_trustworthy) == (65534, is_trustworthy)
