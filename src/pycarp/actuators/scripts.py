"""An actuator as in ucarp: scripts add and remove the address, pycarp announces it. Source: carp.md 8.6."""

from collections.abc import Callable, Sequence

from pycarp.actuators.actuator import Actuator
from pycarp.actuators.announcer import Announcer
from pycarp.actuators.command_actuator import CommandActuator
from pycarp.dialects.dialect import ArpForm
from pycarp.errors import ActuatorError
from pycarp.system.capabilities import NO_PERMISSION
from pycarp.vocabulary import HostKey, InterfaceAddress


class ScriptActuator(Actuator):
    """Runs ``UP INTERFACE ADDRESS [EXTRA]`` to hold and ``DOWN INTERFACE ADDRESS [EXTRA]`` to drop, then announces.

    The exit status of a script is ignored: ``ip addr add`` fails if the address is present. ``on_spawn`` is called with
    every argument vector, ``on_status`` with the error of a script that failed, ``on_failure`` with that of a script
    that could not be run, or was killed. Scripts are paths; ``PATH`` is not searched. With ``neutral`` the down-script
    does not run until the up-script has run once.
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
        self._is_resting = False

    async def open(self) -> None:
        """Open the socket for announcements; raises ActuatorError without permission."""
        try:
            self._announcer = Announcer()
        except PermissionError as exc:
            raise ActuatorError(f"cannot announce addresses: {NO_PERMISSION}") from exc

    def rest(self) -> None:
        """Run no script from now on, so that held addresses stay."""
        self._is_resting = True

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Run the up-script to its end."""
        self._may_be_up[key] = True
        try:
            await self._commands.hold(key, addresses)
        except ActuatorError as exc:
            self._report(exc)

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Run the down-script to its end, unless it has run since the last up-script."""
        if self._is_resting or not self._may_be_up.get(key, not self._neutral):
            return
        try:
            await self._commands.drop(key, addresses)
        except ActuatorError as exc:
            self._report(exc)
        self._may_be_up[key] = False

    async def announce(self, key: HostKey, addresses: tuple[InterfaceAddress, ...], form: ArpForm) -> None:
        """Send gratuitous ARP from the interface's own MAC."""
        assert self._announcer is not None, "open() comes first"
        self._announcer.announce(key.link, addresses, form)

    async def close(self) -> None:
        """Close the socket."""
        if self._announcer is not None:
            self._announcer.close()

    def _report(self, exc: ActuatorError) -> None:
        # Only the error of a script that ran to its end has no cause.
        report = self._on_status if exc.__cause__ is None else self._on_failure
        report(str(exc))


def _argv(script: str) -> tuple[str, ...]:
    return (script,) if script else ()
