"""A web server that says its name, and a client that asks every 5 ms: for ``upgrade-a-pair.sh``.

``web_requests.py serve NAME`` answers on port 80. ``web_requests.py ask ADDRESS`` asks until SIGTERM, then prints how
many requests succeeded, and exits with 1 if one failed. It asks again, once, when an open connection breaks: a change
of hosts resets it, or leaves it silent if the request had arrived and the answer had not left.
"""

import asyncio
import signal
import sys
import time
from collections import Counter

INTERVAL_S = 0.005
TIMEOUT_S = 3.0
"""Seconds for a request, the second one included."""

SILENT_S = 1.0
"""Seconds after which an open connection without an answer is broken."""

SLOW_S = 0.1
PORT = 80


async def serve(name: str) -> None:
    """Answer every request with a name, until cancelled."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n{name}\n".encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client is gone.
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", PORT)
    await server.serve_forever()


async def fetch(address: str) -> str:
    """Return the name of the server that answers; raises ConnectionResetError if an open connection breaks."""
    reader, writer = await asyncio.open_connection(address, PORT)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        page = await asyncio.wait_for(reader.read(), SILENT_S)
    except TimeoutError as exc:
        raise ConnectionResetError(f"open, and silent for {SILENT_S:g} s") from exc
    finally:
        writer.close()
    if not page:
        raise ConnectionResetError("closed without an answer")
    return page.split(b"\r\n\r\n", 1)[1].decode().strip()


class Client:
    """Sends requests and counts their results."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self.slow = self.repeated = 0
        self.longest_s = 0.0

    async def ask(self) -> None:
        """Make one request."""
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                try:
                    name = await fetch(self._address)
                except ConnectionResetError:
                    self.repeated += 1
                    name = await fetch(self._address)
        except (OSError, TimeoutError) as exc:
            self.failed.append(f"{time.strftime('%T')} {type(exc).__name__}: {exc}")
            return
        took_s = time.monotonic() - began_s
        self.answered[name] += 1
        self.slow += took_s > SLOW_S
        self.longest_s = max(self.longest_s, took_s)

    async def ask_until(self, stop: asyncio.Event) -> None:
        """Begin a request every 5 ms, without waiting for the earlier ones."""
        next_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                group.create_task(self.ask())
                next_s += INTERVAL_S
                await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    def report(self) -> str:
        """Return the totals, and one line per failed request."""
        by = ", ".join(f"{count} by {name}" for name, count in sorted(self.answered.items()))
        rest = f"{self.slow} took longer than {SLOW_S * 1000:.0f} ms, the longest {self.longest_s * 1000:.0f} ms"
        total = self.answered.total() + len(self.failed)
        sums = f"{total} requests: {len(self.failed)} failed; {by}; {self.repeated} asked twice; {rest}"
        return "\n".join([sums, *self.failed])


async def ask(address: str) -> int:
    """Ask until SIGTERM or SIGINT, and return the exit status."""
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    client = Client(address)
    await client.ask_until(stop)
    print(client.report(), flush=True)
    return 1 if client.failed or not client.answered else 0


if __name__ == "__main__":
    what, argument = sys.argv[1:]
    sys.exit(asyncio.run(ask(argument)) if what == "ask" else asyncio.run(serve(argument)))
