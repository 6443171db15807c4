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
