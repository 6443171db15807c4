"""What the operating system refuses: a sandbox without some address families, a limit that is too low."""

import errno
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pycarp.cli.refusals import is_about_output, refusal
from tests.support.sandbox import SOCKET_CALLS

ROOT = Path(__file__).parents[2]
UCARP = ("ucarp", "--interface=lo", "--srcip=127.0.0.1", "--vhid=1", "--pass=x", "--addr=10.9.9.9")
TOML = '[[host]]\nvhid = 1\ninterface = "eth0"\npassword = "x"\naddresses = ["10.0.0.1/24"]\n'

pytestmark = pytest.mark.skipif(platform.machine() not in SOCKET_CALLS, reason="the number of socket(2) is not known")


@pytest.mark.parametrize(
    ("words", "exit_status"),
    [(("run", "FILE"), 1), (("check", "FILE"), 0), (("convert", "FILE", "--to", "rc.conf"), 0), (UCARP, 2)],
    ids=lambda words: words[0] if isinstance(words, tuple) else "",
)
def test_without_netlink_no_command_ends_with_a_traceback(
    words: tuple[str, ...], exit_status: int, tmp_path: Path
) -> None:
    file = tmp_path / "pycarp.toml"
    file.write_text(TOML)
    argv = [word.replace("FILE", str(file)) for word in words]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.support.sandbox",
            str(int(socket.AF_NETLINK)),
            sys.executable,
            "-m",
            "pycarp",
            *argv,
        ],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == exit_status, done.stderr
    assert "Traceback" not in done.stderr
    said = ["Address family not supported by protocol; a sandbox must allow AF_UNIX, AF_NETLINK"]
    said += ["no permission: run as root"] if os.geteuid() else []
    assert any(each in done.stderr for each in said), done.stderr


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (
            OSError(errno.EMFILE, "Too many open files"),
            "Too many open files; raise the limit: ulimit -n, or LimitNOFILE=",
        ),
        (OSError(errno.ENOENT, "No such file", "/proc/x"), "/proc/x: No such file"),
        (OSError("odd"), "odd"),
    ],
    ids=["limit", "file", "unknown"],
)
def test_a_refusal_says_what_about_and_what_to_do(exc: OSError, words: str) -> None:
    assert refusal(exc).startswith(f"the operating system refuses what is needed: {words}")


def test_a_file_on_a_full_disk_is_not_taken_for_standard_output() -> None:
    assert is_about_output(OSError(errno.ENOSPC, "full"))
    assert not is_about_output(OSError(errno.ENOSPC, "full", "/tmp/file"))
    assert not is_about_output(OSError(errno.EMFILE, "many"))
