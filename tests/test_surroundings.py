"""The suite passes wherever it is started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SENSITIVE = (
    "tests/cli/test_demo.py::test_ctrl_c_ends_it_without_a_traceback",
    "tests/actuators/test_scripts.py::test_the_exit_status_of_a_script_does_not_matter",
)
"""A program that is sent a signal, and a shell script in the temporary folder."""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
def test_signals_may_be_ignored_and_the_temporary_folder_may_have_a_blank(tmp_path: Path) -> None:
    """As under ``nohup``, in the background of a script, and with a TMPDIR of somebody's own."""

    def ignore() -> None:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    folder = tmp_path / "an odd one"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SENSITIVE],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), TMPDIR=str(folder)),
        preexec_fn=ignore,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "2 passed" in done.stdout, done.stdout
