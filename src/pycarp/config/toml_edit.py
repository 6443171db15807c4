"""Changes settings in the text of a TOML file and leaves everything else as it stands, comments and order included."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import msgspec

from pycarp.config import toml
from pycarp.errors import ConfigError


class HostEdit(msgspec.Struct, frozen=True, kw_only=True):
    """New values of a host; None leaves one as it is. ``interfaces`` are the names that the file may have for its link.

    ``name`` is for messages.
    """

    name: str
    interfaces: Sequence[str]
    vhid: int
    advbase: int | None = None
    advskew: int | None = None
    addresses: Sequence[str] | None = None
    password: str | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The new values but for the password, by key."""
        addresses = None if self.addresses is None else list(self.addresses)
        values = {"advbase": self.advbase, "advskew": self.advskew, "addresses": addresses}
        return {key: value for key, value in values.items() if value is not None}


class Edits(msgspec.Struct, frozen=True, kw_only=True):
    """What files are to say: the configuration itself, and the files of passwords, by path, without a line end."""

    text: str
    passwords: Mapping[Path, str]


def edit(text: str, file: str, hosts: Sequence[HostEdit], sysctls: Mapping[str, int]) -> Edits:
    """Return the texts with the new values; ``sysctls`` are short names.

    Raises ConfigError when the text is wrong before or thereafter, a host is not in it, or its password stands
    somewhere else.
    """
    # Imported here because it comes with an extra.
    import tomlkit  # noqa: PLC0415

    toml.read(text, file=file)
    mark = "\ufeff" * text.startswith("\ufeff")
    document = tomlkit.parse(text.removeprefix(mark))
    passwords: dict[Path, str] = {}
    users: dict[Path, set[int]] = {}
    tables = list(document["host"])
    for number, table in enumerate(tables):
        if "password_file" in table:
            users.setdefault(_beside(file, table), set()).add(number)
    for host in hosts:
        number, table = _table(tables, host, file)
        _set(table, host.values)
        if host.password is not None and "password" in table:
            table["password"] = host.password
        elif host.password is not None:
            passwords[_beside(file, table)] = _one_line(host)
            users[_beside(file, table)].discard(number)
    for path in passwords:
        if users[path]:
            raise ConfigError(f"{path} holds the password of other hosts as well; give each host a file of its own")
    if sysctls:
        node = document.setdefault("node", tomlkit.table())
        if "sysctls" in node:
            _set(node["sysctls"], sysctls)
        else:
            _set(node, {"sysctls": tomlkit.item({**sysctls}).add(tomlkit.nl())})
    edited = mark + _ended_like(text, tomlkit.dumps(document))
    toml.read(edited, file=file)
    return Edits(text=edited, passwords=passwords)


def _set(table: Any, values: Mapping[str, Any]) -> None:
    """Set keys; new ones come before the blanks and comments at the end, which belong to the table that follows."""
    new = [key for key in values if key not in table]
    for key in values.keys() - set(new):
        if not (isinstance(values[key], list) and _extend(table[key], values[key])):
            table[key] = values[key]
    body = getattr(table.value, "body", None)
    end = []
    while new and body and body[-1][0] is None:
        end.append(body.pop())
    for key in new:
        table.add(key, values[key])
    if body is not None:
        body.extend(reversed(end))


def _extend(array: Any, values: Sequence[str]) -> bool:
    """Add and remove items of an array, so that comments beside the others stay; False where that cannot be done."""
    stays = [each for each in array if each in values]
    more = [each for each in values if each not in stays]
    if [*stays, *more] != list(values):
        return False
    for each in [each for each in array if each not in values]:
        array.remove(each)
    array.extend(more)
    return True


def _table(tables: Sequence[Any], host: HostEdit, file: str) -> tuple[int, Any]:
    for number, table in enumerate(tables):
        if table["vhid"] == host.vhid and table["interface"] in host.interfaces:
            return number, table
    raise ConfigError(f"{file} has no host with vhid {host.vhid} on {host.interfaces[0]}; {host.name} cannot be saved")


def _beside(file: str, table: Mapping[str, Any]) -> Path:
    if "password_file" not in table:
        where = next(_sources(table), "the file")
        raise ConfigError(f"the password of vhid {table['vhid']} comes from {where}; write the new one there yourself")
    return Path(PurePath(file).parent / str(table["password_file"]))


def _sources(table: Mapping[str, Any]) -> Iterator[str]:
    return (str(key) for key in table if str(key).startswith("password"))


def _one_line(host: HostEdit) -> str:
    assert host.password is not None
    if "\n" in host.password:
        raise ConfigError(f"{host.name}: the password has a line end, and of a password_file the first line counts")
    return host.password


def _ended_like(before: str, text: str) -> str:
    """Return a text without a blank line at its end that was not there before: a new table brings one."""
    return text if before.endswith("\n\n") or not text.endswith("\n\n") else text.rstrip("\n") + "\n"
