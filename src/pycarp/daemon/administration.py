"""What an administrator changes in a running node: hosts by their names, interface groups by theirs."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from ipaddress import ip_interface
from types import MappingProxyType

from pycarp.aio.log_records import logger
from pycarp.aio.node import Node
from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.engine import HANDED_OVER
from pycarp.core.host_config import interval_warning
from pycarp.core.state import State
from pycarp.daemon import sysctls
from pycarp.daemon.control_messages import GroupReply, HandoverReply, HandoverRequest, IfconfigRequest
from pycarp.errors import ControlError, UsageError
from pycarp.spelling import guess
from pycarp.vocabulary import HostKey, InterfaceAddress

GROUP_DEMOTION_MAX = 255
"""The largest demotion of OpenBSD's demote octet."""

_CAUSE = "carpdemote"

ADMINISTRATIVE_CAUSES = frozenset({_CAUSE, sysctls.CAUSE, HANDED_OVER})
"""The causes of demotions that an administrator asked for."""


class Administration:
    """Carries out changes; every method raises UsageError or ConfigError for an impossible request."""

    def __init__(
        self,
        node: Node,
        *,
        remove: Callable[[HostKey], Awaitable[None]],
        renames: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._node = node
        self._remove = remove
        self._renames = renames

    async def change(self, request: IfconfigRequest) -> str:
        """Change one host: settings first, so that one that is refused changes nothing; return what to warn of.

        A host whose last address is taken away leaves, as on FreeBSD.
        """
        host = self.find(request.host)
        state = None if request.state is None else _state(request.state)
        if request.remove and self._addresses(host, request) == []:
            if not request.is_forced:
                raise UsageError(f"{last_address(host.name, request.remove)}; if that is meant, say --force")
            await self._end(host)
            return ""
        if request.changes_settings:
            addresses = self._addresses(host, request)
            if addresses is not None:
                await host.try_addresses(addresses)
            host.reconfigure(
                advbase=request.advbase,
                advskew=request.advskew,
                addresses=addresses,
                passphrase=request.passphrase,
                rolling_s=request.rolling_s,
            )
        if request.is_up is not None:
            (host.up if request.is_up else host.down)()
        if state is not None:
            host.force(state)
        return _interval_warning(host, request)

    async def _end(self, host: VirtualHost) -> None:
        logger.warning("carp: %s: removed with its last address, until the next reload or start", host.key)
        try:
            await self._remove(host.key)
        except TimeoutError as exc:
            raise ControlError(f"{host.name} leaves, but not yet: {exc}") from exc

    def demote_group(self, group: str, by: int) -> GroupReply:
        """Add to the demotion of an interface group. Source: ``carpdemote``, carp.md 6.4."""
        members = [host.name for host in self._node.hosts if group in host.config.groups]
        if not members:
            known = ", ".join(sorted({each for host in self._node.hosts for each in host.config.groups}))
            raise UsageError(f"no virtual host is in interface group {group!r}; there are: {known or 'none'}")
        before = self._node.snapshot().group_demotion.get(group, 0)
        after = before + by
        if not 0 <= after <= GROUP_DEMOTION_MAX:
            raise UsageError(f"demotion {after} of group {group} is outside 0-{GROUP_DEMOTION_MAX}; it is {before} now")
        self._node.demote(_CAUSE, by=after, group=group)
        warning = sysctls.excess(f"the demotion of group {group}", after, undo=f"-carpdemote {after}") if by else ""
        if warning:
            logger.warning("carp: %s", warning)
        return GroupReply(group=group, before=before, demotion=after, hosts=members, warning=warning)

    async def hand_over(self, request: HandoverRequest) -> HandoverReply:
        """Hand the addresses of a host over to the next one; raises HandOverError if no host takes them."""
        host = self.find(request.host)
        if request.is_back:
            if HANDED_OVER not in dict(host.snapshot().demotion):
                raise UsageError(
                    f"{host.name} has not handed its addresses over, so that there is nothing to take back"
                )
            host.restore(HANDED_OVER)
            return HandoverReply(host=host.name)
        began_s = time.monotonic()
        master = await host.hand_over(timeout_s=request.timeout_s)
        return HandoverReply(host=host.name, master=str(master), took_s=round(time.monotonic() - began_s, 6))

    def chosen(self, name: str | None) -> tuple[VirtualHost, ...]:
        """Return the host of a name, or all of them; UsageError when there is none of this name."""
        return self._node.hosts if name is None else (self.find(name),)

    def _addresses(self, host: VirtualHost, request: IfconfigRequest) -> list[InterfaceAddress] | None:
        """Return the new list of shared addresses, None for no change."""
        if not request.add and not request.remove:
            return None
        shared = list(host.config.addresses)
        for address in map(_interface, request.remove):
            found = [each for each in shared if each.ip == address.ip]
            if not found:
                known = ", ".join(str(each) for each in shared)
                raise UsageError(f"{host.name} does not share {address.ip}; it shares {known}")
            shared.remove(found[0])
        for address in map(_interface, request.add):
            owners = [host] if address.ip in [each.ip for each in shared] else self._owners(address, besides=host)
            if owners:
                raise UsageError(f"{address.ip} is shared by {owners[0].name} already")
            shared.append(address)
        return shared

    def _owners(self, address: InterfaceAddress, *, besides: VirtualHost) -> list[VirtualHost]:
        return [
            host
            for host in self._node.hosts
            if host is not besides and address.ip in [each.ip for each in host.config.addresses]
        ]

    def find(self, name: str) -> VirtualHost:
        """Return a host by its name or ``vhid@interface``, with the interface's present name or the file's."""
        vhid, at, interface = name.partition("@")
        for host in self._node.hosts:
            facts = self._node.link_facts(host.key.link)
            present = host.key if facts is None else HostKey(facts.present_name, host.key.vhid)
            mapped = vhid + at + self._renames.get(interface, "")
            if name in (host.name, str(host.key), str(present)) or mapped == str(host.key):
                return host
        names = [host.name for host in self._node.hosts]
        raise UsageError(f"no virtual host {name!r} here; there are: {', '.join(names)}{guess(name, names)}")


def _interval_warning(host: VirtualHost, request: IfconfigRequest) -> str:
    """Return, and log, a warning about the advertisement interval after a change; empty for none."""
    is_changed = request.advbase is not None or request.advskew is not None
    text = interval_warning(host.config) if is_changed else ""
    if text:
        logger.warning("carp: %s: %s", host.key, text)
    return text


def last_address(host: str, removed: Iterable[str]) -> str:
    """Return what happens when a host loses its last address."""
    return f"{host} ends here without {' and '.join(removed)}, its last address"


def _interface(text: str) -> InterfaceAddress:
    try:
        return ip_interface(text)
    except ValueError:
        raise UsageError(f"{text!r} is not an IP address with an optional /prefix") from None


def _state(name: str) -> State:
    if name.upper() not in (State.MASTER, State.BACKUP):
        raise UsageError(f"state {name!r} cannot be set; master and backup can")
    return State(name.upper())
