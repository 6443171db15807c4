"""Text scenarios: commands to some hosts, and the transcript of what the hosts did.

::

    # Lines that begin with a # are for readers.
    host a vhid=1 preempt
    host b vhid=1 advskew=100
    run 5s
    ----
    0.000 a INIT -> BACKUP initialization complete
    ...

Commands come first, then a line ``----``, then the transcript; then further commands, and so on. Playing a scenario
returns its text with the transcripts as they came out, so that comparing is comparing text and recording is writing it.

A command is a verb, words and ``key=value`` settings; quotes hold a value with blanks together. Spans are ``5s``,
``20ms`` or ``50us``. A host is named by its node, ``a``; where a node has several by ``a/VHID``, or ``a/VHID@LINK``.

=====================================  =================================================================================
host HOST setting...                   add a host; ``HOST_SETTINGS`` and ``own=`` (the addresses of the link)
set HOST setting... [rolling=SPAN]     change its settings
remove HOST, admin HOST down|up        remove it; set it down or up
force HOST MASTER|BACKUP               ask for a state
demote WHOM by=N|last [cause=TEXT]     WHOM is a host, ``NODE node``, or ``NODE group=NAME``
restore WHOM [cause=TEXT]              take a demotion back
restrict WHOM RESTRICTION [cause=TEXT] restrict it to ``no-preempt`` or ``backup-only``
unrestrict WHOM [cause=TEXT]           take a restriction back
sysctl NODE name=value...              set switches: ``SYSCTLS``; all others go back to their default
link NODE down|up|unknown [LINK]       change its link, em0 if none is named; ``deleted`` deletes it
addresses NODE ADDRESS,...|none [LINK] change the addresses of its link
run SPAN                               let time pass
cut NODE NODE, cut NODE -> NODE        lose what goes between two nodes, or one way alone
isolate NODE, loop NODE                cut a node off; return to it its own packets
heal                                   undo cuts and loops
delay SPAN                             how long packets take from now on (50us)
hear NODE field=value...               a forged advertisement arrives: ``FIELDS`` of ``sim/scenario/forgery.py``
fail NODE sends|hold|drop              make sends or changes of addresses fail; ``repair`` undoes it
crash NODE                             end a node without a bow-out; ``host`` starts it again
stop NODE, continue NODE               stop a node's process; continue it
handover HOST                          hand the addresses of a MASTER over to the next host
disturb HOST [what=TEXT]               change the addresses of a host as another program
show|hide adverts|counters|wire        show every advertisement; the origin of its counter; its headers
status HOST, statistics NODE           write the state of a host; the statistics of a node
try COMMAND                            a command whose settings are refused; the transcript says why
=====================================  =================================================================================

A command that is not understood is a ScenarioError that begins with ``file:line:``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_interface
from typing import Any

import msgspec
from msgspec import structs

from pycarp.auth.key import Passphrase
from pycarp.core import Input
from pycarp.core.demotion import Scope
from pycarp.core.engine import FULL_DEMOTION
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import (
    AddressesDisturbed,
    AdminChanged,
    DemotionSet,
    HandOverAsked,
    HostAdded,
    HostReconfigured,
    HostRemoved,
    RestrictionSet,
    SettingsChanged,
    StateForced,
)
from pycarp.core.restriction import Restriction
from pycarp.core.settings import Settings
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import State
from pycarp.dialects import UNIVERSAL, Dialect, by_name
from pycarp.errors import CarpError, ConfigError
from pycarp.sim.fabric import Fabric
from pycarp.sim.scenario.forgery import FIELDS, Forgery
from pycarp.sim.scenario.scenario_line import LINK, Command, WordError, dialects, listed, span, switch
from pycarp.sim.scenario.transcript import SHOWABLE, Transcript
from pycarp.sim.scenario.world import Trouble, World, WorldRecord
from pycarp.vocabulary import HostKey, InterfaceAddress, LinkFacts, MacAddress

RULE = "----"
TRY = "try "
PASSWORD = "secret"  # noqa: S105  that of every host which is given no other
SHARED = ("192.0.2.50/24",)


class ScenarioError(CarpError):
    """A scenario that cannot be played: ``file:line: what and why``."""


@dataclass(slots=True)
class Block:
    """Commands with their line numbers, and the transcript that was recorded for them."""

    lines: list[tuple[int, str]] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    is_closed: bool = False


class Played(msgspec.Struct, frozen=True):
    """A scenario with the transcripts as they came out, and everything that happened."""

    text: str
    records: tuple[WorldRecord, ...]


def play(text: str, *, name: str = "scenario", dialect: Dialect = UNIVERSAL) -> Played:
    """Play a scenario; hosts without a dialect of their own have ``dialect``. Raises ScenarioError."""
    blocks = _blocks(text)
    player = _Player(dialect, labels=_labels(blocks))
    for block in blocks:
        for number, line in block.lines:
            try:
                player.obey(line)
            except (WordError, ConfigError) as exc:
                raise ScenarioError(f"{name}:{number}: {exc}") from exc
        block.transcript = player.transcript.take()
    return Played(_render(blocks), tuple(player.records))


# The file


def _blocks(text: str) -> list[Block]:
    blocks = [Block()]
    for number, line in enumerate(text.splitlines(), 1):
        block = blocks[-1]
        if block.is_closed and line[:1].isdigit():
            block.transcript.append(line)
        elif line == RULE:
            block.is_closed = True
        else:
            if block.is_closed:
                blocks.append(block := Block())
            block.lines.append((number, line.rstrip()))
    return blocks


def _render(blocks: Iterable[Block]) -> str:
    """Write the blocks, each with its rule, one blank line between them."""
    parts = []
    for block in blocks:
        commands = "\n".join(line for _number, line in block.lines).strip("\n")
        if commands or block.transcript:
            parts.append("\n".join([commands, RULE, *block.transcript]))
    return "\n\n".join(parts) + "\n"


def _labels(blocks: Iterable[Block]) -> Mapping[tuple[str, HostKey], str]:
    """Return the names of hosts: that of their node, with vhid and link where the node has several."""
    keys: dict[str, list[HostKey]] = {}
    for line in (line for block in blocks for _number, line in block.lines if line.startswith("host ")):
        try:
            node, key = Command(line).place()
        except WordError:
            continue  # The command itself reports the error at its turn.
        if key not in keys.setdefault(node, []):
            keys[node].append(key)
    return {(node, key): _label(node, key, known) for node, known in keys.items() for key in known}


def _label(node: str, key: HostKey, known: list[HostKey]) -> str:
    if len(known) == 1:
        return node
    if [each.vhid for each in known].count(key.vhid) == 1:
        return f"{node}/{key.vhid}"
    return f"{node}/{key}"


HOST_SETTINGS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "vhid": ("vhid", int),
    "interface": ("interface", str),
    "password": ("passphrase", str),
    "key": ("passphrase", lambda text: Passphrase.from_key(bytes.fromhex(text))),
    "addresses": ("addresses", listed),
    "advbase": ("advbase", int),
    "advskew": ("advskew", int),
    "preempt": ("preempt", switch),
    "dialect": ("dialect", by_name),
    "peers": ("peers", listed),
    "group": ("multicast_group", str),
    "broadcasts": ("broadcasts", switch),
    "dead-ratio": ("dead_ratio", int),
    "lladdr": ("lladdr", MacAddress.parse),
    "groups": ("groups", listed),
    "neutral": ("neutral", switch),
    "ignores-link": ("ignores_link", switch),
    "announce-every": ("announce_every_s", int),
    "peer-dialects": ("peer_dialects", dialects),
}
"""The settings of a host, and the fields of HostConfig that they set."""

SYSCTLS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "allow": ("allow", switch),
    "preempt": ("preempt", switch),
    "senderr_demotion_factor": ("senderr_demotion_factor", int),
    "ifdown_demotion_factor": ("ifdown_demotion_factor", int),
    "external_change_limit": ("external_change_limit", int),
}
"""The switches of a node, and the fields of Settings that they set."""


def _taken(command: Command, table: Mapping[str, tuple[str, Callable[[str], object]]]) -> dict[str, Any]:
    """Take the settings of a table, under the names of the fields."""
    found = command.settings({key: parse for key, (_field, parse) in table.items()})
    return {table[key][0]: value for key, value in found.items()}


# The play


class _Player:
    """Obeys commands; every verb has a method of its name."""

    def __init__(self, dialect: Dialect, *, labels: Mapping[tuple[str, HostKey], str]) -> None:
        self._dialect = dialect
        self._labels = labels
        self._arrivals: list[str] = []
        self.records: list[WorldRecord] = []
        self.transcript = Transcript(lambda node, key: self._labels.get((node, key), f"{node}/{key}"))
        self._world = World(observe=self._observe)

    def obey(self, line: str) -> None:
        """Carry out a line; no-op for an empty one and a comment."""
        if not line or line.startswith("#"):
            return
        if line.startswith(TRY):
            self.attempt(line.removeprefix(TRY))
            return
        command = Command(line)
        verb = VERBS.get(command.verb)
        if verb is None:
            raise WordError(f"{command.verb!r} is no command; there are {', '.join(VERBS)}")
        verb(self, command)
        command.done()

    def attempt(self, line: str) -> None:
        """Carry out a line that must be refused, and write the reasons; WordError if it is not refused."""
        before = len(self.records)
        try:
            self.obey(line)
        except ConfigError as exc:
            for problem in str(exc).splitlines():
                self.transcript.write(self._world.now_ns, "refused:", problem)
        else:
            raise WordError(f"try: {line!r} is not refused")
        assert len(self.records) == before, f"{line!r} did something before it was refused"

    def _observe(self, record: WorldRecord) -> None:
        self.records.append(record)
        self.transcript.write_record(record)

    # Whom commands are for

    def _node(self, command: Command) -> str:
        return command.choice("node", self._world.nodes)

    def _host(self, command: Command) -> tuple[str, HostSnapshot]:
        name = command.word("the host")
        node, _, key = name.partition("/")
        if node not in self._world.nodes:
            raise WordError(f"{command.verb}: there is no host {name!r}")
        found = [host for host in self._world.snapshot(node).hosts if key in ("", str(host.key.vhid), str(host.key))]
        if len(found) != 1:
            raise WordError(f"{command.verb}: {name!r} names {len(found)} hosts; say NODE/VHID or NODE/VHID@LINK")
        return node, found[0]

    def _facts(self, node: str, link: str) -> LinkFacts:
        """Return the facts of a link as they are, or those with which it begins: up, with addresses of its own."""
        number = self._arrivals.index(node) + 1
        own = (ip_interface(f"192.0.2.{number}/24"), ip_interface(f"fe80::{number}/64"))
        return self._world.links(node).get(link, LinkFacts(name=link, is_up=True, addresses=own))

    def _begin(self, node: str) -> None:
        if node not in self._arrivals:
            self._arrivals.append(node)
        if node not in self._world.nodes:
            self._world.add(node)

    def _submit(self, node: str, event: Input) -> None:
        self._world.submit(node, event)

    # Hosts

    def _add_host(self, command: Command) -> None:
        node, key = command.place()
        self._begin(node)
        own = command.setting("own", listed, None)
        settings = {
            "addresses": SHARED,
            "passphrase": PASSWORD,
            "dialect": self._dialect,
            **_taken(command, HOST_SETTINGS),
        }
        config = HostConfig(**{**settings, "interface": key.link, "vhid": key.vhid})
        if any(host.key == key for host in self._world.snapshot(node).hosts):
            raise WordError(f"host: {node} has {key} already")
        if own is not None or key.link not in self._world.links(node):
            facts = self._facts(node, key.link)
            self._world.connect(node, facts if own is None else structs.replace(facts, addresses=_interfaces(own)))
        self._submit(node, HostAdded(config))

    def _set_host(self, command: Command) -> None:
        node, host = self._host(command)
        rolling_ns = command.setting("rolling", span, 0)
        fixed = ("vhid", "interface", "dialect")
        config = replace(
            host.config,
            **_taken(command, {key: each for key, each in HOST_SETTINGS.items() if key not in fixed}),
        )
        self._submit(node, HostReconfigured(config, rolling_ns))

    def _remove(self, command: Command) -> None:
        node, host = self._host(command)
        self._submit(node, HostRemoved(host.key))

    def _admin(self, command: Command) -> None:
        node, host = self._host(command)
        self._submit(node, AdminChanged(host.key, command.choice("state", ("down", "up")) == "up"))

    def _force(self, command: Command) -> None:
        node, host = self._host(command)
        is_for_group = command.flag("for-group")
        self._submit(node, StateForced(host.key, State(command.choice("state", State)), is_for_group=is_for_group))

    def _demote(self, command: Command) -> None:
        is_last = command.flag("last")
        amount = command.setting("by", int, FULL_DEMOTION if is_last else 1)
        self._set_demotion(command, amount, is_last=is_last)

    def _restore(self, command: Command) -> None:
        self._set_demotion(command, 0)

    def _set_demotion(self, command: Command, amount: int, *, is_last: bool = False) -> None:
        cause = command.setting("cause", str, "administrator")
        node, scope = self._scope(command)
        self._submit(node, DemotionSet(scope, cause, amount, is_last))

    def _scope(self, command: Command) -> tuple[str, Scope]:
        """Return the node of a command, and whom of it the command means."""
        group = command.setting("group", str, None)
        if group is not None or command.flag("node"):
            return self._node(command), group
        node, host = self._host(command)
        return node, host.key

    def _restrict(self, command: Command) -> None:
        cause = command.setting("cause", str, "administrator")
        node, scope = self._scope(command)
        restriction = Restriction(command.choice("what it is restricted to", tuple(Restriction)))
        self._submit(node, RestrictionSet(scope, cause, restriction))

    def _unrestrict(self, command: Command) -> None:
        cause = command.setting("cause", str, "administrator")
        node, scope = self._scope(command)
        self._submit(node, RestrictionSet(scope, cause, None))

    def _sysctl(self, command: Command) -> None:
        node = command.word("the node")
        self._begin(node)
        self._submit(node, SettingsChanged(Settings(**_taken(command, SYSCTLS))))

    # Links and segments

    def _link(self, command: Command) -> None:
        node = command.word("the node")
        self._begin(node)
        state = command.choice("state", ("down", "up", "unknown", "deleted"))
        facts = self._facts(node, command.optional(LINK))
        self._world.connect(node, _link_as(facts, state))

    def _addresses(self, command: Command) -> None:
        node = command.word("the node")
        self._begin(node)
        addresses = _interfaces(listed(command.word("addresses")))
        self._world.connect(node, structs.replace(self._facts(node, command.optional(LINK)), addresses=addresses))

    def _run(self, command: Command) -> None:
        self._world.run(until_ns=self._world.now_ns + _neededspan(command))

    def _cut(self, command: Command) -> None:
        is_one_way = command.flag("->")
        one, other = self._node(command), self._node(command)
        for fabric in self._fabrics():
            fabric.cut(one, other)
            if not is_one_way:
                fabric.cut(other, one)

    def _isolate(self, command: Command) -> None:
        node = self._node(command)
        for fabric in self._fabrics():
            fabric.isolate(node)

    def _loop(self, command: Command) -> None:
        node = self._node(command)
        for fabric in self._fabrics():
            fabric.loop(node)

    def _heal(self, _command: Command) -> None:
        for fabric in self._fabrics():
            fabric.heal()

    def _delay(self, command: Command) -> None:
        delay_ns = _neededspan(command)
        for fabric in self._fabrics():
            fabric.delay_ns = delay_ns

    def _fabrics(self) -> list[Fabric]:
        links = dict.fromkeys(link for node in self._world.nodes for link in self._world.links(node))
        return [self._world.fabric(link) for link in links]

    def _hear(self, command: Command) -> None:
        node = self._node(command)
        link = command.setting("interface", str, LINK)
        every_ns = command.setting("every", span, 0)
        times = command.setting("times", int, 1)
        configs = [host.config for host in self._world.snapshot(node).hosts if host.key.link == link]
        forgery = Forgery(
            link=link,
            own=tuple(each.ip for each in self._facts(node, link).addresses),
            fields=command.settings(FIELDS),
        )
        datagram = forgery.datagram(like=configs[0] if configs else None)
        for number in range(times):
            self._world.inject(node, datagram, at_ns=self._world.now_ns + number * every_ns)
        if not every_ns:
            self._world.run(until_ns=self._world.now_ns)

    # Trouble

    def _fail(self, command: Command) -> None:
        self._world.break_(self._node(command), Trouble(command.choice("what fails", Trouble)))

    def _repair(self, command: Command) -> None:
        self._world.repair(self._node(command), Trouble(command.choice("what failed", Trouble)))

    def _crash(self, command: Command) -> None:
        self._world.crash(self._node(command))

    def _stop(self, command: Command) -> None:
        self._world.stop(self._node(command))

    def _continue(self, command: Command) -> None:
        self._world.continue_(self._node(command))

    def _hand_over(self, command: Command) -> None:
        node, host = self._host(command)
        self._submit(node, HandOverAsked(host.key))

    def _disturb(self, command: Command) -> None:
        node, host = self._host(command)
        self._submit(node, AddressesDisturbed(host.key, command.setting("what", str, "somebody else changed them")))

    # What is shown

    def _show(self, command: Command) -> None:
        self.transcript.shown.add(command.choice("what is shown", SHOWABLE))

    def _hide(self, command: Command) -> None:
        self.transcript.shown.discard(command.choice("what is hidden", SHOWABLE))

    def _status(self, command: Command) -> None:
        node, host = self._host(command)
        claim = f"{host.claim.advbase}/{host.claim.advskew}" + (
            f" demote {host.claim.demote}" if host.claim.demote else ""
        )
        self._write(self.transcript.label(node, host.key), f"is {host.state}, claims {claim}")

    def _statistics(self, command: Command) -> None:
        node = self._node(command)
        counted = sorted(self._world.snapshot(node).statistics.items())
        self._write(
            node, "counts " + (", ".join(f"{name} {number}" for name, number in counted if number) or "nothing")
        )

    def _write(self, who: str, what: str) -> None:
        self.transcript.write(self._world.now_ns, who, what)


def _link_as(facts: LinkFacts, state: str) -> LinkFacts:
    is_up, exists = state not in ("down", "deleted"), state != "deleted"
    return structs.replace(facts, is_up=is_up, is_certain=state != "unknown", exists=exists)


def _interfaces(texts: Iterable[str]) -> tuple[InterfaceAddress, ...]:
    try:
        return tuple(ip_interface(text) for text in texts)
    except ValueError as exc:
        raise WordError(f"{exc}") from exc


def _neededspan(command: Command) -> int:
    text = command.word("a span")
    try:
        return span(text)
    except ValueError as exc:
        raise WordError(f"{command.verb}: {text!r} is no span such as 5s, 20ms or 50us") from exc


VERBS: Mapping[str, Callable[[_Player, Command], None]] = {
    "host": _Player._add_host,
    "set": _Player._set_host,
    "remove": _Player._remove,
    "admin": _Player._admin,
    "force": _Player._force,
    "demote": _Player._demote,
    "restore": _Player._restore,
    "restrict": _Player._restrict,
    "unrestrict": _Player._unrestrict,
    "sysctl": _Player._sysctl,
    "link": _Player._link,
    "addresses": _Player._addresses,
    "run": _Player._run,
    "cut": _Player._cut,
    "isolate": _Player._isolate,
    "loop": _Player._loop,
    "heal": _Player._heal,
    "delay": _Player._delay,
    "hear": _Player._hear,
    "fail": _Player._fail,
    "repair": _Player._repair,
    "crash": _Player._crash,
    "stop": _Player._stop,
    "continue": _Player._continue,
    "handover": _Player._hand_over,
    "disturb": _Player._disturb,
    "show": _Player._show,
    "hide": _Player._hide,
    "status": _Player._status,
    "statistics": _Player._statistics,
}
"""What each command does."""
