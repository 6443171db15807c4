"""Makes the table of commands and options that answers the Tab key, of the commands themselves."""

import re
from collections.abc import Iterator
from typing import Any

import click

from pycarp.cli.config_options import RegisteredName
from pycarp.daemon import sysctls
from pycarp.tab_completion.candidates import FILE, FOLDER, HOST, INTERFACE

_SUMMARY_LIMIT = 200
_OPTION_OF_TEXT = re.compile(r"^ +(-\w, )? *(--[\w-]+)(?:=(\w+))? *(.*)$", re.MULTILINE)
_OPTIONS_OF_RUN = "OPTION OF RUN"


def completion_index(command: click.Command) -> dict[str, Any]:
    """Return a command, its options and arguments, and those of its sub-commands, as JSON has it."""
    return _entry(click.Context(command, info_name="pycarp", **command.context_settings), command)


def _entry(context: click.Context, root: click.Command) -> dict[str, Any]:
    command = context.command
    made: dict[str, Any] = {"help": command.get_short_help_str(_SUMMARY_LIMIT)}
    if isinstance(command, click.Group):
        found = {name: command.get_command(context, name) for name in command.list_commands(context)}
        made["commands"] = {
            name: _entry(click.Context(each, info_name=name, parent=context), root)
            for name, each in found.items()
            if each is not None and not each.hidden
        }
    made["options"] = list(_options(context))
    arguments = [each for each in command.get_params(context) if isinstance(each, click.Argument)]
    made["arguments"] = [_kind(each) for each in arguments]
    made["repeats"] = any(each.nargs == -1 for each in arguments)
    if any((each.metavar or "").startswith("[COMMAND|") for each in arguments) and isinstance(root, click.Group):
        made["arguments"] = [[*root.list_commands(context), "pycarp.toml"]]
    if any(_OPTIONS_OF_RUN in (each.metavar or "") for each in arguments):
        made["options"] += _options_of_run(context, root, made["options"])
        made["arguments"] = [FILE]
    return made


def _options(context: click.Context) -> Iterator[dict[str, Any]]:
    if (text := getattr(context.command, "own_help", None)) is not None:
        yield from _options_of_text(text)
        return
    for each in context.command.get_params(context):
        if isinstance(each, click.Option) and not each.hidden:
            made: dict[str, Any] = {"names": [*each.opts, *each.secondary_opts], "help": _first(each.help or "")}
            if not each.is_flag and not each.count:
                made["value"] = _kind(each)
            if each.multiple:
                made["repeats"] = True
            yield made


def _options_of_run(context: click.Context, root: click.Command, own: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    run = root.get_command(context, "run") if isinstance(root, click.Group) else None
    taken = {name for each in own for name in each["names"]}
    if run is not None:
        of_run = _options(click.Context(run, info_name="run", parent=context))
        yield from (each for each in of_run if not taken & set(each["names"]))


def _options_of_text(text: str) -> Iterator[dict[str, Any]]:
    """Yield the options in a help that is written as a whole."""
    for short, name, metavar, words in _OPTION_OF_TEXT.findall(text):
        made = {"names": [*([short[:2]] if short else []), name], "help": words}
        yield {**made, "value": {"FILE": FILE, "PATH": FILE, "IF": INTERFACE}.get(metavar, [])} if metavar else made


def _kind(parameter: click.Parameter) -> Any:
    """Return what may be offered for a value: a kind, or a list of choices, which may be empty."""
    of = parameter.type
    metavar = parameter.metavar or ""
    if isinstance(of, click.Choice):
        return [str(each) for each in of.choices]
    if isinstance(of, RegisteredName):
        return list(of.own)
    if isinstance(of, click.Path):
        return FILE if of.file_okay else FOLDER
    named = f"{metavar} {parameter.name}".strip().lower()
    kinds = {HOST: r"\[?host\b|name$", INTERFACE: r"\[?iface\b|.*\binterface$", FILE: r".*\bfile\b|-- command"}
    found = next((kind for kind, pattern in kinds.items() if re.match(pattern, named)), None)
    if metavar.startswith("[NAME[=VALUE]]"):
        return [sysctls.PREFIX + name for name in sysctls.NAMES]
    # The words of ifconfig: [up|down|state STATE|...]
    words = [each.split()[0] for each in metavar.strip("[].").split("|")[:-1]] if metavar.startswith("[up|") else []
    return words if found is None else found


def _first(words: str) -> str:
    """Return the first sentence of the help of an option, without defaults."""
    return re.split(r"(?<=[.:])\s|\s+\[default", words)[0].strip()
