"""Turns events into log records; the only module that knows both.

Events of a host are logged on ``pycarp.state`` (its state, and who is MASTER), ``pycarp.settings`` (demotions,
restrictions, settings), ``pycarp.addresses`` (failures, and changes by others) and ``pycarp.peers`` (what is wrong with
advertisements, floods). What a node does is logged on ``pycarp``.
"""

import logging
from collections.abc import Iterable

from pycarp.core.events import (
    ActuationFailed,
    AddressesChangedByOthers,
    AddressesHeld,
    AdvertisementRejected,
    ConflictWon,
    DecisionChange,
    DemotionChange,
    Departed,
    Event,
    FloodChange,
    LoopStalled,
    MasterHeard,
    PeerMismatch,
    RestrictionChange,
    SettingsChange,
    StateChange,
)
from pycarp.core.host_config import HostConfig
from pycarp.core.state import Reason, State
from pycarp.dialects.dialect import Claim
from pycarp.vocabulary import NS_PER_S

logger = logging.getLogger("pycarp")
_state = logging.getLogger("pycarp.state")
_settings = logging.getLogger("pycarp.settings")
_addresses = logging.getLogger("pycarp.addresses")
_peers = logging.getLogger("pycarp.peers")

EXTERNAL_CHANGES_MOST = 5
"""So many external changes of a host's addresses make a line each; then every hundredth does."""

LINELESS = (AddressesHeld, DecisionChange, Departed)
"""Events that make no line."""

_SILENCE_MATTERS = frozenset({Reason.MASTER_SILENT})
_PEER_MATTERS = frozenset(
    {
        Reason.MASTER_SILENT,
        Reason.MASTER_LEFT,
        Reason.MASTER_TOO_SLOW,
        Reason.MASTER_DEMOTED,
        Reason.PREEMPTING,
        Reason.BETTER_MASTER,
    }
)


def log_event(event: Event) -> None:
    """Log an event in the style of the kernels; most events make one line, some make none."""
    match event:
        case StateChange():
            _log_change(event)
        case DemotionChange():
            _settings.info("carp: %s: demotion is %d (%s)", event.key, event.total, causes_in_words(event.causes))
        case RestrictionChange(restriction=restriction, causes=causes):
            whys = ", ".join(cause for cause, _restriction in causes) or "no cause left"
            _settings.info("carp: %s: restriction is %s (%s)", event.key, restriction or "none", whys)
        case SettingsChange(config=config):
            rolling = f", signing as before for {event.rolling_ns / NS_PER_S:g} s" if event.rolling_ns else ""
            _settings.info("carp: %s: now %s%s", event.key, summary(config), rolling)
        case ActuationFailed():
            _addresses.error("carp: %s: cannot %s addresses, will try again: %s", event.key, event.action, event.error)
        case AddressesChangedByOthers(what=what, count=count):
            _addresses.warning("carp: %s: %s (changed by others %d times so far)", event.key, what, count)
        case LoopStalled():
            late_ms = event.late_ns * 1000 // NS_PER_S
            logger.warning("carp: %s: this process was not scheduled for %d ms", event.key, late_ms)
        case FloodChange():
            log_flood(event, str(event.key))
        case _:
            _log_peer(event)


class EventLines:
    """Logs the events of all hosts of a node; what all hosts of a link have in common makes one line."""

    def __init__(self) -> None:
        self._stalled_at_ns: int | None = None
        self._floods: dict[str, tuple[int, bool]] = {}

    def log(self, event: Event) -> None:
        """Log an event, unless it was logged for another host, or too often."""
        match event:
            case LoopStalled(at_ns=at_ns):
                if at_ns != self._stalled_at_ns:
                    self._stalled_at_ns = at_ns
                    log_stall(event)
            case FloodChange(at_ns=at_ns, is_on=is_on):
                if self._floods.get(event.key.link) != (at_ns, is_on):
                    self._floods[event.key.link] = (at_ns, is_on)
                    log_flood(event, event.key.link)
            case AddressesChangedByOthers(count=count):
                if count <= EXTERNAL_CHANGES_MOST or count % 100 == 0:
                    log_event(event)
            case _:
                log_event(event)


def log_stall(event: LoopStalled) -> None:
    """Log that this process was late, which all hosts have in common."""
    logger.warning("carp: this process was not scheduled for %d ms", event.late_ns * 1000 // NS_PER_S)


def _log_peer(event: Event) -> None:
    """Log an event that is about another host; ignore the rest."""
    match event:
        case AdvertisementRejected():
            _log_rejection(event)
        case PeerMismatch():
            _peers.warning("carp: %s: %s %s", event.key, event.source, event.mismatch.value)
        case MasterHeard(source=source, claim=claim):
            _state.info("carp: %s: MASTER is %s (advbase %d advskew %d)", event.key, source, *_timing(claim))
        case ConflictWon(source=source, claim=claim):
            text = "carp: %s: %s is MASTER as well (advbase %d advskew %d); this host stays and announces again"
            _state.warning(text, event.key, source, *_timing(claim))
        case _:
            pass


def causes_in_words(causes: Iterable[tuple[str, int]]) -> str:
    """Return the causes of a demotion with their amounts."""
    return ", ".join(f"{cause} {amount:+d}" for cause, amount in causes) or "none left"


def log_flood(event: FloodChange, where: str) -> None:
    """Log that a flood began or ended; ``where`` names a host, or the link of several."""
    if event.is_on:
        _peers.warning(
            "carp: %s: %d packets a second of no use arrive; looking at 1 in %d, and at all advertisements that follow "
            "on from those heard",
            where,
            event.rate,
            event.every,
        )
    else:
        _peers.info("carp: %s: all packets are looked at again", where)


def _timing(claim: Claim) -> tuple[int, int]:
    return claim.advbase, claim.advskew


def summary(config: HostConfig) -> str:
    """Return the shared addresses and the timing of a host, for a log line."""
    shared = ", ".join(str(each) for each in config.addresses)
    return f"shares {shared}, advbase {config.advbase} advskew {config.advskew}"


def explain(change: StateChange) -> str:
    """Return the reason of a change in words, with the peer it concerns and for how long that peer was silent."""
    if change.peer is None or change.reason not in _PEER_MATTERS:
        return change.reason.value
    if change.silent_ns is not None and change.reason in _SILENCE_MATTERS:
        return f"{change.reason.value}; {change.peer} silent for {change.silent_ns / NS_PER_S:.3f} s"
    return f"{change.reason.value}; heard {change.peer}"


def is_logged(change: StateChange) -> bool:
    """Return True if a change of the state makes a line: what begins and stays in INIT makes none."""
    return change.reason is not Reason.ADDED and not (change.old is State.INIT and change.new is State.INIT)


def _log_change(change: StateChange) -> None:
    if not is_logged(change):
        return
    _state.info("carp: %s: %s -> %s (%s)", change.key, change.old.value, change.new.value, explain(change))


def _log_rejection(event: AdvertisementRejected) -> None:
    _peers.warning(
        "carp: %s: %d advertisement(s) from %s not authentic: %s; "
        "give both hosts the same pass and the same shared addresses",
        event.key,
        event.count,
        event.source,
        event.finding,
    )
