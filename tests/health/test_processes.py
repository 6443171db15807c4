"""The probes of processes, real ones, and of units, which a program in the place of systemctl judges."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pycarp import ConfigError
from pycarp.health import Answer, Finding, process, systemd
from tests.support.probes import finding_of
from tests.support.system import require

OK, FAIL, UNKNOWN = Answer.OK, Answer.FAIL, Answer.UNKNOWN
SHORT, LONG = "carp-sleeper", "carp-sleeper-with-a-long-name"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], "subprocess.Popen[bytes]"]]:
    """Start processes with a name of their own."""
    started: list[subprocess.Popen[bytes]] = []

    def called(name: str) -> "subprocess.Popen[bytes]":
        program = tmp_path / str(len(started)) / name
        program.parent.mkdir()
        shutil.copy("/bin/sleep", program)
        started.append(subprocess.Popen([program, "600"]))
        # The kernel closes the pipe by which Popen knows of the start before it sets the name, and the arguments later.
        arguments = Path(f"/proc/{started[-1].pid}/cmdline")
        while not arguments.read_text().startswith(str(program)):
            time.sleep(0.001)
        return started[-1]

    yield called
    for each in started:
        each.kill()
        each.wait()


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process, and leave a zombie of it."""
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("name", [SHORT, LONG])
async def test_a_process_lives_until_it_ends(start: Callable[[str], "subprocess.Popen[bytes]"], name: str) -> None:
    lives = process(name)
    assert await finding_of(lives) == Finding(FAIL, f"there is no process {name}")

    sleeper = start(name)
    assert await finding_of(lives) == Finding(OK, f"process {sleeper.pid} is {name}")

    end(sleeper)
    assert (await finding_of(lives)).answer is FAIL, "a zombie does not live"


async def test_another_process_of_the_name_takes_the_place_of_the_first(
    start: Callable[[str], "subprocess.Popen[bytes]"],
) -> None:
    lives, first = process(SHORT), start(SHORT)
    assert (await finding_of(lives)).detail == f"process {first.pid} is {SHORT}"

    second = start(SHORT)
    end(first)

    assert await finding_of(lives) == Finding(OK, f"process {second.pid} is {SHORT}")


async def test_a_process_that_begins_with_the_same_letters_is_another_one(
    start: Callable[[str], "subprocess.Popen[bytes]"],
) -> None:
    start(LONG)

    assert (await finding_of(process(f"{LONG}r"))).answer is FAIL
    assert (await finding_of(process(LONG[:15]))).answer is OK, "the kernel keeps 15 letters"


async def test_a_file_has_the_number_of_a_process_that_lives(
    start: Callable[[str], "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    path = tmp_path / "service.pid"
    assert await finding_of(process(str(path))) == Finding(FAIL, f"{path} does not exist")

    path.write_text(f"{os.getpid()}\n")
    assert await finding_of(process(str(path))) == Finding(OK, f"process {os.getpid()} of {path} lives")

    ended = start(SHORT)
    end(ended)
    path.write_text(f"{ended.pid}")
    assert await finding_of(process(str(path))) == Finding(FAIL, f"process {ended.pid} of {path} does not live")


@pytest.mark.parametrize("octets", [b"", b"nginx\n", b"-1", b"\xff"])
async def test_a_file_without_a_number_is_unknown(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "service.pid"
    path.write_bytes(octets)

    assert await finding_of(process(str(path))) == Finding(UNKNOWN, f"{path} has no number of a process")


async def test_a_file_that_is_a_pipe_without_a_writer_does_not_keep_anybody_waiting(tmp_path: Path) -> None:
    path = tmp_path / "service.pid"
    os.mkfifo(path)

    assert (await finding_of(process(str(path)))).answer is UNKNOWN


@pytest.mark.system
def test_processes_that_are_hidden_are_unknown() -> None:
    require("unshare", "mount")
    program = """if True:
        import asyncio, os
        from pycarp.health import process

        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        print(asyncio.run(process("none")()))
    """
    # The shell stays, for it is the first process, and the one that is hidden.
    shell = 'mount -t proc -o hidepid=invisible proc /proc && "$@"; exit'
    argv = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", shell, "sh", sys.executable, "-c", program]

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert "UNKNOWN" in done.stdout, done.stderr
    assert "there is no process none that can be seen, and those of others are hidden" in done.stdout


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\nb", 7])
def test_what_is_no_process_is_refused_with_the_way_out(name: Any) -> None:
    with pytest.raises(ConfigError, match=r'is no process; write its name, "nginx", or a file, "/run/nginx.pid"'):
        process(name)


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a program in the place of systemctl that notes its arguments."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def says(script: str) -> Path:
        program = tmp_path / "systemctl"
        program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n{script}\n')
        program.chmod(0o755)
        return tmp_path / "arguments"

    return says


@pytest.mark.parametrize(
    ("script", "answer", "detail"),
    [
        ("echo active", OK, "nginx is active"),
        ("echo reloading", OK, "nginx is reloading"),
        ("echo failed; exit 3", FAIL, "nginx is failed"),
        ("echo activating; exit 3", FAIL, "nginx is activating"),
        ("echo inactive; exit 4", FAIL, "nginx is inactive"),
        (
            "echo 'System has not been booted with systemd as init system.' >&2; exit 1",
            UNKNOWN,
            "systemctl does not say whether nginx is active: System has not been booted with systemd as init system.",
        ),
        ("exit 1", UNKNOWN, "systemctl does not say whether nginx is active: failed with exit status 1"),
        ("echo active; exit 1", UNKNOWN, "systemctl does not say whether nginx is active: active"),
    ],
)
async def test_a_unit_is_active_or_not(
    systemctl: Callable[[str], Path], script: str, answer: Answer, detail: str
) -> None:
    arguments = systemctl(script)

    assert await finding_of(systemd("nginx")) == Finding(answer, detail)
    assert arguments.read_text() == "is-active -- nginx\n"


async def test_without_systemd_it_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert await finding_of(systemd("nginx.service")) == Finding(
        UNKNOWN, "cannot run systemctl: No such file or directory; is this a machine with systemd?"
    )


@pytest.mark.parametrize("unit", ["", "a b", "nginx*", "../x", "ä.service", 7])
def test_what_is_no_unit_is_refused_with_the_way_out(unit: Any) -> None:
    with pytest.raises(ConfigError, match=r'is no unit of systemd; write one such as "nginx.service"'):
        systemd(unit)
