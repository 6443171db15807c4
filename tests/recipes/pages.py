"""The pages of docs/howto/recipes, and what a test has to change in them: names of devices and files."""

from collections.abc import Mapping
from pathlib import Path

from tests.support import pages

PAGES = pages.DOCS / "howto" / "recipes"
INTERFACE = "fxp0"
PASSWORD = "recipe"


def block(page: str, name: str) -> str:
    """Return the code block that follows ``<!-- name -->`` on a page."""
    return pages.block(PAGES / page, name)


def hosts_of(
    page: str,
    folder: Path,
    replaced: Mapping[str, str] | None = None,
    *,
    is_second: bool = False,
    name: str = "the hosts",
) -> str:
    """Return the TOML of a page for one of the two machines, with its secret in a folder, and texts ``replaced``."""
    secret = folder / "secret"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    changes = {'"eth0"': f'"{INTERFACE}"', "/etc/pycarp.secret": str(secret)}
    if is_second:
        changes["advskew = 0 "] = "advskew = 100 "
    text = block(page, name)
    for old, new in {**changes, **(replaced or {})}.items():
        assert old in text, f"{old} is not on the page"
        text = text.replace(old, new)
    return text
