"""The probe that runs a program: real ones, which fail, crash, hang, write, or are not there."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pycarp import ConfigError
from pycarp.health import Answer, Check, Finding, look, program


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@pytest.mark.parametrize(
    ("code", "answer", "detail"),
    [
        ("", Answer.OK, "ended with exit status 0"),
        ("print('12 connections')", Answer.OK, "ended with exit status 0: 12 connections"),
        ("raise SystemExit(3)", Answer.FAIL, "failed with exit status 3"),
        ("import sys; sys.exit('no\\nreplica')", Answer.FAIL, "failed with exit status 1: no replica"),
        ("import os; os.kill(os.getpid(), 9)", Answer.FAIL, "ended by SIGKILL"),
    ],
)
async def test_the_exit_status_decides_and_the_output_is_shown(code: str, answer: Answer, detail: str) -> None:
    check = Check(name="script", probe=program(python(code)), timeout_s=60)

    assert await look(check) == Finding(answer, f"{sys.executable} {detail}")


async def test_a_program_that_is_missing_is_named() -> None:
    assert await program(["/nowhere/check"])() == Finding(
        Answer.UNKNOWN, "cannot run /nowhere/check: No such file or directory"
    )


async def test_a_program_that_is_not_executable_is_named(tmp_path: Path) -> None:
    script = tmp_path / "check.sh"
    script.write_text("#!/bin/sh\n")

    assert await program([str(script)])() == Finding(Answer.UNKNOWN, f"cannot run {script}: Permission denied")


async def test_no_shell_reads_the_arguments() -> None:
    found = await program((*python("import sys; print(sys.argv[1:])"), "$HOME;", "*"))()

    assert isinstance(found, Finding)
    assert found.detail.endswith("['$HOME;', '*']")


async def test_at_the_timeout_the_program_and_its_children_are_ended(tmp_path: Path) -> None:
    # Whoever still has the pipe open, child or grandchild, keeps the reader from its end.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = (
        f"import subprocess; subprocess.run(['sh', '-c', 'sleep 999 & sleep 999; :'], stdout=open({str(pipe)!r}, 'w'))"
    )
    check = Check(name="script", probe=program(python(code)), timeout_s=3)

    async with asyncio.timeout(30):
        finding, written = await asyncio.gather(look(check), asyncio.to_thread(pipe.read_bytes))

    assert finding == Finding(Answer.UNKNOWN, "no answer within 3s")
    assert written == b""


@pytest.mark.parametrize("argv", ["/bin/true", [], [""], ["a\0b"], ["a", 7], 7])
def test_what_is_no_program_is_refused_with_the_way_out(argv: Any) -> None:
    with pytest.raises(ConfigError, match=r'write \["/usr/bin/pg_isready"'):
        program(argv)
