"""What a guardian would do for a member that dies; it does so only when it is told to."""

from pycarp.system.deeds import Deed, Parcel
from pycarp.vocabulary import HostKey


class Will:
    """A guardian that remembers what is to be done, and never acts by itself."""

    def __init__(self) -> None:
        self._deeds: dict[HostKey, tuple[Deed, ...]] = {}

    @property
    def bow_outs(self) -> tuple[Parcel, ...]:
        """The farewells of the hosts that are MASTER now, signed beforehand."""
        return tuple(deed for deeds in self._deeds.values() for deed in deeds if isinstance(deed, Parcel))

    async def start(self) -> None:
        """Nothing to get ready."""

    def arm(self, key: HostKey, deeds: tuple[Deed, ...], limit_ns: int) -> None:
        """Remember what is to be done for a host."""
        self._deeds[key] = deeds

    def beat(self, key: HostKey) -> None:
        """Rest assured."""

    def disarm(self, key: HostKey) -> None:
        """Forget a host."""
        self._deeds.pop(key, None)

    async def close(self) -> None:
        """Nothing to release."""
