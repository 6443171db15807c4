"""The sysctls of a link that shared addresses need: set for the first host, restored after the last."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from pycarp.errors import ActuatorError
from pycarp.system.addresses import sysctl_files
from pycarp.system.recovery.null_journal import Records
from pycarp.vocabulary import HostKey


class LinkSysctl(NamedTuple):
    """A sysctl of a link and the value to set; ``well`` are other values that are good enough."""

    path: str
    ours: str
    well: tuple[str, ...] = ()

    def of(self, link: str) -> str:
        """Return the path below ``/proc/sys``."""
        return self.path.format(link)


BELOW_DEVICE = (
    # The link must not answer for addresses of the devices on it; 2 is stricter than that, 8 answers never.
    LinkSysctl("net/ipv4/conf/{}/arp_ignore", "1", well=("2", "8")),
    # Nor send ARP requests for them from its own MAC address: neighbours would learn that one.
    LinkSysctl("net/ipv4/conf/{}/arp_announce", "2"),
)
"""The sysctls of a link below a device with a virtual MAC. Source: ``ip-sysctl``."""

WITH_ADDRESSES = (
    # When the lifetime of an address ends, the kernel must not remove the others of its network with it.
    LinkSysctl("net/ipv4/conf/{}/promote_secondaries", "1"),
)
"""The sysctls of a link that has the shared addresses itself. Source: ``ip-sysctl``."""


class LinkSysctls:
    """Keeps which hosts need which sysctls, and sets and restores them."""

    def __init__(self, journal: Records) -> None:
        self._journal = journal
        self._needed: dict[str, set[HostKey]] = {}
        self._names: dict[str, str] = {}
        self._seen: set[str] | None = None

    @contextlib.contextmanager
    def looking_once(self) -> Iterator[None]:
        """Look at each sysctl once in this context, however many hosts need it."""
        self._seen = set()
        try:
            yield
        finally:
            self._seen = None

    def need(self, key: HostKey, sysctls: tuple[LinkSysctl, ...]) -> None:
        """Set sysctls of the host's link; also those that were reset meanwhile, by hand or by a new link of that name.

        Raises ActuatorError with the name of the sysctl that cannot be set, and the way out.
        """
        for sysctl in sysctls:
            path = sysctl.of(self._names.get(key.link, key.link))
            if self._seen is not None and path in self._seen:
                self._needed[path].add(key)
                continue
            # A sysctl that another host needs is recorded already, so our own value is good enough, too.
            enough = (*sysctl.well, sysctl.ours) if path in self._needed else sysctl.well
            try:
                if sysctl_files.read(path) not in enough:
                    self._journal.impose(path, sysctl.ours)
            except OSError as exc:
                name = sysctl_files.name_of(path)
                raise ActuatorError(
                    f"cannot set {name} to {sysctl.ours}: {exc.strerror or exc}; "
                    f'set it before, or use mac_mode = "interface", which needs none'
                ) from exc
            self._needed.setdefault(path, set()).add(key)
            if self._seen is not None:
                self._seen.add(path)

    def rename_link(self, link: str, name: str) -> None:
        """Follow a rename of the link once called ``link``: its sysctls have moved to the new name."""
        before = self._names.get(link, link)
        self._names[link] = name
        for path, keys in list(self._needed.items()):
            if any(key.link == link for key in keys):
                to = path.replace(f"/{before}/", f"/{name}/")
                self._needed[to] = self._needed.pop(path)
                self._journal.move(path, to)

    def release(self, key: HostKey) -> None:
        """Restore the sysctls that no other host needs; raises OSError, and the next call tries again."""
        for path, keys in list(self._needed.items()):
            keys.discard(key)
            if not keys:
                self._journal.restore(path)
                del self._needed[path]
