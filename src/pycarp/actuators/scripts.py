"""ucarp's division of labour: scripts put the address on and take it off, we announce it. Source: carp.md 8.6."""

from collections.abc import Callable, Sequence

from pycarp.actuators.announcer import Announcer
from pycarp.actuators.base import Actuator
from pycarp.actuators.command import CommandActuator
from pycarp.dialects.base import ArpForm
from pycarp.errors import ActuatorError
from pycarp.system.capabilities import NO_PERMISSION
from pycarp.vocabulary import HostKey, Interface


class ScriptActuator(Actuator):
    """Runs ``UP INTERFACE ADDRESS [EXTRA]`` to hold and ``DOWN INTERFACE ADDRESS [EXTRA]`` to drop, then announces.

    What a script answers does not matter: ``ip addr add`` fails for an address that is there already. ``on_spawn`` is
    told every argument vector, ``on_status`` about a script that failed, ``on_failure`` about one that could not be
    run, or not to its end. Scripts are paths; ``PATH`` is not searched. ``neutral`` does without the down-script until
    the up-script has run once.
    """

    def __init__(
        self,
        *,
        up: str,
        down: str,
        extra: Sequence[str],
        timeout_s: float,
        neutral: bool,
        on_spawn: Callable[[Sequence[str]], None],
        on_status: Callable[[str], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._commands = CommandActuator(
            up=_argv(up), down=_argv(down), extra=extra, timeout_s=timeout_s, on_spawn=on_spawn, inherits_stderr=True
        )
        self._neutral = neutral
        self._on_status = on_status
        self._on_failure = on_failure
        self._may_be_up: dict[HostKey, bool] = {}
        self._announcer: Announcer | None = None
        self._rests = False

    async def open(self) -> None:
        """Open the socket for announcements; raises ActuatorError without permission."""
        try:
            self._announcer = Announcer()
        except PermissionError as exc:
            raise ActuatorError(f"cannot announce addresses: {NO_PERMISSION}") from exc

    def rest(self) -> None:
        """Run no script from now on: whatever is up stays up."""
        self._rests = True

    async def hold(self, key: HostKey, addresses: tuple[Interface, ...], *, lifetime_s: int | None = None) -> None:
        """Run the up-script to its end."""
        self._may_be_up[key] = True
        try:
            await self._commands.hold(key, addresses)
        except ActuatorError as exc:
            self._tell(exc)

    async def drop(self, key: HostKey, addresses: tuple[Interface, ...]) -> None:
        """Run the down-script to its end, unless it was the last one that ran."""
        if self._rests or not self._may_be_up.get(key, not self._neutral):
            return
        try:
            await self._commands.drop(key, addresses)
        except ActuatorError as exc:
            self._tell(exc)
        self._may_be_up[key] = False

    async def announce(self, key: HostKey, addresses: tuple[Interface, ...], form: ArpForm) -> None:
        """Send gratuitous ARP from the interface's own MAC."""
        assert self._announcer is not None, "open() comes first"
        self._announcer.announce(key.link, addresses, form)

    async def close(self) -> None:
        """Close the socket."""
        if self._announcer is not None:
            self._announcer.close()

    def _tell(self, exc: ActuatorError) -> None:
        # Only a script that ran to its end has no other error behind it.
        tell = self._on_status if exc.__cause__ is None else self._on_failure
        tell(str(exc))


def _argv(script: str) -> tuple[str, ...]:
    return (script,) if script else ()
