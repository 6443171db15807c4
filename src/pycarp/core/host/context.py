"""One virtual host as its states see it: settings, environment, peers, and the effects that they may append.

Only the states and their transitions use it, and only while the host handles an input: ``now_ns`` and ``out`` belong to
that input.
"""

import msgspec
from msgspec.structs import replace

from pycarp.core.advertisement_codec import AdvertisementCodec
from pycarp.core.effects import (
    Announce,
    DropAddresses,
    Effect,
    HoldAddresses,
    Publish,
    RenewAddresses,
    Transmit,
)
from pycarp.core.events import ActuationFailed, Event, StateChange
from pycarp.core.host.decision import Peer, PeerKey
from pycarp.core.host.states import Init, Stage, StateData, Takeover
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import ActuationReported, Environment, HostReconfigured
from pycarp.core.lease_timings import lease_timings_of
from pycarp.core.restriction import Restriction
from pycarp.core.routine import Routine
from pycarp.core.slots import Phases, slot_before, slot_for
from pycarp.dialects.dialect import Claim, last_claim
from pycarp.vocabulary import NS_PER_S, HostKey, InterfaceAddress

Outbox = list[Effect]

_BOW_OUTS_MAX = 32
"""Counters of bow-outs that are remembered, to distinguish a second copy from the first."""


class HostCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one host, without what can be computed from it; see ``core/checkpoint.py``."""

    config: HostConfig
    environment: Environment
    demotion: int
    epoch: int
    last_change: StateChange | None
    peers: dict[PeerKey, Peer]
    previous: tuple[InterfaceAddress, ...]
    state: StateData
    bow_outs: tuple[int, ...]
    restriction: Restriction | None = None


class Context:
    """What a state may read and do; ``state`` is the data of the present state."""

    __slots__ = (
        "_slot_ns",
        "bow_outs",
        "claim",
        "codec",
        "config",
        "demotion",
        "environment",
        "epoch",
        "interval_ns",
        "key",
        "last_change",
        "lease",
        "now_ns",
        "out",
        "peers",
        "phase",
        "previous",
        "renewal",
        "restriction",
        "routine",
        "slot_ns",
        "state",
    )

    def __init__(
        self,
        config: HostConfig,
        codec: AdvertisementCodec,
        environment: Environment,
        *,
        demotion: int,
        restriction: Restriction | None = None,
        slot_ns: int = 0,
    ) -> None:
        self._slot_ns = slot_ns
        self.phase = Phases(slot_ns).add(config.interface)
        self.codec = codec
        self.environment = environment
        self.demotion = demotion
        self.restriction = restriction
        self.epoch = 0
        self.last_change: StateChange | None = None
        self.peers: dict[PeerKey, Peer] = {}
        self.previous: tuple[InterfaceAddress, ...] = ()
        self.state: StateData = Init()
        self.bow_outs: tuple[int, ...] = ()
        self.routine: Routine | None = None
        self.now_ns = 0
        self.out: Outbox = []
        self.claim: Claim
        self.configure(config)

    def configure(self, config: HostConfig) -> None:
        """Set the settings and everything that is computed from them."""
        self.config = config
        self.key: HostKey = config.key
        self.lease = lease_timings_of(config)
        self.renewal = RenewAddresses(config.key, config.addresses, self.lease.lifetime_s)
        self.set_demotion(self.demotion)

    def set_demotion(self, total: int) -> None:
        """Set the total demotion, and with it the claim for advertisements and comparisons.

        A host that is last claims an interval that no peer tolerates, so that each takes over, whether or not it
        preempts; it advertises as often as before (``interval_ns``). Source: carp.md 5.1, the last test of BACKUP.
        """
        self.demotion = total
        claim = self.config.dialect.claim(self.config.advbase, self.config.advskew, total)
        self.interval_ns = claim.interval_ns
        self.claim = last_claim(claim) if self.environment.is_last else claim
        self.slot_ns = slot_for(self._slot_ns, self.interval_ns, self.config.dead_ratio)

    def due_after(self, at_ns: int) -> int:
        """Return when a MASTER is due that was due at ``at_ns``: after its interval, or a little earlier."""
        interval_ns = self.interval_ns
        return self.phase.before(at_ns + interval_ns, interval_ns) if self.slot_ns else at_ns + interval_ns

    @property
    def wants_preempt(self) -> bool:
        """Whether this host would preempt a weaker MASTER if no cause restricted it."""
        environment = self.environment
        return (self.config.preempt or environment.node_preempts) and not environment.has_handed_over

    @property
    def is_backup_only(self) -> bool:
        """Whether this host must not be MASTER."""
        return self.restriction is Restriction.BACKUP_ONLY

    @property
    def is_unheard(self) -> bool:
        """Whether this host can send advertisements in none of its families."""
        cannot_send = self.environment.cannot_send
        return bool(cannot_send) and (None in cannot_send or cannot_send.issuperset(self.config.families))

    def reconfigure(self, event: HostReconfigured) -> bool:
        """Set new settings; return True if the shared addresses changed, which begins a new epoch.

        ``previous`` then has the addresses that are no longer shared and must be dropped.
        """
        before = self.config
        self.configure(event.config)
        self.codec.reconfigure(event.config, self.now_ns, rolling_ns=event.rolling_ns)
        if set(before.addresses) == set(event.config.addresses):
            return False
        once = dict.fromkeys((*before.addresses, *self.previous))
        self.previous = tuple(each for each in once if each not in event.config.addresses)
        self.epoch += 1
        return True

    def note_bow_out(self, counter: int) -> None:
        """Remember the counter of a bow-out."""
        self.bow_outs = (*self.bow_outs, counter)[-_BOW_OUTS_MAX:]

    # Effects

    def transmit(self, claim: Claim, *, counter: int | None = None, owns: bool = False) -> None:
        """Send an advertisement in each family; see ``AdvertisementCodec.compose``."""
        environment, key, out = self.environment, self.key, self.out
        wants_report = environment.wants_send_reports
        for advert in self.codec.compose(claim, environment.own, self.now_ns, counter=counter, owns=owns):
            out.append(Transmit(key, advert, wants_report))

    def advertise(self, takeover: Takeover, *, counter: int | None = None) -> None:
        """Send an advertisement as MASTER, from the virtual MAC once this host holds the addresses.

        Kernels hold the addresses at once, so their dialects always send from the virtual MAC.
        """
        owns = takeover.stage is Stage.HELD or not self.config.dialect.yield_grace_ns
        self.transmit(self.claim, counter=counter, owns=owns)

    def bow_out(self) -> None:
        """Send a bow-out, if the dialect has one."""
        claim = self.config.dialect.bow_out
        if claim is not None:
            self.transmit(claim)

    def hold(self, *, force: bool = False) -> None:
        """Request the addresses, with the lease timings and the prepared bow-out for the death of this process."""
        claim = self.config.dialect.bow_out
        own = self.environment.own
        bow_out = self.codec.compose_clean_up_plan(claim, own, self.now_ns) if claim else ()
        lease = replace(self.lease, bow_out=bow_out)
        self.out.append(HoldAddresses(self.key, self.epoch, self.config.addresses, self.previous, force, lease))

    def drop(self, *, force: bool = False) -> None:
        """Request the removal of the addresses, including those that were shared before."""
        self.out.append(DropAddresses(self.key, self.epoch, self.config.addresses + self.previous, force))

    def renew(self) -> None:
        """Renew the lease of the addresses."""
        self.out.append(self.renewal)

    def announce(self, *, again: bool = False) -> int | None:
        """Announce the addresses on the segment; return when to repeat that, None for never."""
        dialect = self.config.dialect
        form = dialect.arp_again if again and dialect.arp_again else dialect.arp
        self.out.append(Announce(self.key, self.epoch, self.config.addresses, form))
        every_s = self.config.effective_announce_every_s
        if not every_s:
            return None
        at_ns = self.now_ns + self.codec.jittered(every_s * NS_PER_S)
        # In a slot in which the hosts of the link advertise: a wake-up costs more than what it is for.
        return slot_before(self.phase.before(at_ns, self.interval_ns), self.slot_ns) if self.slot_ns else at_ns

    def publish(self, event: Event) -> None:
        """Publish an event."""
        self.out.append(Publish(event))

    def publish_failure(self, report: ActuationReported) -> None:
        """Publish that the addresses could not be held or dropped."""
        assert report.error is not None
        self.publish(ActuationFailed(key=self.key, at_ns=self.now_ns, action=report.action, error=report.error))

    def forget_previous(self, report: ActuationReported) -> None:
        """Forget the previously shared addresses, if the report belongs to the present epoch: they are dropped."""
        if report.epoch == self.epoch:
            self.previous = ()
