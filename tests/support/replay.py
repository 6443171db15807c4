"""An engine in the place of one host of a capture: it hears what the host heard, and must say what the host said.

Decisions are compared one by one, each with what caused it. One that a packet caused follows that packet at once. One
that a timer caused follows what started the timer, by the host's clock: its ticks do not add up.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from pycarp.core import Announce, DropAddresses, Engine, HoldAddresses, Transmit
from pycarp.core.inputs import Action, ActuationReported, DatagramReceived, Input, TimePassed
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import State
from pycarp.dialects.dialect import Claim
from pycarp.vocabulary import Address, Datagram, Family, HostKey, Outgoing
from pycarp.wire import advertisement as wire
from pycarp.wire import envelope
from tests.support.pcap import timed_frames

TICK_NS = 10_000_000
"""NetBSD's clock has 100 Hz."""

_ARP = b"\x08\x06"
_IPV6 = b"\x86\xdd"
_ALL_NODES = IPv6Address("ff02::1").packed
_NEIGHBOUR_ADVERTISEMENT = 136


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a capture and its time, from the first advertisement on."""

    at_ns: int
    octets: bytes

    @property
    def datagram(self) -> Datagram | None:
        """Its CARP datagram, if it is one."""
        return envelope.datagram_of(self.octets, link="")

    @property
    def own(self) -> tuple[bytes, Address] | None:
        """The MAC and the address of an ARP packet whose sender speaks for itself."""
        if self.octets[12:14] != _ARP or self.octets[6:12] != self.octets[22:28]:
            return None
        return self.octets[6:12], IPv4Address(self.octets[28:32])

    @property
    def announced(self) -> Address | None:
        """The address that it tells to everybody unasked, if it is such a frame."""
        if (
            self.octets[12:14] == _ARP
            and self.octets[20:22] == b"\x00\x01"
            and self.octets[28:32] == self.octets[38:42]
        ):
            return IPv4Address(self.octets[28:32])
        if self.octets[12:14] == _IPV6 and self.octets[38:54] == _ALL_NODES:
            return IPv6Address(self.octets[62:78]) if self.octets[54] == _NEIGHBOUR_ADVERTISEMENT else None
        return None


def frames_of(path: Path) -> list[Frame]:
    """Return the frames of a capture."""
    found = [(round(at_s * 1_000_000) * 1000, octets) for at_s, octets in timed_frames(path)]
    began_ns = next(at_ns for at_ns, octets in found if Frame(at_ns, octets).datagram)
    return [Frame(at_ns - began_ns, octets) for at_ns, octets in found]


@dataclass(slots=True)
class Utterance:
    """What a host said at once: one advertisement a family, and what it announced with it."""

    at_ns: int
    vhid: int
    adverts: dict[Family, wire.Advertisement] = field(default_factory=dict)
    announced: list[Address] = field(default_factory=list)

    @property
    def claim(self) -> Claim:
        """What the advertisements assert; all of them the same."""
        (claim,) = {Claim(advbase=each.advbase, advskew=each.advskew) for each in self.adverts.values()}
        return claim


def utterances(frames: list[Frame], *, own: tuple[Address, ...]) -> list[Utterance]:
    """Return what the host with these addresses said."""
    found: list[Utterance] = []
    for frame in frames:
        datagram = frame.datagram
        if datagram is None or datagram.source not in own:
            continue
        advert = wire.decode(datagram.payload)
        same = [
            each
            for each in found[-2:]
            if each.vhid == advert.vhid and frame.at_ns - each.at_ns < TICK_NS and datagram.family not in each.adverts
        ]
        if not same:
            found.append(Utterance(frame.at_ns, advert.vhid))
        (same[0] if same else found[-1]).adverts[datagram.family] = advert
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time in which the host neither heard nor was heard."""

    from_ns: int
    to_ns: int

    def holds(self, at_ns: int) -> bool:
        """Say whether a time lies in it."""
        return self.from_ns <= at_ns < self.to_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """How the host's clock differs from ours.

    ``stretch`` makes of a span what its timer makes of it; a decision may come ``late_ns`` after it is due, and a tick
    before.
    """

    stretch: Callable[[int], int]
    late_ns: int


def in_ticks(span_ns: int) -> int:
    """Return the span that NetBSD's timers make of one: rounded up to a tick, and one more."""
    return (-(-span_ns // TICK_NS) + 1) * TICK_NS


NETBSD_TEMPO = Tempo(stretch=in_ticks, late_ns=TICK_NS)
UCARP_TEMPO = Tempo(stretch=lambda span_ns: span_ns, late_ns=1_000_000_000)
"""It looks for packets and deadlines between waits of up to a second. Source: carp.md 8.6."""


class Replay:
    """One engine, told what happened to the host; compares what it decides with what the host said."""

    def __init__(self, *, tempo: Tempo, isolated: tuple[Window, ...] = (), ends_ns: int) -> None:
        self.compared = 0
        self.identical = 0
        self.random = 0
        self._engine = Engine(entropy=lambda: 0x0123_4567_89AB_CDEF)
        self._tempo = tempo
        self._isolated = isolated
        self._ends_ns = ends_ns
        self._armed: dict[HostKey, tuple[int, int]] = {}
        self._said: dict[HostKey, deque[Utterance]] = {}

    def run(self, inputs: list[tuple[int, Input]], theirs: list[Utterance]) -> None:
        """Feed the inputs, and compare with what the host said, in the order of time."""
        things: list[tuple[int, int, Input | Utterance]] = [(at_ns, 0, event) for at_ns, event in inputs]
        things += [(each.at_ns, 1, each) for each in theirs]
        for at_ns, _rank, thing in sorted(things, key=lambda each: each[:2]):
            if at_ns > self._ends_ns:
                break
            self._forget(at_ns)
            if isinstance(thing, Utterance):
                self._compare(thing)
            elif not (isinstance(thing, DatagramReceived) and self._is_isolated(at_ns)):
                self._handle(thing, at_ns)
        self._forget(self._ends_ns)

    def _is_isolated(self, at_ns: int) -> bool:
        return any(window.holds(at_ns) for window in self._isolated)

    def _due_ns(self, host: HostSnapshot) -> int:
        """Return when the host's timer runs out by its own clock."""
        at_ns, span_ns = self._armed[host.key]
        return at_ns + self._tempo.stretch(span_ns)

    def _forget(self, until_ns: int) -> None:
        """Pass over what should have been seen by now, if it could not be; otherwise we said what the host did not."""
        for key, said in self._said.items():
            while said and said[0].at_ns + self._tempo.late_ns < until_ns:
                assert self._is_isolated(said[0].at_ns), f"{key}: we spoke at {_s(said[0].at_ns)}, the host did not"
                said.popleft()
        for host in self._engine.snapshot().hosts:
            while host.state is not State.INIT and self._due_ns(host) + self._tempo.late_ns < until_ns:
                due_ns = self._due_ns(host)
                assert self._is_isolated(due_ns), f"{host.key}: we would speak at {_s(due_ns)}, the host did not"
                self._run_out(host, due_ns)
                self._said[host.key].clear()

    def _run_out(self, host: HostSnapshot, at_ns: int) -> None:
        assert host.deadline_ns is not None
        self._handle(TimePassed(), max(at_ns, host.deadline_ns), as_of_ns=at_ns)

    def _handle(self, event: Input, now_ns: int, *, as_of_ns: int | None = None) -> None:
        at_ns = now_ns if as_of_ns is None else as_of_ns
        inbox: deque[Input] = deque([event])
        while inbox:
            for effect in self._engine.handle(inbox.popleft(), now_ns).effects:
                match effect:
                    case Transmit(key, outgoing):
                        self._say(key, at_ns, outgoing)
                    case HoldAddresses(key, epoch):
                        inbox.append(ActuationReported(key, epoch, Action.HOLD, None))
                    case DropAddresses(key, epoch):
                        inbox.append(ActuationReported(key, epoch, Action.DROP, None))
                    case Announce(key, _epoch, addresses):
                        self._said[key][-1].announced += [each.ip for each in addresses]
                    case _:
                        pass
        for host in self._engine.snapshot().hosts:
            self._arm(host, at_ns)

    def _say(self, key: HostKey, at_ns: int, outgoing: Outgoing) -> None:
        said = self._said.setdefault(key, deque())
        if not said or said[-1].at_ns != at_ns or outgoing.family in said[-1].adverts:
            said.append(Utterance(at_ns, key.vhid))
        said[-1].adverts[outgoing.family] = wire.decode(outgoing.payload)

    def _arm(self, host: HostSnapshot, at_ns: int) -> None:
        """Note when a timer was started, and for how long."""
        said = self._said.setdefault(host.key, deque())
        if host.state is State.MASTER and said and said[-1].at_ns == at_ns:
            self._armed[host.key] = (at_ns, said[-1].claim.interval_ns)
            return
        known_ns = sum(self._armed[host.key]) if host.key in self._armed else None
        if host.state is State.BACKUP and host.deadline_ns is not None and host.deadline_ns != known_ns:
            self._armed[host.key] = (at_ns, host.deadline_ns - at_ns)

    def _compare(self, theirs: Utterance) -> None:
        host = next(each for each in self._engine.snapshot().hosts if each.key.vhid == theirs.vhid)
        said = self._said[host.key]
        if not said:
            assert host.state is not State.INIT, f"{host.key}: the host spoke at {_s(theirs.at_ns)}, we are in INIT"
            due_ns = self._due_ns(host)
            assert -TICK_NS <= theirs.at_ns - due_ns <= self._tempo.late_ns, (
                f"{host.key}: the host spoke at {_s(theirs.at_ns)}, we would at {_s(due_ns)}"
            )
            self._run_out(host, theirs.at_ns)
        ours = said.popleft()
        place = f"{host.key} at {_s(theirs.at_ns)}"
        assert ours.claim == theirs.claim, f"{place}: {ours.claim}, not {theirs.claim}"
        assert sorted(map(str, ours.announced)) == sorted(map(str, theirs.announced)), f"{place} announces otherwise"
        assert ours.adverts.keys() == theirs.adverts.keys(), f"{place} advertises other families"
        for family, advert in theirs.adverts.items():
            self._compare_octets(ours.adverts[family], advert, place)
        self.compared += 1

    def _compare_octets(self, ours: wire.Advertisement, theirs: wire.Advertisement, place: str) -> None:
        """An adopted counter makes the whole advertisement the same, the checksum apart; a random one does not."""
        if ours.counter != theirs.counter:
            self.random += 1
            return
        self.identical += 1
        assert ours._replace(checksum=0) == theirs._replace(checksum=0), f"{place}: other octets"


def _s(at_ns: int) -> str:
    return f"{at_ns / 1e9:.4f}"
