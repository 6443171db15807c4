"""What a guardian would do for a member that dies; it does so only when it is told to."""

from pycarp.system.guardian.clean_up_steps import CleanUpStep, PreparedPacket
from pycarp.vocabulary import HostKey


class SimulatedGuardian:
    """A guardian that remembers what is to be done, and never acts by itself."""

    def __init__(self) -> None:
        self._steps: dict[HostKey, tuple[CleanUpStep, ...]] = {}

    @property
    def bow_outs(self) -> tuple[PreparedPacket, ...]:
        """The farewells of the hosts that are MASTER now, signed beforehand."""
        return tuple(step for steps in self._steps.values() for step in steps if isinstance(step, PreparedPacket))

    async def start(self) -> None:
        """Nothing to get ready."""

    def arm(self, key: HostKey, steps: tuple[CleanUpStep, ...], limit_ns: int) -> None:
        """Remember what is to be done for a host."""
        self._steps[key] = steps

    def beat(self, key: HostKey) -> None:
        """Rest assured."""

    def disarm(self, key: HostKey) -> None:
        """Forget a host."""
        self._steps.pop(key, None)

    async def close(self) -> None:
        """Nothing to release."""
