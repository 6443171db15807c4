"""A daemon that any user may run: Python, pycarp and its dependencies where everybody can read them."""

import grp
import os
import pwd
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pycarp

_BIND = """
set -e
while [ "$1" != -- ]; do mkdir -p "$2"; mount --bind "$1" "$2"; shift 2; done
shift
exec "$@"
"""


class World:
    """A folder below /run that everybody may look into; ``argv`` runs the command inside a mount namespace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.state = folder / "state"
        self.config = folder / "carp.rc.conf"
        self.control = folder / "control" / "pycarp.sock"

    def argv(self, *words: str) -> list[str]:
        """Return how to run ``pycarp`` inside a mount namespace of the process, which ``ip netns exec`` has made."""
        binds = {sys.base_prefix: "python", sysconfig.get_paths()["purelib"]: "site"}
        binds[str(Path(pycarp.__file__).parents[1])] = "src"
        found = [each for pair in binds.items() for each in (pair[0], str(self.folder / pair[1]))]
        python = self.folder / "python" / "bin" / f"python3.{sys.version_info.minor}"
        # A shared libpython would be looked for where it was built, which may be closed to others.
        paths = [
            f"PYTHONPATH={self.folder / 'src'}:{self.folder / 'site'}",
            f"LD_LIBRARY_PATH={self.folder / 'python' / 'lib'}",
        ]
        return ["sh", "-c", _BIND, "sh", *found, "--", "env", *paths, str(python), "-m", "pycarp", *words]

    def config_of(self, user: str, text: str) -> None:
        """Write a configuration that a user may read by its group."""
        self.config.write_text(text)
        shutil.chown(self.config, group=user)
        self.config.chmod(0o640)


@contextmanager
def world() -> Iterator[World]:
    """A folder for one test, removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix="pct", dir="/run"))
    folder.chmod(0o755)
    try:
        yield World(folder)
    finally:
        shutil.rmtree(folder)


def status_of(pid: int) -> dict[str, str]:
    """Return what the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _colon, value in (line.partition(":") for line in lines)}


@contextmanager
def being(user: str, *groups: str) -> Iterator[None]:
    """Be another user for a while, as far as the kernel asks who connects or opens."""
    entry = pwd.getpwnam(user)
    before = os.getgroups(), os.getegid()
    os.setgroups([grp.getgrnam(each).gr_gid for each in groups])
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(before[1])
        os.setgroups(before[0])
