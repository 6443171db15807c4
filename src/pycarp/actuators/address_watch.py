"""Reports external changes of shared addresses and of their devices, as the kernel notifies of them.

A notification about an address is only a reason to check: the differences from the desired state are read and reported
while no hold or drop of our own runs. A device that was set up or down is reported from the notification itself,
because that state may last only three milliseconds.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from pycarp.core.inputs import AddressesDisturbed, AdminChanged
from pycarp.system.addresses.host_index import HostIndex
from pycarp.system.addresses.ownership_index import OwnershipIndex
from pycarp.system.addresses.shared_addresses import SharedAddresses
from pycarp.system.addresses.shared_device import SharedDevice
from pycarp.system.rtnetlink.notifications import Notifications, Novelty
from pycarp.system.rtnetlink.route_messages import (
    DELETED_ADDRESS,
    DELETED_LINK,
    NEW_ADDRESS,
    NEW_LINK,
    LinkHead,
    Message,
    address_index,
    address_place,
    link_has_mac,
    link_head,
    link_index,
    link_mtu,
)
from pycarp.system.rtnetlink.worker import Worker
from pycarp.vocabulary import HostKey

RETRY_S = 0.02
"""Seconds between two subscriptions."""

OWN_EVERY_S = 0.1
"""Seconds between two readings of the machine's own addresses; many may change at once."""

_EVERY_LINK = 0

Notice = Callable[[AddressesDisturbed | AdminChanged], None]


class Finding(NamedTuple):
    """The index of a host's device, 0 if it has none, and its differences from the desired state, in one sentence."""

    device_index: int
    what: str


class AddressWatch:
    """Watches the hosts of ``hosts``, which may change meanwhile, while ``run`` runs."""

    def __init__(self, worker: Worker, book: OwnershipIndex, hosts: HostIndex, notice: Notice) -> None:
        self._worker = worker
        self._book = book
        self._hosts = hosts
        self._notice = notice
        self._doubted: set[HostKey] = set()
        self._notified_up: dict[int, bool] = {}
        self._settings: dict[HostKey, list[tuple[int, bool]]] = {}
        self._links: dict[str, tuple[int, int]] = {}
        self._by_index: dict[int, HostKey] = {}
        self._doubt = asyncio.Event()
        self._novelty = Novelty()
        self._changed: set[int] = set()
        self._change = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled; when notifications were lost, read the state of every device and subscribe again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._examine())
            group.create_task(self._follow_own())
            while True:
                with contextlib.suppress(OSError):
                    await self._listen()
                await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        # In the thread, which is in the network namespace of the addresses. Subscribing and reading are one call, so
        # every queued notification is newer than the reading, and the reading has no device that is made later.
        notifications, are_up = await self._worker.run(self._begin)
        try:
            self._compare(are_up)
            while True:
                for message in await notifications.take():
                    self._receive(message)
        finally:
            notifications.close()

    def _begin(self) -> tuple[Notifications, dict[HostKey, bool]]:
        notifications = Notifications()
        devices = [(key, host.device) for key, host in list(self._hosts.items()) if host.device]
        are_up = ((key, device.reads_as_up()) for key, device in devices)
        return notifications, {key: is_up for key, is_up in are_up if is_up is not None}

    def _compare(self, are_up: dict[HostKey, bool]) -> None:
        for key, is_up in are_up.items():
            host = self._hosts.get(key)
            if host is not None and host.device is not None:
                host.device.expect_nothing()
                self._by_index[host.device.index] = key
                self._notified_up[host.device.index] = is_up
                if is_up != host.device.is_up:
                    self._settings[key] = [(host.device.index, is_up)]
        self._look_at(self._hosts)
        self._changed.add(_EVERY_LINK)
        self._change.set()

    def _receive(self, message: Message) -> None:
        if message.kind == NEW_ADDRESS:
            place = address_place(message)
            # Skip held addresses: their notifications are our own renewals, hundreds a second.
            if self._book.holder(place) is None:
                sharers = self._book.sharers(place)
                self._look_at(sharers)
                if not sharers:
                    self._note_own_address(message)
        elif message.kind == DELETED_ADDRESS:
            holder = self._book.holder(address_place(message))
            if holder is not None:
                self._look_at((holder,))
            elif not self._book.sharers(address_place(message)):
                self._note_own_address(message)
        elif message.kind in (NEW_LINK, DELETED_LINK) and link_index(message):
            self._receive_link(message)

    def _note_own_address(self, message: Message) -> None:
        # A router or a DHCP server renews its lifetime now and then, which is no change.
        if self._novelty.is_in(message):
            self._changed.add(address_index(message))
            self._change.set()

    async def _follow_own(self) -> None:
        """Update the hosts, until cancelled, when own addresses of their links change."""
        while True:
            await self._change.wait()
            self._change.clear()
            changed, self._changed = self._changed, set()
            await self._worker.run(partial(_follow_own, list(self._hosts.values()), changed))
            await asyncio.sleep(OWN_EVERY_S)

    def _receive_link(self, message: Message) -> None:
        head = link_head(message)
        key = self._host_of(head.link_index, head.name)
        if key is not None and (device := self._hosts[key].device) is not None:
            self._receive_device(key, device, message, head)
        elif message.kind == NEW_LINK and (hosts := self._hosts.on_link_called(head.name)):
            seen = (head.link_index, link_mtu(message))
            if self._links.get(head.name) != seen:
                self._links[head.name] = seen
                for host in hosts:
                    self._worker.soon(host.follow_link)

    def _host_of(self, index: int, name: str) -> HostKey | None:
        """Return the host whose device has that index, even if the device was renamed; None if no host has.

        Does not search all hosts: when hundreds start, thousands of notifications arrive.
        """
        for key in (self._by_index.get(index), self._hosts.with_device(name)):
            host = None if key is None else self._hosts.get(key)
            if key is not None and host is not None and host.device is not None and host.device.index == index:
                self._by_index[index] = key
                return key
        self._by_index.pop(index, None)
        return None

    def _receive_device(self, key: HostKey, device: SharedDevice, message: Message, head: LinkHead) -> None:
        if message.kind == DELETED_LINK:
            self._notified_up.pop(head.link_index, None)
            self._look_at((key,))
            return
        before = self._notified_up.get(head.link_index, device.began_up)
        # The first notification of a new device says that it is down, before it is set up for the first time.
        if before is not None or head.is_up:
            self._notified_up[head.link_index] = head.is_up
        if before is not None and before != head.is_up and not device.is_expected(is_up=head.is_up):
            self._settings.setdefault(key, []).append((head.link_index, head.is_up))
            self._look_at((key,))
        if head.name != device.name or not link_has_mac(message, device.mac):
            self._look_at((key,))

    def _look_at(self, keys: Iterable[HostKey]) -> None:
        self._doubted.update(keys)
        if self._doubted:
            self._doubt.set()

    async def _examine(self) -> None:
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            doubted, self._doubted = self._doubted, set()
            settings, self._settings = self._settings, {}
            hosts = {key: host for key in doubted if (host := self._hosts.get(key))}
            for key, finding in (await self._worker.run(partial(_findings, hosts))).items():
                self._report(key, hosts[key].device, finding, settings.get(key, []))

    def _report(
        self, key: HostKey, device: SharedDevice | None, finding: Finding, settings: list[tuple[int, bool]]
    ) -> None:
        for index, is_up in settings:
            # The kernel sets a device down before it deletes it: no administrator has set that one down.
            if device is not None and index == finding.device_index:
                device.is_up = is_up
                self._notice(AdminChanged(key, is_up))
        if finding.what:
            self._notice(AddressesDisturbed(key, finding.what))


def _follow_own(hosts: list[SharedAddresses], changed: set[int]) -> None:
    """Update the hosts on links with these indices with the own addresses of those links."""
    links: dict[str, list[SharedAddresses]] = {}
    for host in hosts:
        links.setdefault(host.link, []).append(host)
    for some in links.values():
        if _EVERY_LINK in changed or some[0].below() in changed:
            # A refusal of the kernel leads to a difference, which is reported as any other.
            with contextlib.suppress(OSError):
                on_link = some[0].on_link()
                for host in some:
                    host.follow_own(on_link)


def _findings(hosts: dict[HostKey, SharedAddresses]) -> dict[HostKey, Finding]:
    found = {}
    for key, host in hosts.items():
        # A device that cannot be read is gone, and the kernel notifies of that as well.
        with contextlib.suppress(OSError):
            what = ", ".join(host.differences())
            found[key] = Finding(device_index=host.device.index if host.device else 0, what=what)
    return found
