"""A guardian that keeps clean-up plans and never carries them out; ``Member.act_as_guardian`` does that."""

from pycarp.system.guardian.clean_up_steps import CleanUpStep, PreparedPacket
from pycarp.vocabulary import HostKey


class SimulatedGuardian:
    """Keeps the clean-up plans of a member's hosts."""

    def __init__(self) -> None:
        self._steps: dict[HostKey, tuple[CleanUpStep, ...]] = {}

    @property
    def bow_outs(self) -> tuple[PreparedPacket, ...]:
        """The bow-outs of the hosts that are MASTER now, as prepared packets."""
        return tuple(step for steps in self._steps.values() for step in steps if isinstance(step, PreparedPacket))

    async def start(self) -> None:
        """Do nothing: this guardian needs no process."""

    def arm(self, key: HostKey, steps: tuple[CleanUpStep, ...], limit_ns: int) -> None:
        """Keep the clean-up plan of a host."""
        self._steps[key] = steps

    def beat(self, key: HostKey) -> None:
        """Ignore the sign of life: this guardian has no timeout."""

    def disarm(self, key: HostKey) -> None:
        """Remove the clean-up plan of a host."""
        self._steps.pop(key, None)

    async def close(self) -> None:
        """Do nothing: there are no resources to release."""
