"""The blocks of code on pages of the documentation, which tests run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


HOST = """[[host]]
name = "web"
interface = "eth0"
vhid = 1
addresses = ["192.0.2.10/24"]
password = "secret"
"""
"""Stands before a configuration that shows only what goes with a host."""


def howto_configurations() -> Iterator[tuple[str, str]]:
    """Yield each configuration of pycarp on the how-to pages, with its page and number."""
    for page in sorted((DOCS / "howto").rglob("*.md")):
        for number, text in enumerate(re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
            if not text.startswith("[project."):
                yield f"{page.relative_to(DOCS)} {number}", text


def block(page: Path, mark: str) -> str:
    """Return the block of code that follows ``<!-- mark -->`` on a page."""
    pattern = rf"<!-- {re.escape(mark)} -->\n```\w*\n(.*?)^```"
    (found,) = re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


def names_of(code: str) -> dict[str, Any]:
    """Run a block of Python and return the names that it defines."""
    names: dict[str, Any] = {}
    exec(code, names)
    return names
