"""The tables of TOML for services: hooks, failback and sync groups. Those of checks are in ``health``."""

import os
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path, PurePath
from typing import Annotated, Any

import msgspec

from pycarp.config.http_names import parse_names
from pycarp.config.http_token import read_token
from pycarp.config.model import HttpConfig
from pycarp.durations import parse_duration
from pycarp.errors import ConfigError
from pycarp.failback import Damping, FailbackPolicy
from pycarp.health import setting
from pycarp.hooks import Hook, On, OnFailure
from pycarp.hooks.hook import ADDRESSES_WAIT_FOR, CONFIRM_MAX_S, RETRIES_MAX, TIMEOUT_MAX_S
from pycarp.placement.damping import LONGEST_S
from pycarp.placement.policy import AUTO

Text = Annotated[str, msgspec.Meta(min_length=1)]
Duration = str | float

SHELL = "/bin/sh"

LISTEN = "127.0.0.1:9711"
"""The default address of HTTP: for programs of this machine only."""

_UNIX_OCTETS_MOST = 107
"""What the path of a socket may have. Source: ``man 7 unix``."""


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
    confirm_for: Duration = 0.0


class DampingTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``damping`` of a failback: see ``Damping``."""

    half_life: Duration = "15min"
    suppress: int = 2000
    reuse: int = 750
    longest: Duration = "1h"


class FailbackTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``[failback]``, ``[host.failback]``: when a host may take its addresses back; see ``FailbackPolicy``."""

    startup_hold: Duration = 0.0
    failback_delay: Duration = 0.0
    min_dwell: Duration = 0.0
    failback: str = AUTO
    damping: DampingTable | None = None


class SyncGroupTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``[[sync_group]]``: hosts, by their names, that move together; the first one leads."""

    name: Text
    hosts: Annotated[list[Text], msgspec.Meta(min_length=2)]
    check: list[dict[str, Any]] = msgspec.field(default_factory=list)
    hook: list[HookTable] = msgspec.field(default_factory=list)


class HttpTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``[http]``: where the daemon serves its page, metrics, status and events; each place as in ``HttpConfig``.

    Callers ask by address, by a name of the loopback, or by one of ``names``. Who sends what the first line of
    ``token_file`` says may drain hosts and hand them over.
    """

    listen: Annotated[list[Text], msgspec.Meta(min_length=1)] = msgspec.field(default_factory=lambda: [LISTEN])
    names: list[Text] = msgspec.field(default_factory=list)
    token_file: Text | None = None


def http_of(table: HttpTable, folder: Path) -> HttpConfig:
    """Return where to serve HTTP; ``token_file`` is below ``folder``. Raises ConfigError as ``hook_of``."""
    for position, place in enumerate(table.listen):
        if place in table.listen[:position]:
            raise ConfigError(f'listen "{place}" is there twice; leave one out')
        if place.startswith("unix:"):
            if not place.startswith("unix:/"):
                raise ConfigError(f'listen "{place}" is no path from the root; write one such as "unix:/run/carp.http"')
            octets = len(os.fsencode(place.removeprefix("unix:")))
            if octets > _UNIX_OCTETS_MOST:
                raise ConfigError(
                    f'listen "{place}": the path has {octets} octets, a socket\'s at most {_UNIX_OCTETS_MOST}; '
                    'write a shorter one such as "unix:/run/carp.http"'
                )
            continue
        try:
            setting.endpoint().parse("listen", place)
            ip_address(place.rpartition(":")[0].strip("[]"))
        except ValueError:
            raise ConfigError(f'listen "{place}" names no address; write one such as "{LISTEN}"') from None
    for module in ("aiohttp", "prometheus_client"):
        if find_spec(module) is None:
            raise ConfigError(f"http needs {module}: pip install 'pycarp[http]'")
    token_file = None if table.token_file is None else folder / table.token_file
    token = None if token_file is None else read_token(token_file)
    return HttpConfig(listen=tuple(table.listen), names=parse_names(table.names), token=token, token_file=token_file)


def hook_of(table: HookTable) -> Hook:
    """Return the hook of a table; raises ConfigError for what cannot work, its first word being the key."""
    if (table.run is None) is (table.shell is None):
        raise ConfigError('run is one of two; write either run = ["/path/of/program", "argument"] or shell = "a line"')
    for key, value in (("run", table.run), ("shell", table.shell)):
        if value is not None and "\0" in "".join(value):
            raise ConfigError(f"{key} {value!r} has a NUL, which no program can be given; leave it out")
    confirm_s = parse_duration(table.confirm_for, name="confirm_for", most_s=CONFIRM_MAX_S)
    if confirm_s and (early := ADDRESSES_WAIT_FOR.intersection(table.on)):
        delayed = min(early).removeprefix("before-")
        raise ConfigError(f"confirm_for {table.confirm_for} would delay the {delayed}; leave {min(early)} out of on")
    words = tuple(table.run) if table.run is not None else (SHELL, "-c", table.shell or "")
    return Hook(
        name=table.name or PurePath(words[0]).name,
        on=frozenset(table.on),
        run=words,
        timeout_s=parse_duration(table.timeout, name="timeout", least_s=0.001, most_s=TIMEOUT_MAX_S),
        retries=table.retries,
        on_failure=table.on_failure,
        confirm_s=confirm_s,
    )


def policy_of(table: FailbackTable) -> FailbackPolicy:
    """Return the policy of a table; raises ConfigError as ``hook_of``."""
    return FailbackPolicy(
        startup_hold_s=_seconds(table.startup_hold, "startup_hold"),
        failback_delay_s=_seconds(table.failback_delay, "failback_delay"),
        min_dwell_s=_seconds(table.min_dwell, "min_dwell"),
        failback=table.failback,
        damping=None if table.damping is None else _damping_of(table.damping),
    )


def _damping_of(table: DampingTable) -> Damping:
    try:
        return Damping(
            half_life_s=_seconds(table.half_life, "half_life"),
            suppress=table.suppress,
            reuse=table.reuse,
            longest_s=_seconds(table.longest, "longest"),
        )
    except ConfigError as exc:
        raise ConfigError(f"damping: {exc}") from None


def _seconds(value: Duration, name: str) -> float:
    return parse_duration(value, name=name, most_s=LONGEST_S)
