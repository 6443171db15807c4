"""Tells what others do to shared addresses and to the devices that carry them, as the kernel notifies of it.

A notification about an address is only a reason to look: what is reported is what is not as we want it, read when no
hold or drop of our own is under way. That a device was set up or down is reported as it was notified, because it may
last three milliseconds only.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from pycarp.core.inputs import AddressesDisturbed, AdminChanged
from pycarp.system.address_book import AddressBook
from pycarp.system.notifications import Notifications
from pycarp.system.route_messages import (
    DELETED_ADDRESS,
    DELETED_LINK,
    NEW_ADDRESS,
    NEW_LINK,
    Message,
    address_place,
    link_index,
    link_is_up,
    link_state,
)
from pycarp.system.shared_addresses import SharedAddresses
from pycarp.system.shared_device import SharedDevice
from pycarp.system.worker import Worker
from pycarp.vocabulary import HostKey

Notice = Callable[[AddressesDisturbed | AdminChanged], None]


class AddressWatch:
    """Listens for as long as it runs; ``hosts`` may change meanwhile."""

    def __init__(
        self, worker: Worker, book: AddressBook, hosts: Mapping[HostKey, SharedAddresses], notice: Notice
    ) -> None:
        self._worker = worker
        self._book = book
        self._hosts = hosts
        self._notice = notice
        self._doubted: set[HostKey] = set()
        self._doubt = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled."""
        # Made in the thread, to be in the network namespace in which the addresses are.
        notifications = await self._worker.run(Notifications)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._examine())
                await self._read_all()
                while True:
                    await self._listen(notifications)
        finally:
            notifications.close()

    async def _listen(self, notifications: Notifications) -> None:
        try:
            for message in await notifications.take():
                self._hear(message)
        except OSError:
            # The queue overflowed. What was lost shows in how things are.
            await self._read_all()

    def _hear(self, message: Message) -> None:
        if message.kind == NEW_ADDRESS:
            place = address_place(message)
            # Of what we hold it says that it stays for longer, as it does hundreds of times a second.
            if self._book.holder(place) is None:
                self._look_at(self._book.sharers(place))
        elif message.kind == DELETED_ADDRESS:
            holder = self._book.holder(address_place(message))
            if holder is not None:
                self._look_at((holder,))
        elif message.kind in (NEW_LINK, DELETED_LINK) and link_index(message):
            self._hear_of_link(message)

    def _hear_of_link(self, message: Message) -> None:
        index, state = link_index(message), link_state(message)
        for key, host in list(self._hosts.items()):
            device = host.device
            if device is None:
                continue
            if device.index == index:
                if message.kind == NEW_LINK:
                    self._hear_state(key, device, is_up=link_is_up(message))
                if message.kind == DELETED_LINK or (state.name, state.mac) != (device.name, device.mac):
                    self._look_at((key,))
            elif device.link == state.name and message.kind == NEW_LINK:
                self._worker.soon(host.follow_link)

    def _hear_state(self, key: HostKey, device: SharedDevice, *, is_up: bool) -> None:
        before = device.is_up
        if before is None and not is_up:
            return
        device.is_up = is_up
        if before is not None and before != is_up:
            self._notice(AdminChanged(key, is_up))
            self._look_at((key,))

    def _look_at(self, keys: Iterable[HostKey]) -> None:
        self._doubted.update(keys)
        if self._doubted:
            self._doubt.set()

    async def _read_all(self) -> None:
        """Find out how all devices are, without notifications."""
        devices = {key: host.device for key, host in self._hosts.items() if host.device and host.device.index}
        are_up = await self._worker.run(lambda: {key: device.reads_as_up() for key, device in devices.items()})
        for key, is_up in are_up.items():
            self._hear_state(key, devices[key], is_up=is_up)
        self._look_at(self._hosts)

    async def _examine(self) -> None:
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            doubted, self._doubted = self._doubted, set()
            hosts = [host for key in doubted if (host := self._hosts.get(key))]
            for key, what in await self._worker.run(partial(_all_differences, hosts)):
                self._notice(AddressesDisturbed(key, what))


def _all_differences(hosts: list[SharedAddresses]) -> list[tuple[HostKey, str]]:
    """Return for each host that is not as it should be what is wrong, all in one sentence."""
    found = []
    for host in hosts:
        # What cannot be read now is gone, and there is or will be a notification of that.
        with contextlib.suppress(OSError):
            differences = host.differences()
            if differences:
                found.append((host.key, ", ".join(differences)))
    return found
