"""Asks a web server every 5 ms, and prints when each answer came: ``web_client_program ADDRESS SECONDS``.

A line is ``answer TIME BODY``, or ``stall TIME LATE`` when the client itself was late; times are CLOCK_MONOTONIC.
"""

import asyncio
import sys
import time

INTERVAL_S = 0.005
TIMEOUT_S = 0.1
STALLED_S = 0.01


async def ask(address: str) -> None:
    """Make one request on a connection of its own."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address, 80)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            page = await reader.read()
            writer.close()
    except (OSError, TimeoutError):
        return
    head, _blank, body = page.partition(b"\r\n\r\n")
    if b" 200 " in head:
        print(f"answer {time.monotonic():.6f} {body.decode().strip()}", flush=True)


async def ask_for(address: str, seconds: float) -> None:
    """Begin a request every 5 ms, without waiting for the earlier ones."""
    next_s = time.monotonic()
    end_s = next_s + seconds
    async with asyncio.TaskGroup() as group:
        while next_s < end_s:
            group.create_task(ask(address))
            next_s += INTERVAL_S
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            late_s = time.monotonic() - next_s
            if late_s > STALLED_S:
                print(f"stall {time.monotonic():.6f} {late_s:.6f}", flush=True)
                next_s = time.monotonic()


if __name__ == "__main__":
    asyncio.run(ask_for(sys.argv[1], float(sys.argv[2])))
