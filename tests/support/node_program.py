"""A program of a user: one dual-stack virtual host on a node, its state changes as lines; ended by a signal.

``python -m tests.support.node_program TRANSPORT ADVSKEW ADDRESS... [--peer ADDRESS]... [--observe]``
"""

import argparse
import asyncio
import signal

import pycarp

LINK = "fxp0"


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("transport")
    parser.add_argument("advskew", type=int)
    parser.add_argument("addresses", nargs="+")
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--observe", action="store_true", help="touch no address")
    asked = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with pycarp.Node(transport=asked.transport, actuator="null" if asked.observe else "auto") as node:
        host = await node.add(
            pycarp.HostConfig(
                interface=LINK,
                vhid=1,
                passphrase="testpass",
                addresses=asked.addresses,
                advskew=asked.advskew,
                preempt=True,
                peers=asked.peer,
            )
        )
        print(host.state.value, flush=True)
        host.on_change(lambda change: print(change.new.value, change.reason.value, change.peer, flush=True))
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
