"""Runs two masterships and reports how many steps their bodies made after the process had been stopped for a lease.

Says ``stop me`` when it wants to be stopped; what it is sent meanwhile wakes the body.
"""

import asyncio
import contextlib
import os
from dataclasses import replace

from pycarp import MastershipLost, Node
from pycarp.monitors.static import StaticMonitor
from pycarp.transports.memory import MemoryBus
from tests.support.nodes import config, link


async def main() -> None:
    """Print the number of steps that came too late."""
    late = 0
    loop = asyncio.get_running_loop()
    port, monitor = MemoryBus().port("a"), StaticMonitor([link(1)])
    async with Node(transport=port, actuator="null", monitor=monitor) as node:
        host = await node.add(replace(config(), advbase=0, advskew=20))
        for _ in range(2):
            arrived = asyncio.Event()
            with contextlib.suppress(MastershipLost):
                async with host.mastership():
                    loop.add_reader(0, arrived.set)
                    print("stop me", flush=True)
                    await arrived.wait()
                    late += 1
            os.read(0, 100)
    print(f"late steps: {late}")


if __name__ == "__main__":
    asyncio.run(main())
