"""Writes settings as text: the files of every grammar, and a list of what a grammar cannot express.

Names of hosts and of the machine are for people; where a grammar has no place for them they are left out silently.

The documents contain the passwords; the caller must protect them.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from ipaddress import IPv4Address
from typing import Any

import msgspec

from pycarp.config.carp_words import CLONE, FAMILIES, FREEBSD_WORDS
from pycarp.config.model import Attached, NodeConfig
from pycarp.config.toml import SYSCTL_PREFIX
from pycarp.core.host_config import DEFAULT_GROUPS, HostConfig
from pycarp.dialects import UNIVERSAL
from pycarp.errors import ConfigError
from pycarp.vocabulary import HostKey, InterfaceAddress

_SHELL_NAME = re.compile(r"[A-Za-z0-9]+", re.ASCII)
_VLAN = re.compile(r"([A-Za-z0-9]+)\.([1-9][0-9]*)", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_BLANKS = frozenset(" \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029")
_ALWAYS_SAID = frozenset({"interface", "vhid", "passphrase", "addresses", "advbase", "advskew", "name", "dialect"})
_NODE_KEYS = ("transport", "actuator", "monitor", "external_change_limit")
_OPTIONAL = tuple(each for each in fields(HostConfig) if each.init and each.name not in _ALWAYS_SAID)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A file to write. ``lost`` describes the settings that its grammar cannot express."""

    name: str
    text: str
    lost: tuple[str, ...] = ()


class _Losses:
    """Collects the settings that a grammar cannot express, one line each."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, text: str) -> None:
        """Add a line, without line ends, because it may become a comment."""
        self.found.append(" ".join(text.split()))

    def check_node(self, config: NodeConfig) -> None:
        """Note what is said about the machine; its name is for people only."""
        for name in ("sysctls", *_NODE_KEYS):
            value = getattr(config, name)
            if value not in (None, "", ()):
                text = ", ".join(f"{key}={number}" for key, number in value) if name == "sysctls" else value
                self.add(f"{name} {text}")
        if config.http is not None:
            self.add(f"http {' '.join(config.http.listen)}")
        names: dict[HostKey | None, str] = {host.key: f"{host.name}: " for host in config.hosts}
        for kind, attached in _kinds(config):
            for each in attached:
                self.add(f"{names.get(each.host, '')}{kind.replace('_', ' ')} {each.name}")

    def check_host(self, host: HostConfig, said: frozenset[str], dialects: frozenset[str]) -> None:
        """Note what is said about a host beside ``said``; a dialect other than ``dialects`` is a loss."""
        for each in _OPTIONAL:
            value = getattr(host, each.name)
            if each.name not in said and value != each.default:
                self.add(f"{host.name}: {each.name} {_in_words(value)}")
        # The universal dialect is the default, so its loss changes nothing.
        if host.dialect.name not in dialects | {UNIVERSAL.name}:
            self.add(f"{host.name}: dialect {host.dialect.name}")


def rc_conf(config: NodeConfig) -> list[Document]:
    """Return an rc.conf of FreeBSD 10 and newer: vhids on aliases."""
    losses = _Losses()
    losses.check_node(config)
    lines = [f"hostname={_shell_quoted(config.hostname)}"] if config.hostname else []
    aliases: dict[str, int] = {}
    lines += _vlan_lines(config)
    for host in config.hosts:
        losses.check_host(host, frozenset({"peers", "multicast_group"}), frozenset({"freebsd"}))
        if _password(host) in FAMILIES:
            # FreeBSD's network.subr takes the word for the beginning of another address.
            raise ConfigError(f"{host.name}: the password is one of {', '.join(sorted(FAMILIES))}, which end an alias")
        interface = host.interface.replace(".", "_")
        if not _VLAN.fullmatch(host.interface):
            _demand(_SHELL_NAME, host.interface, "interface", "rc.conf")
        for index, address in enumerate(host.addresses):
            # FreeBSD 14 goes back to multicast at a line that names no peer (carp.md 7.2).
            words = _freebsd_words(host) if index == 0 else [f"vhid {host.vhid}", *_freebsd_peers(host)]
            number = aliases[interface] = aliases.get(interface, -1) + 1
            value = " ".join([_family_word(address), *words, "alias", str(address)])
            lines.append(f"ifconfig_{interface}_alias{number}={_shell_quoted(value)}")
    return [Document(name="rc.conf", text=_lines(lines), lost=tuple(losses.found))]


def _vlan_lines(config: NodeConfig) -> list[str]:
    """Return the lines without which ``ifconfig_em0_5`` would not be about em0.5."""
    tags: dict[str, list[str]] = {}
    for link in dict.fromkeys(host.interface for host in config.hosts):
        if match := _VLAN.fullmatch(link):
            tags.setdefault(match[1], []).append(match[2])
    return [f'vlans_{parent}="{" ".join(each)}"' for parent, each in tags.items()]


def rc_conf_9(config: NodeConfig) -> list[Document]:
    """Return an rc.conf of FreeBSD up to 9: cloned interfaces, whose device is found by its subnet."""
    losses = _Losses()
    losses.check_node(config)
    lines = [f"hostname={_shell_quoted(config.hostname)}"] if config.hostname else []
    names = _clone_names(config)
    lines.append(f'cloned_interfaces="{" ".join(names)}"')
    for name, host in zip(names, config.hosts, strict=True):
        losses.check_host(host, frozenset(), frozenset({"freebsd9"}))
        first, *others = host.addresses
        lines.append(f"# On {host.interface}: an own address of it must be in the subnet of {first.ip}.")
        value = " ".join([*_freebsd_words(host), _family_word(first), str(first)])
        lines.append(f"ifconfig_{name}={_shell_quoted(value)}")
        for number, address in enumerate(others):
            lines.append(f'ifconfig_{name}_alias{number}="{_family_word(address)} {address}"')
    return [Document(name="rc.conf", text=_lines(lines), lost=tuple(losses.found))]


def hostname_carp(config: NodeConfig) -> list[Document]:
    """Return OpenBSD's files, one per host."""
    documents = []
    for name, host in zip(_clone_names(config), config.hosts, strict=True):
        losses = _Losses()
        losses.check_node(config)
        losses.check_host(host, frozenset({"peers", "lladdr", "groups"}), frozenset({"openbsd"}))
        _demand(_PLAIN, host.interface, "interface", "hostname.carp")
        for group in host.groups:
            _demand(_PLAIN, group, "group", "hostname.carp")
        lines = [f"vhid {host.vhid} carpdev {host.interface} advbase {host.advbase} advskew {host.advskew}"]
        lines.append(f"pass {_openbsd_quoted(_password(host))}")
        peers = host.peers
        if len(peers) > 1 or any(peer.version == 6 for peer in peers):
            raise ConfigError(f"{host.name}: OpenBSD has one carppeer, of IPv4")
        lines += [f"carppeer {peer}" for peer in peers]
        lines += [f"lladdr {host.lladdr}"] if host.lladdr else []
        lines += [f"group {group}" for group in host.groups if group not in DEFAULT_GROUPS]
        lines += [f"-group {group}" for group in DEFAULT_GROUPS if group not in host.groups]
        lines += [
            _openbsd_address(address, alias="alias " * (index > 0)) for index, address in enumerate(host.addresses)
        ]
        documents.append(Document(name=f"hostname.{name}", text=_lines(lines), lost=tuple(losses.found)))
    return documents


def toml(config: NodeConfig) -> list[Document]:
    """Return TOML, which can express every setting."""
    # Imported late, because it comes with an extra.
    import tomlkit  # noqa: PLC0415

    tables: dict[str, object] = {}
    node: dict[str, object] = {
        name: value for name in ("hostname", *_NODE_KEYS) if (value := getattr(config, name)) not in (None, "")
    }
    if config.sysctls:
        node["sysctls"] = {name.removeprefix(SYSCTL_PREFIX): value for name, value in config.sysctls}
    if node:
        tables["node"] = node
    tables["host"] = [_toml_host(host) | _attached(config, host.key) for host in config.hosts]
    tables |= _attached(config, None)
    if config.http is not None:
        http: dict[str, object] = {"listen": list(config.http.listen)}
        if config.http.names:
            http["names"] = list(config.http.names)
        if config.http.token_file is not None:
            http["token_file"] = str(config.http.token_file.absolute())
        tables["http"] = http
    return [Document(name="pycarp.toml", text=tomlkit.dumps(tables))]


def _kinds(config: NodeConfig) -> tuple[tuple[str, Sequence[Attached[Any]]], ...]:
    """Return what goes with hosts, by the names of its tables."""
    return (
        ("check", config.checks),
        ("hook", config.hooks),
        ("failback", config.failbacks),
        ("sync_group", config.sync_groups),
    )


def _attached(config: NodeConfig, host: HostKey | None) -> dict[str, object]:
    """Return what goes with a host, or with None with every host, as tables."""
    found: dict[str, object] = {}
    for kind, attached in _kinds(config):
        tables = [dict(each.table) for each in attached if each.host == host]
        if tables:
            found[kind] = tables[0] if kind == "failback" else tables
    return found


def ucarp(config: NodeConfig, *, sources: Mapping[str, IPv4Address]) -> list[Document]:
    """Return a script with a command line a host; ``sources`` are the own addresses of the devices, for ``--srcip``."""
    losses = _Losses()
    losses.check_node(config)
    lines = ["#!/bin/sh"]
    said = frozenset({"preempt", "multicast_group", "broadcasts", "dead_ratio", "neutral", "ignores_link"})
    for host in config.hosts:
        losses.check_host(host, said, frozenset({"ucarp"}))
        lines.append(_ucarp_command(host, sources))
    return [Document(name="ucarp.sh", text=_lines(lines), lost=tuple(losses.found))]


def _ucarp_command(host: HostConfig, sources: Mapping[str, IPv4Address]) -> str:
    address, *others = host.addresses
    if others or address.version != 4:
        raise ConfigError(f"{host.name}: ucarp shares exactly one IPv4 address, not {len(host.addresses)} addresses")
    if host.interface not in sources:
        raise ConfigError(f"{host.name}: ucarp needs an own address of {host.interface}; add --srcip ADDRESS")
    if not host.advbase:
        raise ConfigError(f"{host.name}: advbase 0 makes ucarp flap; it needs 1-255")
    options = {
        "interface": host.interface,
        "srcip": str(sources[host.interface]),
        "vhid": str(host.vhid),
        "pass": _password(host),
        "addr": str(address.ip),
        "advbase": str(host.advbase),
        "advskew": str(host.advskew),
        "deadratio": str(host.dead_ratio),
    }
    if host.multicast_group:
        options["mcastip"] = str(host.multicast_group)
    flags = {
        "preempt": host.preempt,
        "neutral": host.neutral,
        "ignoreifstate": host.ignores_link,
        "nomcast": host.broadcasts,
    }
    words = [f"--{name}={value}" for name, value in options.items()] + [f"--{name}" for name in flags if flags[name]]
    if any(each in _password(host) for each in "\r\n"):
        raise ConfigError(f"{host.name}: the password has a line end, which a command line cannot hold")
    return shlex.join(["ucarp", *words])


def _toml_host(host: HostConfig) -> dict[str, object]:
    table: dict[str, object] = {
        "interface": host.interface,
        "vhid": host.vhid,
        "password": _password(host),
        "addresses": [str(each) for each in host.addresses],
        "advbase": host.advbase,
        "advskew": host.advskew,
        "dialect": host.dialect.name,
    }
    if host.name != str(host.key):
        table["name"] = host.name
    texts: dict[str, Callable[[HostConfig], object]] = {
        "peers": lambda each: [str(peer) for peer in each.peers],
        "multicast_group": lambda each: str(each.multicast_group),
        "lladdr": lambda each: str(each.lladdr),
        "groups": lambda each: list(each.groups),
        "peer_dialects": lambda each: [dialect.name for dialect in each.peer_dialects],
    }
    for field in _OPTIONAL:
        if getattr(host, field.name) != field.default:
            make = texts.get(field.name)
            table[field.name] = make(host) if make else getattr(host, field.name)
    return table


def _freebsd_words(host: HostConfig) -> list[str]:
    password = _password(host)
    if not password or set(password) & _BLANKS:
        raise ConfigError(f"{host.name}: the password is empty or has a blank, which rc.conf cannot hold")
    low, high = FREEBSD_WORDS.numbers["advskew"]
    if not low <= host.advskew <= high or not host.advbase:
        raise ConfigError(f"{host.name}: FreeBSD takes advbase 1-255 and advskew {low}-{high}")
    words = [f"vhid {host.vhid}", f"advbase {host.advbase}", f"advskew {host.advskew}", f"pass {password}"]
    return words + _freebsd_peers(host)


def _freebsd_peers(host: HostConfig) -> list[str]:
    words = [f"peer{'6' * (peer.version == 6)} {peer}" for peer in host.peers]
    return words + ([f"peer {host.multicast_group}"] if host.multicast_group else [])


def _password(host: HostConfig) -> str:
    try:
        return host.passphrase.key.rstrip(b"\x00").decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{host.name}: the password is not UTF-8, which a text file cannot hold") from None


def _clone_names(config: NodeConfig) -> list[str]:
    """Return a name of the form ``carpN`` for each host: its own where it has such a one."""
    taken = {host.name for host in config.hosts}
    free = (f"carp{number}" for number in range(2 * len(config.hosts) + 1) if f"carp{number}" not in taken)
    return [host.name if CLONE.fullmatch(host.name) else next(free) for host in config.hosts]


def _openbsd_address(address: InterfaceAddress, *, alias: str) -> str:
    if address.version == 6:
        return f"inet6 {alias}{address.ip} {address.network.prefixlen}"
    return f"inet {alias}{address.ip} {address.netmask} NONE"


def _openbsd_quoted(text: str) -> str:
    """Return a word in quotes for ``eval``, with the backslashes twice, because netstart's ``read`` takes one away."""
    if set(text) & set("\r\n\t") or "  " in text:
        raise ConfigError("a password with line ends, tabs or two blanks in a row cannot be held by hostname.carp")
    quoted = f"'{text}'" if "'" not in text else '"' + re.sub(r'(["$`\\])', r"\\\1", text) + '"'
    return quoted.replace("\\", "\\\\")


def _shell_quoted(text: str) -> str:
    if "'" not in text:
        return f'"{text}"' if not set(text) & set('"$`\\') else f"'{text}'"
    return '"' + re.sub(r'(["$`\\])', r"\\\1", text) + '"'


def _family_word(address: InterfaceAddress) -> str:
    return "inet" if address.version == 4 else "inet6"


def _demand(pattern: re.Pattern[str], text: str, what: str, grammar: str) -> None:
    if not pattern.fullmatch(text) or (what == "interface" and CLONE.fullmatch(text)):
        raise ConfigError(f"{what} {text!r} cannot be written in {grammar}")


def _in_words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(getattr(each, "name", str(each)) for each in value) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
