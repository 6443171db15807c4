"""A checkout of pycarp that is measured beside another one, with its own code and its own interpreter."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pycarp.errors import UsageError

HERE = Path(__file__).parents[1]


class Run(NamedTuple):
    """How a program ended: what it printed, its exit code, and the CPU seconds of it and its children."""

    output: str
    code: int
    cpu_s: float


class Checkout(NamedTuple):
    """A folder with the sources, the interpreter that runs them, and where their compiled modules are kept."""

    name: str
    folder: Path
    python: str
    compiled: Path

    @property
    def variables(self) -> dict[str, str]:
        """What the environment must have so that the interpreter imports this checkout, and compiles it once."""
        return {"PYTHONPATH": str(self.folder / "src"), "PYTHONPYCACHEPREFIX": str(self.compiled)}

    @property
    def program(self) -> tuple[str, ...]:
        """The command ``pycarp`` of this checkout."""
        words = [f"{name}={value}" for name, value in self.variables.items()]
        return ("env", "-u", "PYTHONDONTWRITEBYTECODE", *words, self.python, "-m", "pycarp")

    def run(self, words: Sequence[str]) -> Run:
        """Run ``python -m`` with these words in the checkout's folder, to its end."""
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                [self.python, "-m", *words],
                cwd=self.folder,
                env=inherited | self.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            # Two that run at once have one parent, so the sum of its children would mix them up.
            _pid, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            return Run(output.read(), process.returncode, usage.ru_utime + usage.ru_stime)


@contextlib.contextmanager
def checked_out(name: str, where: str) -> Iterator[Checkout]:
    """Give a checkout: a folder as it is, with its ``.venv`` if it has one, or a commit of this repository, unpacked.

    Raises UsageError when it is neither.
    """
    with tempfile.TemporaryDirectory(prefix="pycarp-checkout-", ignore_cleanup_errors=True) as scratch:
        folder = Path(where).resolve()
        if not folder.is_dir():
            folder = Path(scratch) / "sources"
            _unpack(where, folder)
        if not (folder / "src" / "pycarp").is_dir():
            raise UsageError(f"{where}: there is no src/pycarp in it; give a checkout of pycarp, or a commit")
        own = folder / ".venv" / "bin" / "python"
        yield Checkout(name, folder, str(own) if own.exists() else sys.executable, Path(scratch) / "compiled")


def _unpack(commit: str, folder: Path) -> None:
    folder.mkdir()
    packed = subprocess.run(
        ["git", "-C", str(HERE), "archive", "--end-of-options", commit], capture_output=True, check=False
    )
    if packed.returncode:
        raise UsageError(f"{commit} is neither a folder nor a commit: {packed.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
