"""What holds whatever happens: random inputs at increasing times, judged from outside the engine."""

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from pycarp.core import Announce, DropAddresses, Effect, HoldAddresses, Publish, SetPacketFilter, Transmit
from pycarp.core.events import Departed, StateChange
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    AddressesDisturbed,
    AdminChanged,
    DatagramReceived,
    DemotionSet,
    HandOverAsked,
    HostAdded,
    HostReconfigured,
    HostRemoved,
    Input,
    LinkChanged,
    RestrictionSet,
    SettingsChanged,
    StateForced,
    TimePassed,
    TransmitReported,
)
from pycarp.core.restriction import Restriction
from pycarp.core.settings import Settings
from pycarp.core.state import EDGES, State
from pycarp.core.statistics import Statistic
from pycarp.dialects import ALL, Dialect
from pycarp.vocabulary import CARP_GROUPS, Datagram, Family, HostKey
from pycarp.wire import advertisement as wire
from tests.support.hosts import Bench, advert, bench, config, datagram, link, seconds

KEYS = (HostKey("fxp0", 1), HostKey("fxp0", 2))

sources = st.sampled_from([IPv4Address(f"192.168.1.{last}") for last in (1, 3, 9, 50)] + [IPv4Address("0.0.0.0")])
adverts = st.builds(
    advert,
    vhid=st.sampled_from([1, 1, 1, 2, 3]),
    advbase=st.sampled_from([0, 1, 1, 1, 2, 4, 255]),
    advskew=st.sampled_from([0, 50, 100, 100, 101, 255]),
    counter=st.sampled_from([0, 41, (1 << 64) - 1]),
    passphrase=st.sampled_from(["testpass", "testpass", "testpass", "another"]),
    source=sources,
    ttl=st.sampled_from([255, 255, 255, 254]),
)
garbage = st.builds(
    Datagram,
    link=st.sampled_from(["fxp0", "em9"]),
    family=st.just(Family.IPV4),
    source=st.ip_addresses(v=4),
    destination=st.just(CARP_GROUPS[Family.IPV4]),
    ttl=st.integers(0, 255),
    payload=st.binary(max_size=60),
) | st.builds(
    Datagram,
    link=st.just("fxp0"),
    family=st.just(Family.IPV6),
    source=st.ip_addresses(v=6),
    destination=st.just(CARP_GROUPS[Family.IPV6]),
    ttl=st.just(255),
    payload=adverts.map(lambda packet: packet.payload),
)


@dataclass(frozen=True, slots=True)
class ReportOutstanding:
    """One of the actuations on their way ends."""

    which: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Toggle:
    """The host leaves if it is here, and comes if it is not."""

    key: HostKey


keys = st.sampled_from(KEYS)
errors = st.sampled_from([None, None, "broken"])
waits_ns = st.sampled_from([0, 0, 1, 30_000, seconds(0.2), seconds(1), seconds(4), None])
"""How long to wait before an input; None: until the deadline."""

records: st.SearchStrategy[Input | ReportOutstanding | Toggle] = st.one_of(
    st.just(TimePassed()),
    adverts.map(DatagramReceived),
    garbage.map(DatagramReceived),
    st.builds(ReportOutstanding, which=st.integers(0, 9), error=errors),
    st.builds(ReportOutstanding, which=st.integers(0, 9), error=errors),
    st.booleans().map(lambda is_up: LinkChanged(link(is_up=is_up))),
    st.builds(AdminChanged, keys, st.booleans()),
    st.builds(DemotionSet, st.none() | keys, st.sampled_from(["x", "y"]), st.sampled_from([-50, 0, 1, 240])),
    st.builds(RestrictionSet, st.none() | keys, st.sampled_from(["x", "y"]), st.none() | st.sampled_from(Restriction)),
    st.builds(StateForced, keys, st.sampled_from(State)),
    st.builds(Settings, allow=st.sampled_from([True, True, False]), preempt=st.booleans()).map(SettingsChanged),
    st.builds(TransmitReported, keys, errors),
    st.builds(ActuationReported, keys, st.integers(0, 3).map(lambda back: -back), st.sampled_from(Action), errors),
    st.builds(HandOverAsked, keys),
    st.builds(AddressesDisturbed, keys, st.just("somebody removed them")),
    st.builds(Toggle, keys),
    st.builds(
        lambda vhid, advskew, dialect: HostReconfigured(config(vhid=vhid, advskew=advskew, dialect=dialect)),
        st.sampled_from([1, 2]),
        st.sampled_from([0, 99, 100]),
        st.sampled_from(ALL),
    ),
)
histories = st.lists(st.tuples(waits_ns, records), max_size=40)


@dataclass(slots=True)
class Witness:
    """What an observer knows of one host from the effects alone; it objects to what must never be."""

    state: State = State.INIT
    epoch: int = 0
    wants_held: bool = False
    gives_way: bool = False
    is_held: bool = False
    has_departed: bool = False

    def see(self, effect: Effect, cause: Input, following: list[Effect]) -> None:
        """Take in an effect; ``following`` are those behind it in its step."""
        assert not self.has_departed
        match effect:
            case HoldAddresses() | DropAddresses():
                assert effect.epoch in (self.epoch + 1, self.epoch if self.gives_way else None)
                self.gives_way = False
                self.epoch = effect.epoch
                self.wants_held, self.is_held = isinstance(effect, HoldAddresses), False
            case Announce():
                assert (self.wants_held, self.is_held, effect.epoch) == (True, True, self.epoch)
            case Transmit():
                self._see_transmit(effect, cause, following)
            case Publish(StateChange() as change):
                assert change.old is self.state
                assert change.reason in EDGES[change.old, change.new]
                if change.new is State.MASTER and not self.wants_held:
                    # The one that is relieved is given time to drop the addresses.
                    self.gives_way = True
                    self.epoch += 1
                assert change.epoch == self.epoch
                self.state = change.new
            case Publish(Departed()):
                assert (self.state, self.wants_held) == (State.INIT, False)
                self.has_departed = True
            case Publish():
                pass

    def _see_transmit(self, effect: Transmit, cause: Input, following: list[Effect]) -> None:
        if wire.decode(effect.outgoing.payload).is_bow_out:
            assert not self.wants_held
            assert isinstance(cause, ActuationReported)
            assert (cause.key, cause.action, cause.epoch, cause.error) == (effect.key, Action.DROP, self.epoch, None)
        else:
            events = [each.event for each in following if isinstance(each, Publish)]
            takes_over = any(isinstance(each, StateChange) and each.key == effect.key for each in events)
            has_dropped = isinstance(cause, ActuationReported) and (cause.action, cause.error) == (Action.DROP, None)
            bids_farewell = self.state is State.BACKUP and has_dropped
            assert self.wants_held or self.gives_way or takes_over or bids_farewell


@dataclass(slots=True)
class Play:
    """Feeds an engine and lets a witness of each host look on."""

    host: Bench
    dialects: dict[HostKey, Dialect]
    witnesses: dict[HostKey, Witness] = field(default_factory=dict)
    outstanding: list[HoldAddresses | DropAddresses] = field(default_factory=list)

    def perform(self, wait_ns: int | None, record: Input | ReportOutstanding | Toggle) -> None:
        if wait_ns is None:
            deadline_ns = self.host.step.deadline_ns
            self.host.now_ns = self.host.now_ns if deadline_ns is None else max(deadline_ns, self.host.now_ns)
        else:
            self.host.now_ns += wait_ns
        event = self._as_input(record)
        if event is not None:
            self.feed(event)

    def feed(self, event: Input) -> None:
        if isinstance(event, ActuationReported):
            witness = self.witnesses.get(event.key)
            if witness and event == ActuationReported(event.key, witness.epoch, Action.HOLD, None):
                witness.is_held = witness.wants_held
        effects = list(self.host.feed(event))
        for number, effect in enumerate(effects):
            assert not isinstance(effect, SetPacketFilter)
            key = effect.event.key if isinstance(effect, Publish) else effect.key
            self.witnesses[key].see(effect, event, effects[number + 1 :])
            if isinstance(effect, HoldAddresses | DropAddresses):
                self.outstanding = [each for each in self.outstanding if each.key != key]
                self.outstanding.append(effect)
        self.check()

    def check(self) -> None:
        """Compare what the engine says of itself with what was seen."""
        view = self.host.engine.snapshot()
        here = {key: witness for key, witness in self.witnesses.items() if not witness.has_departed}
        assert {each.key: (each.state, each.epoch) for each in view.hosts} == {
            key: (witness.state, witness.epoch) for key, witness in here.items()
        }
        for each in view.hosts:
            has_no_turn = each.state is State.INIT or each.restriction is Restriction.BACKUP_ONLY
            assert (each.deadline_ns is None) == has_no_turn
            assert each.state is not State.MASTER or each.restriction is not Restriction.BACKUP_ONLY
            assert (each.state is State.MASTER) == (here[each.key].wants_held or here[each.key].gives_way)
            if each.deadline_ns is not None:
                assert self.host.step.deadline_ns is not None
                assert self.host.step.deadline_ns <= each.deadline_ns

    def _as_input(self, record: Input | ReportOutstanding | Toggle) -> Input | None:
        match record:
            case ReportOutstanding(which, error):
                return self._report(which, error)
            case Toggle(key):
                return self._toggle(key)
            case ActuationReported(key, back, action, error):
                witness = self.witnesses.get(key)
                # Of an older epoch: the present one is reported by ReportOutstanding, as lanes do.
                return ActuationReported(key, witness.epoch + back - 1, action, error) if witness else None
            case HostReconfigured(told):
                # Only timing and preemption may change.
                return HostReconfigured(config(vhid=told.vhid, advskew=told.advskew, dialect=self.dialects[told.key]))
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

    def _toggle(self, key: HostKey) -> Input:
        witness = self.witnesses.get(key)
        if witness and not witness.has_departed:
            return HostRemoved(key)
        self.witnesses[key] = Witness()
        return HostAdded(config(vhid=key.vhid, advskew=100, dialect=self.dialects[key]))


def play(dialects: tuple[Dialect, Dialect]) -> Play:
    """Return a play with one host of each dialect, both in BACKUP."""
    made = Play(bench(), dict(zip(KEYS, dialects, strict=True)))
    made.host.feed(HostRemoved(KEYS[0]))
    made.host.report(Action.DROP)
    for key in KEYS:
        made.perform(0, Toggle(key))
        made.perform(0, ReportOutstanding(0, None))
    return made


@settings(max_examples=300, deadline=None)
@given(dialects=st.tuples(st.sampled_from(ALL), st.sampled_from(ALL)), history=histories)
def test_nothing_that_happens_breaks_the_rules(
    dialects: tuple[Dialect, Dialect], history: list[tuple[int | None, Input | ReportOutstanding | Toggle]]
) -> None:
    made = play(dialects)

    for wait_ns, record in history:
        made.perform(wait_ns, record)


@settings(max_examples=100, deadline=None)
@given(dialect=st.sampled_from(ALL), history=histories)
def test_the_same_history_has_the_same_consequences(
    dialect: Dialect, history: list[tuple[int | None, Input | ReportOutstanding | Toggle]]
) -> None:
    def told() -> list[object]:
        made = play((dialect, dialect))
        steps = []
        for wait_ns, record in history:
            made.perform(wait_ns, record)
            steps.append(made.host.step)
        return [steps, made.host.engine.snapshot()]

    assert told() == told()


@settings(max_examples=200, deadline=None)
@given(packet=adverts | garbage | st.builds(datagram, st.binary(max_size=60)))
def test_every_datagram_is_counted_once_and_dropped_for_at_most_one_reason(packet: Datagram) -> None:
    host = bench()
    before = Counter(host.engine.snapshot().statistics)

    host.hear(packet)

    rose = Counter(host.engine.snapshot().statistics) - before
    received = rose[Statistic.RECEIVED_IPV4] + rose[Statistic.RECEIVED_IPV6]
    dropped = sum(count for name, count in rose.items() if name.startswith("bad"))
    assert (received, dropped in (0, 1)) == (1, True)


@settings(max_examples=200, deadline=None)
@given(octets=st.binary(min_size=28, max_size=28), begin=st.integers(0, 28), end=st.integers(0, 28))
def test_a_counter_and_digest_that_nobody_signed_change_no_state(octets: bytes, begin: int, end: int) -> None:
    """Even when they are right but for a few octets, and even when they announce a bow-out."""
    signed = advert(advbase=255, advskew=255).payload[8:]
    forged = wire.decode(bytes(8) + signed[:begin] + octets[begin:end] + signed[max(begin, end) :])
    host = bench()
    payload = wire.encode(
        wire.Advertisement(vhid=1, advbase=255, advskew=255, counter=forged.counter, digest=forged.digest)
    )

    host.hear(datagram(payload))

    assert (host.state is State.MASTER) == (payload[8:] == signed)
