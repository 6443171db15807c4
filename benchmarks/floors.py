"""What Python must pay at least: a frame that is sent and one that is read, and a wake-up of an event loop.

    ip netns exec NAMESPACE python -m benchmarks.floors LINK

in one of the machines of ``benchmarks.start``; prints microseconds of CPU time for each, as JSON.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time

from benchmarks.figures import Figure
from benchmarks.packets import FRAME
from benchmarks.start import Machine

_FRAMES = 5000
_BATCH = 50
_WAKE_UPS_A_SECOND = 20
_SECONDS = 2.0


def measure(rounds: int) -> list[Figure]:
    """Return the floors, in microseconds of CPU time."""
    with Machine(1) as machine:
        argv = ["ip", "netns", "exec", machine.name, sys.executable, "-m", "benchmarks.floors", "fxp0"]
        found = [json.loads(subprocess.run(argv, check=True, capture_output=True).stdout) for _ in range(rounds)]
    return [Figure(f"floor: {what}", "python", 1, "µs", tuple(each[what] for each in found)) for what in found[0]]


def _floors(link: str) -> dict[str, float]:
    sent = received = 0.0
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as receiver,
    ):
        sender.bind((link, 0))
        # It hears what its own machine sends, so that one process does both.
        receiver.bind((link, 3))
        receiver.setblocking(False)
        for _ in range(_FRAMES // _BATCH):
            began_s = time.process_time()
            for _ in range(_BATCH):
                sender.send(FRAME)
            sent += time.process_time() - began_s
            began_s = time.process_time()
            for _ in range(_BATCH):
                receiver.recv(256)
            received += time.process_time() - began_s
    return {
        "a frame sent": 1e6 * sent / _FRAMES,
        "a frame read": 1e6 * received / _FRAMES,
        "a wake-up": asyncio.run(_wake_up_us()),
    }


async def _wake_up_us() -> float:
    loop = asyncio.get_running_loop()
    began_s, ends_s, count = time.process_time(), loop.time() + _SECONDS, 0
    at_s = loop.time()
    while at_s < ends_s:
        at_s += 1 / _WAKE_UPS_A_SECOND
        woken = loop.create_future()
        loop.call_at(at_s, woken.set_result, None)
        await woken
        count += 1
    return 1e6 * (time.process_time() - began_s) / count


if __name__ == "__main__":
    print(json.dumps(_floors(sys.argv[1])))
