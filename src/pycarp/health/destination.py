"""Opens connections to an address, or to a name: then without the threads of the event loop.

A lookup cannot be cancelled, and takes half a minute while no DNS server answers. In the executor of the event loop,
the lookups of a few checks would keep all others waiting, and the process from ending.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from ipaddress import ip_address
from typing import TypeAlias

_Found: TypeAlias = list[str] | OSError


class Destination:
    """A host, by its address or its name, and a port: with one lookup at a time, for which all connections wait."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._is_address = _is_address(host)
        self._lookup: asyncio.Future[_Found] | None = None

    async def connect(
        self, *, tls: ssl.SSLContext | None = None, server_hostname: str | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first address that accepts; raises OSError, that of the last one."""
        addresses = [self._host] if self._is_address else await self._addresses()
        if tls is not None and server_hostname is None:
            server_hostname = self._host
        for count, address in enumerate(addresses, start=1):
            try:
                return await asyncio.open_connection(address, self._port, ssl=tls, server_hostname=server_hostname)
            except OSError:
                if count == len(addresses):
                    raise
        raise OSError(f"{self._host} has no address")

    async def _addresses(self) -> list[str]:
        loop = asyncio.get_running_loop()
        if self._lookup is None or self._lookup.get_loop() is not loop:
            self._lookup = loop.create_future()
            threading.Thread(target=self._look_up, args=(self._lookup,), name="pycarp-lookup", daemon=True).start()
        lookup = self._lookup
        # Shielded: whoever waits may be cancelled, the thread goes on, and the next one waits for it.
        found = await asyncio.shield(lookup)
        if self._lookup is lookup:
            self._lookup = None
        if isinstance(found, OSError):
            raise found
        return found

    def _look_up(self, lookup: "asyncio.Future[_Found]") -> None:
        """Look the name up, in a thread."""
        found: _Found
        try:
            entries = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            # Link-local addresses of IPv6 come with their interface.
            found = list(dict.fromkeys(socket.getnameinfo(each[4], socket.NI_NUMERICHOST)[0] for each in entries))
        except OSError as exc:
            found = exc
        except UnicodeError:
            found = OSError(f"{self._host} is no name")
        # The loop may be closed meanwhile.
        with contextlib.suppress(RuntimeError):
            lookup.get_loop().call_soon_threadsafe(lookup.set_result, found)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
