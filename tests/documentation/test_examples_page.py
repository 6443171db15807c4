"""The page of the examples has every file there is, with a page that leads to it and a test that names it."""

import re

import pytest

from tests.support.pages import DOCS

PAGE = DOCS / "reference" / "examples.md"
ROWS = [
    (re.findall(r"\]\(\.\./examples/([^)]+)\)", files), re.findall(r"\]\(([^)#]+)", page)[0], test)
    for files, page, test in re.findall(r"^\| (.*?) \| [^|]* \| (.*?) \| `(.*?)` \|$", PAGE.read_text(), re.MULTILINE)
]


def test_every_example_is_on_the_page() -> None:
    there = {path.name for path in (DOCS / "examples").iterdir() if path.is_file()}

    assert {file for files, _page, _test in ROWS for file in files} == there


@pytest.mark.parametrize(("files", "page", "test"), ROWS, ids=[files[0] for files, _page, _test in ROWS])
def test_its_page_leads_to_it_and_its_test_names_it(files: list[str], page: str, test: str) -> None:
    tests = (DOCS.parent / test).read_text()

    assert f"examples/{files[0]}" in (PAGE.parent / page).resolve().read_text()
    assert re.search(rf"{re.escape(files[0].rpartition('.')[0])}\b", tests)
