"""Follows the failback policies of a configuration."""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pycarp.aio.virtual_host import VirtualHost
from pycarp.config.model import Attached, NodeConfig
from pycarp.daemon.control_messages import HostStatus
from pycarp.daemon.services.service import SupervisedTasks, kept, of_hosts
from pycarp.errors import UsageError
from pycarp.system.recovery import state_folder
from pycarp.vocabulary import HostKey

if TYPE_CHECKING:
    from pycarp.failback import FailbackFollower, FailbackPolicy


class FailbackService:
    """Restricts each host as its policy says, or as that of every host; ``file`` is where daemons keep what lasts.

    ``is_wanted`` says whether an administrator demoted a host by a cause.
    """

    def __init__(
        self, file: Path, *, is_wanted: Callable[[VirtualHost, str], bool] = lambda _host, _cause: False
    ) -> None:
        self._file = file
        self._is_wanted = is_wanted
        self._tasks = SupervisedTasks()
        self._policies: tuple[Attached[FailbackPolicy], ...] = ()
        self._hosts: dict[HostKey, VirtualHost] = {}
        self._followers: dict[HostKey, FailbackFollower] = {}
        self._running: dict[HostKey, asyncio.Task[None]] = {}

    def configure(self, config: NodeConfig) -> None:
        """Apply other policies; what has happened to a host still counts."""
        self._policies = kept(self._policies, config.failbacks)
        for host in self._hosts.values():
            self._follow(host)

    def start(self, host: VirtualHost) -> None:
        """Begin to follow a host."""
        self._hosts[host.key] = host
        self._end(host.key)
        self._follow(host)

    def departed(self, key: HostKey) -> None:
        """Forget a host."""
        self._hosts.pop(key, None)
        self._end(key)

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Add to the status of a host when the restrictions of its policy end."""
        follower = self._followers.get(key)
        if follower is None:
            return
        now_s = asyncio.get_running_loop().time()
        ends = {hold.cause: hold.until_s for hold in follower.holds}
        for restriction in status.restrictions:
            until_s = ends.get(restriction.cause)  # type: ignore[call-overload]  # a cause is a text
            restriction.ends_in_s = None if until_s is None else round(max(until_s - now_s, 0), 3)

    async def finish(self) -> None:
        """End, and write the state that survives a restart."""
        await self._tasks.end()

    def release(self, host: VirtualHost) -> None:
        """Allow a host to preempt once, whatever its policy says. Raises UsageError for a host without a policy."""
        follower = self._followers.get(host.key)
        if follower is None:
            raise UsageError(f"{host.name} has no failback policy; nothing of that kind holds it back")
        follower.release()

    def _follow(self, host: VirtualHost) -> None:
        found = of_hosts(self._policies, host.key, None)
        follower = self._followers.get(host.key)
        if not found:
            self._end(host.key)
        elif follower is not None:
            follower.replace(found[0])
        else:
            # Imported here because most daemons have no policy.
            from pycarp.failback import FailbackFollower  # noqa: PLC0415

            with contextlib.suppress(OSError):  # which the follower says of its file
                state_folder.make(self._file.parent)
            file = self._file.with_name(f"failback-{quote(str(host.key), safe='@')}-{self._file.name}")
            follower = self._followers[host.key] = FailbackFollower(
                host, found[0], file=file, is_planned=partial(self._is_wanted, host)
            )
            self._running[host.key] = self._tasks.start(f"{host.name}: failback", follower.run)

    def _end(self, key: HostKey) -> None:
        self._followers.pop(key, None)
        if (task := self._running.pop(key, None)) is not None:
            task.cancel()
