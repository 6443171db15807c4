"""The daemon in what the unit leaves it: two capabilities, a file system to read, and ``/proc/sys/net`` to write."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.daemon.service_unit import ServiceUnit
from pycarp.lab.lab_network import Segment
from tests.support.daemons import Pycarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

STARTED_S = 15.0

_SANDBOX = """
mount --make-rprivate /
mount -o remount,bind,ro /
for each in {read_only}; do mount --bind $each $each; mount -o remount,bind,ro $each; done
for each in {writable}; do mount --bind $each $each; mount -o remount,bind,rw $each; done
umask {umask}
exec setpriv --no-new-privs --bounding-set=-all,{capabilities} --inh-caps=-all "$@"
"""
"""What systemd does with these settings, as far as it can be done by hand."""


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("unshare", "setpriv", "mount")
    with new_segment(a="192.168.1.3/24", b="192.168.1.5/24") as made:
        yield made


def settings(folder: Path) -> dict[str, str]:
    """Return what the unit of a daemon says that writes into a folder."""
    lines = ServiceUnit(command=(sys.executable,), arguments=(), writable=(folder,)).text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


class Sandboxed(Pycarp):
    """A daemon as the unit starts it."""

    def __init__(self, segment: Segment, host: str, folder: Path) -> None:
        super().__init__(segment, host, folder, options=("--state", str(folder / "state")))
        said = settings(folder)
        script = _SANDBOX.format(
            read_only=said["ReadOnlyPaths"],
            writable=said["ReadWritePaths"],
            umask=said["UMask"],
            capabilities=",".join(
                f"+{each.removeprefix('CAP_').lower()}" for each in said["CapabilityBoundingSet"].split()
            ),
        )
        self._argv = ["unshare", "--mount", "sh", "-e", "-c", script, "sandbox", *self._argv]


def test_in_its_sandbox_it_holds_addresses_and_lets_go_when_it_is_killed(segment: Segment, tmp_path: Path) -> None:
    with Sandboxed(segment, "a", tmp_path) as a:
        wait_until(lambda: a.is_in("MASTER") and a.has_address(), STARTED_S)
        assert "read-only" not in a.log.read_text().lower()
        assert "not permitted" not in a.log.read_text()

        a.process.kill()
        a.process.wait(1)

        wait_until(lambda: not a.has_address(), 1)
        wait_until(lambda: "carp0" not in segment.run("a", ["ip", "link"]), 10)
