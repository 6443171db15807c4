"""The names of hosts' devices: refused at the start when something else of this machine has them."""

from collections.abc import Collection, Iterator

from pycarp.core.host_config import HostConfig, device_in_the_way
from pycarp.errors import ConfigError
from pycarp.system.rtnetlink import link_requests
from pycarp.system.rtnetlink.route_messages import link_head, link_state
from pycarp.system.rtnetlink.route_socket import RouteSocket

_MANY = 64
"""So many hosts ask for a list of all links, rather than for a device each."""


def refuse(route: RouteSocket, configs: Collection[HostConfig]) -> None:
    """Raise ConfigError, a line for each host that may need a device whose name another device has. Raises OSError.

    What looks like the device of a host is for the maker of devices to judge: a predecessor may have left it.
    """
    lines = list(_refusals(route, configs))
    if lines:
        raise ConfigError("\n".join(lines))


def _refusals(route: RouteSocket, configs: Collection[HostConfig]) -> Iterator[str]:
    names = None
    if len(configs) >= _MANY:
        names = {link_head(each).name for each in route.read(link_requests.reading_all())}
    for config in configs:
        if names is not None and config.device not in names:
            continue
        answer = route.read_one(link_requests.reading_by_name(config.device))
        if answer and (why := device_in_the_way(config, link_state(answer).mac)):
            yield f"{config.name}: {why}"
