"""Opens the pages of a built site in a browser, as on a phone: ``python docs/sphinx/check_site.py SITE [PAGE]...``.

Without names it opens every page. It needs the extra ``browser`` and Debian's chromium. An error on the console, a link
or picture that is not there, a page that is wider than a phone or has no description, and what axe finds missing for
screen readers are failures.
"""

import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
CHROMIUM = "/usr/bin/chromium"
_WITHOUT_ARTICLE = {"genindex.html", "search.html"}

_AXE = {"rules": {"definition-list": {"enabled": False}}}
"""Sphinx itself lays a long signature out as a list within a term."""

_LINKS = """
() => [...document.querySelectorAll("article a[href], .sidebar-tree a[href]")]
    .filter((each) => each.href.startsWith(location.origin)).map((each) => each.href)
"""
_WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
_BROKEN = "() => [...document.images].filter((each) => !each.naturalWidth && each.src).map((each) => each.src)"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name of the standard library
        """Write nothing."""


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def check(folder: Path, only: list[str]) -> list[str]:
    """Return all that is wrong with the pages of a site, or with some of them."""
    wrong: list[str] = []
    pages = only or sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    links: dict[str, str] = {}
    anchors: dict[str, set[str]] = {}
    with _served(folder) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport=PHONE)  # type: ignore[arg-type]
        tab.on("console", lambda said: wrong.append(f"{tab.url}: {said.text}") if said.type == "error" else None)
        tab.on("pageerror", lambda error: wrong.append(f"{tab.url}: {error}"))
        for name in pages:
            tab.goto(site + name)
            wrong += [f"{name}: {each}" for each in _faults(tab, name)]
            links.update(dict.fromkeys(tab.evaluate(_LINKS), name))
            anchors[name] = set(tab.evaluate("() => [...document.querySelectorAll('[id]')].map((each) => each.id)"))
        wrong += _searched(tab, site)
        browser.close()
        for link, name in links.items():
            target, _hash, anchor = unquote(link.removeprefix(site)).partition("#")
            target = target.partition("?")[0] or "index.html"
            if not (folder / target).is_file() or (anchor and target in anchors and anchor not in anchors[target]):
                wrong.append(f"{name}: link to {link.removeprefix(site)} leads nowhere")
    return wrong


def _faults(tab: Page, name: str) -> Iterator[str]:
    if (wider := tab.evaluate(_WIDER)) > 0 and name not in _WITHOUT_ARTICLE:
        yield f"is {wider} pixels wider than a phone"
    for each in tab.evaluate(_BROKEN):
        yield f"picture {each} is not there"
    if name not in _WITHOUT_ARTICLE and tab.locator("meta[name=description]").count() != 1:
        yield "has no description"
    for each in Axe().run(tab, options=_AXE).response["violations"]:
        yield f"{each['id']}: {each['help']}, at {each['nodes'][0]['target']}"
    if name not in _WITHOUT_ARTICLE and tab.locator("h1").count() != 1:
        yield f"has {tab.locator('h1').count()} headings of the first level"


def _searched(tab: Page, site: str) -> list[str]:
    """Search as a reader would; return what is wrong."""
    tab.set_viewport_size(DESK)  # type: ignore[arg-type]
    tab.goto(f"{site}search.html?q=advskew")
    tab.wait_for_selector("#search-results li a", timeout=10_000)
    return [] if tab.locator("#search-results li").count() > 3 else ["the search finds nothing"]


if __name__ == "__main__":
    found = check(Path(sys.argv[1]), sys.argv[2:])
    print("\n".join(found) or "every page opens, fits a phone, and its links lead somewhere")
    sys.exit(bool(found))
