"""Runs the checks of transports for udp in uvloop; ends only if no endpoint is left open. The argument is the port."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from ipaddress import IPv4Address

import uvloop

from pycarp import UdpTransport
from pycarp.testing import Endpoint, check_transport


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[Endpoint, Endpoint]]:
    """Return two ends on the loopback interface."""
    first, second = (
        Endpoint(
            transport=UdpTransport(port=int(sys.argv[1])),
            link="lo",
            source=IPv4Address(f"127.0.0.{number}"),
            has_real_links=False,
            has_groups=False,
        )
        for number in (2, 3)
    )
    yield first, second
    await first.transport.close()
    await second.transport.close()


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(check_transport(pair))
