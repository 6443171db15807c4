"""The client of the web site: resolves and fetches all the time, and prints the result of each request as a JSON line.

Runs as ``python -m pycarp.lab.client NAME SECONDS`` on the client machine.
"""

import json
import socket
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

INTERVAL_S = 0.02
TIMEOUT_S = 0.3
"""About as long as a browser waits for one address before it tries the next (RFC 8305)."""
WORKERS = 64

# The lab has no proxy, whatever the environment variables of the user say.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(name: str) -> dict[str, object]:
    """Fetch the page as a browser does, from the first address that answers, and return the result.

    ``address``, ``ok`` and ``s`` are about the first address that the name server gave, ``served`` is about the page.
    """
    began_s = time.time()
    addresses = resolve(name)
    is_ok = bool(addresses) and answers(addresses[0])
    took_s = time.time() - began_s
    is_served = is_ok or any(answers(address) for address in addresses[1:])
    return {"at": began_s, "address": addresses[0] if addresses else "", "ok": is_ok, "s": took_s, "served": is_served}


def resolve(name: str) -> list[str]:
    """Return the addresses of a name in the name server's order; none when it does not answer."""
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)]
    except OSError:
        return []


def answers(address: str) -> bool:
    """Return whether an address serves the page within ``TIMEOUT_S``."""
    try:
        with _opener.open(f"http://{address}/", timeout=TIMEOUT_S) as answer:
            return bool(answer.read())
    except OSError:
        return False


def report(name: str) -> None:
    """Fetch once and print the outcome; one write a line, because many threads print."""
    sys.stdout.write(json.dumps(fetch(name)) + "\n")
    sys.stdout.flush()


def main(name: str, seconds: float) -> None:
    """Begin a request every 20 ms for a bounded time, without waiting for earlier ones."""
    end_s = time.monotonic() + seconds
    next_s = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        while next_s < end_s:
            pool.submit(report, name)
            next_s += INTERVAL_S
            time.sleep(max(0.0, next_s - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
