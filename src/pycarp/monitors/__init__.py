"""Floor 6: how the links are."""

import sys

from pycarp.errors import ConfigError
from pycarp.monitors.base import Monitor
from pycarp.monitors.static import StaticMonitor

__all__ = ["Monitor", "StaticMonitor", "system_monitor"]


def system_monitor() -> Monitor:
    """Return the monitor of this operating system; ConfigError where there is none yet."""
    if sys.platform != "linux":
        raise ConfigError("no link monitor for this operating system; pass one as monitor=")
    # Imported here because pyroute2 takes a good part of a second.
    from pycarp.monitors.netlink import NetlinkMonitor  # noqa: PLC0415

    return NetlinkMonitor()
