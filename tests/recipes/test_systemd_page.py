"""docs/howto/systemd.md: systemd finds nothing wrong with the unit, the drop-ins and the unit of the MASTER."""

import subprocess
from pathlib import Path

import pytest

from pycarp.daemon.service_unit import ServiceUnit
from tests.support.pages import DOCS, block
from tests.support.system import require

PAGE = DOCS / "howto" / "systemd.md"
EXAMPLES = DOCS / "examples"

pytestmark = pytest.mark.system


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with what the page has written, for a program that is there."""
    require("systemd-analyze", "systemctl", root=False)
    drop_ins = tmp_path / "pycarp.service.d"
    drop_ins.mkdir()
    version = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    unit = ServiceUnit(command=("/bin/true",), arguments=("/etc/pycarp/carp.toml",), systemd=int(version))
    (tmp_path / "pycarp.service").write_text(unit.text())
    for name in ("the drop-in for the order", "the drop-in for a hook"):
        (drop_ins / f"{name.split()[-1]}.conf").write_text(block(PAGE, name))
    follower = (EXAMPLES / "pycarp-master@.service").read_text()
    (tmp_path / "pycarp-master@.service").write_text(follower.replace("/opt/pycarp/bin/pycarp", "/bin/true"))
    (tmp_path / "pycarp-master@.target").write_text((EXAMPLES / "pycarp-master@.target").read_text())
    scheduler = block(PAGE, "the unit of the MASTER").replace("/usr/local/bin/scheduler", "/bin/true")
    (tmp_path / "scheduler.service").write_text(scheduler)
    return tmp_path


def test_systemd_finds_nothing_wrong_with_what_the_page_writes(units: Path) -> None:
    names = ["pycarp.service", "pycarp-master@carp0.service", "pycarp-master@carp0.target", "scheduler.service"]

    argv = ["systemd-analyze", "verify", *(str(units / name) for name in names)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_drop_ins_belong_to_the_unit(units: Path) -> None:
    wrong = units / "pycarp.service.d" / "wrong.conf"
    wrong.write_text("[Service]\nReadWritePath=/var/lib\n")

    argv = ["systemd-analyze", "verify", str(units / "pycarp.service")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert "wrong.conf:2: Unknown key" in done.stderr
