"""Reports once a minute, on the host that is MASTER: an application that must run once, and survive its host."""

import asyncio
from collections.abc import Callable

import pycarp


async def report_while_master(host: pycarp.VirtualHost, report: Callable[[], object]) -> None:
    """Call ``report`` every minute while ``host`` is MASTER, for ever."""
    work: asyncio.Task[None] | None = None

    async def report_every_minute() -> None:
        while True:
            report()
            await asyncio.sleep(60)

    @host.on_change
    def follow(change: pycarp.StateChange) -> None:
        nonlocal work
        if work is not None:
            work.cancel()
            work = None
        if change.new is pycarp.State.MASTER:
            work = asyncio.create_task(report_every_minute())

    await asyncio.get_running_loop().create_future()


async def main() -> None:
    """Share 192.0.2.10 with every host that has the passphrase, and report while MASTER."""
    async with pycarp.Node() as node:
        config = pycarp.HostConfig(interface="eth0", vhid=1, passphrase="secret", addresses=["192.0.2.10/24"])
        await report_while_master(await node.add(config), lambda: print("all is well"))


if __name__ == "__main__":
    asyncio.run(main())
