"""Layer 6: monitors observe interfaces. Chosen at run time, by name or as an object."""

import sys
from typing import cast

from pycarp import registry
from pycarp.errors import ConfigError
from pycarp.monitors.link_monitor import LinkForgetting, Monitor
from pycarp.monitors.static import StaticMonitor

__all__ = ["NAMES", "LinkForgetting", "Monitor", "StaticMonitor", "by_name", "names"]

NAMES = ("auto", "netlink")
"""The names of pycarp's own; a ``StaticMonitor`` needs its links, so it is passed as an object."""


def names() -> tuple[str, ...]:
    """Return every name that ``by_name`` accepts."""
    return (*NAMES, *registry.registered("monitor"))


def by_name(name: str) -> Monitor:
    """Return a new monitor; ``auto`` is ``netlink`` on Linux. Raises ConfigError for an unknown name."""
    if name not in NAMES:
        return cast("Monitor", registry.load("monitor", name, NAMES)())
    if sys.platform != "linux":
        raise ConfigError("the netlink monitor works on Linux only; pass another one as monitor=")
    # Imported here because pyroute2 takes a good part of a second.
    from pycarp.monitors.netlink_monitor import NetlinkMonitor  # noqa: PLC0415

    return NetlinkMonitor()
