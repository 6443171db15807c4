"""Every command that reads a file, and every kind of file that people name by mistake: one line, in time."""

import logging
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pycarp.cli import cli
from pycarp.system.files import bounded_read

CAPTURE = str(Path(__file__).parents[1] / "vectors" / "netbsd" / "01-basic.pcap")
UCARP = ("--interface=lo", "--srcip=127.0.0.1", "--vhid=1", "--addr=10.9.9.9")
GIB = 1 << 30

READERS = {
    "check": ("check", "FILE"),
    "convert": ("convert", "FILE", "--to", "toml"),
    "run": ("run", "FILE"),
    "plan": ("plan", "FILE", "--control", "/nonexistent/FILE"),
    "simulate": ("simulate", "FILE"),
    "simulate --plan": ("simulate", "--plan", "FILE"),
    "decode": ("decode", "FILE"),
    "decode --password-file": ("decode", CAPTURE, "--address", "192.168.1.50", "--password-file", "FILE"),
    "replay": ("replay", "FILE"),
    "ucarp --passfile": ("ucarp", *UCARP, "--passfile=FILE"),
}


@pytest.fixture(autouse=True)
def confined(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a command that reads without a bound fail before the machine does, and nobody wait for a FIFO."""
    monkeypatch.setattr(bounded_read, "FIFO_TIMEOUT_S", 0.05)
    before, handlers = resource.getrlimit(resource.RLIMIT_AS), logging.getLogger().handlers[:]
    resource.setrlimit(resource.RLIMIT_AS, (3 * GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)
    logging.getLogger().handlers[:] = handlers


def bad_file(kind: str, folder: Path) -> Path:
    bad = folder / "bad"
    match kind:
        case "endless":
            return Path("/dev/zero")
        case "huge":
            with bad.open("wb") as file:
                file.truncate(2 * GIB)
        case "silent":
            os.mkfifo(bad)
        case "nested":
            bad.write_text("[" * 200_000)
        case "folder":
            bad.mkdir()
        case "loop":
            bad.symlink_to(bad)
    return bad


@pytest.mark.parametrize("kind", ["endless", "huge", "silent", "nested", "folder", "loop"])
@pytest.mark.parametrize("reader", READERS)
def test_it_is_refused_with_its_name(reader: str, kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad = bad_file(kind, tmp_path)
    result = CliRunner().invoke(cli, [word.replace("FILE", str(bad)) for word in READERS[reader]])
    written = result.output + "".join(capfd.readouterr())

    assert isinstance(result.exception, SystemExit), result.exception
    assert (
        result.exit_code == 2
        or reader == "ucarp --passfile"
        or kind in ("endless", "huge")
        or (reader, kind) == ("plan", "nested")
    )
    assert str(bad) in written or "passphrase" in written
    assert len(written.splitlines()) <= 3
