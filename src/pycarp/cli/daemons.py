"""Chooses the pycarp processes that a command asks: that of --control, else all whose sockets are found."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec
from click.core import ParameterSource

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import HostStatus, LinkStatus, StatusReply, StatusRequest
from pycarp.daemon.control_paths import ucarp_paths
from pycarp.errors import ControlError, UsageError
from pycarp.spelling import guess


class Daemon(msgspec.Struct, frozen=True):
    """A process that answered, on which socket."""

    path: Path
    reply: StatusReply

    @property
    def names(self) -> list[str]:
        """The names of its hosts."""
        return [each.name for each in self.reply.hosts]

    def has(self, name: str) -> bool:
        """Whether one of its hosts has this name, this vhid and interface, or is on this interface."""
        return any(is_meant(each, name, None, self.reply.renames) for each in self.reply.hosts)


def paths_of(control: Path) -> list[Path]:
    """Return the sockets that a command asks: ``control`` if it was named, else those of ``pycarp ucarp``, too."""
    context = click.get_current_context()
    if context.get_parameter_source("control") is not ParameterSource.DEFAULT:
        return [control]
    others = ucarp_paths()
    return [control, *others] if control.exists() or not others else others


def is_meant(host: HostStatus, name: str | None, vhid: int | None, renames: Mapping[str, str]) -> bool:
    """Whether a host has a name, or is on an interface that this machine or the file calls so; None for any."""
    interfaces = [host.interface, *(old for old, new in renames.items() if new == host.interface)]
    names = [host.name, *interfaces, *(f"{host.vhid}@{each}" for each in interfaces)]
    return name in (None, *names) and vhid in (None, host.vhid)


def chosen_of(status: StatusReply, name: str | None, vhid: int | None = None) -> list[HostStatus]:
    """Return the hosts that ``is_meant`` chooses; if there are none, raises UsageError with the hosts that exist."""
    chosen = [host for host in status.hosts if is_meant(host, name, vhid, status.renames)]
    if chosen or name is None:
        return chosen
    if others := [host for host in status.hosts if is_meant(host, name, None, status.renames)]:
        has = ", ".join(f"{host.name} has vhid {host.vhid}" for host in others)
        raise UsageError(f"{name} has no vhid {vhid}; {has}")
    known = ", ".join(host.name for host in status.hosts) or "none"
    raise UsageError(
        f"no virtual host {name!r} here; there are: {known}{guess(name, [each.name for each in status.hosts])}"
    )


class Answers(msgspec.Struct, frozen=True):
    """The processes that answered, and whether all did."""

    daemons: list[Daemon]
    is_complete: bool


def ask_all(control: Path) -> Answers:
    """Ask every process for its status; name those that do not answer on standard error. ControlError if all fail."""
    found, failures = [], []
    for path in paths_of(control):
        try:
            found.append(Daemon(path, request(path, StatusRequest(), StatusReply)))
        except ControlError as exc:
            failures.append(str(exc))
    if not found:
        raise ControlError("\npycarp: ".join(failures))
    for failure in failures:
        click.echo(f"pycarp: {failure}", err=True)
    return Answers(found, is_complete=not failures)


def one_for(control: Path, host: str | None = None) -> Path:
    """Return the socket of the process with a host, or of the only process; raises UsageError with the choices."""
    paths = paths_of(control)
    if len(paths) == 1:
        return paths[0]
    found = ask_all(control).daemons
    fitting = [each for each in found if host is None or each.has(host)]
    if len(fitting) == 1:
        return fitting[0].path
    if not fitting:
        names = [name for daemon in found for name in daemon.names]
        known = ", ".join(names) or "none"
        raise UsageError(f"no virtual host {host!r} here; there are: {known}{guess(host or '', names)}")
    which = "\n".join(f"  --control {each.path}  ({', '.join(each.names)})" for each in fitting)
    raise UsageError(f"several pycarp processes run here; say which is meant:\n{which}")


def merged(daemons: Sequence[Daemon]) -> StatusReply:
    """Return one status of all hosts, with sums of counters; other fields are those of the first process."""
    first = daemons[0].reply
    if len(daemons) == 1:
        return first
    replies = [each.reply for each in daemons]
    links: dict[str, LinkStatus] = {}
    for reply in replies:
        for name, link in reply.links.items():
            links[name] = _sum(links[name], link) if name in links else link
    groups: Counter[str] = Counter()
    for reply in replies:
        groups.update(reply.groups)
    hosts: list[HostStatus] = [host for reply in replies for host in reply.hosts]
    counters = _added(*(reply.counters for reply in replies))
    renames = {old: new for reply in reversed(replies) for old, new in reply.renames.items()}
    return msgspec.structs.replace(
        first, renames=renames, hosts=hosts, counters=counters, links=links, groups=dict(groups)
    )


def _sum(one: LinkStatus, other: LinkStatus) -> LinkStatus:
    return LinkStatus(_added(one.counters, other.counters), _added(one.drops, other.drops), one.floods + other.floods)


def _added(*counts: dict[str, int]) -> dict[str, int]:
    names = dict.fromkeys(name for each in counts for name in each)
    return {name: sum(each.get(name, 0) for each in counts) for name in names}
