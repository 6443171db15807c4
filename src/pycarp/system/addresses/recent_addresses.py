"""The addresses of a link, read once for all hosts that have asked before: hundreds take over at once.

To read them takes as long as there are addresses, so a reading for each hold would make a takeover of all hosts of a
link quadratic. A hold that waits for its turn may use what was read after it was asked for: that is as if it had been
carried out then.
"""

import time
from collections.abc import Callable

from pycarp.system.addresses.link_addresses import present
from pycarp.system.rtnetlink.route_messages import AddressState
from pycarp.system.rtnetlink.route_socket import RouteSocket


class RecentAddresses:
    """Keeps the last reading of each link; belongs to the thread of the socket."""

    def __init__(self, route: RouteSocket, now_s: Callable[[], float] = time.monotonic) -> None:
        self._route = route
        self._now_s = now_s
        self._read: dict[int, tuple[float, list[AddressState]]] = {}

    def of(self, index: int, since_s: float) -> list[AddressState]:
        """Return the addresses of a link as they were at ``since_s`` of the monotonic clock or later."""
        began_s, found = self._read.get(index, (-1.0, []))
        if began_s < since_s:
            began_s = self._now_s()
            found = present(self._route, index)
            self._read[index] = (began_s, found)
        return found

    def forget(self) -> None:
        """Forget what was read: this process itself has removed addresses since."""
        self._read.clear()
