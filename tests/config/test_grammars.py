"""What holds for every grammar."""

from pathlib import Path

import pytest

from pycarp.config import grammars
from pycarp.config.grammars import Grammar
from pycarp.config.source_text import SIZE_MAX, load
from pycarp.errors import ConfigError


@pytest.mark.parametrize("grammar", Grammar)
def test_a_nul_character_is_refused_with_its_line(grammar: Grammar) -> None:
    """It could be read into a password, and then not be written in any other grammar."""
    with pytest.raises(ConfigError, match=r"^here:2: a NUL character"):
        grammars.read('# first\nifconfig_carp0="vhid 1 pass a\0b 192.0.2.1/24"\n', grammar, file="here")


@pytest.mark.parametrize(("octets", "is_read"), [(SIZE_MAX, True), (SIZE_MAX + 1, False)])
def test_a_file_has_a_bound_to_the_octet(octets: int, is_read: bool, tmp_path: Path) -> None:
    file = tmp_path / "rc.conf"
    file.write_bytes(b"#" * octets)
    if is_read:
        assert len(load(file)) == octets
        return
    with pytest.raises(ConfigError, match=f"cannot read {file}: it has more than 8 MiB"):
        load(file)
