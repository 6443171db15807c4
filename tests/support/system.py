"""What the tests of the real system need, and what happens where it is missing."""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

REQUIRE = "PYCARP_REQUIRE_SYSTEM"


def require(*programs: str, root: bool = True) -> None:
    """Skip the test, and say why, unless this machine can run it; under PYCARP_REQUIRE_SYSTEM=1 fail it instead."""
    reason = _lacking(programs, root)
    if reason is None:
        return
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason}, and {REQUIRE}=1 forbids to skip", pytrace=False)
    pytest.skip(reason)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody for a while: another effective user has no effective capabilities."""
    before = os.geteuid()
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def _lacking(programs: tuple[str, ...], root: bool) -> str | None:
    if sys.platform != "linux":
        return "needs Linux"
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        return f"needs the program {' and '.join(missing)}"
    return _lacking_privileges() if root else None


@functools.cache
def _lacking_privileges() -> str | None:
    """Find out by making a namespace: a container may have root, and yet not be allowed to."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("ip") is None:
        return "needs the program ip"
    name = f"pycarp-t{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"needs network namespaces: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None
