"""Atomic replacement of a file."""

import os
from pathlib import Path

import pytest

from pycarp.system.files.file_replacement import replace_text
from tests.support.descriptors import open_descriptors


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_the_mode_stays(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    file.chmod(mode)

    replace_text(file, "new\r\n", expected="old")

    assert file.read_bytes() == b"new\r\n"
    assert file.stat().st_mode & 0o7777 == mode
    assert os.listdir(tmp_path) == ["f"]


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    before = open_descriptors()

    replace_text(file, "new", expected="old")
    with pytest.raises(FileExistsError):
        replace_text(file, "newer", expected="old")

    assert open_descriptors() == before


def test_what_a_symbolic_link_names_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")

    replace_text(tmp_path / "link", "new", expected="old")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_what_somebody_else_has_written_meanwhile_stays(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("theirs")

    with pytest.raises(FileExistsError, match="somebody else has changed it"):
        replace_text(file, "new", expected="old")

    assert (os.listdir(tmp_path), file.read_text()) == (["f"], "theirs")


def test_a_file_that_cannot_be_written_beside_stays(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    (tmp_path / f".f.{os.getpid()}").mkdir()

    with pytest.raises(FileExistsError):
        replace_text(file, "new", expected="old")

    assert file.read_text() == "old"


def test_all_is_on_the_disk_before_the_file_takes_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))

    replace_text(file, "n" * 100, expected="old")

    assert synced[0] == 100
    assert len(synced) == 2
