"""What a daemon has on a machine beside its packets, and must not leave behind: values, nothing is done here."""

from dataclasses import dataclass
from pathlib import PurePosixPath

_SWAPPED = str.maketrans("/.", "./")


@dataclass(frozen=True, slots=True)
class Device:
    """A macvlan that we made: its name, the link below it, its MAC address as ``00:00:5e:00:01:2a``."""

    name: str
    link: str
    mac: str

    @property
    def thing(self) -> tuple[str, ...]:
        """Return what makes two records speak of the same device."""
        return ("device", self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A switch of the kernel that we set: its path below ``/proc/sys``, the value before and ours.

    Raises ValueError for a path that leads elsewhere than to a switch of the network.
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
        """Return what makes two records speak of the same switch."""
        return ("sysctl", self.path)

    def __str__(self) -> str:
        """Return the name that ``sysctl`` understands: ``net.ipv4.conf.eth0/7.arp_ignore`` of the link ``eth0.7``."""
        return self.path.translate(_SWAPPED)


@dataclass(frozen=True, slots=True)
class Shared:
    """An address with its prefix length that may be on a link or on a device of ours."""

    link: str
    address: str

    @property
    def thing(self) -> tuple[str, ...]:
        """Return what makes two records speak of the same address."""
        return ("shared", self.link, self.address)

    def __str__(self) -> str:
        return f"{self.address} on {self.link}"


Resource = Device | Sysctl | Shared
