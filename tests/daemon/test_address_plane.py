"""What the daemon says of the addresses that it or its guardian holds."""

import asyncio
import logging

import pytest

from pycarp.daemon import address_plane
from pycarp.daemon.burst import Burst
from pycarp.system.guardian.guardian import GuardianFired
from pycarp.vocabulary import HostKey


def test_each_host_is_named_once_however_often_the_guardian_fired(caplog: pytest.LogCaptureFixture) -> None:
    async def fire() -> None:
        fired: Burst[HostKey] = Burst(address_plane._tell_fired, span_s=0.01)
        for vhid in (1, 2, 1, 1):
            address_plane._tell(fired, GuardianFired(HostKey("eth0", vhid), at_ns=0))
        await asyncio.sleep(0.05)

    with caplog.at_level(logging.WARNING, logger="pycarp"):
        asyncio.run(fire())

    (line,) = [each.getMessage() for each in caplog.records]
    assert line.startswith("carp: 1@eth0, 2@eth0: no sign of life for too long")
