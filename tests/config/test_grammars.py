"""What holds for every grammar."""

import pytest

from pycarp.config import grammars
from pycarp.config.grammars import Grammar
from pycarp.errors import ConfigError


@pytest.mark.parametrize("grammar", Grammar)
def test_a_nul_character_is_refused_with_its_line(grammar: Grammar) -> None:
    """It could be read into a password, and then not be written in any other grammar."""
    with pytest.raises(ConfigError, match=r"^here:2: a NUL character"):
        grammars.read('# first\nifconfig_carp0="vhid 1 pass a\0b 192.0.2.1/24"\n', grammar, file="here")
