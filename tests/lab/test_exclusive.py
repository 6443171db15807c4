"""One lab at a time, and nothing of a killed one is left."""

import os
import tempfile
from pathlib import Path

import pytest

from pycarp.errors import UsageError
from pycarp.lab.exclusive import alone, made_folder, remove_folders


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_second_lab_is_refused_until_the_first_has_ended() -> None:
    with alone(), pytest.raises(UsageError, match="another pycarp lab is running"), alone():
        pass
    with alone():
        pass


def test_the_folder_of_a_killed_lab_goes_when_the_next_one_begins(temporary: Path) -> None:
    left = temporary / "pycarp-lab-killed"
    left.mkdir(mode=0o700)
    (left / "hosta.log").touch()

    with made_folder() as folder:
        assert list(temporary.iterdir()) == [folder]
    assert list(temporary.iterdir()) == []


def test_what_is_not_a_folder_of_ours_alone_is_left(temporary: Path) -> None:
    (temporary / "pycarp-lab-shared").mkdir(mode=0o755)
    (temporary / "pycarp-lab-link").symlink_to(temporary / "pycarp-lab-shared")
    (temporary / "pycarp-lab-file").touch()
    if os.geteuid() == 0:
        (temporary / "pycarp-lab-foreign").mkdir(mode=0o700)
        os.chown(temporary / "pycarp-lab-foreign", 1, 1)
    before = sorted(temporary.iterdir())

    assert remove_folders() == []
    assert sorted(temporary.iterdir()) == before
