"""Calls the hooks of a configuration."""

from typing import TYPE_CHECKING

from pycarp.aio.virtual_host import VirtualHost
from pycarp.config.model import Attached, NodeConfig
from pycarp.daemon.control_messages import HookStatus, HostStatus
from pycarp.daemon.services.service import SupervisedTasks, kept, of_hosts
from pycarp.vocabulary import HostKey

if TYPE_CHECKING:
    from pycarp.hooks import Hook
    from pycarp.hooks.hook_follower import HookFollower


class HookService:
    """Calls the hooks of the configuration; those of every host are called for each."""

    def __init__(self) -> None:
        self._tasks = SupervisedTasks()
        self._end_s = 0.0
        self._hooks: tuple[Attached[Hook], ...] = ()
        self._followers: dict[HostKey, HookFollower] = {}
        self._hosts: dict[HostKey, VirtualHost] = {}

    def configure(self, config: NodeConfig) -> None:
        """Apply other hooks; they are called from the next change on."""
        self._hooks = kept(self._hooks, config.hooks)
        for key, host in self._hosts.items():
            self._follow(host, of_hosts(self._hooks, key, None), calls_for_present=False)

    def start(self, host: VirtualHost) -> None:
        """Begin to follow a host; its hooks are called on its present state first."""
        self._hosts[host.key] = host
        self._followers.pop(host.key, None)
        self._follow(host, of_hosts(self._hooks, host.key, None), calls_for_present=True)

    def departed(self, key: HostKey) -> None:
        """Forget a host; its hooks are called first, and end by themselves."""
        self._hosts.pop(key, None)

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Add its hooks, and the results of their last calls, to the status of a host."""
        follower = self._followers.get(key)
        if follower is None:
            return
        hooks = list(follower.hooks)
        if follower.running is not None and follower.running not in hooks:
            # A reload removed or changed it, and it runs on until it ends.
            hooks.append(follower.running)
        for hook in hooks:
            last = follower.last_call(hook)
            status.hooks.append(
                HookStatus(
                    name=hook.name,
                    on=sorted(each.value for each in hook.on),
                    is_running=hook is follower.running,
                    last_on=None if last is None else last.on.value,
                    error="" if last is None else last.error,
                )
            )

    async def finish(self) -> None:
        """Wait for the hooks of departed hosts, each of which has a timeout."""
        await self._tasks.ended(self._end_s)
        await self._tasks.end()

    def _follow(self, host: VirtualHost, hooks: "tuple[Hook, ...]", *, calls_for_present: bool) -> None:
        if (follower := self._followers.get(host.key)) is not None:
            follower.hooks = hooks
        elif hooks:
            # Imported here because most daemons have no hooks.
            from pycarp.hooks.hook_follower import LEAVING_S, HookFollower  # noqa: PLC0415

            self._end_s = LEAVING_S + 0.1
            follower = self._followers[host.key] = HookFollower(host, hooks, calls_for_present=calls_for_present)
            self._tasks.start(f"{host.name}: hooks", follower.run, lambda: self._end(host, follower))

    def _end(self, host: VirtualHost, follower: "HookFollower") -> None:
        if self._followers.get(host.key) is follower:
            del self._followers[host.key]
