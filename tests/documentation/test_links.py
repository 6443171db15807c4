"""Links of all pages: those within lead somewhere, those to others are well-formed; nothing is fetched."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.pages import DOCS

ROOT = DOCS.parent
GENERATED = DOCS / "reference" / "commands"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted(page for page in DOCS.rglob("*.md") if GENERATED not in page.parents),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
RESERVED = re.compile(r"(^|\.)(example\.(com|org|net)|invalid|test|localhost)$")


def links(page: Path) -> list[str]:
    return LINK.findall(CODE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """Return the names of the headings of a page, as GitHub and myst make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = [LINK.sub("", each).replace("[", "").replace("`", "") for each in re.findall(r"^#+ (.*)$", text, re.M)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    lost = []
    for link in (each for each in links(page) if "://" not in each):
        name, _hash, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if GENERATED in target.parents:
            continue  # Sphinx makes it, and checks it.
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            lost.append(link)

    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_others_is_a_whole_url_of_https(page: Path) -> None:
    for link in (each for each in links(page) if "://" in each):
        url = urlsplit(link)

        assert (url.scheme, bool(url.hostname), url.username, "." in (url.hostname or "")) == (
            "https",
            True,
            None,
            True,
        )
        assert not RESERVED.search(url.hostname or "")


def test_every_page_is_in_the_table_of_contents_of_its_folder() -> None:
    """Sphinx says which page is in none; this test says so where Sphinx is not installed."""
    toctrees = "\n".join(re.findall(r"```{toctree}(.*?)```", "".join(page.read_text() for page in PAGES), re.DOTALL))
    recipes = DOCS / "howto" / "recipes"
    missing = [
        page
        for page in DOCS.rglob("*.md")
        if GENERATED not in page.parents and page.parent != recipes and page != DOCS / "index.md"
        if f"\n{page.relative_to(DOCS).with_suffix('')}\n" not in toctrees and f"\n{page.stem}\n" not in toctrees
    ]

    assert missing == []
