"""Where the output goes: a full disk, a reader that is gone, a descriptor that the caller has closed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pycarp.daemon.control_messages import (
    DoneReply,
    IfconfigRequest,
    PlanReply,
    PlanRequest,
    ReloadRequest,
    Reply,
    Request,
)
from tests.support.control import host_of, scripted_daemon, status_of

TESTS = Path(__file__).parents[1]
RC_CONF = str(TESTS / "scenarios" / "three-hosts" / "hosta.rc.conf")
CAPTURE = str(TESTS / "vectors" / "netbsd" / "01-basic.pcap")
QUICK = ("--seeds", "1", "--hours", "0.01", "--jobs", "1", "--faults", "power")

commands = pytest.mark.parametrize(
    "words",
    [
        ("--version",),
        ("convert", RC_CONF, "--to", "toml"),
        ("check", "--elsewhere", RC_CONF),
        ("decode", CAPTURE),
        ("decode", CAPTURE, "--json"),
        ("demo",),
        ("release", "--json", "--state", "/nonexistent/pycarp"),
        ("simulate", RC_CONF, RC_CONF, *QUICK),
        ("ucarp", "--help"),
    ],
    ids=lambda words: " ".join(words[:3:2]),
)


def pycarp(*words: str, stdout: int, folder: Path) -> "subprocess.CompletedProcess[str]":
    return run(["-W", "error", "-m", "pycarp", *words], stdout, folder)


def without_descriptor(number: int, *words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command with one of its standard descriptors closed, as ``>&-`` does it."""
    program = f"import os, sys; os.close({number}); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    return run(["-c", program, "-W", "error", "-m", "pycarp", *words], subprocess.PIPE, folder)


def run(words: list[str], stdout: int, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    return subprocess.run(
        [sys.executable, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
        timeout=60,
        check=False,
    )


@commands
def test_a_full_disk_is_told_in_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = pycarp(*words, stdout=full.fileno(), folder=tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "pycarp: cannot write to standard output: No space left on device"
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("command", ["status", "netstat", "ifconfig", "sysctl", "plan", "reload"])
def test_what_a_daemon_answered_is_not_lost_without_a_word_on_a_full_disk(command: str, tmp_path: Path) -> None:
    def answer(request: Request) -> Reply:
        if isinstance(request, PlanRequest | ReloadRequest):
            return PlanReply(changes=[], drift=[], warnings=[])
        return status_of(host_of())

    with scripted_daemon(tmp_path / "s", answer) as daemon, open("/dev/full", "w") as full:
        done = pycarp(command, "--control", str(daemon.path), stdout=full.fileno(), folder=tmp_path)

    assert (done.returncode, done.stderr) == (1, "pycarp: cannot write to standard output: No space left on device\n")


@commands
def test_a_reader_that_is_gone_ends_it_without_a_word(words: tuple[str, ...], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    done = pycarp(*words, stdout=writer, folder=tmp_path)
    os.close(writer)

    assert done.returncode in (0, 1)
    told = ("simulated", "pycarp: passwords are not shown")
    assert [line for line in done.stderr.splitlines() if not line.startswith(told)] == []


@commands
def test_a_closed_output_is_told_in_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    done = without_descriptor(1, *words, folder=tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "pycarp: cannot write to standard output: it is closed"
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(("command", "status"), [("netstat", 1), ("status", 1), ("ifconfig carp0 down", 0)])
def test_a_closed_output_fails_where_something_is_written(command: str, status: int, tmp_path: Path) -> None:
    def answer(request: Request) -> Reply:
        return DoneReply() if isinstance(request, IfconfigRequest) else status_of(host_of())

    with scripted_daemon(tmp_path / "s", answer) as daemon:
        done = without_descriptor(1, *command.split(), "--control", str(daemon.path), folder=tmp_path)

    complaint = "pycarp: cannot write to standard output: it is closed\n"
    assert (done.returncode, done.stderr) == (status, complaint if status else "")


@pytest.mark.parametrize("descriptor", [0, 2])
def test_a_descriptor_that_the_caller_closed_leads_nowhere(descriptor: int, tmp_path: Path) -> None:
    """The capture file that is opened first would otherwise get its number."""
    done = without_descriptor(descriptor, "decode", CAPTURE, folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert "5 packets" in done.stdout


def test_a_closed_standard_input_reads_as_empty(tmp_path: Path) -> None:
    done = without_descriptor(0, "decode", "-", folder=tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("pycarp: cannot read standard input: ")
    assert done.stderr.count("\n") == 1
