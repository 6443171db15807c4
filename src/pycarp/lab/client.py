"""The user of the web site: resolves and fetches without pause and prints what became of each request, as JSON lines.

Runs as ``python -m pycarp.lab.client NAME SECONDS`` on the client machine.
"""

import json
import socket
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

INTERVAL_S = 0.02
TIMEOUT_S = 1.0
WORKERS = 128

# The lab has no proxy, whatever the environment of the person at the keyboard says.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(name: str) -> dict[str, object]:
    """Fetch the page from the first address that the name server gives, and tell how that went."""
    began_s = time.time()
    address, error = "", ""
    try:
        address = socket.gethostbyname_ex(name)[2][0]
        with _opener.open(f"http://{address}/", timeout=TIMEOUT_S) as answer:
            answer.read()
    except OSError as exc:
        error = str(exc)
    return {"at": began_s, "address": address, "ok": not error, "s": time.time() - began_s, "error": error}


def main(name: str, seconds: float) -> None:
    """Begin a request every 20 ms, whatever became of the earlier ones, for a bounded time."""
    end_s = time.monotonic() + seconds
    next_s = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        while next_s < end_s:
            pool.submit(lambda: print(json.dumps(fetch(name)), flush=True))  # noqa: T201  its output is its purpose
            next_s += INTERVAL_S
            time.sleep(max(0.0, next_s - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
