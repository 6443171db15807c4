"""The actuator of Linux: shared addresses on a device with the virtual MAC address, or on the interface itself."""

import contextlib
import errno
import itertools
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from pycarp.actuators.actuator import Actuator
from pycarp.actuators.address_watch import AddressWatch
from pycarp.actuators.announcer import Announcer
from pycarp.core.host_config import HostConfig
from pycarp.core.host_settings import LINK_NAME_MAX
from pycarp.core.inputs import AddressesDisturbed, AdminChanged
from pycarp.dialects.dialect import ArpForm
from pycarp.errors import ActuatorError, CarpError
from pycarp.system.addresses import device_names, own_addresses, sysctl_files
from pycarp.system.addresses.host_index import HostIndex
from pycarp.system.addresses.link_addresses import AddressError, everywhere, index_of
from pycarp.system.addresses.link_sysctls import BELOW_DEVICE, WITH_ADDRESSES, LinkSysctls
from pycarp.system.addresses.ownership_index import OwnershipIndex, keys_of
from pycarp.system.addresses.recent_addresses import RecentAddresses
from pycarp.system.addresses.renewals import Renewals
from pycarp.system.addresses.shared_addresses import SharedAddresses
from pycarp.system.addresses.shared_device import DeviceNameError, SharedDevice, delete_together, make_together
from pycarp.system.capabilities import NO_PERMISSION, may_change_addresses
from pycarp.system.guardian.clean_up_steps import CleanUpStep
from pycarp.system.recovery.null_journal import NullJournal, Records
from pycarp.system.rtnetlink.route_messages import AddressKey
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.system.rtnetlink.worker import Together, Worker
from pycarp.vocabulary import HostKey, InterfaceAddress, MacMode
from pycarp.wire.ethernet import virtual_mac

_MOST_NAMES = 100

Probe = Callable[[str], Awaitable[tuple[MacMode, str]]]
"""Returns whose MAC address can be used on a link, and the reason as a sentence."""


class _PreparedHost(NamedTuple):
    """The mode and device that a host's configuration wants, the mode in use, and the reason."""

    wanted: tuple[MacMode, str]
    mode: MacMode
    reason: str


class _Preparation(NamedTuple):
    """A host to prepare, in a mode, and why in that one."""

    config: HostConfig
    mode: MacMode
    reason: str


async def _without_probe(link: str) -> tuple[MacMode, str]:
    return MacMode.VIRTUAL, f"{link} was not probed"


class NetlinkActuator(Actuator):
    """Adds and removes addresses through netlink, all of a host at once, in a thread of its own.

    A host gets the device that its configuration names or, if another host has it already, ``carp1-2``, ``carp1-3`` and
    so on. ``probe`` decides for hosts whose mode is ``auto``. Every change of the machine is recorded in ``journal``,
    which is called in the thread.
    """

    def __init__(self, *, journal: Records | None = None, probe: Probe = _without_probe) -> None:
        self._journal = journal or NullJournal()
        self._probe = probe
        self._worker = Worker("pycarp-addresses")
        self._preparations = Together(self._worker, self._make_all)
        self._changes = Together(self._worker, _carry_out)
        self._route: RouteSocket | None = None
        self._reader: RouteSocket | None = None
        self._recent: RecentAddresses | None = None
        self._renewals: Renewals | None = None
        self._checked: set[tuple[HostKey, tuple[InterfaceAddress, ...]]] = set()
        self._book = OwnershipIndex()
        self._sysctls = LinkSysctls(self._journal)
        self._hosts = HostIndex()
        self._names: dict[str, str] = {}
        self._prepared_hosts: dict[HostKey, _PreparedHost] = {}
        self._leaving: dict[str, dict[AddressKey, int]] = {}
        self._due_renewals: list[bytes] = []
        self._announcer: Announcer | None = None

    @property
    def modes(self) -> Mapping[HostKey, tuple[MacMode, str]]:
        """Whose MAC address answers for each prepared host, and why."""
        return {key: (each.mode, each.reason) for key, each in self._prepared_hosts.items()}

    @property
    def devices(self) -> Mapping[HostKey, str]:
        """The name of the device of each host that has one."""
        return {key: host.device.name for key, host in self._hosts.items() if host.device}

    async def open(self) -> None:
        """Open the sockets.

        Raises ActuatorError without permission: such a host would become MASTER and hold no addresses.
        """
        if not may_change_addresses():
            raise ActuatorError(f"cannot change addresses: {NO_PERMISSION}")
        try:
            self._announcer = Announcer()
        except PermissionError as exc:
            raise ActuatorError(f"cannot announce addresses: {NO_PERMISSION}") from exc
        self._renewals = await self._worker.run(Renewals)
        self._route = await self._worker.run(RouteSocket)
        self._reader = await self._worker.run(RouteSocket)

    def check(self, *configs: HostConfig) -> None:
        """Raise ConfigError, with one line per address that is the machine's own, on any link.

        There is also one line per host whose device would have the name of another device.
        """
        if self._reader is not None:
            device_names.refuse(self._reader, configs)
            own_addresses.refuse(self._reader, configs, self._book.is_shared)
            self._checked.update((config.key, config.addresses) for config in configs)

    async def prepare(self, config: HostConfig) -> None:
        """Create the host's device, if it gets one, set the sysctls, and record its addresses.

        If the link is absent, the device is created when the link appears. A host whose mode or device changes loses
        its addresses and has to hold them again. Raises ActuatorError if the device cannot be created; in mode ``auto``
        the host uses the interface instead. Raises ConfigError as ``check`` does.
        """
        if (config.key, config.addresses) not in self._checked:
            self.check(config)
        # A check counts once: hundreds that were checked together are not checked again, a later change is.
        self._checked.discard((config.key, config.addresses))
        wanted = (config.effective_mac_mode, config.device)
        prepared, host = self._prepared_hosts.get(config.key), self._hosts.get(config.key)
        if prepared is not None and host is not None and prepared.wanted == wanted:
            await self._worker.run(partial(_refresh, host, config.addresses))
            return
        if prepared is not None or host is not None:
            await self.release(config.key)
        mode, reason = config.effective_mac_mode, f'mac_mode = "{config.effective_mac_mode}" was asked for'
        if mode is MacMode.AUTO:
            mode, reason = await self._probe(self._names.get(config.interface, config.interface))
        mode, reason = await self._preparations.ask(_Preparation(config, mode, reason))
        self._prepared_hosts[config.key] = _PreparedHost(wanted, mode, reason)

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Add the absent addresses, and set the lifetime of all to ``lifetime_s`` seconds."""
        host = self._host(key)
        try:
            await self._changes.ask(partial(host.hold, addresses, lifetime_s, asked_at_s=time.monotonic()))
        except OSError as exc:
            raise ActuatorError(f"cannot add {_which(exc, addresses)} to {host.place}: {_why(exc, host)}") from exc

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Remove the addresses that are present; try each, then raise the first failure."""
        host = self._host(key)
        leaving = self._leaving.setdefault(key.link, {})
        keys = keys_of(addresses)
        for each in keys:
            leaving[each] = leaving.get(each, 0) + 1
        try:
            asked_at_s = time.monotonic()
            await self._changes.ask(lambda: host.drop(addresses, frozenset(leaving), asked_at_s=asked_at_s))
        except OSError as exc:
            raise ActuatorError(f"cannot remove {_which(exc, addresses)} from {host.place}: {_text_of(exc)}") from exc
        finally:
            # Also after a cancellation: the address may be added again at once, and must not be removed then.
            _count_down(leaving, keys)

    async def try_out(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Raise ActuatorError for an address that the kernel refuses; each is added for a moment, without a route."""
        host = self._host(key)
        try:
            await self._worker.run(partial(host.try_out, addresses))
        except OSError as exc:
            raise ActuatorError(f"cannot add {_which(exc, addresses)} to {host.place}: {_why(exc, host)}") from exc

    def set_shared(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Set the addresses of a host that are watched from now on."""
        self._worker.soon(partial(self._host(key).set_shared, addresses))

    def renew(self, key: HostKey, addresses: tuple[InterfaceAddress, ...], lifetime_s: int) -> None:
        """Renew the held addresses with the next ``send_renewals``."""
        host = self._hosts.get(key)
        octets = host.renewal(addresses, lifetime_s) if host is not None else b""
        if octets:
            self._due_renewals.append(octets)

    def send_renewals(self) -> None:
        """Renew the addresses of all hosts together, in the thread."""
        if self._due_renewals:
            requests, self._due_renewals = self._due_renewals, []
            assert self._renewals is not None, "open() comes first"
            self._worker.soon(partial(_renew, self._renewals, requests))

    def clean_up_plan(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> tuple[CleanUpStep, ...]:
        """Return the kernel requests and sysctl writes that drop the addresses; they change with each ``hold``."""
        return self._host(key).clean_up_plan(addresses)

    async def announce(self, key: HostKey, addresses: tuple[InterfaceAddress, ...], form: ArpForm) -> None:
        """Send gratuitous ARP and neighbour advertisements on the link, for the MAC address that answers."""
        assert self._announcer is not None, "open() comes first"
        device = self._host(key).device
        self._announcer.announce(self._host(key).link, addresses, form, owner=device.mac if device else None)

    def rename_link(self, link: str, name: str) -> None:
        """Follow the interface that is configured as ``link`` and now has the name ``name``, in the background."""
        self._names[link] = name
        self._hosts.rename_link(link, name)
        self._worker.soon(partial(self._rename_link, link, name))

    def set_up(self, key: HostKey, *, is_up: bool) -> None:
        """Set the device of a host up or down, if it has one."""
        self._worker.soon(partial(self._host(key).set_up, is_up=is_up))

    def mac_mode(self, key: HostKey) -> MacMode | None:
        """Return whose MAC address answers for a prepared host; None if it is not prepared."""
        prepared = self._prepared_hosts.get(key)
        return prepared.mode if prepared else None

    async def missing(self) -> Mapping[HostKey, Collection[InterfaceAddress]]:
        """Return, by host, the addresses that should be held and that the kernel lacks, from one reading."""
        return await self._worker.run(self._missing)

    def location(self, key: HostKey) -> str:
        """Return the device or link, whether it is absent, and why it was chosen."""
        prepared = self._prepared_hosts.get(key)
        if prepared is None:
            return ""
        host = self._host(key)
        gone = ", which does not exist" if host.device is not None and not host.device.index else ""
        return f"{host.place}{gone} ({prepared.mode} MAC: {prepared.reason})"

    async def watch(self, notice: Callable[[AddressesDisturbed | AdminChanged], None]) -> None:
        """Report external changes of the addresses and the devices; restore the devices' names and MAC addresses."""
        await AddressWatch(self._worker, self._book, self._hosts, notice).run()

    async def release(self, *keys: HostKey) -> None:
        """Remove the devices, restore the sysctls that no other host needs, and delete the journal's entries."""
        if self._route is None:
            return
        try:
            await self._worker.run(partial(self._undo_all, keys))
        except OSError as exc:
            places = ", ".join(host.place for key in keys if (host := self._hosts.get(key)))
            raise ActuatorError(f"cannot remove {places}: {_text_of(exc)}") from exc
        finally:
            # Also after a failure: the hosts that were not removed stay prepared, for the next release.
            for key in keys:
                if key not in self._hosts:
                    self._prepared_hosts.pop(key, None)

    async def close(self) -> None:
        """Close the sockets."""
        if self._announcer is not None:
            self._announcer.close()
        if self._reader is not None:
            self._reader.close()
        for each in (self._renewals, self._route):
            if each is not None:
                await self._worker.run(each.close)
        self._worker.close()

    def _host(self, key: HostKey) -> SharedAddresses:
        """Return the addresses object of a host; without ``prepare`` the addresses are on the interface itself."""
        if key not in self._hosts:
            self._register(key, None)
        return self._hosts[key]

    @property
    def _opened(self) -> RouteSocket:
        assert self._route is not None, "open() comes first"
        return self._route

    # From here on: called in the thread.

    def _missing(self) -> dict[HostKey, frozenset[InterfaceAddress]]:
        there = {(each.index, each.key) for each in everywhere(self._opened)}
        return {key: host.missing(there) for key, host in self._hosts.items()}

    def _make_all(self, preparations: list[_Preparation]) -> list[tuple[MacMode, str] | Exception]:
        """Prepare hosts, those with devices together; return for each the mode in use, and the reason."""
        # A cancelled preparation has gone on here, and may have made its host. What fails is tried again one by one.
        with self._sysctls.looking_once():
            with contextlib.suppress(OSError, ActuatorError):
                self._undo_all([each.config.key for each in preparations if each.config.key in self._hosts])
                make_together(self._opened, self._new_devices(preparations), self._journal)
            made = [self._made(each) for each in preparations]
        try:
            with self._journal.together():
                for each, found in zip(preparations, made, strict=True):
                    if not isinstance(found, Exception):
                        self._hosts[each.config.key].share(each.config.addresses)
        except ActuatorError as exc:
            return [found if isinstance(found, Exception) else exc for found in made]
        return made

    def _made(self, preparation: _Preparation) -> tuple[MacMode, str] | Exception:
        try:
            return self._make(*preparation)
        except (OSError, CarpError) as exc:
            return exc

    def _new_devices(self, preparations: list[_Preparation]) -> Iterator[SharedDevice]:
        """Register the devices whose names no other host has."""
        for config, mode, _reason in preparations:
            if mode is MacMode.VIRTUAL and self._hosts.with_device(config.device) is None:
                yield self._new_device(config, config.device)

    def _make(self, config: HostConfig, mode: MacMode, reason: str) -> tuple[MacMode, str]:
        """Create the device or set the sysctls of a host; return the mode in use, and the reason."""
        if mode is MacMode.VIRTUAL:
            try:
                self._make_device(config)
            except DeviceNameError:
                raise
            except (OSError, ActuatorError) as exc:
                if config.effective_mac_mode is not MacMode.AUTO:
                    raise
                mode, reason = MacMode.INTERFACE, str(exc)
        if mode is MacMode.INTERFACE:
            self._register(config.key, None)
            # The sysctl keeps secondary addresses; without it we restore them while this process lives.
            with contextlib.suppress(OSError, ActuatorError):
                self._sysctls.need(config.key, WITH_ADDRESSES)
        return mode, reason

    def _make_device(self, config: HostConfig) -> None:
        for name in _names(config.device):
            holder = self._hosts.with_device(name)
            if holder not in (None, config.key):
                continue
            device = self._hosts[config.key].device if holder else None
            try:
                self._ensure(device or self._new_device(config, name), config.key)
            except (OSError, ActuatorError) as exc:
                self._hosts.remove(config.key)
                if isinstance(exc, DeviceNameError) and name != config.device:
                    continue
                raise
            return
        raise DeviceNameError(f"cannot make a device for host {config.name}: all names like {config.device} are taken")

    def _register(self, key: HostKey, device: SharedDevice | None) -> None:
        if self._recent is None:
            self._recent = RecentAddresses(self._opened)
        host = SharedAddresses(self._opened, key, self._book, self._journal, device, self._recent)
        host.link = self._names.get(key.link, key.link)
        self._hosts.put(host)

    def _new_device(self, config: HostConfig, name: str) -> SharedDevice:
        device = SharedDevice(
            self._opened,
            name,
            self._names.get(config.interface, config.interface),
            virtual_mac(config.vhid),
            journal=self._journal,
            prepare=partial(self._sysctls.need, config.key, BELOW_DEVICE),
            versions={each.version for each in config.addresses},
        )
        # Registered before it is created, because its first notification must find it registered.
        self._register(config.key, device)
        return device

    def _ensure(self, device: SharedDevice, key: HostKey) -> None:
        """Create a device, unless its link is absent; raises ActuatorError, which names the way out."""
        try:
            device.ensure()
        except OSError as exc:
            if not index_of(device.link):
                return
            self._sysctls.release(key)
            raise ActuatorError(
                f"cannot make the device {device.name} on {device.link}: {_text_of(exc)}; "
                f'with mac_mode = "interface" none is needed'
            ) from exc
        except ActuatorError:
            self._sysctls.release(key)
            raise

    def _rename_link(self, link: str, name: str) -> None:
        # Not fatal: if this process dies, the sysctls of the renamed link are not restored.
        with contextlib.suppress(OSError, ActuatorError):
            self._sysctls.rename_link(link, name)
        for host in self._hosts.on(link):
            with contextlib.suppress(OSError, ActuatorError):
                host.rename_link(name)

    def _undo_all(self, keys: Collection[HostKey]) -> None:
        # Looked up in the thread: a cancelled preparation has gone on there, and may have made its host by now.
        hosts = [host for key in keys if (host := self._hosts.get(key))]
        if not hosts:
            return
        delete_together(self._opened, [host.device for host in hosts if host.device])
        with self._journal.together():
            for host in hosts:
                host.remove()
        for host in hosts:
            self._sysctls.release(host.key)
            self._hosts.remove(host.key)


def _carry_out(changes: list[Callable[[], None]]) -> list[Exception | None]:
    """Hold and drop addresses, one after the other; hundreds of hosts ask for it at once."""
    return [_result_of(change) for change in changes]


def _result_of(change: Callable[[], None]) -> Exception | None:
    try:
        change()
    except (OSError, CarpError) as exc:
        return exc
    return None


def _refresh(host: SharedAddresses, addresses: tuple[InterfaceAddress, ...]) -> None:
    host.share(addresses)
    host.restore_device()


def _renew(renewals: Renewals, requests: list[bytes]) -> None:
    # A failure is not raised: an address that is not renewed expires, and the watch reports that.
    with contextlib.suppress(OSError):
        renewals.send(requests)


def _names(wanted: str) -> Iterator[str]:
    yield wanted
    for number in itertools.islice(itertools.count(2), _MOST_NAMES):
        suffix = f"-{number}"
        yield wanted[: LINK_NAME_MAX - len(suffix)] + suffix


def _count_down(leaving: dict[AddressKey, int], keys: frozenset[AddressKey]) -> None:
    for each in keys:
        leaving[each] -= 1
        if not leaving[each]:
            del leaving[each]


def _which(exc: OSError, addresses: tuple[InterfaceAddress, ...]) -> InterfaceAddress:
    return exc.address if isinstance(exc, AddressError) else addresses[0]


def _why(exc: OSError, host: SharedAddresses) -> str:
    """Return the reason of an error; where IPv6 is switched off, the kernel's own is only "permission denied"."""
    if exc.errno == errno.EACCES and isinstance(exc, AddressError) and exc.address.version == 6:
        name = sysctl_files.name_of(f"net/ipv6/conf/{host.place}/disable_ipv6")
        return f"IPv6 is switched off there (sysctl {name})"
    return _text_of(exc)


def _text_of(exc: OSError) -> str:
    return exc.strerror or str(exc)
