"""The resources that a daemon makes or changes on its machine and must not leave behind; values only."""

from pathlib import PurePosixPath

import msgspec

from pycarp.system.addresses.sysctl_files import name_of


class Device(msgspec.Struct, frozen=True):
    """A macvlan that pycarp made: its name, the link below it, and its MAC address as ``00:00:5e:00:01:2a``."""

    name: str
    link: str
    mac: str

    @property
    def thing(self) -> tuple[str, ...]:
        """The identity of the device, equal in all records of it."""
        return ("device", self.name)

    def __str__(self) -> str:
        return self.name


class Sysctl(msgspec.Struct, frozen=True):
    """A sysctl that pycarp set: its path below ``/proc/sys``, the value before, and the value that pycarp set.

    Raises ValueError for a path that is not below ``/proc/sys/net``.
    """

    path: str
    before: str
    ours: str

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if parts[:1] != ("net",) or ".." in parts:
            raise ValueError(f"{self.path!r} is not a path below /proc/sys that begins with net/")

    @property
    def thing(self) -> tuple[str, ...]:
        """The identity of the sysctl, equal in all records of it."""
        return ("sysctl", self.path)

    def __str__(self) -> str:
        """Return the name that ``sysctl`` understands: ``net.ipv4.conf.eth0/7.arp_ignore`` of the link ``eth0.7``."""
        return name_of(self.path)


class Shared(msgspec.Struct, frozen=True):
    """A shared address with its prefix length, and the link or device that may have it."""

    link: str
    address: str

    @property
    def thing(self) -> tuple[str, ...]:
        """The identity of the address on its link, equal in all records of it."""
        return ("shared", self.link, self.address)

    def __str__(self) -> str:
        return f"{self.address} on {self.link}"


class Route(msgspec.Struct, frozen=True):
    """An IPv4 route of a link without own addresses, which the kernel removes with the last shared one.

    ``destination`` is for people; ``request`` is the rtnetlink request that adds the route, in hexadecimal digits.
    """

    link: str
    destination: str
    request: str

    @property
    def thing(self) -> tuple[str, ...]:
        """The identity of the route, equal in all records of it."""
        return ("route", self.link, self.request)

    def __str__(self) -> str:
        return f"route to {self.destination} of {self.link}"


Resource = Device | Sysctl | Shared | Route
