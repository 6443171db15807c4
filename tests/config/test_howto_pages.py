"""Every configuration on the how-to pages is one that ``pycarp run`` takes."""

import re
from pathlib import Path

import pytest

from pycarp.config import toml
from tests.support.pages import HOST, howto_configurations


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in howto_configurations()])
def test_the_configuration_of_a_page_is_taken(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in (("password_file", "testpass"), ("token_file", "testpass" * 4)):
        file = tmp_path / name
        file.write_text(f"{secret}\n")
        file.chmod(0o600)
        text = re.sub(rf'{name} = "[^"]*"', f'{name} = "{file}"', text)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for name in re.findall(r'password_credential = "(\w+)"', text):
        (tmp_path / name).write_text("testpass\n")

    config = toml.read(text if "[[host]]" in text else HOST + text, file="pycarp.toml")

    assert config.hosts
