"""The files of the page that the daemon serves, read once."""

import hashlib
from importlib import resources

import msgspec

_INDEX = "index.html"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class PageFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file, its type for browsers, and a tag that changes with its content."""

    content: bytes
    type: str
    tag: str


def page_files() -> dict[str, PageFile]:
    """Return the files by the path that they are served at; the page itself is at ``/``, others below ``/page/``."""
    found = {}
    for each in resources.files("pycarp.daemon").joinpath("page").iterdir():
        content = each.read_bytes()
        path = "/" if each.name == _INDEX else f"/page/{each.name}"
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        found[path] = PageFile(content=content, type=_TYPES[each.name.rpartition(".")[2]], tag=tag)
    return found
