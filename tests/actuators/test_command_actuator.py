"""The command actuator with real programs."""

import asyncio
import os
import shlex
import time
from ipaddress import ip_interface
from pathlib import Path

import pytest

from pycarp.actuators import CommandActuator
from pycarp.errors import ActuatorError
from pycarp.vocabulary import HostKey
from tests.support.processes import has_ended

KEY = HostKey("em0", 1)
ADDRESSES = (ip_interface("192.0.2.10/24"), ip_interface("192.0.2.11/32"))


class Script:
    """A shell script that records its arguments, then runs its body."""

    def __init__(self, folder: Path, body: str = "") -> None:
        self.path = folder / "script"
        self._notes = folder / "notes"
        self.path.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(self._notes))}\n{body}\n')
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """The arguments of each call."""
        return self._notes.read_text().splitlines() if self._notes.exists() else []


async def test_up_is_run_for_each_address_in_turn(tmp_path: Path) -> None:
    script = Script(tmp_path)
    actuator = CommandActuator(up=[str(script.path)])
    await actuator.hold(KEY, ADDRESSES)

    assert script.calls == ["em0 192.0.2.10", "em0 192.0.2.11"]


async def test_down_is_run_for_each_address_in_turn(tmp_path: Path) -> None:
    script = Script(tmp_path)
    actuator = CommandActuator(down=[str(script.path)])
    await actuator.drop(KEY, ADDRESSES)

    assert script.calls == ["em0 192.0.2.10", "em0 192.0.2.11"]


async def test_own_arguments_come_first_and_extra_ones_last(tmp_path: Path) -> None:
    script = Script(tmp_path)
    actuator = CommandActuator(up=[str(script.path), "add"], extra=["web", "site"])
    await actuator.hold(KEY, ADDRESSES[:1])

    assert script.calls == ["add em0 192.0.2.10 web site"]


async def test_no_shell_sees_the_arguments(tmp_path: Path) -> None:
    script = Script(tmp_path)
    actuator = CommandActuator(up=[str(script.path)], extra=[f"; touch {tmp_path}/hacked", "$HOME"])
    await actuator.hold(KEY, ADDRESSES[:1])

    assert script.calls == [f"em0 192.0.2.10 ; touch {tmp_path}/hacked $HOME"]
    assert not (tmp_path / "hacked").exists()


async def test_an_empty_program_does_nothing(tmp_path: Path) -> None:
    script = Script(tmp_path)
    actuator = CommandActuator(up=[str(script.path)])
    await actuator.open()
    await actuator.drop(KEY, ADDRESSES)
    await actuator.close()

    assert script.calls == []


async def test_a_program_that_fails_is_an_actuator_error_with_what_it_said(tmp_path: Path) -> None:
    script = Script(tmp_path, "echo 'RTNETLINK answers: File exists' >&2; exit 2")
    actuator = CommandActuator(up=[str(script.path)])

    with pytest.raises(ActuatorError, match=r"failed with exit status 2: RTNETLINK answers: File exists"):
        await actuator.hold(KEY, ADDRESSES)
    assert script.calls == ["em0 192.0.2.10"]


async def test_of_a_talkative_failure_only_the_end_is_told(tmp_path: Path) -> None:
    script = Script(tmp_path, "yes noise | head -c 1000000 >&2; echo the end >&2; exit 1")
    actuator = CommandActuator(up=[str(script.path)])

    with pytest.raises(ActuatorError, match="the end") as caught:
        await actuator.hold(KEY, ADDRESSES)
    assert len(str(caught.value)) < 1000


async def test_a_program_that_is_missing_is_an_actuator_error_that_names_it(tmp_path: Path) -> None:
    actuator = CommandActuator(up=[str(tmp_path / "missing")])

    with pytest.raises(ActuatorError, match=r"cannot run .*missing: No such file"):
        await actuator.hold(KEY, ADDRESSES)


async def test_a_program_that_may_not_be_run_is_an_actuator_error(tmp_path: Path) -> None:
    script = Script(tmp_path)
    script.path.chmod(0o644)

    with pytest.raises(ActuatorError, match="Permission denied"):
        await CommandActuator(up=[str(script.path)]).hold(KEY, ADDRESSES)


async def test_a_program_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    script = Script(tmp_path, "exec sleep 60")
    actuator = CommandActuator(up=[str(script.path)], timeout_s=0.2)
    began_s = time.monotonic()

    with pytest.raises(ActuatorError, match=r"took longer than 0\.2 s and was killed"):
        await actuator.hold(KEY, ADDRESSES)
    assert 0.2 <= time.monotonic() - began_s < 0.6


async def test_what_a_program_that_takes_too_long_has_started_is_killed_with_it(tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = Script(
        tmp_path, f"export CHILD={shlex.quote(str(child))}\n(sh -c 'echo $$ > \"$CHILD\"; exec sleep 60') | cat"
    )
    actuator = CommandActuator(up=[str(script.path)], timeout_s=0.5)

    with pytest.raises(ActuatorError, match=r"took longer than 0\.5 s and was killed"):
        await actuator.hold(KEY, ADDRESSES)
    ends_s = time.monotonic() + 5
    while not has_ended(int(child.read_text())):
        assert time.monotonic() < ends_s


async def test_a_program_that_left_a_child_behind_is_not_waited_for(tmp_path: Path) -> None:
    script = Script(tmp_path, "sleep 5 & exit 0")
    actuator = CommandActuator(up=[str(script.path)], timeout_s=3)
    began_s = time.monotonic()
    await actuator.hold(KEY, ADDRESSES[:1])

    assert time.monotonic() - began_s < 1


async def test_a_cancelled_call_kills_its_program(tmp_path: Path) -> None:
    pid_pipe = tmp_path / "pid"
    os.mkfifo(pid_pipe)
    script = Script(tmp_path, f"echo $$ > {shlex.quote(str(pid_pipe))}; exec sleep 60")
    task = asyncio.create_task(CommandActuator(up=[str(script.path)]).hold(KEY, ADDRESSES))
    pid = int(await asyncio.to_thread(pid_pipe.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
