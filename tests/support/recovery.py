"""Daemons that die in a namespace, and what is there before and after."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pycarp.system.addresses import sysctl_files
from pycarp.system.recovery.dead_daemons import Report, clean
from tests.support.leftover_program import SWITCHES
from tests.support.namespaces import Namespace, entered

_VOLATILE = ("ifindex", "valid_life_time", "preferred_life_time", "stats64")


def argv_of_program(namespace: Namespace, program: str, *arguments: object) -> list[str]:
    """Return the command of a program in a namespace."""
    inside = ["ip", "netns", "exec", namespace.name]
    return [*inside, sys.executable, "-m", f"tests.support.{program}", *map(str, arguments)]


@contextmanager
def running_program(namespace: Namespace, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the program until all is there; kill it at the end, unless it has ended."""
    argv = argv_of_program(namespace, "leftover_program", folder)
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def leave(namespace: Namespace, folder: Path) -> None:
    """Let the program do all that it does, and kill it."""
    with running_program(namespace, folder):
        pass


async def clean_in(namespace: Namespace, folder: Path, *, is_rehearsal: bool = False) -> Report:
    """Clean up in a namespace."""
    with entered(namespace):
        return await clean(folder, is_rehearsal=is_rehearsal)


def state_of(namespace: Namespace) -> dict[str, Any]:
    """Return links, addresses, routes and switches, without what changes by itself."""
    shown = {
        what: json.loads(namespace.ip("-j", "-d", *what.split())) for what in ("link", "addr", "route", "-6 route")
    }
    with entered(namespace):
        return {**_steady(shown), **{path: sysctl_files.read(path) for path in SWITCHES}}


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _steady(each) for key, each in value.items() if key not in _VOLATILE}
    return [_steady(each) for each in value] if isinstance(value, list) else value
