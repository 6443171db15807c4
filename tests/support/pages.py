"""The blocks of code on pages of the documentation, which tests run."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


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
