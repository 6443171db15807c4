"""Files that root writes in folders where other users may write, too."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from pycarp.cli import cli
from pycarp.system.files import safe_files
from pycarp.system.files.file_replacement import replace_text
from pycarp.system.files.rotated_file import RotatedFile
from pycarp.system.recovery import state_folder, state_owner
from tests.support.system import require

STRANGER = 65534
RC_CONF = 'ifconfig_em0="inet 192.168.1.3/24"\ncloned_interfaces="carp0"\n'
RC_CONF += 'ifconfig_carp0="vhid 1 pass s3cret 192.168.1.50/24"\n'


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A folder of another user, with that user's symbolic links to a file and to a folder of ours."""
    require()
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "precious").write_text("precious")
    folder = tmp_path / "others"
    folder.mkdir()
    (folder / "file").symlink_to(tmp_path / "ours" / "precious")
    (folder / "folder").symlink_to(tmp_path / "ours")
    for each in (folder, folder / "file", folder / "folder"):
        os.chown(each, STRANGER, STRANGER, follow_symlinks=False)
    return folder


def begin(path: Path) -> None:
    RotatedFile(path, size=1 << 16, files=4).begin()


@pytest.mark.system
@pytest.mark.parametrize(
    "write",
    [
        begin,
        lambda path: safe_files.write(path, b"x"),
        lambda path: replace_text(path, "x", expected="precious"),
    ],
    ids=["record", "output", "save"],
)
@pytest.mark.parametrize("name", ["file", "folder/precious", "folder/new"])
def test_a_link_of_somebody_else_is_not_followed(
    others: Path, write: "object", name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by its full path nor by a relative one."""
    assert callable(write)
    for path in (others / name, Path("others") / name):
        monkeypatch.chdir(others.parent)
        with pytest.raises((PermissionError, FileExistsError)):
            write(path)

    assert os.listdir(others.parent / "ours") == ["precious"]
    assert (others.parent / "ours" / "precious").read_text() == "precious"


@pytest.mark.system
def test_the_folder_of_states_is_not_behind_a_link_of_somebody_else(others: Path) -> None:
    result = CliRunner().invoke(cli, ["release", "--state", str(others / "folder" / "state")])

    assert result.exit_code == 2
    assert f"'folder' in it is a symbolic link of another user (uid {STRANGER}), which is not followed" in result.stderr


@pytest.mark.system
def test_convert_names_the_link_that_it_does_not_follow(others: Path, tmp_path: Path) -> None:
    (tmp_path / "rc.conf").write_text(RC_CONF)
    argv = ["convert", str(tmp_path / "rc.conf"), "--to", "toml", "--output", str(others / "file")]
    result = CliRunner().invoke(cli, argv)

    assert result.exit_code == 2
    assert "is a symbolic link of another user" in result.stderr


def test_links_of_our_own_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "file").symlink_to("../real/target")

    safe_files.write(tmp_path / "link" / "file", b"text")

    assert (tmp_path / "real" / "target").read_bytes() == b"text"
    assert safe_files.resolved(tmp_path / "link" / "x" / "y") == tmp_path / "link" / "x" / "y"
    assert safe_files.resolved(tmp_path / "link" / "x") == tmp_path / "real" / "x"


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    for path in (tmp_path / "a", tmp_path / "a" / "x"):
        with pytest.raises(OSError, match="Too many levels of symbolic links"):
            safe_files.write(path, b"x")


def test_a_relative_path_keeps_its_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording goes into no link, whoever made it, also when ``--record`` is relative."""
    monkeypatch.chdir(tmp_path)
    Path("target").write_text("precious")
    Path("link").symlink_to("target")

    with pytest.raises(FileExistsError, match="is there and no plain file"):
        begin(safe_files.absolute(Path("link")))
    assert Path("target").read_text() == "precious"


def test_what_is_written_is_whole_private_and_in_nobody_elses_file(tmp_path: Path) -> None:
    """A hard link to the old file keeps the old text, and so does an open descriptor."""
    (tmp_path / "file").write_text("before")
    os.link(tmp_path / "file", tmp_path / "hard")
    safe_files.write(tmp_path / "file", b"after")

    assert ((tmp_path / "file").read_text(), (tmp_path / "hard").read_text()) == ("after", "before")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["file", "hard"]


def test_a_device_is_not_written_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(FileExistsError, match="is there and no plain file"):
        safe_files.write(tmp_path / "fifo", b"x")


@pytest.mark.system
def test_the_state_folder_is_given_with_what_daemons_wrote_and_nothing_else(tmp_path: Path) -> None:
    require()
    folder, outside = tmp_path / "state", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("precious")
    for name in ("a.journal", "flight-1.jsonl", "cleaning.lock", "notes.txt"):
        (folder / name).write_text("")
    (folder / "link.journal").symlink_to(outside)
    os.link(outside, folder / "hard.journal")

    state_owner.give(folder, uid=STRANGER, gid=STRANGER)

    owners = {each.name: each.stat(follow_symlinks=False).st_uid for each in folder.iterdir()}
    assert owners == {
        "a.journal": STRANGER,
        "flight-1.jsonl": STRANGER,
        "cleaning.lock": STRANGER,
        "notes.txt": 0,
        "link.journal": 0,
        "hard.journal": 0,
    }
    assert (folder.stat().st_uid, outside.stat().st_uid) == (STRANGER, 0)


@pytest.mark.system
def test_journals_of_the_user_to_whom_root_gave_the_folder_are_believed(tmp_path: Path) -> None:
    """Files of a user who made the folder himself are not trusted."""
    require()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "x").write_text("")
    for each in (tmp_path / "state", tmp_path / "state" / "x"):
        os.chown(each, STRANGER, STRANGER)
    status = (tmp_path / "state" / "x").stat()

    assert state_folder.is_trustworthy(status, tmp_path / "state")
    tmp_path.chmod(0o777)
    assert not state_folder.is_trustworthy(status, tmp_path / "state")
