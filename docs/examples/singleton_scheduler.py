"""A job scheduler that runs on exactly one of several hosts: on the one that is MASTER.

Start it on each host, with one store that all hosts reach::

    python singleton_scheduler.py eth0 /shared/jobs.db

The MASTER runs a job every second. When it loses the addresses, its scheduler is cancelled before another one begins.
While the segment is partitioned there may be two masterships; no protocol can prevent that. The store resolves it: each
mastership gets a fencing token from it, and the store refuses writes with an older token. The statements work in any
SQL database.
"""

import asyncio
import sqlite3
import sys

import pycarp

EVERY_S = 1.0
STAY_AWAY_S = 15.0
PASSPHRASE = "better read from a file"


class Outdated(Exception):
    """A later mastership has begun elsewhere."""


class Store:
    """Keeps the jobs that ran, and the token of the latest mastership."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS mastership (one INTEGER PRIMARY KEY CHECK (one = 1), token INTEGER)"
        )
        self._db.execute("CREATE TABLE IF NOT EXISTS run (at_s REAL, host TEXT, token INTEGER)")
        self._db.execute("INSERT OR IGNORE INTO mastership VALUES (1, 0)")

    async def next_token(self) -> int:
        """Return the token of a new mastership; from now on writes of earlier ones are refused."""
        (token,) = self._db.execute("UPDATE mastership SET token = token + 1 RETURNING token").fetchone()
        return int(token)

    def record(self, at_s: float, host: str, token: int) -> None:
        """Record that a job ran, in one statement. Raises Outdated if its mastership is not the latest."""
        written = self._db.execute(
            "INSERT INTO run SELECT ?, ?, token FROM mastership WHERE token = ?", (at_s, host, token)
        ).rowcount
        if not written:
            raise Outdated(f"mastership {token} is over: another has begun")

    def runs(self) -> list[tuple[float, str, int]]:
        """Return the jobs that ran, in order."""
        return self._db.execute("SELECT at_s, host, token FROM run ORDER BY rowid").fetchall()

    def close(self) -> None:
        """Close the database."""
        self._db.close()


async def run_jobs(host: pycarp.VirtualHost, store: Store, mastership: pycarp.Mastership) -> None:
    """Run a job every second until cancelled; here a job adds a row to the store."""
    loop = asyncio.get_running_loop()
    while True:
        mastership.check()  # This process may have slept since it last awaited anything.
        store.record(loop.time(), host.name, mastership.token)
        await asyncio.sleep(EVERY_S)


async def schedule(host: pycarp.VirtualHost, store: Store) -> None:
    """Run the jobs whenever the host is MASTER."""
    while True:
        try:
            async with host.mastership(token=store.next_token) as mastership:
                print(f"{host.name}: mastership {mastership.token} begins")
                await run_jobs(host, store, mastership)
        except pycarp.MastershipLost as lost:
            print(f"{host.name}: {lost}")
        except Outdated as exc:
            # The segment is partitioned and both sides have a MASTER; the later mastership goes on.
            print(f"{host.name}: {exc}")
            await asyncio.sleep(STAY_AWAY_S)


async def main(interface: str, path: str) -> None:
    """Run the scheduler with a virtual host on an interface and a store."""
    store = Store(path)
    config = pycarp.HostConfig(interface=interface, vhid=1, passphrase=PASSPHRASE, addresses=["192.0.2.10/24"])
    async with pycarp.Node() as node:
        await schedule(await node.add(config), store)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
