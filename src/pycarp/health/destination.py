"""Opens connections to an address, or to a name, which is looked up in a thread."""

import asyncio
import socket
import ssl
from ipaddress import ip_address

from pycarp.health.blocking import BlockingCall


class Destination:
    """A host, by its address or its name, and a port."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._is_address = _is_address(host)
        self._lookup = BlockingCall(self._look_up)

    async def connect(
        self, *, tls: ssl.SSLContext | None = None, server_hostname: str | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first address that accepts; raises OSError, that of the last one."""
        addresses = [self._host] if self._is_address else await self._lookup.result()
        if tls is not None and server_hostname is None:
            server_hostname = self._host
        for count, address in enumerate(addresses, start=1):
            try:
                return await asyncio.open_connection(address, self._port, ssl=tls, server_hostname=server_hostname)
            except OSError:
                if count == len(addresses):
                    raise
        raise OSError(f"{self._host} has no address")

    def _look_up(self) -> list[str]:
        """Return the addresses of the name; raises OSError. Blocks."""
        try:
            entries = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except UnicodeError as exc:
            raise OSError(f"{self._host} is no name") from exc
        # Link-local addresses of IPv6 come with their interface.
        return list(dict.fromkeys(socket.getnameinfo(each[4], socket.NI_NUMERICHOST)[0] for each in entries))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
