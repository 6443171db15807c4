"""The kernel's switches of a link that shared addresses need, set for the first host and restored after the last."""

from typing import NamedTuple

from pycarp.errors import ActuatorError
from pycarp.system.addresses import sysctl_files
from pycarp.system.recovery.null_journal import Records
from pycarp.vocabulary import HostKey


class LinkSysctl(NamedTuple):
    """A switch of a link; ``well`` are values that serve as well as ours."""

    path: str
    ours: str
    well: tuple[str, ...] = ()

    def of(self, link: str) -> str:
        """Return the path below ``/proc/sys``."""
        return self.path.format(link)


BELOW_DEVICE = (
    # The link must not answer for addresses of the devices on it; 2 is stricter than that, 8 answers never.
    LinkSysctl("net/ipv4/conf/{}/arp_ignore", "1", well=("2", "8")),
    # Nor ask in their name, from its own MAC address: the neighbour would learn that one.
    LinkSysctl("net/ipv4/conf/{}/arp_announce", "2"),
)
"""What a link needs on which there is a device with a virtual MAC. Source: ``ip-sysctl``."""

WITH_ADDRESSES = (
    # When the kernel ends an address that nobody renewed, the others of its network must not go with it.
    LinkSysctl("net/ipv4/conf/{}/promote_secondaries", "1"),
)
"""What a link needs that has the shared addresses itself. Source: ``ip-sysctl``."""


class LinkSysctls:
    """Knows which hosts need which switches of a link."""

    def __init__(self, journal: Records) -> None:
        self._journal = journal
        self._needed: dict[str, set[HostKey]] = {}
        self._names: dict[str, str] = {}

    def need(self, key: HostKey, sysctls: tuple[LinkSysctl, ...]) -> None:
        """Set switches of the host's link, those too that somebody, or a new link of that name, has reset.

        Raises ActuatorError with the name of the one that cannot be set, and the way out.
        """
        for switch in sysctls:
            path = switch.of(self._names.get(key.link, key.link))
            # Those that another host needs are recorded, and only looked at.
            enough = (*switch.well, switch.ours) if path in self._needed else switch.well
            try:
                if sysctl_files.read(path) not in enough:
                    self._journal.impose(path, switch.ours)
            except OSError as exc:
                name = path.replace("/", ".")
                raise ActuatorError(
                    f"cannot set {name} to {switch.ours}: {exc.strerror or exc}; "
                    f'set it before, or use mac = "interface", which needs none'
                ) from exc
            self._needed.setdefault(path, set()).add(key)

    def rename_link(self, link: str, name: str) -> None:
        """Follow a link that was known as ``link`` and is called ``name`` now; its switches have moved with it."""
        before = self._names.get(link, link)
        self._names[link] = name
        for path, keys in list(self._needed.items()):
            if any(key.link == link for key in keys):
                to = path.replace(f"/{before}/", f"/{name}/")
                self._needed[to] = self._needed.pop(path)
                self._journal.move(path, to)

    def release(self, key: HostKey) -> None:
        """Restore those switches that no other host needs; raises OSError, and restores them next time then."""
        for path, keys in list(self._needed.items()):
            keys.discard(key)
            if not keys:
                self._journal.restore(path)
                del self._needed[path]
