"""Layer 6: monitors observe interfaces. Chosen by the operating system, or passed as an object."""

import sys

from pycarp.errors import ConfigError
from pycarp.monitors.base import Monitor
from pycarp.monitors.static import StaticMonitor

__all__ = ["Monitor", "StaticMonitor", "system_monitor"]


def system_monitor() -> Monitor:
    """Return the monitor of this operating system; raises ConfigError if it has none yet."""
    if sys.platform != "linux":
        raise ConfigError("no link monitor for this operating system; pass one as monitor=")
    # Imported here because pyroute2 takes a good part of a second.
    from pycarp.monitors.netlink import NetlinkMonitor  # noqa: PLC0415

    return NetlinkMonitor()
