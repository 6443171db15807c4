"""The options of ``pycarp run`` about recording: mistakes end before anything is touched."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from pycarp.cli import cli


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--record-size", "lots"), "'lots' is no size: write octets, or a number with K, M or G, as in 16M"),
        (("--record-size", "1K"), "1K is outside 64K-1024G"),
        (("--record-size", ""), "'' is no size"),
        (("--record-files", "0"), "0 is not in the range 1<=x<=1000"),
    ],
    ids=str,
)
def test_a_mistake_is_named(tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    result = CliRunner().invoke(cli, ["run", str(tmp_path / "x.toml"), "--record", str(tmp_path / "r"), *words])

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("size", "is_taken"),
    [
        ("65535", False),
        ("65536", True),
        ("63K", False),
        ("64k", True),
        ("1M", True),
        ("1024G", True),
        ("1025G", False),
        ("1048577M", False),
        ("1T", False),
        ("K", False),
        ("-64K", False),
    ],
)
def test_a_size_has_a_unit_and_bounds(tmp_path: Path, size: str, is_taken: bool) -> None:
    """What is taken comes to the configuration, of which there is none."""
    words = ["--record", str(tmp_path / "r"), "--record-size", size]
    result = CliRunner().invoke(cli, ["run", str(tmp_path / "x.toml"), *words])

    assert result.exit_code == 2
    assert (result.stderr == f"pycarp: cannot read {tmp_path}/x.toml: No such file or directory\n") is is_taken
