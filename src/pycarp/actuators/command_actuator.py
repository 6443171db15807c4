"""Runs a program to hold and drop addresses, as ucarp does: ``PROGRAM INTERFACE ADDRESS [EXTRA]``."""

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import IO

from pycarp.actuators.actuator import Actuator
from pycarp.dialects.dialect import ArpForm
from pycarp.errors import ActuatorError
from pycarp.system.programs import exit_status, failure_of
from pycarp.vocabulary import HostKey, InterfaceAddress

DEFAULT_TIMEOUT_S = 10.0
_ERROR_TAIL = 200


class CommandActuator(Actuator):
    """Runs ``up`` for every address to hold and ``down`` for every address to drop, without a shell.

    ``up`` and ``down`` are argument vectors; interface, address and ``extra`` are appended. An empty vector does
    nothing. A program that takes longer than ``timeout_s`` is killed with its process group. A program that failed or
    was killed is run again later. Background processes of a program that ended in time keep running. ``on_spawn`` is
    called with every argument vector. The standard error of a program becomes part of the error message, unless
    ``inherits_stderr``.
    """

    def __init__(
        self,
        *,
        up: Sequence[str] = (),
        down: Sequence[str] = (),
        extra: Sequence[str] = (),
        timeout_s: float = DEFAULT_TIMEOUT_S,
        on_spawn: Callable[[Sequence[str]], None] = lambda _argv: None,
        inherits_stderr: bool = False,
    ) -> None:
        self._up = tuple(up)
        self._down = tuple(down)
        self._extra = tuple(extra)
        self._timeout_s = timeout_s
        self._on_spawn = on_spawn
        self._inherits_stderr = inherits_stderr

    async def open(self) -> None:
        """Do nothing: this actuator needs no resources."""

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Run the up program for each address in turn."""
        await self._run_for_each(self._up, key, addresses)

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Run the down program for each address in turn."""
        await self._run_for_each(self._down, key, addresses)

    async def announce(self, key: HostKey, addresses: tuple[InterfaceAddress, ...], form: ArpForm) -> None:
        """Do nothing: the up program announces."""

    async def close(self) -> None:
        """Do nothing: there are no resources to release."""

    async def _run_for_each(
        self, program: tuple[str, ...], key: HostKey, addresses: tuple[InterfaceAddress, ...]
    ) -> None:
        if program:
            for address in addresses:
                await self._run((*program, key.link, str(address.ip), *self._extra))

    async def _run(self, argv: tuple[str, ...]) -> None:
        self._on_spawn(argv)
        if self._inherits_stderr:
            failure = failure_of(await self._exit_status(argv, None))
            if failure:
                raise ActuatorError(f"{argv[0]} {failure}")
            return
        # A file, not a pipe: a background process of the program would keep a pipe open.
        with tempfile.TemporaryFile() as errors:
            failure = failure_of(await self._exit_status(argv, errors))
            if failure:
                raise ActuatorError(f"{argv[0]} {failure}: {_end_of(errors)}")

    async def _exit_status(self, argv: tuple[str, ...], errors: IO[bytes] | None) -> int:
        try:
            return await exit_status(argv, timeout_s=self._timeout_s, stderr=errors, grace_s=0)
        except TimeoutError as exc:
            raise ActuatorError(f"{argv[0]} took longer than {self._timeout_s:g} s and was killed") from exc
        except OSError as exc:
            raise ActuatorError(f"cannot run {argv[0]}: {exc.strerror}") from exc


def _end_of(errors: IO[bytes]) -> str:
    length = errors.seek(0, os.SEEK_END)
    errors.seek(max(length - _ERROR_TAIL, 0))
    return errors.read().decode(errors="replace").strip()
