"""Clean-up after dead daemons: finds by their journals what they left on this machine, and undoes it.

A journal is only a claim, so each entry is checked against the kernel:

- A device is removed if it is a macvlan with the recorded name, link and MAC address.
- An address is removed if the kernel says that CARP added it, or cannot say who did.
- A sysctl gets its old value back if it still has the value that pycarp set.
- A route is added again if the link is the same and the kernel takes it.

Nothing is undone that a living daemon of the same network namespace has recorded, too, or may have recorded in another
state folder; the locks of its hosts reveal that daemon.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import msgspec

from pycarp.errors import ActuatorError
from pycarp.system.addresses import sysctl_files
from pycarp.system.addresses.link_addresses import index_of
from pycarp.system.addresses.link_routes import is_for, restorations
from pycarp.system.recovery import host_locks, journal_file, state_folder
from pycarp.system.recovery.journal_file import JournalFile, Place
from pycarp.system.recovery.resources import Device, Resource, Route, Shared, Sysctl
from pycarp.system.recovery.vanished_namespaces import vanished
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import HostKey
from pycarp.wire.ethernet import virtual_mac

if TYPE_CHECKING:
    from pycarp.system.recovery.kernel_clean_up import KernelCleanUp

_PAUSE_S = 0.02


class Undone(msgspec.Struct, frozen=True):
    """A resource that was removed, or a sysctl that got its old value back."""

    resource: Resource

    @property
    def verb(self) -> str:
        """The action in the present tense: ``remove`` or ``restore``."""
        return "restore" if isinstance(self.resource, Sysctl | Route) else "remove"

    @property
    def what(self) -> str:
        """The object of the action, in words."""
        match self.resource:
            case Device(name=name, link=link):
                return f"device {name} from {link}"
            case Shared(link=link, address=address):
                return f"address {address} from {link}"
            case Sysctl(before=before):
                return f"{self.resource} to {before}"
            case Route():
                return str(self.resource)

    def __str__(self) -> str:
        return f"{self.verb}d {self.what}"


class Spared(msgspec.Struct, frozen=True):
    """A resource that was left alone, because it differs from its record or may belong to a living daemon."""

    resource: Resource
    reason: str

    def __str__(self) -> str:
        return f"left {self.resource} alone: {self.reason}"


class Failed(msgspec.Struct, frozen=True):
    """A resource that could not be undone, or a journal that could not be read; the journal is kept."""

    what: Resource | Path
    reason: str

    def __str__(self) -> str:
        verb = "read" if isinstance(self.what, Path) else "release"
        return f"cannot {verb} {self.what}: {self.reason}"


class Held(msgspec.Struct, frozen=True):
    """The resources of a living daemon."""

    pid: int
    resources: tuple[Resource, ...]

    def __str__(self) -> str:
        return f"held by running pycarp, pid {self.pid}: {', '.join(str(each) for each in self.resources)}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The results of a clean-up, each in the order of execution."""

    undone: tuple[Undone, ...] = ()
    spared: tuple[Spared, ...] = ()
    failed: tuple[Failed, ...] = ()
    held: tuple[Held, ...] = ()


async def clean(folder: Path, *, is_rehearsal: bool = False, timeout_s: float = 5.0) -> Report:
    """Undo what dead daemons of this network namespace and this boot left, and return a report.

    With ``is_rehearsal`` the report says what would be done, and nothing is changed. Waits at most ``timeout_s``
    seconds for another process that is cleaning. A resource that cannot be undone is in the report, and its journal is
    kept. No-op if the folder does not exist. Raises ConfigError when the folder cannot be used, ActuatorError when the
    other process takes too long or the disk is full.
    """
    try:
        if not state_folder.journals(folder):
            return Report()
        async with _cleaning(folder, timeout_s):
            return await _Cleaning(folder, is_rehearsal=is_rehearsal).run()
    except OSError as exc:
        raise state_folder.error(folder, exc) from exc


class _Cleaning:
    """One pass over the journals of a folder."""

    def __init__(self, folder: Path, *, is_rehearsal: bool) -> None:
        self._folder = folder
        self._place = journal_file.here()
        self._is_rehearsal = is_rehearsal
        self._living: set[tuple[str, ...]] = set()
        self._strangers: Mapping[HostKey, int] = {}
        self._vanished: set[int] = set()
        self._undone: list[Undone] = []
        self._spared: list[Spared] = []
        self._failed: list[Failed] = []

    async def run(self) -> Report:
        found = [each for path in state_folder.journals(self._folder) if (each := journal_file.read(path))]
        self._living = self._recorded_by_living(found)
        self._strangers = _strangers(found)
        dead = [each for each in found if not each.is_held]
        self._vanished = _vanished(dead, self._place)
        for each in dead:
            if self._is_void(each):
                self._forget(each)
        mine = [each for each in dead if each.header and each.header.place == self._place]
        self._failed += [_unreadable(each) for each in dead if each.damage and not self._is_elsewhere(each)]
        if any(each.resources for each in mine):
            await self._undo_all(mine)
        for each in mine:
            if each.damage is None and not self._failed_of(each):
                self._forget(each)
        return Report(
            undone=tuple(self._undone), spared=tuple(self._spared), failed=tuple(self._failed), held=self._held(found)
        )

    def _is_void(self, file: JournalFile) -> bool:
        """Return True if a journal is of an earlier boot, of a network namespace that is gone, or empty."""
        if file.header is None:
            return file.damage is None
        place = file.header.place
        is_other_namespace = place.netns == self._place.netns and place.cookie != self._place.cookie
        return place.boot_id != self._place.boot_id or is_other_namespace or place.netns in self._vanished

    def _is_elsewhere(self, file: JournalFile) -> bool:
        return file.header is not None and file.header.place != self._place

    def _failed_of(self, file: JournalFile) -> bool:
        failed = {each.what for each in self._failed}
        return any(each in failed for each in file.resources)

    def _held(self, found: list[JournalFile]) -> tuple[Held, ...]:
        living = (each for each in found if each.is_held and each.resources)
        return tuple(
            Held(each.header.pid, each.resources)
            for each in living
            if each.header is not None and each.header.place == self._place
        )

    def _recorded_by_living(self, found: list[JournalFile]) -> set[tuple[str, ...]]:
        living = (each for each in found if each.is_held and not self._is_elsewhere(each))
        return {resource.thing for each in living for resource in each.resources}

    def _forget(self, file: JournalFile) -> None:
        if not self._is_rehearsal:
            _remove(file)

    async def _undo_all(self, files: list[JournalFile]) -> None:
        from pycarp.system.recovery.kernel_clean_up import KernelCleanUp  # noqa: PLC0415  (takes a good part of a second)

        async with KernelCleanUp() as kernel:
            for file in files:
                ours = await self._devices_of(file, kernel)
                for resource in _in_order(file.resources):
                    # It goes with its device. Removing an IPv6 address alone would send frames from the virtual MAC.
                    if isinstance(resource, Shared) and resource.link in ours:
                        continue
                    stranger = self._stranger_with(resource, file)
                    if stranger is not None:
                        self._spared.append(Spared(resource, f"a running pycarp, pid {stranger}, may have it"))
                        continue
                    await self._attempt(resource, kernel)

    def _stranger_with(self, resource: Resource, file: JournalFile) -> int | None:
        """Return the id of a process with another state folder that may have this resource, too; None if none has."""
        match resource:
            case Device():
                mine = {key for key in self._strangers if _is_device_of(resource, key)}
            case Shared(link=name):
                # An address on a device belongs to the device's host; one on a link may belong to any host of the link.
                on = [each for each in file.resources if isinstance(each, Device) and each.name == name]
                mine = {key for key in self._strangers if (_is_device_of(on[0], key) if on else key.link == name)}
            case Sysctl(path=path):
                mine = {key for key in self._strangers if f"/{key.link}/" in path}
            case Route(link=link):
                mine = {key for key in self._strangers if key.link == link}
        return next((self._strangers[key] for key in sorted(mine)), None)

    async def _devices_of(self, file: JournalFile, kernel: "KernelCleanUp") -> set[str]:
        """Return the names of the devices that will be removed."""
        devices = [each for each in file.resources if isinstance(each, Device) and each.thing not in self._living]
        devices = [each for each in devices if self._stranger_with(each, file) is None]
        return {each.name for each in devices if await kernel.difference(each) is None}

    async def _attempt(self, resource: Resource, kernel: "KernelCleanUp") -> None:
        if any(each.resource == resource for each in self._undone):
            return
        try:
            # Restoring a sysctl reads the journals again: daemons may have started or ended meanwhile.
            if isinstance(resource, Sysctl):
                self._restore(resource)
            elif isinstance(resource, Route):
                if resource.thing not in self._living:
                    self._restore_route(resource)
            elif resource.thing not in self._living:
                await self._remove(resource, kernel)
        except OSError as exc:
            self._failed.append(Failed(resource, _reason(exc)))

    async def _remove(self, resource: Device | Shared, kernel: "KernelCleanUp") -> None:
        match resource:
            case Device():
                is_there, problem = await kernel.exists(resource.name), await kernel.difference(resource)
                await self._settle(resource, problem, lambda: kernel.delete_device(resource.name), is_there=is_there)
            case Shared(link=link):
                address = ip_interface(resource.address)
                is_there, problem = await kernel.has(link, address), await kernel.stranger(link, address)
                await self._settle(resource, problem, lambda: kernel.delete_address(link, address), is_there=is_there)
            case _:
                assert_never(resource)

    async def _settle(
        self, resource: Resource, problem: str | None, remove: Callable[[], Awaitable[None]], *, is_there: bool
    ) -> None:
        if problem is not None:
            self._spared.append(Spared(resource, problem))
        elif is_there:
            if not self._is_rehearsal:
                await remove()
            self._undone.append(Undone(resource))

    def _restore_route(self, route: Route) -> None:
        index, request = index_of(route.link), bytes.fromhex(route.request)
        if not index:
            return
        if not is_for(request, index):
            self._spared.append(Spared(route, f"{route.link} is another interface than then"))
            return
        with RouteSocket() as kernel:
            if request in restorations(kernel, index):
                return
            error = 0 if self._is_rehearsal else kernel.ask([request])[0]
        if error and error != errno.EEXIST:
            self._spared.append(Spared(route, f"the kernel does not take it any more: {os.strerror(error)}"))
        elif not error:
            self._undone.append(Undone(route))

    def _restore(self, sysctl: Sysctl) -> None:
        with state_folder.sysctls_locked(self._folder):
            living = self._recorded_by_living(journal_file.others(self._folder, None, self._place))
            value = None if sysctl.thing in living else sysctl_files.read(sysctl.path)
            if value is None or value == sysctl.before:
                return
            if value != sysctl.ours:
                self._spared.append(Spared(sysctl, f"it is {value}, and pycarp had set it to {sysctl.ours}"))
                return
            if not self._is_rehearsal:
                sysctl_files.write(sysctl.path, sysctl.before)
        self._undone.append(Undone(sysctl))


def forget_vanished(folder: Path) -> None:
    """Remove the journals that dead daemons left in network namespaces that are gone; no lock is needed for that.

    ``clean`` does so too, but needs CAP_SYS_ADMIN for it, which a daemon gives up before it cleans. What cannot be read
    or removed stays: the cleaning says what is wrong.
    """
    with contextlib.suppress(OSError):
        read = [each for path in state_folder.journals(folder) if (each := journal_file.read(path))]
        dead = [each for each in read if not each.is_held]
        here = journal_file.here()
        gone = _vanished(dead, here)
        for each in dead:
            if _number_elsewhere(each, here) in gone:
                _remove(each)


def _vanished(dead: list[JournalFile], here: Place) -> set[int]:
    """Return the numbers of the network namespaces in which these daemons died, and which are gone."""
    return vanished({number for each in dead if (number := _number_elsewhere(each, here))})


def _number_elsewhere(file: JournalFile, here: Place) -> int:
    """Return the number of the network namespace of a journal, 0 if it is our own or of another boot."""
    place = None if file.header is None else file.header.place
    is_other = place is not None and place.boot_id == here.boot_id and place.netns != here.netns
    return place.netns if place is not None and is_other else 0


def _remove(file: JournalFile) -> None:
    file.path.unlink(missing_ok=True)
    file.path.with_suffix(".new").unlink(missing_ok=True)


def _in_order(resources: tuple[Resource, ...]) -> list[Resource]:
    """Return resources as they are to be undone: the last first, but routes after the addresses they vanish with."""
    routes = [each for each in resources if isinstance(each, Route)]
    return [*(each for each in reversed(resources) if not isinstance(each, Route)), *routes]


@asynccontextmanager
async def _cleaning(folder: Path, timeout_s: float) -> AsyncIterator[None]:
    """Hold the cleaning lock: other cleaners, and daemons that begin a journal, wait for it."""
    try:
        async with asyncio.timeout(timeout_s):
            while (descriptor := state_folder.try_to_lock_cleaning(folder)) is None:  # noqa: ASYNC110  (another process)
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        raise ActuatorError(state_folder.busy(folder, timeout_s)) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _strangers(found: list[JournalFile]) -> Mapping[HostKey, int]:
    """Return the locked hosts of other living processes that have no journal in this folder, with the process ids."""
    known = {os.getpid(), *(each.header.pid for each in found if each.is_held and each.header is not None)}
    return {key: pid for key, pid in host_locks.living().items() if pid not in known}


def _is_device_of(device: Device, key: HostKey) -> bool:
    return device.link == key.link and device.mac == str(virtual_mac(key.vhid))


def _unreadable(file: JournalFile) -> Failed:
    return Failed(file.path, f"{file.damage}; look what is left of that daemon, and remove the file")


def _reason(exc: OSError) -> str:
    hint = "; run as root or give the process CAP_NET_ADMIN" if isinstance(exc, PermissionError) else ""
    return f"{exc.strerror or exc}{hint}"
