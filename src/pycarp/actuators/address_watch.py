"""Tells what others do to shared addresses and to the devices that carry them, as the kernel notifies of it.

A notification about an address is only a reason to look: what is reported is what is not as we want it, read when no
hold or drop of our own is under way. That a device was set up or down is reported as it was notified, because it may
last three milliseconds only.
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
    LinkEssence,
    Message,
    address_index,
    address_place,
    link_essence,
    link_index,
)
from pycarp.system.rtnetlink.worker import Worker
from pycarp.vocabulary import HostKey

RETRY_S = 0.02
"""Pause before listening again."""

OWN_EVERY_S = 0.1
"""Pause after having followed the machine's own addresses; many come or go at once."""

_EVERY_LINK = 0

Notice = Callable[[AddressesDisturbed | AdminChanged], None]


class Finding(NamedTuple):
    """The index of a host's device, 0 if there is none, and in one sentence what is not as it should be."""

    device_index: int
    what: str


class AddressWatch:
    """Listens for as long as it runs; ``hosts`` may change meanwhile."""

    def __init__(self, worker: Worker, book: OwnershipIndex, hosts: HostIndex, notice: Notice) -> None:
        self._worker = worker
        self._book = book
        self._hosts = hosts
        self._notice = notice
        self._doubted: set[HostKey] = set()
        self._heard: dict[int, bool] = {}
        self._settings: dict[HostKey, list[tuple[int, bool]]] = {}
        self._links: dict[str, tuple[int, int]] = {}
        self._by_index: dict[int, HostKey] = {}
        self._doubt = asyncio.Event()
        self._novelty = Novelty()
        self._changed: set[int] = set()
        self._change = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled; when notifications were lost, find out how everything is and listen anew."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._examine())
            group.create_task(self._follow_own())
            while True:
                with contextlib.suppress(OSError):
                    await self._listen()
                await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        # In the thread, which is in the network namespace of the addresses. And both at once: what is queued from then
        # on is newer than what was read, and of a device that is made later nothing was read.
        notifications, are_up = await self._worker.run(self._begin)
        try:
            self._compare(are_up)
            while True:
                for message in await notifications.take():
                    self._hear(message)
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
                self._heard[host.device.index] = is_up
                if is_up != host.device.is_up:
                    self._settings[key] = [(host.device.index, is_up)]
        self._look_at(self._hosts)
        self._changed.add(_EVERY_LINK)
        self._change.set()

    def _hear(self, message: Message) -> None:
        if message.kind == NEW_ADDRESS:
            place = address_place(message)
            # Of what we hold it says that it stays for longer, as it does hundreds of times a second.
            if self._book.holder(place) is None:
                sharers = self._book.sharers(place)
                self._look_at(sharers)
                if not sharers:
                    self._hear_of_own(message)
        elif message.kind == DELETED_ADDRESS:
            holder = self._book.holder(address_place(message))
            if holder is not None:
                self._look_at((holder,))
            elif not self._book.sharers(address_place(message)):
                self._hear_of_own(message)
        elif message.kind in (NEW_LINK, DELETED_LINK) and link_index(message):
            self._hear_of_link(message)

    def _hear_of_own(self, message: Message) -> None:
        # A router or a DHCP server lets it stay for longer now and then, which is no change.
        if self._novelty.is_in(message):
            self._changed.add(address_index(message))
            self._change.set()

    async def _follow_own(self) -> None:
        """Have the hosts follow the machine's own addresses of their links."""
        while True:
            await self._change.wait()
            self._change.clear()
            changed, self._changed = self._changed, set()
            await self._worker.run(partial(_follow_own, list(self._hosts.values()), changed))
            await asyncio.sleep(OWN_EVERY_S)

    def _hear_of_link(self, message: Message) -> None:
        index, state = link_index(message), link_essence(message)
        key = self._host_of(index, state.name)
        if key is not None and (device := self._hosts[key].device) is not None:
            self._hear_of_device(key, device, message, state)
        elif message.kind == NEW_LINK and self._links.get(state.name) != (index, state.mtu):
            for host in self._hosts.on_link_called(state.name):
                self._links[state.name] = (index, state.mtu)
                self._worker.soon(host.follow_link)

    def _host_of(self, index: int, name: str) -> HostKey | None:
        """Return the host whose device is the link of an index, also when it was renamed since it was first heard of.

        Without a look at all hosts: when hundreds begin, there are thousands of notifications.
        """
        for key in (self._by_index.get(index), self._hosts.with_device(name)):
            host = None if key is None else self._hosts.get(key)
            if key is not None and host is not None and host.device is not None and host.device.index == index:
                self._by_index[index] = key
                return key
        self._by_index.pop(index, None)
        return None

    def _hear_of_device(self, key: HostKey, device: SharedDevice, message: Message, state: LinkEssence) -> None:
        if message.kind == DELETED_LINK:
            self._heard.pop(state.link_index, None)
            self._look_at((key,))
            return
        before = self._heard.get(state.link_index, device.began_up)
        # Of a new device it is heard that it is down, before it is up for the first time.
        if before is not None or state.is_up:
            self._heard[state.link_index] = state.is_up
        if before is not None and before != state.is_up and not device.is_expected(is_up=state.is_up):
            self._settings.setdefault(key, []).append((state.link_index, state.is_up))
            self._look_at((key,))
        if (state.name, state.mac) != (device.name, device.mac.octets):
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
                self._tell(key, hosts[key].device, finding, settings.get(key, []))

    def _tell(
        self, key: HostKey, device: SharedDevice | None, finding: Finding, settings: list[tuple[int, bool]]
    ) -> None:
        for index, is_up in settings:
            # The kernel sets a device down before it deletes it. That was no administrator's wish.
            if device is not None and index == finding.device_index:
                device.is_up = is_up
                self._notice(AdminChanged(key, is_up))
        if finding.what:
            self._notice(AddressesDisturbed(key, finding.what))


def _follow_own(hosts: list[SharedAddresses], changed: set[int]) -> None:
    """Have the hosts on links of these indices follow the own addresses there."""
    links: dict[str, list[SharedAddresses]] = {}
    for host in hosts:
        links.setdefault(host.link, []).append(host)
    for some in links.values():
        if _EVERY_LINK in changed or some[0].below() in changed:
            # What the kernel refuses is seen and told as any other difference.
            with contextlib.suppress(OSError):
                on_link = some[0].on_link()
                for host in some:
                    host.follow_own(on_link)


def _findings(hosts: dict[HostKey, SharedAddresses]) -> dict[HostKey, Finding]:
    found = {}
    for key, host in hosts.items():
        # What cannot be read now is gone, and there is or will be a notification of that.
        with contextlib.suppress(OSError):
            what = ", ".join(host.differences())
            found[key] = Finding(device_index=host.device.index if host.device else 0, what=what)
    return found
