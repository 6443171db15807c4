"""The documentation site: ``nox -s docs`` builds it, and a warning is an error."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import pycarp

_BESIDE = re.compile(r"\]\((?:\.\./)+(CHANGELOG|CONTRIBUTING|SECURITY)\.md")
DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "sphinx"))

project = "pycarp"
html_title = f"pycarp {pycarp.__version__}"
author = copyright = "The pycarp authors"  # noqa: A001  the name that Sphinx looks for
version = release = pycarp.__version__
exclude_patterns = ["examples"]
extensions = ["sphinx.ext.autodoc", "myst_parser"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
# A page shows a command of psql between its statements.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "undoc-members": True}
# The headings of the pages are enough, and the sidebar of every page would be made of a thousand entries.
toc_object_entries = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
html_favicon = "sphinx/static/icon.svg"
html_static_path = ["sphinx/static"]
html_css_files = ["pycarp.css"]


def setup(app: Sphinx) -> None:
    """Write the pages of the commands before Sphinx looks for pages."""
    from command_markdown import write_command_pages  # noqa: PLC0415  found through the path above
    from page_details import add_page_details, name_landmarks  # noqa: PLC0415

    write_command_pages(DOCS / "reference" / "commands")
    # After the theme, which makes the list of pages.
    app.connect("html-page-context", add_page_details, priority=900)
    app.connect("build-finished", name_landmarks)
    app.connect("source-read", _lead_to_the_pages_about)


def _lead_to_the_pages_about(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Let links to files beside ``docs``, such as the changelog, lead to the pages that include them."""
    source[0] = _BESIDE.sub(lambda found: f"](/about/{found[1].lower()}.md", source[0])
