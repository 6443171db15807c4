"""Which events of the hosts become lines of the log, and how many of them."""

from collections.abc import Callable
from dataclasses import replace

from pycarp.aio.host import VirtualHost
from pycarp.aio.log_records import log_event, logger
from pycarp.core.events import ActuationFailed, AddressesContested, Event, LoopStalled
from pycarp.core.snapshot import HostSnapshot
from pycarp.daemon.log_fields import about, fields_of_event
from pycarp.daemon.sysctls import LOG_CHANGES, LOG_NOTHING
from pycarp.errors import CarpError
from pycarp.vocabulary import NS_PER_S, HostKey

CONTESTS_MOST = 5
"""So many external changes of a host's addresses get a line each, then one line a minute."""

CONTESTS_EVERY_NS = 60 * NS_PER_S


class EventLogger:
    """Logs events of all hosts of a node; ``level`` is ``net.inet.carp.log``.

    ``present_name`` returns what an interface is called now.
    """

    def __init__(self, present_name: Callable[[str], str] = str) -> None:
        self._present_name = present_name
        self.level = LOG_CHANGES
        self._last_stall_at_ns: int | None = None
        self._contest_again_at_ns: dict[HostKey, int] = {}

    def log(self, event: Event, host: VirtualHost) -> None:
        """Log an event of a host, if it is worth a line."""
        if self.level <= LOG_NOTHING and not isinstance(event, ActuationFailed):
            return
        if isinstance(event, LoopStalled):
            self._log_stall(event)
        elif not isinstance(event, AddressesContested) or self._is_contest_due(event):
            shown = replace(event, key=HostKey(self._present_name(event.key.link), event.key.vhid))
            name = host.name if host.name != str(event.key) else str(shown.key)
            with about(fields_of_event(shown, name, _snapshot(host))):
                log_event(shown)

    def _log_stall(self, event: LoopStalled) -> None:
        """Log a stall of the process once; every host has an event of it."""
        if event.at_ns == self._last_stall_at_ns:
            return
        self._last_stall_at_ns = event.at_ns
        logger.warning("carp: this process was not scheduled for %d ms", event.late_ns * 1000 // NS_PER_S)

    def _is_contest_due(self, event: AddressesContested) -> bool:
        if event.count > CONTESTS_MOST and event.at_ns < self._contest_again_at_ns.get(event.key, 0):
            return False
        self._contest_again_at_ns[event.key] = event.at_ns + CONTESTS_EVERY_NS
        return True


def _snapshot(host: VirtualHost) -> HostSnapshot | None:
    try:
        return host.snapshot()
    except CarpError:
        return None
