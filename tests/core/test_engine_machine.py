"""Whatever happens to an engine, in whatever order: it never raises, strands nothing, and holds only as MASTER."""

from ipaddress import IPv4Address, IPv6Address
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pycarp.core import Engine, Input
from pycarp.core.effects import DropAddresses, HoldAddresses
from pycarp.core.engine import EXTERNALLY_CHANGED
from pycarp.core.host_config import HostConfig
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
    LinkChanged,
    RestrictionSet,
    SettingsChanged,
    StateForced,
    TimePassed,
    TransmitReported,
)
from pycarp.core.restriction import Restriction, strictest
from pycarp.core.settings import Settings
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import State
from pycarp.dialects import ALL, Dialect
from pycarp.dialects.dialect import last_claim
from pycarp.vocabulary import HostKey, InterfaceAddress
from pycarp.wire.advertisement import ChecksumForm
from tests.support.hosts import LINK, advert, config, datagram, link, seconds

VHIDS = st.sampled_from([1, 2, 3])
LISTS = st.sampled_from(
    [
        ("192.168.1.50/24",),
        ("192.168.1.50/24", "192.168.1.51/24"),
        ("192.168.1.52/24",),
        ("192.168.1.50/24", "2001:db8::50/64"),
        ("2001:db8::50/64", "fe80::50/64"),
    ]
)
OCTET = st.sampled_from([0, 1, 100, 240, 254, 255])
SOURCES = st.sampled_from(
    [IPv4Address(f"192.168.1.{n}") for n in (3, 5, 50)] + [IPv4Address("0.0.0.0"), IPv6Address("fe80::5")]
)
DESTINATIONS = st.sampled_from([None, IPv4Address("192.168.1.3"), IPv4Address("192.168.1.4"), IPv4Address("224.0.0.9")])
FORMS = st.sampled_from(list(ChecksumForm))
FACTS = st.sampled_from([link(), link(is_up=False), link(is_certain=False), link("192.168.1.3/24", "fe80::3/64")])
SCOPES = st.sampled_from([None, "carp", "lan", HostKey(LINK, 1), HostKey(LINK, 9)])


class EngineMachine(RuleBasedStateMachine):
    """An engine, and an operating system that carries out the latest intent of each host, late or with failures."""

    def __init__(self) -> None:
        super().__init__()
        numbers = Random(7)
        self.engine = Engine(entropy=lambda: numbers.getrandbits(64))
        self.now_ns = 0
        self.dialects: dict[int, Dialect] = {}
        self.intents: dict[HostKey, HoldAddresses | DropAddresses] = {}
        self.unreported: set[HostKey] = set()
        self.kernel: dict[HostKey, set[InterfaceAddress]] = {}

    def feed(self, event: Input) -> None:
        step = self.engine.handle(event, self.now_ns)
        for effect in step.effects:
            if isinstance(effect, HoldAddresses | DropAddresses):
                self.intents[effect.key] = effect
                self.unreported.add(effect.key)
        if isinstance(event, TimePassed):
            assert step.deadline_ns is None or step.deadline_ns > self.now_ns

    def here(self) -> list[HostConfig]:
        return [host.config for host in self.engine.snapshot().hosts]

    def has(self, vhid: int) -> bool:
        return any(each.vhid == vhid for each in self.here())

    def epoch(self, vhid: int) -> int:
        return next((each.epoch for each in self.engine.snapshot().hosts if each.key.vhid == vhid), 0)

    # What happens

    @initialize(dialects=st.lists(st.sampled_from(ALL), min_size=2, max_size=2))
    def begin(self, dialects: list[Dialect]) -> None:
        """Begin where most plans do: the link is up, and the first host is MASTER and holds its addresses."""
        self.feed(LinkChanged(link()))
        for vhid, dialect in enumerate(dialects, 1):
            self.add(vhid, dialect, (f"192.168.1.{50 + vhid}/24",), 100, False)
        self.settle()
        self.force(1, State.MASTER)
        self.settle()

    @rule()
    def settle(self) -> None:
        """Carry out every pending effect with success."""
        while self.unreported:
            self.carry_out(min(self.unreported), succeeds=True)

    @rule(vhid=VHIDS, dialect=st.sampled_from(ALL), addresses=LISTS, advskew=st.integers(0, 254), preempt=st.booleans())
    def add(self, vhid: int, dialect: Dialect, addresses: tuple[str, ...], advskew: int, preempt: bool) -> None:
        if self.has(vhid):
            return
        if dialect.limits.addresses == 1:
            addresses = ("192.168.1.50/24",)
        self.feed(HostAdded(config(vhid=vhid, dialect=dialect, addresses=addresses, advskew=advskew, preempt=preempt)))
        self.dialects[vhid] = dialect

    @rule(
        vhid=VHIDS,
        addresses=LISTS,
        password=st.sampled_from(["testpass", "other"]),
        advskew=st.integers(0, 254),
        rolling_s=st.sampled_from([0, 1, 60]),
        groups=st.sampled_from([("carp",), ("lan",)]),
    )
    def reconfigure(
        self,
        vhid: int,
        addresses: tuple[str, ...],
        password: str,
        advskew: int,
        rolling_s: int,
        groups: tuple[str, ...],
    ) -> None:
        if not self.has(vhid):
            return
        dialect = self.dialects[vhid]
        if dialect.limits.addresses == 1:
            addresses = addresses[:1] if "." in addresses[0] else ("192.168.1.50/24",)
        made = config(
            vhid=vhid, dialect=dialect, addresses=addresses, passphrase=password, advskew=advskew, groups=groups
        )
        self.feed(HostReconfigured(made, seconds(rolling_s)))

    @rule(vhid=VHIDS)
    def remove(self, vhid: int) -> None:
        self.feed(HostRemoved(HostKey(LINK, vhid)))

    @rule(vhid=VHIDS, addresses=LISTS, is_final=st.booleans())
    def leave_with_other_addresses(self, vhid: int, addresses: tuple[str, ...], is_final: bool) -> None:
        """Change the addresses while those of before are being dropped."""
        self.feed(HostRemoved(HostKey(LINK, vhid)) if is_final else AdminChanged(HostKey(LINK, vhid), False))
        self.reconfigure(vhid, addresses, "testpass", 100, 0, ("carp",))

    @rule(vhid=VHIDS, addresses=LISTS)
    def leave_after_a_late_report(self, vhid: int, addresses: tuple[str, ...]) -> None:
        """Change the addresses, hear of an actuation before that, and leave before this one is carried out."""
        before = self.epoch(vhid)
        self.reconfigure(vhid, addresses, "testpass", 100, 0, ("carp",))
        self.report_something_old(vhid, before, Action.HOLD)
        self.feed(AdminChanged(HostKey(LINK, vhid), False))

    @rule(facts=FACTS)
    def change_link(self, facts: object) -> None:
        self.feed(LinkChanged(facts))  # type: ignore[arg-type]

    @rule(vhid=VHIDS, is_up=st.booleans())
    def administer(self, vhid: int, is_up: bool) -> None:
        self.feed(AdminChanged(HostKey(LINK, vhid), is_up))

    @rule(vhid=VHIDS, state=st.sampled_from([State.MASTER, State.BACKUP]))
    def force(self, vhid: int, state: State) -> None:
        self.feed(StateForced(HostKey(LINK, vhid), state))

    @rule(scope=SCOPES, cause=st.sampled_from(["a", "b"]), amount=st.integers(-300, 300))
    def demote(self, scope: HostKey | str | None, cause: str, amount: int) -> None:
        self.feed(DemotionSet(scope, cause, amount))

    @rule(scope=SCOPES, cause=st.sampled_from(["a", "b"]), restriction=st.sampled_from([None, *Restriction]))
    def restrict(self, scope: HostKey | str | None, cause: str, restriction: Restriction | None) -> None:
        self.feed(RestrictionSet(scope, cause, restriction))

    @rule(allow=st.booleans(), preempt=st.booleans(), factor=st.sampled_from([None, 0, 7]))
    def switch(self, allow: bool, preempt: bool, factor: int | None) -> None:
        self.feed(SettingsChanged(Settings(allow=allow, preempt=preempt, ifdown_demotion_factor=factor)))

    @rule(vhid=VHIDS, error=st.sampled_from([None, "no buffers"]))
    def report_send(self, vhid: int, error: str | None) -> None:
        self.feed(TransmitReported(HostKey(LINK, vhid), error))

    @rule(
        vhid=VHIDS,
        advbase=OCTET,
        advskew=OCTET,
        demote=OCTET,
        source=SOURCES,
        destination=DESTINATIONS,
        addresses=LISTS,
        ttl=st.sampled_from([255, 254]),
        form=FORMS,
        password=st.sampled_from(["testpass", "testpass", "hunter2"]),
    )
    def hear(
        self,
        vhid: int,
        advbase: int,
        advskew: int,
        demote: int,
        source: IPv4Address | IPv6Address,
        destination: IPv4Address | None,
        addresses: tuple[str, ...],
        ttl: int,
        form: ChecksumForm,
        password: str,
    ) -> None:
        packet = advert(
            vhid=vhid,
            advbase=advbase,
            advskew=advskew,
            demote=demote,
            source=source,
            destination=destination if source.version == 4 else None,
            addresses=addresses,
            ttl=ttl,
            checksum=form,
            passphrase=password,
        )
        self.feed(DatagramReceived(packet))

    @rule(payload=st.binary(max_size=48), source=SOURCES)
    def hear_noise(self, payload: bytes, source: IPv4Address | IPv6Address) -> None:
        self.feed(DatagramReceived(datagram(payload, source=source)))

    @rule(vhid=VHIDS)
    def hand_over(self, vhid: int) -> None:
        self.feed(HandOverAsked(HostKey(LINK, vhid)))

    @rule(vhid=VHIDS)
    def disturb(self, vhid: int) -> None:
        """Report an external change of the addresses; what the kernel has is unknown from then on."""
        self.feed(AddressesDisturbed(HostKey(LINK, vhid), "somebody removed them"))

    @rule(after_ms=st.integers(0, 5000))
    def pass_time(self, after_ms: int) -> None:
        self.now_ns += after_ms * 1_000_000
        self.feed(TimePassed())

    @precondition(lambda self: self.unreported)
    @rule(data=st.data(), succeeds=st.booleans())
    def actuate(self, data: st.DataObject, succeeds: bool) -> None:
        self.carry_out(data.draw(st.sampled_from(sorted(self.unreported))), succeeds=succeeds)

    @rule(vhid=VHIDS, epoch=st.integers(0, 5), action=st.sampled_from(list(Action)))
    def report_something_old(self, vhid: int, epoch: int, action: Action) -> None:
        if epoch < self.epoch(vhid):
            self.feed(ActuationReported(HostKey(LINK, vhid), epoch, action, None))

    def carry_out(self, key: HostKey, *, succeeds: bool) -> None:
        """Do what a lane does: the latest intent, reported under its own epoch."""
        intent = self.intents[key]
        held = self.kernel.setdefault(key, set())
        action = Action.HOLD if isinstance(intent, HoldAddresses) else Action.DROP
        if succeeds:
            self.unreported.discard(key)
            if isinstance(intent, HoldAddresses):
                held.difference_update(intent.previous)
                held.update(intent.addresses)
            else:
                held.difference_update(intent.addresses)
        self.feed(ActuationReported(key, intent.epoch, action, None if succeeds else "no such device"))

    def gives_way(self, host: HostSnapshot) -> bool:
        """Return True while a new MASTER may wait for the old one to drop the addresses."""
        change = host.last_change
        yield_grace_ns = host.config.dialect.yield_grace_ns
        return change is not None and change.new is State.MASTER and self.now_ns < change.at_ns + yield_grace_ns

    # What always holds

    @invariant()
    def the_latest_intent_is_that_of_the_state(self) -> None:
        for host in self.engine.snapshot().hosts:
            if not self.gives_way(host):
                wants = isinstance(self.intents.get(host.key), HoldAddresses)
                assert wants == (host.state is State.MASTER)

    @invariant()
    def what_is_settled_is_held_exactly_while_master(self) -> None:
        for host in self.engine.snapshot().hosts:
            if host.key not in self.unreported and not self.gives_way(host):
                expected = set(host.config.addresses) if host.state is State.MASTER else set()
                assert self.kernel.get(host.key, set()) == expected

    @invariant()
    def the_demotion_is_the_sum_of_its_causes(self) -> None:
        for host in self.engine.snapshot().hosts:
            total = sum(amount for _cause, amount in host.demotion)
            expected = host.config.dialect.claim(host.config.advbase, host.config.advskew, total)
            is_last = EXTERNALLY_CHANGED in dict(host.demotion)
            assert host.claim == (last_claim(expected) if is_last else expected)

    @invariant()
    def no_host_is_master_against_a_restriction(self) -> None:
        for host in self.engine.snapshot().hosts:
            assert host.restriction is strictest(host.restrictions)
            assert host.restriction is not Restriction.BACKUP_ONLY or host.state is not State.MASTER

    def teardown(self) -> None:
        """Remove every host and let every drop succeed: nothing is left, neither addresses nor hosts nor deadlines."""
        for vhid in (1, 2, 3):
            self.feed(HostRemoved(HostKey(LINK, vhid)))
        while self.unreported:
            self.carry_out(min(self.unreported), succeeds=True)

        assert self.here() == []
        assert {key: held for key, held in self.kernel.items() if held} == {}
        assert self.engine.handle(TimePassed(), self.now_ns).deadline_ns is None


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
