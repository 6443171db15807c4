"""The source of a daemon's configuration, which can be read again, and the command line's options that add to it."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from pycarp import actuators, monitors, transports
from pycarp.config import NodeConfig, grammars
from pycarp.config.grammars import Grammar
from pycarp.config.problems import ConfigProblems
from pycarp.dialects import Dialect
from pycarp.errors import ConfigError
from pycarp.system.addresses.interfaces import interfaces
from pycarp.vocabulary import LinkFacts, MacMode
from pycarp.wire.ethernet import is_virtual_mac


class ConfigSource(msgspec.Struct, frozen=True, kw_only=True):
    """A file and its grammar, None to detect it from name or text; the other options override the file."""

    file: Path
    grammar: Grammar | None = None
    renames: Mapping[str, str] = msgspec.field(default_factory=dict)
    dialect: Dialect | None = None
    mac_mode: MacMode | None = None
    transport: str = ""
    actuator: str = ""

    def read(self) -> NodeConfig:
        """Return the configuration in the file; raises ConfigError with each problem on a line of its own."""
        return self.parse(grammars.load(self.file), self.file)

    @property
    def names_interfaces(self) -> bool:
        """True if the file names its interfaces, False if their subnets select them; raises as ``read``."""
        text = grammars.load(self.file)
        try:
            self._parse(text, self.grammar or grammars.recognise(str(self.file), text), self.file, ())
        except ConfigProblems:
            return False
        return True

    def parse(self, text: str, file: Path) -> NodeConfig:
        """Return the configuration that another text in place of the file would mean.

        A named interface that does not exist is accepted: the host waits for it.
        """
        grammar = self.grammar or grammars.recognise(str(file), text)
        links = _own_links()
        try:
            config = self._parse(text, grammar, file, links)
        except ConfigProblems as problems:
            missing = self._missing(text, grammar, file, links, problems)
            if not missing:
                raise
            config = self._parse(text, grammar, file, [*links, *missing])
        hosts = config.hosts
        if self.mac_mode is not None:
            hosts = tuple(replace(host, mac_mode=self.mac_mode) for host in hosts)
        return replace(
            config,
            hosts=hosts,
            transport=_chosen("transport", self.transport or config.transport, transports.names),
            actuator=_chosen("actuator", self.actuator or config.actuator, actuators.names),
            monitor=_chosen("monitor", config.monitor, monitors.names),
        )

    def names_in_file(self, interface: str) -> list[str]:
        """Return the names that the file may have for an interface of this machine."""
        return [*(old for old, new in self.renames.items() if new == interface), interface]

    def _parse(self, text: str, grammar: Grammar, file: Path, links: Sequence[LinkFacts]) -> NodeConfig:
        if grammar is Grammar.KEEPALIVED:
            way_out = f"pycarp convert {shlex.quote(str(file))} --to toml --output /etc/pycarp.toml"
            raise ConfigError(
                f"{file} is about VRRP, which pycarp does not speak; make a file for CARP of it: {way_out}"
            )
        return grammars.read(text, grammar, file=str(file), links=links, renames=self.renames, dialect=self.dialect)

    def _missing(
        self, text: str, grammar: Grammar, file: Path, links: Sequence[LinkFacts], problems: ConfigProblems
    ) -> list[LinkFacts]:
        """Return the interfaces that the file names and this machine does not have.

        Raises what is wrong otherwise: a missing interface is no problem, and hides none.
        """
        try:
            # If the links cannot be read, every interface of the file is assumed to exist.
            config = self._parse(text, grammar, file, ())
        except ConfigProblems as others:
            raise min(problems, others, key=lambda each: len(each.problems)) from None
        names = dict.fromkeys(host.interface for host in config.hosts)
        return [LinkFacts(name=name, is_up=False) for name in names if name not in {each.name for each in links}]


def _own_links() -> list[LinkFacts]:
    """Return the devices of this machine without those that pycarp made for shared addresses."""
    return [each for each in interfaces() if not is_virtual_mac(each.mac)]


def _chosen(what: str, name: str, known: Callable[[], Sequence[str]]) -> str:
    if name and name not in known():
        raise ConfigError(f"unknown {what} {name!r}; known are: {', '.join(known())}")
    return name or "auto"
