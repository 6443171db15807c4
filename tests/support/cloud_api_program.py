"""An API that moves addresses, as a process: ``cloud_api_program PORT FAILURES``.

It answers the first requests with 503, and refuses tokens that are smaller than the greatest that it has seen. Each
request is a line: its path, the status, and its document.
"""

import http.server
import json
import sys


class Api(http.server.ThreadingHTTPServer):
    """Knows how many requests are still to fail, and the greatest token."""

    def __init__(self, port: int, failures: int) -> None:
        super().__init__(("", port), _Handler)
        self.failures = failures
        self.token = 0

    def status_of(self, document: dict[str, object]) -> int:
        """Return with which status a request is answered."""
        if self.failures:
            self.failures -= 1
            return 503
        token = int(str(document["token"]))
        if token < self.token:
            return 409
        self.token = token
        return 200


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Api

    def do_PUT(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        status = self.server.status_of(json.loads(text))
        print(self.path, status, text, flush=True)
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing beside the lines above."""


if __name__ == "__main__":
    with Api(int(sys.argv[1]), int(sys.argv[2])) as api:
        print("ready", flush=True)
        api.serve_forever()
