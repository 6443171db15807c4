"""Linux: shared addresses on the interface itself, answered from its own MAC."""

import asyncio
import errno

from pycarp.actuators.announcer import Announcer
from pycarp.actuators.base import Actuator
from pycarp.dialects.base import ArpForm
from pycarp.errors import ActuatorError
from pycarp.system.capabilities import NO_PERMISSION, may_change_addresses
from pycarp.system.netlink import Netlink
from pycarp.vocabulary import HostKey, Interface


class NetlinkActuator(Actuator):
    """Adds and removes addresses through netlink, all of a host at once."""

    def __init__(self) -> None:
        self._netlink = Netlink()
        self._announcer: Announcer | None = None

    async def open(self) -> None:
        """Open the sockets.

        Raises ActuatorError without permission: a MASTER that cannot hold its addresses is worse than no host.
        """
        if not may_change_addresses():
            raise ActuatorError(f"cannot change addresses: {NO_PERMISSION}")
        try:
            self._announcer = Announcer()
        except PermissionError as exc:
            raise ActuatorError(f"cannot announce addresses: {NO_PERMISSION}") from exc
        await self._netlink.__aenter__()

    async def hold(self, key: HostKey, addresses: tuple[Interface, ...], *, lifetime_s: int | None = None) -> None:
        """Add the addresses that are not there."""
        for address in addresses:
            try:
                await self._netlink.add_address(key.link, address)
            except OSError as exc:
                raise ActuatorError(f"cannot add {address} to {key.link}: {_why(exc, key.link, address)}") from exc

    async def drop(self, key: HostKey, addresses: tuple[Interface, ...]) -> None:
        """Remove the addresses that are there; each is tried, then the first failure raised."""
        attempts = (self._netlink.delete_address(key.link, address) for address in addresses)
        results = await asyncio.gather(*attempts, return_exceptions=True)
        for address, result in zip(addresses, results, strict=True):
            if isinstance(result, OSError):
                raise ActuatorError(f"cannot remove {address} from {key.link}: {result.strerror}") from result
            if isinstance(result, BaseException):
                raise result

    async def announce(self, key: HostKey, addresses: tuple[Interface, ...], form: ArpForm) -> None:
        """Send gratuitous ARP and neighbour advertisements from the interface's own MAC."""
        assert self._announcer is not None, "open() comes first"
        self._announcer.announce(key.link, addresses, form)

    async def close(self) -> None:
        """Close the sockets."""
        if self._announcer is not None:
            self._announcer.close()
        await self._netlink.__aexit__(None, None, None)


def _why(exc: OSError, link: str, address: Interface) -> str:
    """Return what went wrong; where IPv6 is switched off, the kernel says only that permission is denied."""
    if exc.errno == errno.EACCES and address.version == 6:
        return f"IPv6 is switched off there (sysctl net.ipv6.conf.{link}.disable_ipv6)"
    return exc.strerror or str(exc)
