"""A cluster of real nodes in virtual time, with faults to inject: for the tests of applications.

The nodes are real. Simulated are the segment, the links, the addresses of the machines, and the clock::

    async with Cluster(3) as cluster:
        await cluster.settle()
        cluster.kill(cluster.a)
        await cluster.settle()
        cluster.assert_one_master()

It needs the event loop of ``pycarp.testing``: ``run(main())``, or the fixture ``cluster`` of the pytest plugin.
"""

import asyncio
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from pycarp.core.host_config import HostConfig
from pycarp.core.settings import Settings
from pycarp.dialects.dialect import Dialect
from pycarp.dialects.universal import UNIVERSAL
from pycarp.errors import ConfigError, UsageError
from pycarp.sim.fabric import Fabric
from pycarp.testing.cluster_spec import Machine, hosts_of_members, specs_of
from pycarp.testing.member import Member, Program
from pycarp.testing.ownership_history import CLUSTER, History, Ownership
from pycarp.testing.port import Chance
from pycarp.testing.virtual_time import VirtualTimeLoop
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import NS_PER_S, Family

Who: TypeAlias = Member | str | int
"""A member, its name, or its number."""

SETTLING_ROUNDS = 20
"""How many times the longest master-down time a cluster may keep changing before ``settle`` fails."""

_SKEW_MAX = 254
_MARGIN_S = 0.1
_TAIL_LINES = 40


class Cluster:
    """An async context manager: members ``a``, ``b``, ``c`` ... on one segment, all starting at the same moment.

    ``members`` is their number, or the settings of each: a HostConfig, several, or a NodeConfig. With a number, the
    other arguments are the settings as in ``HostConfig``, the same for every member except ``advskews``. ``addresses``
    and ``groups`` may be given by vhid. With ``peers`` the members send to each other's own addresses instead of to the
    group. ``own`` are the members' own addresses, by default 192.0.2.101/24 and so on. ``clocks`` are the seconds that
    the clock of each member advances in a virtual second; a test calls a member with a wrong clock by ``member.call``.
    ``program`` is a coroutine function that is called with each member at each start; it runs, stops and dies with the
    member. Raises ConfigError for settings that do not fit together.
    """

    def __init__(
        self,
        members: int | Sequence[Machine] = 3,
        *,
        advskews: Sequence[int] | None = None,
        vhids: Sequence[int] = (1,),
        addresses: Iterable[str] | Mapping[int, Iterable[str]] | None = None,
        interface: str = "eth0",
        passphrase: str = "secret",  # noqa: S107  the segment is in this process
        advbase: int = 1,
        preempt: bool = False,
        dialect: Dialect = UNIVERSAL,
        groups: Sequence[str] | Mapping[int, Sequence[str]] | None = None,
        peers: bool = False,
        own: Sequence[str] | None = None,
        clocks: Sequence[float] | None = None,
        settings: Settings | None = None,
        program: Program | None = None,
    ) -> None:
        machines: Sequence[Machine] = (
            hosts_of_members(
                members,
                advskews=advskews,
                vhids=vhids,
                addresses=addresses,
                interface=interface,
                passphrase=passphrase,
                advbase=advbase,
                preempt=preempt,
                dialect=dialect,
                groups=groups,
                peers=peers,
            )
            if isinstance(members, int)
            else members
        )
        self._specs = specs_of(machines, own)
        self._clocks = [1.0] * len(self._specs) if clocks is None else list(clocks)
        _check_clocks(self._clocks, len(self._specs))
        self._settings = settings
        self._program = program
        self._dice = random.Random(0)
        self._bus = MemoryBus(Fabric(chance=self._dice))
        self._delay_ns = self._bus.fabric.delay_ns
        self._chance = Chance()
        self._history = History(lambda: 0.0)
        self._members: tuple[Member, ...] = ()

    async def __aenter__(self) -> Self:
        loop = _virtual_loop()
        self._history = History(lambda: loop.now_s)
        self._members = tuple(
            Member(
                spec,
                index,
                bus=self._bus,
                history=self._history,
                chance=self._chance,
                settings=self._settings,
                program=self._program,
                clock_rate=self._clocks[index],
            )
            for index, spec in enumerate(self._specs)
        )
        try:
            for each in self._members:
                await each.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Make every member leave cleanly; raises the first error of a node or a program."""
        members, self._members = self._members, ()
        results = await asyncio.gather(*(each.close() for each in members), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    # Members

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def __getitem__(self, who: Who) -> Member:
        """Return a member by its name or number; UsageError when there is none."""
        if isinstance(who, Member):
            return who
        for each in self._members:
            if who in (each.name, each.index):
                return each
        raise UsageError(f"no member {who!r}; there are {', '.join(each.name for each in self._members) or 'none'}")

    def __getattr__(self, name: str) -> Member:
        # Only for names of members; any other name is an AttributeError, as usual.
        for each in self.__dict__.get("_members", ()):
            if each.name == name:
                return each  # type: ignore[no-any-return]  # __dict__ has no types
        raise AttributeError(f"a cluster has no {name!r}, nor a member of that name")

    @property
    def now_s(self) -> float:
        """The virtual time in seconds."""
        return _virtual_loop().now_s

    def masters(self, vhid: int | None = None) -> tuple[Member, ...]:
        """Return the living members that are MASTER for a vhid, the first one if None."""
        return tuple(each for each in self._members if each.is_master(vhid))

    @property
    def master(self) -> Member:
        """The one MASTER of the first vhid; AssertionError when there is none, or more than one."""
        __tracebackhide__ = True
        masters = self.masters()
        if len(masters) != 1:
            raise AssertionError(self._complaint(f"one MASTER is expected, but there are {len(masters)}"))
        return masters[0]

    # Time

    async def advance(self, span_s: float) -> None:
        """Wait for so many virtual seconds; they do not count against the limit of the test."""
        _virtual_loop().grant(span_s)
        await asyncio.sleep(span_s)

    async def settle(self) -> None:
        """Wait until no state and no owner of an address has changed for the longest master-down time.

        Raises AssertionError if the cluster keeps changing.
        """
        __tracebackhide__ = True
        quiet_s = max(_quiet_s(spec.hosts) for spec in self._specs)
        deadline_s = self.now_s + quiet_s * SETTLING_ROUNDS
        began_s = self.now_s
        while (rest_s := max(began_s, self._history.changed_at_s) + quiet_s - self.now_s) > 0:
            if self.now_s > deadline_s:
                text = f"the cluster does not settle within {quiet_s * SETTLING_ROUNDS:g} virtual seconds"
                raise AssertionError(self._complaint(text))
            await self.advance(rest_s)

    # Faults

    def cut(self, sender: Who, receiver: Who, *, one_way: bool = False) -> None:
        """Lose all datagrams from one member to another, and those back too, unless ``one_way``."""
        one, other = self[sender].name, self[receiver].name
        self._record(f"cut {one} {'->' if one_way else '<->'} {other}")
        self._bus.fabric.cut(one, other)
        if not one_way:
            self._bus.fabric.cut(other, one)

    def isolate(self, who: Who) -> None:
        """Cut a member off from all other members, both ways."""
        self.partition([who])

    def partition(self, *groups: Iterable[Who]) -> None:
        """Cut groups of members off from each other; the members not named form one more group."""
        parts = [{self[who].name for who in group} for group in groups]
        parts.append({each.name for each in self._members}.difference(*parts))
        self._record("partition " + " | ".join(" ".join(sorted(part)) for part in parts if part))
        for part in parts:
            for one in part:
                for other in {each.name for each in self._members} - part:
                    self._bus.fabric.cut(one, other)
                    self._bus.fabric.cut(other, one)

    def heal(self) -> None:
        """Undo every cut, loss, delay, jitter and duplication; links that are down stay down."""
        self._record("heal")
        self._bus.fabric.heal()
        self._bus.fabric.delay_ns = self._delay_ns
        self._bus.fabric.weather.late_ns = 0
        self._bus.fabric.weather.doubles = 0.0
        self._chance.loss = 0.0

    def loss(self, share: float, *, seed: int = 0) -> None:
        """Lose a share of all datagrams, 0-1, from now on; the same seed loses the same ones. Raises ConfigError."""
        _check_share("loss", share)
        self._record(f"loss {share:g}")
        self._chance.loss = share
        self._chance.dice.seed(seed)

    def delay(self, span_s: float) -> None:
        """Delay every datagram by so many seconds from now on, instead of 50 us. Raises ConfigError."""
        _check_span("delay", span_s)
        self._record(f"delay {span_s:g} s")
        self._bus.fabric.delay_ns = round(span_s * NS_PER_S)

    def jitter(self, span_s: float, *, seed: int = 0) -> None:
        """Delay each datagram by up to so many seconds more from now on, at random, so that they overtake each other.

        Raises ConfigError.
        """
        _check_span("jitter", span_s)
        self._record(f"jitter {span_s:g} s")
        self._bus.fabric.weather.late_ns = round(span_s * NS_PER_S)
        self._dice.seed(seed)

    def duplicate(self, share: float, *, seed: int = 0) -> None:
        """Deliver a share of all datagrams, 0-1, twice from now on. Raises ConfigError."""
        _check_share("duplication", share)
        self._record(f"duplicate {share:g}")
        self._bus.fabric.weather.doubles = share
        self._dice.seed(seed)

    def fail_sends(self, who: Who, family: int | None = None) -> None:
        """Make a member's sends fail, as without a route: in a family, 4 or 6, or in both if None.

        The member still receives. The fault lasts until ``repair_sends``, also through restarts.
        """
        member = self[who]
        self._record(f"{member.name} cannot send{f' IPv{family}' if family else ''}")
        member.set_sendable(None if family is None else Family(family), is_sendable=False)

    def repair_sends(self, who: Who) -> None:
        """Make a member able to send in every family again."""
        member = self[who]
        self._record(f"{member.name} can send")
        member.set_sendable(None, is_sendable=True)

    def link_down(self, who: Who, link: str | None = None) -> None:
        """Set a link down, or all links if None; the node is notified in the next turn of the loop."""
        self._record_on(who, "link down").set_link(link, is_up=False)

    def link_up(self, who: Who, link: str | None = None) -> None:
        """Set a link up again, or all links if None."""
        self._record_on(who, "link up").set_link(link, is_up=True)

    def kill(self, who: Who, *, guardian: bool = False) -> None:
        """Kill a member as a power cut does: it sends nothing more and loses its addresses.

        With ``guardian`` only its process dies, and the guardian drops the addresses and bows out at once. No code of
        the member runs any more, not even a ``finally``, until the cluster is closed.
        """
        member = self._record_on(who, "killed, and its guardian acts" if guardian else "killed")
        if guardian:
            member.act_as_guardian()
        member.die()

    def stop(self, who: Who) -> None:
        """Stop the process of a member, as SIGSTOP does: its node and its program.

        Its kernel runs on, and removes the addresses that are not renewed. Do not call the stopped node from the test:
        such a call would take effect.
        """
        self._record_on(who, "stopped").stop()

    def continue_(self, who: Who) -> None:
        """Continue the process of a member, as SIGCONT does."""
        self._record_on(who, "continues").go_on()

    async def leave(self, who: Who) -> None:
        """Make a member leave cleanly: it drops its addresses, then bows out."""
        await self._record_on(who, "leaves").leave()

    async def restart(self, who: Who) -> None:
        """Start a member again; a living one leaves cleanly first. It has a new node and new hosts then."""
        member = self[who]
        if member.is_alive:
            await self.leave(member)
        self._record(f"{member.name} starts")
        await member.start()

    # Assertions

    def assert_one_master(self, vhid: int | None = None, *, among: Iterable[Who] | None = None) -> None:
        """Fail unless exactly one member is MASTER and it alone has every shared address.

        ``among`` restricts the check to some members, such as those on one side of a partition.
        """
        __tracebackhide__ = True
        members = self._members if among is None else tuple(self[who] for who in among)
        masters = [each for each in members if each.is_master(vhid)]
        if len(masters) != 1:
            raise AssertionError(self._complaint(f"one MASTER is expected, but there are {len(masters)}"))
        host = masters[0].host if vhid is None else masters[0].hosts[vhid]
        for address in host.config.addresses:
            owners = [each for each in members if address in each.addresses]
            if owners != masters:
                names = " and ".join(each.name for each in owners) or "nobody"
                text = f"{masters[0].name} is MASTER, but {names} holds {address}"
                raise AssertionError(self._complaint(text))

    def assert_no_master(self, vhid: int | None = None) -> None:
        """Fail if any living member is MASTER."""
        __tracebackhide__ = True
        masters = self.masters(vhid)
        if masters:
            raise AssertionError(self._complaint(f"no MASTER is expected, but there are {len(masters)}"))

    def assert_never_two_owners(self, *, since_s: float = 0.0, longer_than_s: float = 0.0) -> None:
        """Fail if two members held the same address at the same time, for more than ``longer_than_s`` seconds.

        Only the time after ``since_s`` counts. During a partition both sides have an owner. With ``freebsd9``,
        ``openbsd`` and ``netbsd`` every BACKUP takes over after a bow-out, until it receives a better MASTER's
        advertisement.
        """
        __tracebackhide__ = True
        conflicts = list(self._history.conflicts(since_s=since_s, longer_than_s=longer_than_s))
        if conflicts:
            raise AssertionError(self._complaint("; ".join(conflicts)))

    # Records

    @property
    def history(self) -> tuple[Ownership, ...]:
        """Which member held which address, from when to when."""
        return self._history.ownerships

    @property
    def transcript(self) -> str:
        """One line per injected fault and per change, with its virtual time."""
        return "\n".join(self._history.lines)

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """Return the last lines of the transcript, and the present state of each member."""
        rest = max(0, len(self._history.lines) - lines)
        skipped = [f"... {rest} lines before"] if rest else []
        accounts = [f"{'now':>12} {each.account()}" for each in self._members]
        return "\n".join([*skipped, *self._history.lines[-lines:], *accounts])

    def _record_on(self, who: Who, what: str) -> Member:
        """Record an action on a member and return the member; UsageError if it is dead."""
        member = self[who]
        if not member.is_alive:
            raise UsageError(f"member {member.name} is dead; restart it first")
        self._record(f"{member.name} {what}")
        return member

    def _record(self, what: str) -> None:
        self._history.write(CLUSTER, what)

    def _complaint(self, text: str) -> str:
        return "\n".join([f"{text}, at {self.now_s:.6f} s", *(f"  {each.account()}" for each in self._members)])


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ConfigError(f"{name} {share:g} is outside 0-1")


def _check_clocks(clocks: Sequence[float], members: int) -> None:
    if len(clocks) != members:
        raise ConfigError(f"{len(clocks)} clocks for {members} members; give one each")
    for rate in clocks:
        if rate <= 0:
            raise ConfigError(f"clock rate {rate:g} is not above 0")


def _check_span(name: str, span_s: float) -> None:
    if span_s < 0:
        raise ConfigError(f"{name} {span_s:g} is below 0")


def _quiet_s(hosts: Iterable[HostConfig]) -> float:
    longest_ns = max(each.dialect.master_down_ns(each.advbase, _SKEW_MAX, each.dead_ratio) for each in hosts)
    return longest_ns / NS_PER_S + _MARGIN_S


def _virtual_loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        raise UsageError(
            "a cluster needs virtual time: use the fixture 'cluster', mark the test 'virtual_time', "
            "or call pycarp.testing.run(...)"
        )
    return loop
