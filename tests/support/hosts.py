"""Builders of configurations, engines and packets, with the settings of the three-hosts scenario."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import Any

from pycarp.auth.digest import DigestLayout, Signer
from pycarp.auth.key import Passphrase
from pycarp.core import Engine, Input, Step
from pycarp.core.effects import Effect, HoldAddresses, Publish, Transmit
from pycarp.core.events import Event, StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import Action, ActuationReported, DatagramReceived, HostAdded, LinkChanged, TimePassed
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.dialects import UNIVERSAL, Dialect
from pycarp.vocabulary import CARP_GROUPS, NS_PER_S, Address, Datagram, HostKey, LinkFacts, family_of
from pycarp.wire import advertisement as wire

LINK = "fxp0"
KEY = HostKey(LINK, 1)
PASSPHRASE = "testpass"
SHARED = ("192.168.1.50/24",)
OWN = "192.168.1.3/24"
PEER = IPv4Address("192.168.1.5")


def config(
    *,
    interface: str = LINK,
    vhid: int = 1,
    advbase: int = 1,
    advskew: int = 0,
    preempt: bool = False,
    dialect: Dialect = UNIVERSAL,
    passphrase: str = PASSPHRASE,
    addresses: Iterable[str] = SHARED,
    **others: Any,
) -> HostConfig:
    """Return the configuration of a virtual host on fxp0; ``others`` are further settings of HostConfig."""
    return HostConfig(
        interface=interface,
        vhid=vhid,
        passphrase=passphrase,
        addresses=tuple(addresses),
        advbase=advbase,
        advskew=advskew,
        preempt=preempt,
        dialect=dialect,
        **others,
    )


def advert(
    *,
    vhid: int = 1,
    advbase: int = 1,
    advskew: int = 0,
    demote: int = 0,
    counter: int = 7,
    passphrase: str = PASSPHRASE,
    addresses: Iterable[str] = SHARED,
    source: Address = PEER,
    destination: Address | None = None,
    ttl: int = 255,
    layout: DigestLayout = DigestLayout.WITHOUT_LINK_LOCAL,
    checksum: wire.ChecksumForm = wire.ChecksumForm.PLAIN,
) -> Datagram:
    """Return a peer's authentic advertisement as it is received, in the family of its source."""
    signer = Signer(
        passphrase=Passphrase(passphrase),
        vhid=vhid,
        addresses=[ip_interface(each).ip for each in addresses],
        layouts=(layout,),
    )
    packet = wire.Advertisement(
        vhid=vhid, advbase=advbase, advskew=advskew, demote=demote, counter=counter, digest=signer.sign(counter)
    )
    to = destination or CARP_GROUPS[family_of(source)]
    summed = b""
    if checksum is wire.ChecksumForm.PSEUDO and isinstance(source, IPv6Address) and isinstance(to, IPv6Address):
        summed = wire.pseudo_header_of(source, to)
    return datagram(wire.encode(packet, pseudo_header=summed), source=source, destination=to, ttl=ttl)


def datagram(payload: bytes, *, source: Address = PEER, destination: Address | None = None, ttl: int = 255) -> Datagram:
    """Return any payload as a datagram, to the group unless told otherwise."""
    family = family_of(source)
    return Datagram(
        link=LINK,
        family=family,
        source=source,
        destination=destination or CARP_GROUPS[family],
        ttl=ttl,
        payload=payload,
    )


def link(*own: str, is_up: bool = True, is_certain: bool = True) -> LinkFacts:
    """Return the facts of fxp0; ``own`` are its addresses, 192.168.1.3/24 if none are given."""
    addresses = tuple(ip_interface(each) for each in own or (OWN,))
    return LinkFacts(name=LINK, is_up=is_up, is_certain=is_certain, addresses=addresses)


@dataclass(slots=True)
class Bench:
    """An engine with a clock that is moved by hand; remembers the last step."""

    engine: Engine
    now_ns: int = 0
    step: Step = field(default_factory=lambda: Step((), None))

    def feed(self, event: Input, *, at_ns: int | None = None) -> tuple[Effect, ...]:
        """Handle an input, now or at a time, and return the effects."""
        self.now_ns = self.now_ns if at_ns is None else at_ns
        self.step = self.engine.handle(event, self.now_ns)
        return self.step.effects

    def hear(self, packet: Datagram, *, at_ns: int | None = None) -> tuple[Effect, ...]:
        """Receive a datagram."""
        return self.feed(DatagramReceived(packet), at_ns=at_ns)

    def pass_time(self, *, to_ns: int) -> tuple[Effect, ...]:
        """Let time pass without anything entry before ``to_ns``."""
        return self.feed(TimePassed(), at_ns=to_ns)

    def report(
        self, action: Action, *, epoch: int | None = None, error: str | None = None, key: HostKey = KEY
    ) -> tuple[Effect, ...]:
        """Report the end of an actuation, of the current epoch unless told otherwise."""
        current = self.engine.host_snapshot(key).epoch
        return self.feed(ActuationReported(key, current if epoch is None else epoch, action, error))

    def wait_for_hold(self) -> tuple[Effect, ...]:
        """Let time pass from deadline to deadline until addresses are asked for; return the effects of that step."""
        while not any(isinstance(effect, HoldAddresses) for effect in self.step.effects):
            assert self.step.deadline_ns is not None
            self.pass_time(to_ns=self.step.deadline_ns)
        return self.step.effects

    @property
    def state(self) -> State:
        """The state of the one host."""
        return self.engine.host_snapshot(KEY).state


def bench(*configs: HostConfig, settings: Settings | None = None, own: str = OWN) -> Bench:
    """Return an engine at time 0 with fxp0 up and the hosts added: in BACKUP, their start reported as dropped."""
    made = Bench(Engine(entropy=lambda: 0x0123_4567_89AB_CDEF, settings=settings))
    made.feed(LinkChanged(link(own)))
    for each in configs or (config(),):
        made.feed(HostAdded(each))
        made.report(Action.DROP, key=each.key)
    return made


def master(*configs: HostConfig, settings: Settings | None = None, own: str = OWN) -> Bench:
    """Return an engine whose first host has just become MASTER and holds its addresses."""
    made = bench(*configs, settings=settings, own=own)
    made.wait_for_hold()
    made.report(Action.HOLD)
    return made


def seconds(count: float) -> int:
    """Return a span in nanoseconds."""
    return int(count * NS_PER_S)


def published(effects: Iterable[Effect]) -> list[Event]:
    """Return the events among effects."""
    return [effect.event for effect in effects if isinstance(effect, Publish)]


def changes(effects: Iterable[Effect]) -> list[StateChange]:
    """Return the state changes among effects."""
    return [event for event in published(effects) if isinstance(event, StateChange)]


def transmitted(effects: Iterable[Effect]) -> list[wire.Advertisement]:
    """Return the advertisements among effects."""
    return [wire.decode(effect.outgoing.payload) for effect in effects if isinstance(effect, Transmit)]
