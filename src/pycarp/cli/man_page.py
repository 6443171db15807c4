"""Man pages in roff's man macros, from what the help of the commands says. Source: man 7 man."""

from collections.abc import Iterator

from pycarp import __version__
from pycarp.cli.command_page import CommandPage, Text

COMMANDS_SECTION = 1
FILES_SECTION = 5


def man_page(page: CommandPage, every: tuple[CommandPage, ...]) -> str:
    """Return the man page of a command; SEE ALSO names its parent and its sub-commands among ``every``."""
    lines = [
        title_line(page.file_name, COMMANDS_SECTION),
        ".SH NAME",
        f"{escaped(page.file_name)} \\- {escaped(_plain(_uncapitalised(page.summary)))}",
        ".SH SYNOPSIS",
        f"\\fB{escaped(page.name)}\\fR {escaped(page.arguments)}",
        ".SH DESCRIPTION",
        *_paragraphs(page.description),
    ]
    if page.options:
        lines += [".SH OPTIONS", *_tagged(page.options)]
    for title, commands in page.commands:
        lines += [f".SH {escaped(title.upper())}", *_tagged(commands)]
    for title, texts in page.sections:
        lines += [f".SH {escaped(title.upper())}", *_paragraphs(texts)]
    lines += [".SH SEE ALSO", ",\n".join(reference(*each) for each in _related(page, every))]
    return "\n".join(lines) + "\n"


def title_line(name: str, section: int) -> str:
    """Return the first macro of a page."""
    return f'.TH "{escaped(name.upper())}" "{section}" "" "pycarp {escaped(__version__)}" "pycarp"'


def reference(name: str, section: int) -> str:
    """Return how one page names another."""
    return f"\\fB{escaped(name)}\\fR({section})"


def escaped(text: str) -> str:
    """Return text that roff prints as it is."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    safe = safe.replace("^", "\\(ha").replace("~", "\\(ti")
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in safe.splitlines())


def _related(page: CommandPage, every: tuple[CommandPage, ...]) -> Iterator[tuple[str, int]]:
    parent = page.name.rpartition(" ")[0]
    for each in every:
        if each.name == parent or (each.name.rpartition(" ")[0] == page.name and each.name != page.name):
            yield each.file_name, COMMANDS_SECTION
    yield "pycarp.toml", FILES_SECTION


def _paragraphs(texts: tuple[Text, ...]) -> Iterator[str]:
    for text in texts:
        if text.is_verbatim:
            yield from (".PP", ".RS 2", ".nf", escaped(text.words), ".fi", ".RE")
        else:
            yield from (".PP", escaped(_plain(text.words)))


def _tagged(rows: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for name, words in rows:
        yield from (".TP", f"\\fB{escaped(name)}\\fR", escaped(_plain(words)))


def _plain(words: str) -> str:
    return words.replace("``", "")


def _uncapitalised(words: str) -> str:
    """Return a summary as it stands behind the name, in lower case; abbreviations stay as they are."""
    is_word = words[:2] != words[:2].upper()
    return words[0].lower() + words[1:] if is_word else words
