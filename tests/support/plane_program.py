"""A program whose addresses the real actuator holds and drops, and that dies after as many effects as it is told.

Its arguments are the state folder and the number of the effect after which it kills itself, 0 for none. An effect is
whatever is written to the kernel or to the journal.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from pycarp.actuators.netlink_actuator import NetlinkActuator
from pycarp.core.host_config import HostConfig
from pycarp.system.addresses import sysctl_files
from pycarp.system.recovery.journal import Journal
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import MacMode

LINK = "eth0"
HOSTS = (
    HostConfig(
        interface=LINK,
        vhid=7,
        name="carp0",
        passphrase="secret",
        addresses=("10.77.0.50/24", "fd77::50/64"),
        mac_mode=MacMode.VIRTUAL,
    ),
    HostConfig(
        interface=LINK,
        vhid=8,
        passphrase="secret",
        addresses=("10.88.0.50/24", "fd88::50/64"),
        mac_mode=MacMode.INTERFACE,
    ),
)


class Effects:
    """Counts them, and kills the process after the last one."""

    def __init__(self, last: int) -> None:
        self._last = last
        self._count = 0

    def counted(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same, and is one effect."""

        @wraps(effect)
        def done(*what: Any, **how: Any) -> Any:
            result = effect(*what, **how)
            self._count += 1
            if self._count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return done


def main(folder: str, last: str) -> None:
    """Come, be MASTER and BACKUP, and go."""
    effects = Effects(int(last))
    for owner, name in ((RouteSocket, "ask"), (sysctl_files, "write"), (Journal, "_append")):
        setattr(owner, name, effects.counted(getattr(owner, name)))
    asyncio.run(reign(Path(folder)))


async def reign(folder: Path) -> None:
    """Do what a node does, in its order."""
    journal = Journal.begin(folder)
    actuator = NetlinkActuator(journal=journal)
    await actuator.open()
    for host in HOSTS:
        await actuator.prepare(host)
        await actuator.drop(host.key, host.addresses)
    for host in HOSTS:
        await actuator.hold(host.key, host.addresses)
    for host in HOSTS:
        await actuator.drop(host.key, host.addresses)
    await actuator.release(*(host.key for host in HOSTS))
    await actuator.close()
    journal.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
