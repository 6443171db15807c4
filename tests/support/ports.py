"""What a runtime needs, as lists that a test reads and values that it sets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pycarp.core.effects import Announce, DropAddresses, Effect, HoldAddresses, RenewAddresses, Step
from pycarp.core.events import Event
from pycarp.core.flood import PacketFilter
from pycarp.core.inputs import ActuationReported, Input
from pycarp.runtime import Attempt
from pycarp.vocabulary import Datagram, HostKey, Outgoing


@dataclass(slots=True)
class ScriptedDoor:
    """In the place of an engine: ``answers`` says what an input leads to; ``inputs`` is what came."""

    answers: Callable[[Input], tuple[Effect, ...]] = lambda _event: ()
    inputs: list[Input] = field(default_factory=list)
    deadline_ns: int | None = None
    silent: set[HostKey] = field(default_factory=set)

    def handle(self, event: Input, _now_ns: int, /) -> Step:
        """Remember it and answer."""
        self.inputs.append(event)
        return Step(self.answers(event), self.deadline_ns)

    def can_send(self, key: HostKey, /) -> bool:
        """Return what the test says."""
        return key not in self.silent


@dataclass(slots=True)
class ScriptedPorts:
    """``log`` has what was asked for, in order; sends to ``unreachable`` fail, and so do filters on ``refused``."""

    clock_ns: int = 0
    log: list[object] = field(default_factory=list)
    armed_ns: int | None = None
    laters: int = 0
    unreachable: set[str] = field(default_factory=set)
    waiting: list[Datagram] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    counts: dict[str, int] | None = None
    refused: set[str] = field(default_factory=set)
    attempts: list[Attempt] = field(default_factory=list)
    cancelled: list[Attempt] = field(default_factory=list)
    guarded: dict[HostKey, list[str]] = field(default_factory=dict)
    stalls: list[int] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    reports: list[ActuationReported] = field(default_factory=list)
    observer: Callable[[Event], None] = lambda _event: None

    def now_ns(self) -> int:
        """Return what the test says."""
        return self.clock_ns

    def arm(self, at_ns: int | None) -> None:
        """Remember it."""
        self.armed_ns = at_ns

    def later(self) -> None:
        """Count it."""
        self.laters += 1

    def send(self, outgoing: Outgoing) -> None:
        """Log it, or fail."""
        if str(outgoing.destination) in self.unreachable:
            raise OSError(113, "No route to host")
        self.log.append(outgoing)

    def read(self, limit: int) -> Sequence[Datagram]:
        """Return what waits."""
        self.limits.append(limit)
        read, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return read

    def packets_read(self) -> Mapping[str, int] | None:
        """Return what the test says."""
        return None if self.counts is None else dict(self.counts)

    def set_packet_filter(self, link: str, packet_filter: PacketFilter | None) -> None:
        """Log it, or fail."""
        if link in self.refused:
            raise OSError(12, "Cannot allocate memory")
        self.log.append((link, packet_filter))

    def start(self, attempt: Attempt) -> None:
        """Remember it."""
        self.log.append(attempt)
        self.attempts.append(attempt)

    def cancel(self, attempt: Attempt) -> None:
        """Remember it."""
        self.cancelled.append(attempt)

    def renew(self, effects: Sequence[RenewAddresses]) -> None:
        """Log them."""
        self.log += effects

    def arm_guardian(self, effect: HoldAddresses) -> None:
        """Write it down."""
        self.log.append("guardian armed")
        self.guarded.setdefault(effect.key, []).append(f"arm {effect.epoch}")

    def renew_guardian(self, keys: Sequence[HostKey]) -> None:
        """Write it down."""
        for key in keys:
            self.guarded[key].append("renew")

    def disarm_guardian(self, key: HostKey) -> None:
        """Write it down."""
        self.guarded[key].append("disarm")

    def asked(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        """Nobody asks."""

    def reported(self, report: ActuationReported) -> None:
        """Remember it."""
        self.reports.append(report)

    def publish(self, event: Event) -> None:
        """Log it and let the test's observer know."""
        self.log.append(event)
        self.observer(event)

    def stalled(self, late_ns: int) -> None:
        """Remember it."""
        self.stalls.append(late_ns)

    def failed(self, bug: BaseException) -> None:
        """Remember it."""
        self.failures.append(bug)
