"""Reads the response of a web server, with what Python's http.client knows of it."""

import asyncio
import io
import socket
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import cast

READ_MAX = 64 * 1024
"""Octets of a response that are read, its head included."""

_END_OF_HEAD = b"\r\n\r\n"


async def read_response(reader: asyncio.StreamReader) -> tuple[int | None, bytes]:
    """Return status and body once they are whole, or all that is read of them; no status if this is not HTTP."""
    read = b""
    while len(read) < READ_MAX and (more := await reader.read(READ_MAX - len(read))):
        read += more
        if _END_OF_HEAD in read and (found := _parsed(read)) and found[2]:
            break
    status, body, _is_whole = _parsed(read) or (None, b"", True)
    return status, body


def _parsed(octets: bytes) -> tuple[int, bytes, bool] | None:
    """Return status and body, and whether the body is known to be whole; None if this is not HTTP."""
    response = HTTPResponse(cast("socket.socket", _Octets(octets)), method="GET")
    try:
        response.begin()
        ends_with_connection = response.length is None and not response.chunked
        return response.status, response.read(), not ends_with_connection
    except IncompleteRead as exc:
        return response.status, exc.partial, False
    except (HTTPException, OverflowError):  # a chunk may claim any length
        return None


class _Octets:
    """What was read, in the place of the socket that it was read from."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._octets)
