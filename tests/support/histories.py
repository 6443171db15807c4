"""Random lives of an engine: two hosts and all that can happen to them, other passwords and addresses included.

Advertisements come alone and in batches. What the kernel had queued says how long it has waited, and a process that
stood still finds a queue of several seconds. Series of advertisements, as a healthy MASTER sends them, are woven into
the random ones: without them hardly any host would ever be calm.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from random import Random

from hypothesis import strategies as st

from pycarp.core import DropAddresses, Engine, HoldAddresses, Step
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    AddressesDisturbed,
    AdminChanged,
    DatagramReceived,
    DatagramsReceived,
    DemotionSet,
    HandOverAsked,
    HostAdded,
    HostReconfigured,
    HostRemoved,
    Input,
    LinkChanged,
    PacketsRead,
    RestrictionSet,
    SettingsChanged,
    StateForced,
    TimePassed,
    TransmitReported,
)
from pycarp.core.restriction import Restriction
from pycarp.core.settings import Settings
from pycarp.core.slots import SLOT_NS
from pycarp.core.state import State
from pycarp.dialects import ALL, Dialect
from pycarp.vocabulary import Address, Family, HostKey, LinkFacts
from tests.core.test_properties import adverts, garbage
from tests.support.hosts import PEER, advert, config, link, seconds

KEYS = (HostKey("fxp0", 1), HostKey("fxp0", 2))
PASSPHRASES = ("testpass", "testpass", "testpas", "another-one")
OWN = (("192.168.1.3/24",), ("192.168.1.3/24", "fe80::3/64"), ("192.168.1.50/24",))
PEERS: tuple[Address, ...] = (PEER, IPv6Address("fe80::5"))
LISTS = (("192.168.1.50/24",), ("192.168.1.50/24", "192.168.1.51/24"))


@dataclass(frozen=True, slots=True)
class Report:
    """One of the actuations on their way ends."""

    which: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Come:
    """A host comes, unless it is here."""

    key: HostKey
    passphrase: str


@dataclass(frozen=True, slots=True)
class Change:
    """A host, if it is here, gets other settings."""

    key: HostKey
    passphrase: str
    addresses: tuple[str, ...]
    advskew: int
    rolling_ns: int


WorldRecord = Input | Report | Come | Change

keys = st.sampled_from(KEYS)
passphrases = st.sampled_from(PASSPHRASES)
errors = st.sampled_from([None, None, "broken"])
lists = st.sampled_from(LISTS)
waited_ns = st.sampled_from([0, 0, seconds(0.1), seconds(0.25), seconds(2)])
odd_adverts = st.builds(
    advert,
    vhid=st.sampled_from([1, 1, 2]),
    advskew=st.sampled_from([0, 100, 255]),
    passphrase=passphrases,
    addresses=lists,
)
waits_ns = st.sampled_from([0, 0, 1, seconds(0.02), seconds(0.3), seconds(1), seconds(3), seconds(9), None, None])
"""How long to wait before an input; None: until the deadline. After the longest the process stood still."""

queued = st.builds(lambda packet, waited: packet._replace(waited_ns=waited), adverts | odd_adverts, waited_ns)
batches = st.lists(queued, min_size=2, max_size=4).map(lambda each: DatagramsReceived(tuple(each)))
counts = st.builds(lambda read: PacketsRead((("fxp0", read),)), st.integers(0, 5000))

records: st.SearchStrategy[WorldRecord] = st.one_of(
    st.just(TimePassed()),
    adverts.map(DatagramReceived),
    odd_adverts.map(DatagramReceived),
    garbage.map(DatagramReceived),
    queued.map(DatagramReceived),
    batches,
    counts,
    st.builds(Report, which=st.integers(0, 9), error=errors),
    st.builds(Report, which=st.integers(0, 9), error=errors),
    st.booleans().map(lambda is_up: LinkChanged(link(is_up=is_up))),
    st.sampled_from(OWN).map(lambda own: LinkChanged(link(*own))),
    st.just(LinkChanged(LinkFacts(name="fxp0", is_up=False, exists=False))),
    st.builds(AdminChanged, keys, st.booleans()),
    st.builds(
        DemotionSet,
        st.none() | keys | st.just("carp"),
        st.sampled_from(["x", "y"]),
        st.integers(-5, 240),
        is_last=st.sampled_from([False, False, True]),
    ),
    st.builds(
        RestrictionSet,
        st.none() | keys | st.just("carp"),
        st.sampled_from(["x", "y"]),
        st.none() | st.sampled_from(Restriction),
    ),
    st.builds(StateForced, keys, st.sampled_from(State)),
    st.builds(Settings, allow=st.sampled_from([True, True, False]), preempt=st.booleans()).map(SettingsChanged),
    st.builds(TransmitReported, keys, errors, st.sampled_from([None, *Family])),
    st.builds(HandOverAsked, keys),
    st.builds(AddressesDisturbed, keys, st.just("somebody removed them")),
    st.builds(Come, keys, passphrases),
    st.builds(HostRemoved, keys),
    st.builds(Change, keys, passphrases, lists, st.sampled_from([0, 100]), st.sampled_from([0, seconds(2)])),
)
histories: st.SearchStrategy[list[tuple[int | None, WorldRecord]]] = st.lists(st.tuples(waits_ns, records), max_size=40)
dialects: st.SearchStrategy[Dialect] = st.sampled_from(ALL)
slots_ns: st.SearchStrategy[int] = st.sampled_from([0, SLOT_NS])


@dataclass(frozen=True, slots=True)
class Series:
    """Advertisements of one MASTER to the hosts of ``vhids``, one batch each interval, which the kernel has queued."""

    advskew: int
    count: int
    vhids: tuple[int, ...]
    source: Address
    waited_ns: int

    def batches(self, first: int) -> list[tuple[int | None, WorldRecord]]:
        """Return the batches with the times to wait before each; counters begin with ``first``."""
        return [(seconds(0.9), self._batch(first + number)) for number in range(self.count)]

    def _batch(self, counter: int) -> DatagramsReceived:
        heard = (advert(vhid=vhid, advskew=self.advskew, counter=counter, source=self.source) for vhid in self.vhids)
        return DatagramsReceived(tuple(each._replace(waited_ns=self.waited_ns) for each in heard))


series = st.builds(
    Series,
    advskew=st.sampled_from([0, 100]),
    count=st.integers(2, 12),
    vhids=st.sampled_from([(1,), (1, 2)]),
    source=st.sampled_from(PEERS),
    waited_ns=waited_ns,
)


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[int | None, WorldRecord]]:
    """Draw a history with series woven into it."""
    history: list[tuple[int | None, WorldRecord]] = []
    for at, each in enumerate(draw(st.lists(series, max_size=4))):
        history += each.batches(1000 * at)
    dice = Random(draw(st.integers(0, 99)))
    for entry in draw(histories):
        history.insert(dice.randint(0, len(history)), entry)
    return history


def entropy(seed: int = 0) -> Callable[[], int]:
    """Return a source of numbers that is the same for the same seed."""
    numbers = Random(seed)
    return lambda: numbers.getrandbits(64)


@dataclass(slots=True)
class Life:
    """Makes inputs of entries, and remembers what is on its way; ``engine`` may be replaced at any time."""

    engine: Engine
    dialect: Dialect
    now_ns: int = seconds(5)
    step: Step = field(default_factory=lambda: Step((), None))
    outstanding: list[HoldAddresses | DropAddresses] = field(default_factory=list)

    def live(self, wait_ns: int | None, record: WorldRecord) -> tuple[Input, int] | None:
        """Let something happen; return the input that it was and its time, None if it was nothing."""
        deadline_ns = self.now_ns if self.step.deadline_ns is None else self.step.deadline_ns
        self.now_ns = max(self.now_ns, deadline_ns) if wait_ns is None else self.now_ns + wait_ns
        event = self._as_input(record)
        if event is None:
            return None
        self.step = self.engine.handle(event, self.now_ns)
        for effect in self.step.effects:
            if isinstance(effect, HoldAddresses | DropAddresses):
                self.outstanding = [each for each in self.outstanding if each.key != effect.key]
                self.outstanding.append(effect)
        return event, self.now_ns

    def begin(self) -> None:
        """Have a link, and both hosts in BACKUP."""
        arrivals: list[WorldRecord] = [Come(key, PASSPHRASES[0]) for key in KEYS]
        reports: list[WorldRecord] = [Report(0, None)] * len(KEYS)
        self.live(0, LinkChanged(link()))
        for each in itertools.chain(arrivals, reports):
            self.live(0, each)

    def _as_input(self, record: WorldRecord) -> Input | None:
        here = {each.key for each in self.engine.snapshot().hosts}
        match record:
            case Report(which, error):
                return self._report(which, error)
            case Come(key, passphrase):
                settings = config(vhid=key.vhid, advskew=100, dialect=self.dialect, passphrase=passphrase)
                return None if key in here else HostAdded(settings)
            case Change(key, passphrase, addresses, advskew, rolling_ns):
                limit = self.dialect.limits.addresses
                settings = config(
                    vhid=key.vhid,
                    advskew=advskew,
                    dialect=self.dialect,
                    passphrase=passphrase,
                    addresses=addresses[:limit],
                )
                return HostReconfigured(settings, rolling_ns) if key in here else None
            case _:
                return record

    def _report(self, which: int, error: str | None) -> Input | None:
        if not self.outstanding:
            return None
        effect = self.outstanding[which % len(self.outstanding)]
        if error is None:
            self.outstanding.remove(effect)
        action = Action.HOLD if isinstance(effect, HoldAddresses) else Action.DROP
        return ActuationReported(effect.key, effect.epoch, action, error)
