"""Writes the events of hosts to the log, and merges those that many hosts have at the same time."""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from pycarp.aio.log_records import (
    EXTERNAL_CHANGES_MOST,
    LINELESS,
    causes_in_words,
    is_logged,
    log_event,
    log_flood,
    log_stall,
    logger,
)
from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.events import (
    ActuationFailed,
    AddressesChangedByOthers,
    DecisionChange,
    DemotionChange,
    Event,
    FloodChange,
    LoopStalled,
    MasterHeard,
    StateChange,
)
from pycarp.core.snapshot import HostSnapshot
from pycarp.daemon.burst import Burst, names
from pycarp.daemon.log_fields import Fields, about, fields_of_event
from pycarp.daemon.sysctls import LOG_CHANGES, LOG_NOTHING
from pycarp.errors import CarpError
from pycarp.vocabulary import NS_PER_S, Address, HostKey

EXTERNAL_CHANGES_EVERY_NS = 60 * NS_PER_S
"""After the first external changes of a host's addresses, which get a line each, one line gets so long."""

CONTESTS_TOGETHER_NS = NS_PER_S // 2
"""Within so long, changes of the addresses of more than that many hosts are told together."""


Causes = tuple[tuple[str, int], ...]


class EventLogger:
    """Logs events of all hosts of a node; ``level`` is ``net.inet.carp.log``.

    What happens to many hosts at once is one line. ``hosts`` returns the hosts of the node as they are now,
    ``present_name`` what an interface is called now.
    """

    def __init__(
        self,
        hosts: Callable[[], Iterable[HostSnapshot]] = tuple,
        present_name: Callable[[str], str] = str,
    ) -> None:
        self._present_name = present_name
        self.level = LOG_CHANGES
        self._hosts = hosts
        self._last_stall_at_ns = -1
        self._last_floods: dict[str, int] = {}
        self._demotions_at_ns: int | None = None
        self._demotions: set[tuple[int, Causes]] = set()
        self._demoted_by: frozenset[str] = frozenset()
        self._demotion_burst: Burst[DemotionChange] = Burst(self._tell_demotion, span_s=1.0)
        self._contests_from_ns: int | None = None
        self._contested: set[HostKey] = set()
        self._contest_burst: Burst[HostKey] = Burst(_tell_contests)
        self._masters: dict[HostKey, tuple[int, Address]] = {}
        self._publish_again_at_ns: dict[HostKey, int] = {}

    def log(self, event: Event, host: VirtualHost) -> None:
        """Log an event of a host, if it is worth a line."""
        if self.level <= LOG_NOTHING and not isinstance(event, ActuationFailed):
            return
        if isinstance(event, LINELESS):
            return
        if isinstance(event, LoopStalled):
            self._log_stall(event)
        elif isinstance(event, StateChange) and not is_logged(event):
            # Each of hundreds of hosts starts with such an event, and to find out the peer's name takes long.
            return
        elif isinstance(event, DemotionChange):
            self._log_demotion(event, host)
        elif isinstance(event, FloodChange):
            self._log_flood(event)
        elif isinstance(event, MasterHeard):
            self._log_master(event, host)
        elif not isinstance(event, AddressesChangedByOthers) or self._is_publishing_due(event):
            self._log(event, host)

    def _log(self, event: Event, host: VirtualHost) -> None:
        # A change of the state without a peer says all by itself, and thousands of hosts start with one.
        is_enough = isinstance(event, StateChange) and event.peer is None
        snapshot = None if is_enough else _snapshot(host)
        if isinstance(event, StateChange) and event.peer is not None and snapshot is not None:
            # Logged later, because the advertisement of the other family has been heard by now, too.
            event = replace(event, peer=snapshot.name_of(event.peer))
        present_name = self._present_name(event.key.link)
        # Hardly ever it has another name than before; thousands of events at once go without a copy.
        shown = event if present_name == event.key.link else replace(event, key=HostKey(present_name, event.key.vhid))
        name = host.name if host.name != str(event.key) else str(shown.key)
        with about(fields_of_event(shown, name, snapshot)):
            log_event(shown)

    def decision_record(self, event: DecisionChange, host: VirtualHost) -> tuple[str, Fields]:
        """Return what there is to say of a decision, which makes no line of the log, and what that is about."""
        shown = replace(event, key=HostKey(self._present_name(event.key.link), event.key.vhid))
        name = host.name if host.name != str(event.key) else str(shown.key)
        claim = event.claim
        text = f"{shown.key}: {event.source} (advbase {claim.advbase} advskew {claim.advskew}): {event.decision.value}"
        return text, fields_of_event(shown, name, None)

    def _log_stall(self, event: LoopStalled) -> None:
        """Log a stall of the process once, although every host has an event of it.

        Each host tells all stalls that it has an event of before the next host tells the same ones.
        """
        if event.at_ns <= self._last_stall_at_ns:
            return
        self._last_stall_at_ns = event.at_ns
        log_stall(event)

    def _log_demotion(self, event: DemotionChange, host: VirtualHost) -> None:
        """Log a demotion of the node or of a group once, although every host concerned has an event of it."""
        if event.at_ns != self._demotions_at_ns:
            self._demotions_at_ns = event.at_ns
            self._demotions.clear()
        if (event.total, event.causes) in self._demotions:
            return
        self._demotions.add((event.total, event.causes))
        alike = self._number_alike(event)
        if alike < 2:
            self._log(event, host)
            return
        causes = frozenset(cause for cause, _amount in event.causes)
        if causes and causes == self._demoted_by:
            # A link that is down at the start demotes by more with each host that is added.
            self._demotion_burst.add(event)
            return
        self._demoted_by = causes
        self._log_demotion_of(alike, event)

    def _number_alike(self, event: DemotionChange) -> int:
        """Return how many hosts have this demotion now."""
        return sum(each.demotion == event.causes for each in self._hosts())

    def _log_demotion_of(self, number: int, event: DemotionChange) -> None:
        logger.info("carp: %d hosts: demotion is %d (%s)", number, event.total, causes_in_words(event.causes))

    def _tell_demotion(self, events: list[DemotionChange]) -> None:
        """Log the last of several demotions by the same causes."""
        self._log_demotion_of(self._number_alike(events[-1]), events[-1])

    def _log_master(self, event: MasterHeard, host: VirtualHost) -> None:
        """Log who is MASTER by the one name that its host has, once while this one stays BACKUP."""
        snapshot = _snapshot(host)
        source = event.source if snapshot is None else snapshot.name_of(event.source)
        epoch = 0 if snapshot is None else snapshot.epoch
        if self._masters.get(event.key) != (epoch, source):
            self._masters[event.key] = (epoch, source)
            self._log(replace(event, source=source), host)

    def _log_flood(self, event: FloodChange) -> None:
        """Log a flood of a link once, although every host on it has an event of it."""
        if event.at_ns <= self._last_floods.get(event.key.link, -1):
            return
        self._last_floods[event.key.link] = event.at_ns
        link = self._present_name(event.key.link)
        with about({"interface": link}):
            log_flood(event, link)

    def _is_publishing_due(self, event: AddressesChangedByOthers) -> bool:
        if event.count > EXTERNAL_CHANGES_MOST and event.at_ns < self._publish_again_at_ns.get(event.key, 0):
            return False
        self._publish_again_at_ns[event.key] = event.at_ns + EXTERNAL_CHANGES_EVERY_NS
        if self._contests_from_ns is None or event.at_ns - self._contests_from_ns > CONTESTS_TOGETHER_NS:
            self._contests_from_ns = event.at_ns
            self._contested.clear()
        self._contested.add(event.key)
        if len(self._contested) <= EXTERNAL_CHANGES_MOST:
            return True
        self._contest_burst.add(event.key)
        return False


def _tell_contests(keys: list[HostKey]) -> None:
    logger.warning("carp: %s: addresses were changed as well, by others or by the guardian", names(keys))


def _snapshot(host: VirtualHost) -> HostSnapshot | None:
    try:
        return host.snapshot()
    except CarpError:
        return None
