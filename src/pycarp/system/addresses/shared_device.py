"""The device with the virtual MAC of one host: a macvlan on its link, up as long as the host is prepared.

It is up in a BACKUP as well, so a device that is down always means that an administrator ran
``ip link set carp0 down``. In a BACKUP it sends no frame: it has no address, and IPv6 is off.

All methods block and belong to the thread of the socket, except ``is_expected`` and ``expect_nothing``.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Collection, Iterable
from functools import cache

from pycarp.errors import ActuatorError
from pycarp.system.addresses import sysctl_files
from pycarp.system.addresses.link_addresses import delete, index_of, present
from pycarp.system.recovery.null_journal import Records
from pycarp.system.recovery.resources import Device
from pycarp.system.rtnetlink import link_requests
from pycarp.system.rtnetlink.route_messages import LinkState, link_state
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import MacAddress

_IPV4_SYSCTLS = {
    link_requests.ARP_IGNORE: 1,
    # Loose. Requests arrive here and answers leave by the link below, so strict is wrong; 0 is wrong as well, because
    # the larger of this and conf/all counts. Without an address on the device, loose drops all that arrives: a BACKUP
    # that is a router must not forward the frames that a switch floods to every port.
    link_requests.RP_FILTER: 2,
    link_requests.PROMOTE_SECONDARIES: 1,
}
"""The IPv4 sysctls of the device, deleted with it. Source: ``ip-sysctl`` of the kernel's documentation."""

_IPV6_SYSCTLS = (
    ("net/ipv6/conf/{}/addr_gen_mode", "1"),
    ("net/ipv6/conf/{}/accept_ra", "0"),
    ("net/ipv6/conf/{}/autoconf", "0"),
)
"""The sysctls of a device that may get IPv6 addresses; a device without has IPv6 off, where they mean nothing."""

_IPV6_OFF = "net/ipv6/conf/{}/disable_ipv6"
_FORWARDING = {4: "net/ipv4/conf/{}/forwarding", 6: "net/ipv6/conf/{}/forwarding"}


_Read = Callable[[str], str | None]
"""Reads a sysctl, by its path below ``/proc/sys``."""

_MOST_EXPECTED = 64
"""Older expectations are forgotten: so many without a notification mean that nobody listens."""


class DeviceNameError(ActuatorError):
    """Another device has the wanted name."""


_GROUP_BASE = 0x70 << 24
"""The base of the link groups for joint deletion, one per process; unlikely to be used by others."""


class SharedDevice:
    """Makes, repairs and removes the macvlan of a host.

    ``index`` is 0 while the device is missing. ``is_up`` is False while an administrator has set it down; it stays so
    when the device is made again. ``began_up`` is the administrative state when the device got its index, None if it
    was set up after that. ``prepare`` is called before the device is made, and prepares the link below. The device is
    made ready for ``versions`` of IP, for another one when that is opened: most hosts never have it.
    """

    def __init__(
        self,
        route: RouteSocket,
        name: str,
        link: str,
        mac: MacAddress,
        *,
        journal: Records,
        prepare: Callable[[], None] = lambda: None,
        versions: Collection[int] = (4, 6),
    ) -> None:
        self.name = name
        self.link = link
        self.mac = mac
        self.index = 0
        self.is_up = True
        self.began_up: bool | None = None
        self._route = route
        self._journal = journal
        self._prepare = prepare
        self._versions = versions
        self._is_empty = False
        self._is_ready_for_ipv6 = False
        self._forwarding: dict[int, str | None] = {}
        self._expected: list[bool] = []

    @property
    def record(self) -> Device:
        """The record of the device in a journal."""
        return Device(self.name, self.link, str(self.mac))

    def ensure(self) -> int:
        """Return the index of the device; make it if it is missing, and restore its name if it was renamed.

        Raises DeviceNameError when another device has the name, OSError when it cannot be made.
        """
        is_there = self.index and index_of(self.name) == self.index
        if not is_there and not self._is_renamed_back():
            self._make()
        return self.index

    def mend(self) -> list[str]:
        """Restore the name and the MAC address; return a sentence for each difference found."""
        if not self.index:
            return []
        found = self._read_by_index()
        if found is None:
            self.index = 0
            return [f"{self.name} was deleted"]
        differences = []
        if found.name != self.name:
            has_it = self._is_renamed_back()
            end = "and has its name back" if has_it else "and another device has its name"
            differences.append(f"{self.name} was renamed to {found.name}, {end}")
        if found.mac != self.mac:
            self._route.demand(link_requests.setting_mac(self.index, self.mac))
            differences.append(f"{self.name} had the MAC address {found.mac} for a while")
        return differences

    def rename_link(self, name: str) -> None:
        """Follow a rename of the link below to ``name``; raises ActuatorError."""
        before, self.link = self.record, name
        if self.index:
            self._journal.record(self.record)
            self._journal.strike(before)

    def follow_mtu(self) -> None:
        """Raise the MTU to that of the link below; the kernel lowers it by itself."""
        below, own = self._read_by_name(self.link), self._read_by_index()
        if below and own and below.mtu > own.mtu:
            self._route.demand(link_requests.setting_mtu(own.index, below.mtu))

    def open(self, versions: set[int]) -> None:
        """Enable the device for these IP versions, and forward as the link below does; raises OSError."""
        self._is_empty = False
        for version in versions:
            self._get_ready(version)
        if 6 in versions:
            sysctl_files.write(_IPV6_OFF.format(self.name), "0")

    def shut(self) -> None:
        """Disable IPv6, which removes all IPv6 addresses at once and sends no frame. Raises OSError."""
        path, text = self.shutting
        _write_if_there(path, text)

    @property
    def shutting(self) -> tuple[str, str]:
        """The sysctl write of ``shut``: its path below ``/proc/sys`` and the text."""
        return _IPV6_OFF.format(self.name), "1"

    def takes_as_empty(self) -> bool:
        """Return True once after the device was made, if ``open`` was not called: nothing is to be dropped then."""
        is_empty, self._is_empty = self._is_empty, False
        return is_empty

    def set_up(self, *, is_up: bool) -> None:
        """Set the device administratively up or down; if it is missing, only remember the state. Raises OSError.

        When the notification of the change arrives, ``is_expected`` recognises it as our own.
        """
        self.is_up = is_up
        if not self.index:
            return
        if self.reads_as_up() != is_up:
            self._expected.append(is_up)
            del self._expected[:-_MOST_EXPECTED]
        self._route.demand(link_requests.setting_up(self.index, is_up=is_up))

    def is_expected(self, *, is_up: bool) -> bool:
        """Return True once for each of our own changes; call it for each notification, in the order of arrival."""
        with contextlib.suppress(IndexError):
            if self._expected[0] == is_up:
                self._expected.pop(0)
                return True
        return False

    def expect_nothing(self) -> None:
        """Forget the expected notifications: they have arrived, or are lost."""
        self._expected.clear()

    def reads_as_up(self) -> bool | None:
        """Return True if the device is administratively up, None if it is missing; waits for a deletion in progress."""
        found = self._read_by_index() if self.index else None
        return found.is_up if found else None

    def remove(self) -> None:
        """Delete the device and strike it out of the journal; no-op if it is missing. Raises OSError; then retry."""
        # The index is reset first, so the notification of the deletion is not taken for someone else's.
        index, self.index = self.index, 0
        try:
            if index and index_of(self.name) == index:
                self._route.demand(link_requests.deleting(index))
        except OSError:
            self.index = index
            raise
        self._journal.strike(self.record)

    def _make(self) -> None:
        below = index_of(self.link)
        if not below:
            raise OSError(errno.ENODEV, f"interface {self.link} does not exist")
        found = self._read_by_name(self.name)
        if found is not None and (reason := self._strangeness(found, below)):
            raise DeviceNameError(
                f"cannot make the device {self.name}: there is one of that name already, and {reason}; "
                f'give the host another name, or set mac_mode = "interface"'
            )
        self._prepare()
        if found is not None and found.macvlan_mode != link_requests.BRIDGE_MODE:
            self._route.demand(link_requests.deleting(found.index))
            found = None
        if found is None:
            self._journal.record(self.record)
            self._create(below)
        self._use(index_of(self.name), was_up=found is not None and found.is_up, is_new=found is None)
        self._route.demand(link_requests.setting_ipv4(self.index, _IPV4_SYSCTLS))
        if found is not None:
            left = [each.interface for each in present(self._route, self.index)]
            delete(self._route, self.index, left)
        if self.is_up and not (found is not None and found.is_up):
            self._route.demand(link_requests.setting_up(self.index))

    def _create(self, below: int) -> None:
        try:
            self._route.demand(link_requests.making_macvlan(self.name, below, self.mac))
        except OSError:
            self._journal.strike(self.record)
            raise

    def _use(self, index: int, *, was_up: bool, is_new: bool, read: _Read = sysctl_files.read) -> None:
        """Use the device of an index from now on, and set its sysctls; ``read`` reads those of other devices."""
        self.began_up = (was_up or None) if self.is_up else False
        self.expect_nothing()
        # Set the index before setting the device up: the watch then sees only the device's being up.
        self.index = index
        # First of all: while IPv6 is on, the kernel adds addresses and joins groups, and sends frames for each.
        _write_if_there(_IPV6_OFF.format(self.name), "1")
        self._is_ready_for_ipv6 = False
        # A new device begins with what is the default; to write that once more takes a third of making it.
        self._forwarding = {each: read(path.format("default")) for each, path in _FORWARDING.items() if is_new}
        for version in self._versions:
            self._get_ready(version, read)
        self._is_empty = is_new

    def _strangeness(self, found: LinkState, below: int) -> str | None:
        """Return how a device differs from the wanted one, None if it does not."""
        if found.kind != "macvlan":
            return f"it is no macvlan but of kind {found.kind or 'unknown'}"
        if found.below != below:
            return f"it is not on {self.link}"
        return None if found.mac == self.mac else f"its MAC address is {found.mac} and not {self.mac}"

    def begin(self) -> bool:
        """Prepare the link below; return False if that failed."""
        with contextlib.suppress(OSError, ActuatorError):
            self._prepare()
            return True
        return False

    def finish(self, read: _Read) -> bool:
        """Take over the device that was just made; return False if that failed, and the index is 0 then."""
        with contextlib.suppress(OSError):
            self._use(index_of(self.name), was_up=False, is_new=True, read=read)
            return True
        self.index = 0
        return False

    @property
    def last_requests(self) -> tuple[bytes, bytes]:
        """What is to be asked of the kernel after ``finish``."""
        sysctls = link_requests.setting_ipv4(self.index, _IPV4_SYSCTLS)
        return sysctls, link_requests.setting_up(self.index, is_up=self.is_up)

    def strike(self) -> None:
        """Strike the device out of the journal, as it was not made; a failure is not raised."""
        with contextlib.suppress(OSError, ActuatorError):
            self._journal.strike(self.record)

    def _is_renamed_back(self) -> bool:
        if self.index:
            with contextlib.suppress(OSError):
                self._route.demand(link_requests.renaming(self.index, self.name))
                return True
        return False

    def _get_ready(self, version: int, read: _Read = sysctl_files.read) -> None:
        """Make the device ready for addresses of a version of IP; forward packets of it as the link below does."""
        if version == 6 and not self._is_ready_for_ipv6:
            for path, text in _IPV6_SYSCTLS:
                _write_if_there(path.format(self.name), text)
            self._is_ready_for_ipv6 = True
        path = _FORWARDING[version]
        wanted = read(path.format(self.link))
        if wanted is not None and wanted != self._forwarding.get(version):
            _write_if_there(path.format(self.name), wanted)
            self._forwarding[version] = wanted

    def _read_by_name(self, name: str) -> LinkState | None:
        message = self._route.read_one(link_requests.reading_by_name(name))
        return link_state(message) if message else None

    def _read_by_index(self) -> LinkState | None:
        message = self._route.read_one(link_requests.reading_by_index(self.index))
        return link_state(message) if message else None


def make_together(route: RouteSocket, devices: Iterable[SharedDevice], journal: Records) -> None:
    """Make several devices at once, a few requests for all instead of several for each.

    Devices that cannot be made this way, such as one that a predecessor left, are passed over. Call ``ensure`` of each
    device afterwards all the same: it makes what is missing, and raises what went wrong. Raises OSError, and
    ActuatorError when nothing can be recorded in ``journal``, which is that of the devices.
    """
    below: dict[str, int] = {}
    new = []
    for device in devices:
        if device.link not in below:
            below[device.link] = index_of(device.link)
        if below[device.link] and not device.index and device.begin():
            new.append(device)
    with journal.together():
        for device in new:
            journal.record(device.record)
    made = []
    requests = [link_requests.making_macvlan(each.name, below[each.link], each.mac) for each in new]
    # What all devices have in common is read once.
    read = cache(sysctl_files.read)
    for device, error in zip(new, route.ask(requests), strict=True):
        if error:
            device.strike()
        elif device.finish(read):
            made.append(device)
    errors = route.ask([request for device in made for request in device.last_requests])
    for device, *failed in zip(made, errors[::2], errors[1::2], strict=True):
        if any(failed):
            device.index = 0


def delete_together(route: RouteSocket, devices: Collection[SharedDevice]) -> None:
    """Delete several devices at once; the kernel needs some 20 ms for one, and hardly more for all.

    Call ``remove`` of each device afterwards all the same. Raises OSError.
    """
    indices = [device.index for device in devices if device.index and index_of(device.name) == device.index]
    if len(indices) > 1:
        group = _GROUP_BASE + os.getpid()
        joined = route.ask([link_requests.putting_into_group(index, group) for index in indices])
        if 0 in joined:
            route.demand(link_requests.deleting_group(group))


def _write_if_there(path: str, text: str) -> None:
    """Set a sysctl if it exists; a kernel without IPv6 lacks half of them."""
    with contextlib.suppress(FileNotFoundError):
        sysctl_files.write(path, text)
