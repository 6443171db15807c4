"""The table of a hook in TOML: ``[[hook]]`` for every host, or ``[[host.hook]]`` for one."""

from pathlib import PurePath
from typing import Annotated

import msgspec

from pycarp.durations import parse_duration
from pycarp.errors import ConfigError
from pycarp.hooks import Hook, On, OnFailure
from pycarp.hooks.hook import RETRIES_MAX, TIMEOUT_MAX_S

Text = Annotated[str, msgspec.Meta(min_length=1)]
Duration = str | float

SHELL = "/bin/sh"


class HookTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``[[hook]]``, ``[[host.hook]]``: what is called when the state changes; either ``run`` or ``shell``.

    ``run`` is a program and its arguments, ``shell`` a line for /bin/sh.
    """

    on: Annotated[list[On], msgspec.Meta(min_length=1)]
    run: Annotated[list[Text], msgspec.Meta(min_length=1)] | None = None
    shell: Text | None = None
    name: Text | None = None
    timeout: Duration = "10s"
    retries: Annotated[int, msgspec.Meta(ge=0, le=RETRIES_MAX)] = 0
    on_failure: OnFailure = OnFailure.IGNORE


def hook_of(table: HookTable) -> Hook:
    """Return the hook of a table; raises ConfigError for what cannot work, its first word being the key."""
    if (table.run is None) is (table.shell is None):
        raise ConfigError('run is one of two; write either run = ["/path/of/program", "argument"] or shell = "a line"')
    words = tuple(table.run) if table.run is not None else (SHELL, "-c", table.shell or "")
    return Hook(
        name=table.name or PurePath(words[0]).name,
        on=frozenset(table.on),
        run=words,
        timeout_s=parse_duration(table.timeout, name="timeout", least_s=0.001, most_s=TIMEOUT_MAX_S),
        retries=table.retries,
        on_failure=table.on_failure,
    )
