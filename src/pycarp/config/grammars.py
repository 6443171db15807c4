"""The grammars: detects, reads and writes them."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import PurePath
from typing import TYPE_CHECKING

from pycarp.config.model import NodeConfig
from pycarp.config.source_text import load, plain
from pycarp.dialects import OPENBSD, UNIVERSAL, Dialect
from pycarp.errors import ConfigError
from pycarp.vocabulary import LinkFacts

if TYPE_CHECKING:
    from pycarp.config.dump import Document

__all__ = ["SAY_PREEMPT", "TARGETS", "Grammar", "load", "read", "recognise", "write"]


class Grammar(StrEnum):
    """The grammars that can be read."""

    RC_CONF = "rc.conf"
    HOSTNAME_CARP = "hostname.carp"
    TOML = "toml"
    UCARP = "ucarp"
    INTERFACES = "interfaces"
    VIP_CONF = "vip.conf"
    KEEPALIVED = "keepalived.conf"
    CONFIG_XML = "config.xml"


SAY_PREEMPT = frozenset(set(Grammar) - {Grammar.RC_CONF, Grammar.HOSTNAME_CARP})
"""The grammars with a word for preempt; the BSDs set it elsewhere."""

TARGETS = ("rc.conf", "rc.conf9", "hostname.carp", "toml", "ucarp")
"""The grammars that can be written: FreeBSD's rc.conf has two generations."""

_NAMES = (
    (re.compile(r"hostname\..+"), Grammar.HOSTNAME_CARP),
    (re.compile(r".*\.toml"), Grammar.TOML),
    (re.compile(r".*rc\.conf.*"), Grammar.RC_CONF),
    (re.compile(r"interfaces|.+\.interfaces"), Grammar.INTERFACES),
    (re.compile(r"vip-.+\.conf"), Grammar.VIP_CONF),
    (re.compile(r".*keepalived.*\.conf.*"), Grammar.KEEPALIVED),
    (re.compile(r".*\.xml"), Grammar.CONFIG_XML),
)
_SIGNS = (
    (re.compile(r"^\s*(<\?xml[^>]*>\s*)?<(opnsense|pfsense)>"), Grammar.CONFIG_XML),
    (re.compile(r"^\s*vrrp_(instance|script|sync_group)\s+\S", re.MULTILINE), Grammar.KEEPALIVED),
    (re.compile(r"^\s*\[\[?\s*(host|node)\b", re.MULTILINE), Grammar.TOML),
    (re.compile(r"^\s*((ipv6_)?ifconfig_\w+|cloned_interfaces|ucarp_enable)=", re.MULTILINE), Grammar.RC_CONF),
    (re.compile(r"^\s*(VIP_ADDRESS|BIND_INTERFACE)=", re.MULTILINE), Grammar.VIP_CONF),
    (re.compile(r"^\s*iface[ \t]+\S+[ \t]+inet6?[ \t]", re.MULTILINE), Grammar.INTERFACES),
    (re.compile(r"^[^#\n]*\bucarp\s+-", re.MULTILINE), Grammar.UCARP),
    (re.compile(r"^\s*(inet6?|vhid|carpdev)\s", re.MULTILINE), Grammar.HOSTNAME_CARP),
)


def recognise(file: str, text: str) -> Grammar:
    """Return the grammar of a file, by its name or else its text; raises ConfigError if both are ambiguous."""
    name, text = PurePath(file).name, plain(text)
    for pattern, grammar in _NAMES:
        if pattern.fullmatch(name):
            return grammar
    for pattern, grammar in _SIGNS:
        if pattern.search(text):
            return grammar
    tried = ", ".join(Grammar)
    raise ConfigError(
        f"cannot tell the grammar of {file}: neither its name nor a line of its text is that of {tried}; "
        f"name it: --format {Grammar.RC_CONF}"
    )


def read(
    text: str,
    grammar: Grammar,
    *,
    file: str,
    links: Sequence[LinkFacts] = (),
    renames: Mapping[str, str] | None = None,
    dialect: Dialect | None = None,
    password: str | None = None,
) -> NodeConfig:
    """Return the configuration; ``dialect`` None is that of the grammar. Arguments else as of ``rcconf.read``.

    ``password`` is that of hosts that have none, which only keepalived.conf may leave out.

    Raises ConfigProblems with everything that is wrong, ConfigError for a dialect where the grammar says which.
    """
    before, nul, _after = text.partition("\0")
    if nul:
        line = before.count("\n") + 1
        raise ConfigError(f"{file}:{line}: a NUL character, which no other grammar could say; remove it")
    # Each is imported when it is read: a daemon reads one, and all take a tenth of a second.
    match grammar:
        case Grammar.RC_CONF:
            from pycarp.config import rcconf  # noqa: PLC0415

            return rcconf.read(text, file=file, links=links, renames=renames, dialect=dialect or UNIVERSAL)
        case Grammar.HOSTNAME_CARP:
            from pycarp.config import hostname_if  # noqa: PLC0415

            return hostname_if.read(text, file=file, links=links, renames=renames, dialect=dialect or OPENBSD)
        case Grammar.CONFIG_XML:
            from pycarp.config import firewall_xml  # noqa: PLC0415

            return firewall_xml.read(text, file=file, links=links, renames=renames, dialect=dialect or UNIVERSAL)
        case _ if dialect is not None:
            raise ConfigError(f"a dialect is given by the file itself in grammar {grammar}; write it there")
        case Grammar.TOML:
            from pycarp.config import toml  # noqa: PLC0415

            return toml.read(text, file=file, links=links, renames=renames)
        case Grammar.INTERFACES:
            from pycarp.config import ifupdown  # noqa: PLC0415

            return ifupdown.read(text, file=file, links=links, renames=renames)
        case Grammar.VIP_CONF:
            from pycarp.config import ucarp_vip  # noqa: PLC0415

            return ucarp_vip.read(text, file=file, links=links, renames=renames)
        case Grammar.KEEPALIVED:
            from pycarp.config import keepalived  # noqa: PLC0415

            return keepalived.read(text, file=file, links=links, renames=renames, password=password)
        case _:
            from pycarp.config import ucarp_file  # noqa: PLC0415

            return ucarp_file.read(text, file=file, links=links, renames=renames)


def write(config: NodeConfig, target: str, *, sources: Mapping[str, IPv4Address]) -> "list[Document]":
    """Return the files of a configuration in a grammar of ``TARGETS``; ConfigError for what cannot be written at all.

    ``sources`` are the own addresses of devices, which ucarp must be told.
    """
    from pycarp.config import dump  # noqa: PLC0415

    match target:
        case "rc.conf":
            return dump.rc_conf(config)
        case "rc.conf9":
            return dump.rc_conf_9(config)
        case "hostname.carp":
            return dump.hostname_carp(config)
        case "toml":
            return dump.toml(config)
        case "ucarp":
            return dump.ucarp(config, sources=sources)
        case _:
            raise ConfigError(f"unknown grammar {target!r}; there are: {', '.join(TARGETS)}")
