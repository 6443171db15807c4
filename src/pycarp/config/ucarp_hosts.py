"""The virtual hosts of one file that starts ucarp, whatever its grammar: each from the arguments that ucarp gets."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_interface
from pathlib import Path

from pycarp.config import ucarp_options
from pycarp.config.netmask_words import netmask_length, why_no_host_has
from pycarp.config.parents import NoParentError, Parents
from pycarp.config.problems import Problem
from pycarp.config.shell_script import Word
from pycarp.config.ucarp_options import UcarpCommand, UcarpProblems, UcarpUsage
from pycarp.core.host_config import HostConfig
from pycarp.vocabulary import HostKey, InterfaceAddress

UNKNOWN_SOURCE = IPv4Address(0)
"""Stands for an own address that the file does not say; a virtual host needs none."""

_TOO_LONG = "Password too long"


class UcarpHosts:
    """Collects hosts, and problems instead of stopping at the first.

    ``here`` returns what an interface of the file is called on this machine; ``takes_prefix`` is that of
    ``ucarp.parse``.
    """

    def __init__(self, file: str, parents: Parents, here: Callable[[str], str], *, takes_prefix: bool = False) -> None:
        self.file = file
        self._takes_prefix = takes_prefix
        self.parents = parents
        self.hosts: list[HostConfig] = []
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.own: dict[str, tuple[InterfaceAddress, ...]] = {}
        self.places: dict[HostKey, tuple[int, int]] = {}
        self.secret_files: dict[HostKey, Path] = {}
        self.named: list[str] = []
        """The interfaces that the file names, under their names there."""
        self._here = here

    def add(
        self,
        where: Word,
        arguments: Sequence[str],
        *,
        places: Mapping[str, tuple[str, Word]] | None = None,
        prefix: int | None = None,
        is_complete: bool = True,
    ) -> None:
        """Add the host that ucarp would be with these arguments; without ``is_complete`` only look for problems.

        ``where`` is the place of the whole; ``places`` are file and place of single options, by their long names;
        of those that ucarp does not know, by what is written.
        ``prefix`` is the length with which the shared address is added, where the file says it.
        """
        rest: Sequence[str] | None = arguments
        while rest is not None:
            # Whatever else is wrong beside an unknown option is found as well.
            is_complete &= rest is arguments
            rest = self._try(where, rest, places or {}, prefix if is_complete else None, is_complete=is_complete)

    def _try(
        self,
        where: Word,
        arguments: Sequence[str],
        places: Mapping[str, tuple[str, Word]],
        prefix: int | None,
        *,
        is_complete: bool,
    ) -> Sequence[str] | None:
        """Add a host; return the arguments without an option that ucarp does not know, where there is one."""
        try:
            command = ucarp_options.parse(arguments, takes_prefix=self._takes_prefix)
            self._check_address(command.address)
            link = self._link(command) if is_complete else ""
        except UcarpUsage as exc:
            close = difflib.get_close_matches(exc.option, ucarp_options.LONG_OPTIONS, n=1)
            hint = f"did you mean --{close[0]}?" if close and len(exc.option) > 1 else ""
            file, place = places.get(exc.option, (self.file, where))
            self.complain(place, exc.complaint or "ucarp would only show its usage", hint, file=file)
            rest = _without(arguments, exc.option) if exc.option else arguments
            return rest if len(rest) < len(arguments) else None
        except UcarpProblems as exc:
            for option, problem in zip(exc.options, exc.problems, strict=True):
                file, place = places.get(option, (self.file, where))
                hint = "ucarp refuses it too; the BSDs use the first 19 octets only" if _TOO_LONG in problem else ""
                self.complain(place, problem, hint, file=file)
        except NoParentError as exc:
            self.complain(where, str(exc), exc.hint)
        else:
            if is_complete:
                self._keep(where, command, link, prefix)
        return None

    def complain(self, where: Word, text: str, hint: str = "", *, file: str = "") -> None:
        """Note a problem, of this file unless another one is named."""
        self.problems.append(Problem(file or self.file, where.line, where.column, text, hint))

    def note(self, line: int, text: str) -> None:
        """Note what is understood, but not done."""
        self.notes.append(f"{self.file}:{line}: {text}")

    def _check_address(self, address: IPv4Address) -> None:
        length = netmask_length(address)
        why = f"{address} is a netmask, not an address" if length is not None else why_no_host_has(address)
        if why:
            raise UcarpProblems([why], ucarp_options.BAD_ARGUMENTS, ["addr"])

    def _link(self, command: UcarpCommand) -> str:
        if command.interface:
            self.named.append(command.interface)
            link = self._here(command.interface)
            self.parents.check(link)
            return link
        if command.source == UNKNOWN_SOURCE:
            raise NoParentError("no interface is named", "say which one")
        return self.parents.containing(command.source).link

    def _keep(self, where: Word, command: UcarpCommand, link: str, prefix: int | None) -> None:
        host = replace(command, interface=link).host()
        length = command.prefix if prefix is None else prefix
        if length is not None:
            host = replace(host, addresses=(ip_interface(f"{command.address}/{length}"),))
        owner = next((each for each in self.hosts if each.addresses[0].ip == host.addresses[0].ip), None)
        if host.key in [each.key for each in self.hosts]:
            self.complain(where, f"vhid {host.vhid} is used twice on {host.interface}")
        elif owner is not None:
            self.complain(where, f"{command.address} is shared by vhid {owner.vhid} already")
        self.hosts.append(host)
        self.places.setdefault(host.key, (where.line, where.column))
        if command.passfile:
            self.secret_files[host.key] = Path(command.passfile)
        if command.source != UNKNOWN_SOURCE:
            self.own.setdefault(link, (ip_interface(command.source),))
        scripts = [script for script in (command.up_script, command.down_script) if script]
        if scripts:
            self.note(where.line, f"{' and '.join(scripts)} will not run; pycarp moves addresses itself")


def _without(arguments: Sequence[str], option: str) -> list[str]:
    """Return the arguments without the first that has an option, of which only the name is known."""
    for index, each in enumerate(arguments):
        is_long, is_short = each.startswith(f"--{option}"), len(option) == 1 and each[:1] == "-" and option in each
        if is_long or is_short:
            return [*arguments[:index], *arguments[index + 1 :]]
    return list(arguments)
