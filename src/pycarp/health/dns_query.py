"""One question to a DNS server: over UDP, and over TCP if the answer is too long for that. Source: RFC 1035, 4.2.

Importing it takes a twentieth of a second, for dnspython, and most checks are others.
"""

import asyncio
import socket
from ipaddress import ip_address

from dns import flags, rcode, rdatatype
from dns.exception import DNSException
from dns.message import Message, from_wire, make_query

from pycarp.errors import ConfigError
from pycarp.health.health_check import Answer, Finding

_SIZE_MAX = 1 << 16


def query_for(name: str, record: str) -> Message:
    """Return a question with a random number; raises ConfigError for what cannot be a name."""
    try:
        return make_query(name, record)
    except (DNSException, UnicodeError) as exc:
        raise ConfigError(f'dns {name!r} is no name; write one such as "www.example.org": {exc}') from None


async def ask(query: Message, address: str, port: int) -> Message:
    """Return the response of a server; raises OSError."""
    response = await _ask_in_datagram(query, address, port)
    return await _ask_in_stream(query, address, port) if _is_truncated(response) else response


def judge(response: Message, server: str, name: str, record: str, wanted: str) -> Finding:
    """Return what a response says about a name."""
    code = response.rcode()
    if code == rcode.NXDOMAIN:
        return Finding(Answer.FAIL, f"{server} says that there is no {name}")
    if code != rcode.NOERROR:
        return Finding(Answer.FAIL, f"{server} answered {rcode.to_text(code)} for {name}")
    # Those of an alias have its name, not the one that was asked for.
    sets = [each for each in response.answer if each.rdtype == rdatatype.from_text(record)]
    found = [each.to_text() for records in sets for each in records]
    if not found:
        return Finding(Answer.FAIL, f"{server} has no {record} of {name}")
    shown = f"{server} resolves {name} to {', '.join(found)}"
    if wanted and _plain(wanted) not in map(_plain, found):
        return Finding(Answer.FAIL, f"{shown}, not to {wanted}")
    return Finding(Answer.OK, shown)


async def _ask_in_datagram(query: Message, address: str, port: int) -> Message:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        # Connected, so that nobody else is heard, and a closed port is an error at once.
        sock.connect(socket.getaddrinfo(address, port, family, flags=socket.AI_NUMERICHOST)[0][4])
        await loop.sock_sendall(sock, query.to_wire())
        while True:
            response = _response_to(query, await loop.sock_recv(sock, _SIZE_MAX))
            if response is not None:
                return response


async def _ask_in_stream(query: Message, address: str, port: int) -> Message:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        wire = query.to_wire()
        writer.write(len(wire).to_bytes(2, "big") + wire)
        length = int.from_bytes(await reader.readexactly(2), "big")
        response = _response_to(query, await reader.readexactly(length))
    except asyncio.IncompleteReadError as exc:
        raise ConnectionResetError("the connection was closed before an answer") from exc
    finally:
        writer.transport.abort()
    if response is None:
        raise ConnectionAbortedError("it answered with something else than a response")
    return response


def _response_to(query: Message, octets: bytes) -> Message | None:
    """Return the response in a message; None for what is none to this question."""
    try:
        response = from_wire(octets, ignore_trailing=True)
    except (DNSException, ValueError):
        return None
    return response if query.is_response(response) else None


def _is_truncated(response: Message) -> bool:
    return bool(response.flags & flags.TC)


def _plain(text: str) -> str:
    """Return the text of a record as it is compared: however an address or a name is written."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text.lower().removesuffix(".").strip('"')
