"""The type of arguments that name an interface."""

import difflib
import socket
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    _TextType = click.ParamType[str]
else:
    # Older versions of click have no generic types.
    _TextType = click.ParamType


class InterfaceName(_TextType):
    """The name of an interface of this machine; for any other name the error says what there is instead."""

    name = "interface"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; fails, with that which was meant, when there is no such interface."""
        known = _names()
        if value not in known:
            close = difflib.get_close_matches(value, known, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            self.fail(f"no interface {value!r} here; there are: {', '.join(known) or 'none'}.{meant}", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the interfaces whose names begin with the text."""
        return [CompletionItem(each) for each in _names() if each.startswith(incomplete)]


def _names() -> list[str]:
    return [name for _index, name in socket.if_nameindex()]
