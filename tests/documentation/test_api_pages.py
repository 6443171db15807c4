"""The pages of the API have every name that pycarp exports, once, and none that does not exist."""

import re
from importlib import import_module

import pycarp
from tests.support.pages import DOCS

PAGES = sorted((DOCS / "reference" / "api").glob("*.md"))
NAMES = [name for page in PAGES for name in re.findall(r"^\.\. auto\w+:: (\S+)$", page.read_text(), re.MULTILINE)]
PARTS = ("testing", "health", "hooks", "groups", "failback")
"""Packages beside pycarp itself whose names programs use; their pages have what is used most."""


def test_every_exported_name_is_on_one_page() -> None:
    exported = {f"pycarp.{name}" for name in pycarp.__all__} - {"pycarp.__version__", "pycarp.dialects"}

    assert sorted(NAMES) == sorted(set(NAMES))
    assert exported - set(NAMES) == set()


def test_every_name_on_the_pages_is_exported() -> None:
    for name in NAMES:
        package, _dot, last = name.rpartition(".")
        assert last in import_module(package).__all__, name


def test_the_packages_beside_pycarp_are_on_the_pages() -> None:
    assert [part for part in PARTS if not any(name.startswith(f"pycarp.{part}.") for name in NAMES)] == []
