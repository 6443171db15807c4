"""What search engines and screen readers want of a page, and the theme leaves out; Lighthouse looks for it."""

import re
from html import escape
from pathlib import Path
from typing import Any

import imagesize
from docutils import nodes
from sphinx.application import Sphinx

_IMAGE = re.compile(r'<img (?=[^>]*src="([^"]+)")(?![^>]*width=)')
_IN_BODY = {
    # What scrolls can be scrolled with the keyboard as well.
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    # The corner of a table is no heading.
    '<th class="head"><p></p></th>': "<td></td>",
}
_OF_THE_THEME = {
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="This page">',
}
_LONGEST = 160
"""Search engines show about as many characters of a description."""


def add_page_details(app: Sphinx, _page: str, _template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Add a description, the sizes of pictures, and the level of the headings in the list of pages."""
    if doctree is None:
        return
    context["metatags"] = f'{context.get("metatags", "")}<meta name="description" content="{_description(doctree)}" />'
    pictures = {Path(name).name: Path(app.srcdir) / source for source, name in app.builder.images.items()}
    context["body"] = _IMAGE.sub(lambda found: f"{_with_size(found, pictures)}", context["body"])
    for found, wanted in _IN_BODY.items():
        context["body"] = context["body"].replace(found, wanted)
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def name_landmarks(app: Sphinx, _exception: Exception | None) -> None:
    """Give the two lists at the sides of each page a name; they are in no part of a page that a hook is given."""
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text()
        for found, wanted in _OF_THE_THEME.items():
            text = text.replace(found, wanted)
        page.write_text(text)


def _description(doctree: nodes.document) -> str:
    """Return the first sentences of a page, or its heading."""
    paragraphs = (each.astext() for each in doctree.findall(nodes.paragraph))
    text = " ".join(next(paragraphs, "").split()) or next(each.astext() for each in doctree.findall(nodes.title))
    if len(text) > _LONGEST:
        text = text[:_LONGEST].rpartition(" ")[0] + " …"
    return escape(text)


def _with_size(found: re.Match[str], pictures: dict[str, Path]) -> str:
    """Return the beginning of a picture with its size, so that the text does not jump when it arrives."""
    width, height = imagesize.get(pictures[Path(found[1]).name])
    return f'<img width="{width:.0f}" height="{height:.0f}" '
