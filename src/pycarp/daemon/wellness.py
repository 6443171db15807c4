"""Whether a host is as its administrators want it."""

from pycarp.core.state import State
from pycarp.daemon.control_messages import HostStatus


def what_is_wrong(host: HostStatus) -> str:
    """Return what is not as administrators want it, empty if nothing: it takes part or was set down, and is well."""
    if host.state == State.INIT and host.is_up:
        return "takes no part"
    if host.alarms:
        return f"has alarms: {', '.join(each.name for each in host.alarms)}"
    if host.missing:
        return f"is without {', '.join(host.missing)}"
    unwanted = [each.cause for each in host.demotion if not each.is_wanted]
    return f"is demoted: {', '.join(unwanted)}" if unwanted else ""
