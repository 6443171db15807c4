"""The pages of docs/howto/recipes: their configurations are read, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

from pycarp.config import grammars
from pycarp.config.grammars import Grammar
from tests.recipes.pages import PAGES

FILES = sorted(PAGES.glob("*.md"))
TOML = [
    (file.name, text) for file in FILES for text in re.findall(r"^```toml\n(.*?)^```", file.read_text(), re.M | re.S)
]


@pytest.mark.parametrize(("name", "text"), TOML, ids=[name for name, _text in TOML])
def test_every_toml_is_read(name: str, text: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("recipe\n")
    secret.chmod(0o600)
    text = text.replace("/etc/pycarp.secret", str(secret))

    assert grammars.read(text, Grammar.TOML, file=name).hosts


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_that_it_leads_to_are_there(file: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text())

    assert [each for each in links if "://" not in each and not (PAGES / each).exists()] == []
