"""A simulated lane: the slow work on the addresses of one host, as ``pycarp.aio.lanes`` does it, in simulated time.

It keeps the latest intent and what it last achieved, makes one attempt at a time, reports each, and tries again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from pycarp.core.effects import Announce, DropAddresses, HoldAddresses
from pycarp.core.inputs import Action, ActuationReported
from pycarp.sim.kernel import Kernel
from pycarp.vocabulary import NS_PER_S

Intent = HoldAddresses | DropAddresses
Later = Callable[[int, Callable[[], None]], None]

ATTEMPT_TIMEOUT_NS = 15 * NS_PER_S
RETRY_FIRST_NS = NS_PER_S // 10
RETRY_MAX_NS = 5 * NS_PER_S

_USUAL_NS = 3_000_000
"""How long a change of addresses takes at most when nothing is wrong."""


@dataclass(slots=True)
class Troubles:
    """What is wrong with changes of addresses: how long they take at most, the share that fails, whether they hang."""

    slow_ns: int = 0
    failing: float = 0.0
    hang: bool = False


class Lane:
    """Carries out the intents of one host in a kernel. ``later`` plans an action of its process after a span."""

    def __init__(
        self,
        kernel: Kernel,
        troubles: Troubles,
        *,
        later: Later,
        report: Callable[[ActuationReported], None],
        announced: Callable[[Announce], None],
        chance: Random,
    ) -> None:
        self._kernel = kernel
        self._troubles = troubles
        self._later = later
        self._report = report
        self._announced = announced
        self._chance = chance
        self._intent: Intent | None = None
        self._announcement: Announce | None = None
        self._achieved: Intent | None = None
        self._reported_epoch = 0
        self._retry_ns = RETRY_FIRST_NS
        self._attempt = 0
        self._is_busy = False
        self._waits_to_retry = False

    @property
    def wants_held(self) -> bool:
        """Whether the addresses are held as far as this lane knows, and shall be."""
        return not self._is_busy and isinstance(self._achieved, HoldAddresses) and self._achieved is self._intent

    def take(self, effect: Intent | Announce) -> None:
        """Accept an effect."""
        if isinstance(effect, Announce):
            self._announcement = effect
        else:
            self._intent = effect
        if not self._is_busy or (self._waits_to_retry and not isinstance(effect, Announce)):
            self._work()

    def _work(self) -> None:
        self._is_busy = True
        self._waits_to_retry = False
        self._attempt += 1
        intent = self._intent
        if intent is not None and intent.epoch != self._reported_epoch:
            # Even when nothing is left to do the report comes in a turn of its own.
            self._later(0 if self._is_done(intent) else self._span_ns(), self._ending(intent))
            return
        self._is_busy = False
        announcement, self._announcement = self._announcement, None
        if announcement is not None and intent is not None and announcement.epoch == intent.epoch:
            self._announced(announcement)

    def _ending(self, intent: Intent) -> Callable[[], None]:
        attempt = self._attempt
        hangs = self._troubles.hang
        return lambda: self._end(intent, attempt, hangs=hangs)

    def _span_ns(self) -> int:
        if self._troubles.hang:
            return ATTEMPT_TIMEOUT_NS
        return self._chance.randrange(max(_USUAL_NS, self._troubles.slow_ns))

    def _end(self, intent: Intent, attempt: int, *, hangs: bool) -> None:
        """End an attempt: it worked, it failed, or it took too long and nobody knows."""
        if attempt != self._attempt:
            return
        error = None
        if not self._is_done(intent):
            error = self._failure(hangs=hangs)
            self._achieved = None
            if error is None or self._chance.random() < 0.5:
                self._change(intent)
        if error is None:
            self._achieved, self._reported_epoch, self._retry_ns = intent, intent.epoch, RETRY_FIRST_NS
        action = Action.HOLD if isinstance(intent, HoldAddresses) else Action.DROP
        self._report(ActuationReported(intent.key, intent.epoch, action, error))
        if error is None or self._intent is not intent:
            self._work()
        else:
            self._waits_to_retry = True
            span_ns, self._retry_ns = self._retry_ns, min(2 * self._retry_ns, RETRY_MAX_NS)
            self._later(span_ns, lambda: self._work() if attempt == self._attempt else None)

    def _failure(self, *, hangs: bool) -> str | None:
        if hangs:
            return "took longer than 15 s"
        return "the addresses cannot be changed" if self._chance.random() < self._troubles.failing else None

    def _change(self, intent: Intent) -> None:
        if isinstance(intent, DropAddresses):
            self._kernel.drop(intent.key)
        else:
            lifetime_s = intent.precaution.lifetime_s if intent.precaution else None
            self._kernel.hold(intent.key, lifetime_s)

    def _is_done(self, intent: Intent) -> bool:
        """Say whether nothing is left to do for an intent but to report it."""
        return not intent.anew and type(self._achieved) is type(intent)
