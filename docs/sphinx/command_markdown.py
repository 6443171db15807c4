"""Writes the pages of the commands for the site, from what their help says."""

from collections.abc import Iterator
from pathlib import Path

from pycarp.cli import cli
from pycarp.cli.command_page import CommandPage, Text, command_pages

INDEX = "index"


def write_command_pages(folder: Path) -> None:
    """Write a page for each command, and one that lists them; files that are right stay, others are removed."""
    folder.mkdir(exist_ok=True)
    pages = tuple(command_pages(cli, "pycarp"))
    wanted = {f"{page.file_name}.md": page_markdown(page) for page in pages if page.name != "pycarp"}
    wanted[f"{INDEX}.md"] = _index(pages[0], sorted(wanted))
    for found in folder.glob("*.md"):
        if found.name not in wanted:
            found.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def page_markdown(page: CommandPage) -> str:
    """Return the page of a command."""
    return "\n".join([f"# {page.name}", "", *_body(page)]) + "\n"


def _index(root: CommandPage, files: list[str]) -> str:
    toctree = ["```{toctree}", ":hidden:", "", *(name.removesuffix(".md") for name in files), "```", ""]
    return "\n".join(["# Commands", "", *toctree, *_body(root)]) + "\n"


def _body(page: CommandPage) -> Iterator[str]:
    yield from ("```text", f"{page.name} {page.arguments}", "```", "")
    yield from _paragraphs(page.description)
    for title, commands in page.commands:
        yield from (f"## {title}", "", "| command | what it does |", "|---|---|")
        for name, words in commands:
            file = f"{page.name} {name}".replace(" ", "-")
            yield f"| [`{page.name} {name}`]({file}.md) | {_in_cell(_safe(words))} |"
        yield ""
    if page.options:
        yield from ("## Options", "")
        for name, words in page.options:
            yield from (f"`{name}`", f": {_safe(words)}", "")
    for title, texts in page.sections:
        yield from (f"## {title}", "")
        yield from _paragraphs(texts, "sh" if title == "Examples" else "text")


def _paragraphs(texts: tuple[Text, ...], language: str = "text") -> Iterator[str]:
    for text in texts:
        yield from (f"```{language}", text.words, "```", "") if text.is_verbatim else (_safe(text.words), "")


def _safe(words: str) -> str:
    """Return words without markdown's own signs; code in double backticks stays code."""
    return "".join(f"\\{each}" if each in "*_[]<>#$" else each for each in words.replace("``", "`"))


def _in_cell(words: str) -> str:
    return words.replace("|", "\\|")
