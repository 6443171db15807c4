"""What the help of a command says, as values: the source of the man pages and of the pages of the site."""

import re
import textwrap
from collections.abc import Iterator

import click
import msgspec

EXAMPLES = "Examples"
EXIT_STATUS = "Exit status"
NOTES = "Notes"
_BLOCK = "\b\n"
"""How click marks lines that are not rewrapped."""

_SUMMARY_LIMIT = 200


class Text(msgspec.Struct, frozen=True):
    """A paragraph; one that is verbatim keeps its lines, those of an example for instance."""

    words: str
    is_verbatim: bool = False


class CommandPage(msgspec.Struct, frozen=True, kw_only=True):
    """The help of one command."""

    name: str
    """All words of the command: ``pycarp service install``."""

    arguments: str
    """What follows the name in the usage: ``[OPTIONS] FILE``."""

    summary: str
    """The first sentence, without its full stop."""

    description: tuple[Text, ...]
    options: tuple[tuple[str, str], ...]
    """Names with the metavar of the value, and what the option does."""

    commands: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    """Sub-commands with their summaries, by the title of their group."""

    sections: tuple[tuple[str, tuple[Text, ...]], ...]
    """What follows the options, by title."""

    @property
    def file_name(self) -> str:
        """The name of its man page without the number of the section: ``pycarp-service-install``."""
        return self.name.replace(" ", "-")


def command_pages(command: click.Command, name: str) -> Iterator[CommandPage]:
    """Yield the page of a command, and those of all its sub-commands; hidden ones have none."""
    yield from _pages(click.Context(command, info_name=name, **command.context_settings))


def _pages(context: click.Context) -> Iterator[CommandPage]:
    yield page_of(context)
    for name, each in _subcommands(context):
        yield from _pages(click.Context(each, info_name=name, parent=context))


def page_of(context: click.Context) -> CommandPage:
    """Return the page of the command of a context."""
    command = context.command
    if (own_help := getattr(command, "own_help", None)) is not None:
        return _page_of_text(context.command_path, command.get_short_help_str(_SUMMARY_LIMIT), own_help)
    return CommandPage(
        name=context.command_path,
        arguments=" ".join(command.collect_usage_pieces(context)),
        summary=command.get_short_help_str(_SUMMARY_LIMIT).rstrip("."),
        description=_paragraphs(command.help or ""),
        options=tuple(_options(context)),
        commands=tuple(_groups(context)),
        sections=_sections(_paragraphs(command.epilog or "")),
    )


def _subcommands(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield name, found


def _groups(context: click.Context) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    summaries = {name: each.get_short_help_str(_SUMMARY_LIMIT) for name, each in _subcommands(context)}
    groups = getattr(context.command, "groups", {"Commands": summaries}) if summaries else {}
    for title, names in groups.items():
        yield title, tuple((name, summaries[name]) for name in names if name in summaries)


def _options(context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            yield record


def _page_of_text(name: str, summary: str, text: str) -> CommandPage:
    """Return the page of a command whose help is written as a whole."""
    usage, _blank, rest = text.partition("\n\n")
    described, *others = rest.split("\n\n")
    return CommandPage(
        name=name,
        arguments=usage.partition(name)[2].strip(),
        summary=summary.rstrip("."),
        description=(Text(" ".join(described.split())), *(Text(each.rstrip(), is_verbatim=True) for each in others)),
        options=(),
        commands=(),
        sections=(),
    )


def _paragraphs(text: str) -> tuple[Text, ...]:
    found = []
    for each in re.split(r"\n\s*\n", textwrap.dedent(text).strip("\n")):
        words = textwrap.dedent(each).strip("\n")
        if words.startswith(_BLOCK):
            found.append(Text(textwrap.dedent(words.removeprefix(_BLOCK)).rstrip(), is_verbatim=True))
        elif words:
            found.append(Text(" ".join(words.split())))
    return tuple(found)


def _title_of(text: Text) -> str:
    if re.match(r"Examples?:\n", text.words):
        return EXAMPLES
    return EXIT_STATUS if text.words.startswith(f"{EXIT_STATUS}:") else NOTES


def _sections(blocks: tuple[Text, ...]) -> tuple[tuple[str, tuple[Text, ...]], ...]:
    found: dict[str, list[Text]] = {}
    for block in blocks:
        title = _title_of(block)
        found.setdefault(title, []).append(_without_title(block, title))
    return tuple((title, tuple(found[title])) for title in (NOTES, EXIT_STATUS, EXAMPLES) if title in found)


def _without_title(block: Text, title: str) -> Text:
    if title == EXAMPLES:
        return Text(textwrap.dedent(block.words.partition("\n")[2]), is_verbatim=True)
    if title == EXIT_STATUS:
        return Text(" ".join(block.words.partition(":")[2].split()))
    # Lines of a table, or an indented list, keep their places; sentences need not.
    is_table = bool(re.search(r"\n[ ]|\S {2,}\S", block.words))
    return Text(block.words if is_table else " ".join(block.words.split()), is_verbatim=is_table)
