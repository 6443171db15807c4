"""The device that carries the virtual MAC of one host: a macvlan on its link, up as long as the host is adopted.

It is up in a BACKUP as well, so that ``ip link set carp0 down`` is an administrator's wish and nothing else. It sends
no frame then: it has no address, and IPv6 is off.

All its methods block and belong to the thread of its socket, but for ``is_expected`` and ``expect_nothing``.
"""

import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable, Collection

from pycarp.errors import ActuatorError
from pycarp.system.addresses import sysctl_files
from pycarp.system.addresses.link_addresses import delete, index_of, present
from pycarp.system.recovery.null_journal import Records
from pycarp.system.recovery.resources import Device
from pycarp.system.rtnetlink import link_requests
from pycarp.system.rtnetlink.route_messages import LinkState, link_state
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import MacAddress

_SWITCHES = (
    # Off before anything else: while it is on, the kernel makes addresses and joins groups, with frames for each.
    ("net/ipv6/conf/{}/disable_ipv6", "1"),
    ("net/ipv6/conf/{}/addr_gen_mode", "1"),
    ("net/ipv6/conf/{}/accept_ra", "0"),
    ("net/ipv6/conf/{}/autoconf", "0"),
    ("net/ipv4/conf/{}/arp_ignore", "1"),
    # Loose. Questions come in here and answers go out by the link below, so that strict is wrong; and 0 would leave
    # the word to conf/all, because the larger of the two counts. While there is no address, all that comes in is
    # thrown away by it: a BACKUP that is a router must not forward what a switch sends to every port.
    ("net/ipv4/conf/{}/rp_filter", "2"),
    ("net/ipv4/conf/{}/promote_secondaries", "1"),
)
"""Source: ``ip-sysctl`` of the kernel's documentation. They go with the device."""

_IPV6_OFF = "net/ipv6/conf/{}/disable_ipv6"
_FORWARDING = {4: "net/ipv4/conf/{}/forwarding", 6: "net/ipv6/conf/{}/forwarding"}


_MOST_EXPECTED = 64
"""More than this, of which nothing was heard, is not waited for: nobody listens."""


class DeviceNameError(ActuatorError):
    """There is another device of the wanted name."""


_GROUP_BASE = 0x70 << 24
"""Groups of links that nobody else is likely to use; each process has one."""


class SharedDevice:
    """A macvlan of a name and a MAC address on a link, made, mended and removed.

    ``index`` is 0 while it is not there. ``is_up`` is False while an administrator has set it down, which survives that
    it is made anew. ``began_up`` says how it was when it got its index, None if it was set up after that.
    ``prepare`` is called before it is made, and gets the link ready for it.
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
        self._forwarding: dict[int, str] = {}
        self._expected: deque[bool] = deque(maxlen=_MOST_EXPECTED)

    @property
    def record(self) -> Device:
        """How a journal calls it."""
        return Device(self.name, self.link, str(self.mac))

    def ensure(self) -> int:
        """Return its index; make it, or give it its name back, if it is not there.

        Raises DeviceNameError when there is another device of that name, OSError when it cannot be made.
        """
        is_there = self.index and index_of(self.name) == self.index
        if not is_there and not self._is_renamed_back():
            self._make()
        return self.index

    def mend(self) -> list[str]:
        """Give it back its name and its MAC address; return what was wrong with it, in sentences."""
        if not self.index:
            return []
        found = self._read_by_index()
        if found is None:
            self.index = 0
            return [f"{self.name} was deleted"]
        said = []
        if found.name != self.name:
            has_it = self._is_renamed_back()
            end = "and has its name back" if has_it else "and another device has its name"
            said.append(f"{self.name} was renamed to {found.name}, {end}")
        if found.mac != self.mac:
            self._route.demand(link_requests.setting_mac(self.index, self.mac))
            said.append(f"{self.name} had the MAC address {found.mac} for a while")
        return said

    def rename_link(self, name: str) -> None:
        """Follow the link below, which is called ``name`` now; raises ActuatorError."""
        before, self.link = self.record, name
        if self.index:
            self._journal.record(self.record)
            self._journal.strike(before)

    def follow_mtu(self) -> None:
        """Take on the MTU of the link below, after it became larger; a smaller one it follows by itself."""
        below, own = self._read_by_name(self.link), self._read_by_index()
        if below and own and below.mtu > own.mtu:
            self._route.demand(link_requests.setting_mtu(own.index, below.mtu))

    def open(self, versions: set[int]) -> None:
        """Let it work for addresses of these versions of IP, and forward what the link below would; raises OSError."""
        for version in versions:
            self._follow_forwarding(version)
        if 6 in versions:
            sysctl_files.write(_IPV6_OFF.format(self.name), "0")

    def shut(self) -> None:
        """Switch IPv6 off: all its addresses go at once, without a word to other routers. Raises OSError."""
        path, text = self.shutting
        _write_if_there(path, text)

    @property
    def shutting(self) -> tuple[str, str]:
        """The path below ``/proc/sys`` and the text of what ``shut`` writes."""
        return _IPV6_OFF.format(self.name), "1"

    def set_up(self, *, is_up: bool) -> None:
        """Set it up or down as an administrator would; well if it is not there. Raises OSError.

        When that is heard of, ``is_expected`` says that it is nobody else's wish.
        """
        self.is_up = is_up
        if not self.index:
            return
        if self.reads_as_up() != is_up:
            self._expected.append(is_up)
        self._route.demand(link_requests.setting_up(self.index, is_up=is_up))

    def is_expected(self, *, is_up: bool) -> bool:
        """Say whether we have set it so ourselves, once for each time; called in the order in which it is heard of."""
        with contextlib.suppress(IndexError):
            if self._expected[0] == is_up:
                self._expected.popleft()
                return True
        return False

    def expect_nothing(self) -> None:
        """Forget what was expected: it was heard of, or is lost."""
        self._expected.clear()

    def reads_as_up(self) -> bool | None:
        """Say whether it is administratively up, None if it is not there; waits for who is about to delete it."""
        found = self._read_by_index() if self.index else None
        return found.is_up if found else None

    def remove(self) -> None:
        """Delete it and strike it out of the journal; well if it is not there. OSError: it can be tried again."""
        # Forgotten before it goes: nobody else has deleted it.
        index, self.index = self.index, 0
        try:
            found = self._read_by_name(self.name)
            if found is not None and index and found.index == index:
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
                f'give the host another name, or set mac = "interface"'
            )
        self._prepare()
        if found is not None and found.macvlan_mode != link_requests.BRIDGE_MODE:
            self._route.demand(link_requests.deleting(found.index))
            found = None
        if found is None:
            self._journal.record(self.record)
            self._create(below)
        index = index_of(self.name)
        was_up = found is not None and found.is_up
        self.began_up = (was_up or None) if self.is_up else False
        self.expect_nothing()
        # Known before it is set up, so that its being up is the first that is heard of it.
        self.index = index
        self._clean()
        if self.is_up and not was_up:
            self._route.demand(link_requests.setting_up(index))

    def _create(self, below: int) -> None:
        try:
            self._route.demand(link_requests.making_macvlan(self.name, below, self.mac))
        except OSError:
            self._journal.strike(self.record)
            raise

    def _clean(self) -> None:
        """Set its switches, and take off what a predecessor may have left on it."""
        for path, text in _SWITCHES:
            _write_if_there(path.format(self.name), text)
        self._forwarding = {}
        for version in _FORWARDING:
            self._follow_forwarding(version)
        left = [each.interface for each in present(self._route, self.index)]
        delete(self._route, self.index, left)

    def _strangeness(self, found: LinkState, below: int) -> str | None:
        """Return what tells a device from ours, None if nothing does."""
        if found.kind != "macvlan":
            return f"it is no macvlan but of kind {found.kind or 'unknown'}"
        if found.below != below:
            return f"it is not on {self.link}"
        return None if found.mac == self.mac else f"its MAC address is {found.mac} and not {self.mac}"

    def _is_renamed_back(self) -> bool:
        if self.index:
            with contextlib.suppress(OSError):
                self._route.demand(link_requests.renaming(self.index, self.name))
                return True
        return False

    def _follow_forwarding(self, version: int) -> None:
        """Let it be a router where the link below is one."""
        path = _FORWARDING[version]
        wanted = sysctl_files.read(path.format(self.link))
        if wanted is not None and wanted != self._forwarding.get(version):
            _write_if_there(path.format(self.name), wanted)
            self._forwarding[version] = wanted

    def _read_by_name(self, name: str) -> LinkState | None:
        message = self._route.read_one(link_requests.reading_by_name(name))
        return link_state(message) if message else None

    def _read_by_index(self) -> LinkState | None:
        message = self._route.read_one(link_requests.reading_by_index(self.index))
        return link_state(message) if message else None


def delete_together(route: RouteSocket, devices: Collection[SharedDevice]) -> None:
    """Delete several devices at once; the kernel takes some 20 ms for a single one, and hardly more for all.

    Each has to be removed thereafter all the same. Raises OSError.
    """
    indices = [device.index for device in devices if device.index and index_of(device.name) == device.index]
    if len(indices) > 1:
        group = _GROUP_BASE + os.getpid()
        joined = route.ask([link_requests.putting_into_group(index, group) for index in indices])
        if 0 in joined:
            route.demand(link_requests.deleting_group(group))


def _write_if_there(path: str, text: str) -> None:
    """Set a switch, where the kernel has it: without IPv6 it lacks half of them."""
    with contextlib.suppress(FileNotFoundError):
        sysctl_files.write(path, text)
