"""Prepares the machine for holding addresses: cleans up after dead daemons, makes journal, actuator and guardian."""

import sys
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from pycarp import actuators
from pycarp.actuators.actuator import Actuator
from pycarp.aio.log_records import logger
from pycarp.daemon.burst import Burst, names
from pycarp.system.addresses.mac_probe import probe
from pycarp.system.capabilities import may_change_addresses
from pycarp.system.guardian.guardian import Guardian, GuardianFired, GuardianNews, log_news
from pycarp.system.recovery.dead_daemons import clean
from pycarp.system.recovery.journal import Journal
from pycarp.vocabulary import HostKey

_OF_THE_KERNEL = ("auto", "netlink")


class AddressPlane(msgspec.Struct, frozen=True):
    """An actuator, and for one that changes the kernel's addresses the journal and the guardian that go with it."""

    actuator: Actuator
    journal: Journal | None = None
    guardian: Guardian | None = None

    @classmethod
    async def prepare(cls, actuator: str | Actuator, *, state: Path) -> Self:
        """Clean up what a dead daemon left, then return what this one needs.

        ``state`` is the folder of journals, absolute. Raises ConfigError when it cannot be used, ActuatorError when
        somebody else has been cleaning too long.
        """
        if isinstance(actuator, Actuator):
            return cls(actuator)
        # Without permission, opening the actuator raises a better error.
        if actuator not in _OF_THE_KERNEL or sys.platform != "linux" or not may_change_addresses():
            return cls(actuators.by_name(actuator))
        afterwards = (sys.executable, "-m", "pycarp", "release", "--state", str(state))
        fired: Burst[HostKey] = Burst(_tell_fired)
        guardian = Guardian(notice=partial(_tell, fired), afterwards=afterwards)
        # First of all: it takes a while until it is ready.
        guardian.begin()
        try:
            await _clean(state)
            journal = Journal.begin(state)
            # Imported late: other actuators do without it.
            from pycarp.actuators.netlink_actuator import NetlinkActuator  # noqa: PLC0415

            return cls(NetlinkActuator(journal=journal, probe=probe), journal, guardian)
        except BaseException:
            await guardian.close()
            raise

    async def end(self) -> None:
        """Close the journal, and the guardian unless it is; what could not be undone stays for the next start."""
        if self.journal is not None:
            self.journal.end()
        if self.guardian is not None:
            await self.guardian.close()


async def _clean(state: Path) -> None:
    report = await clean(state)
    for done in (*report.undone, *report.spared):
        logger.warning("carp: left by an earlier run: %s", done)
    for failed in report.failed:
        logger.error("carp: left by an earlier run: %s", failed)


def _tell_fired(keys: list[HostKey]) -> None:
    # A host that stalled twice within the burst is in the list twice.
    hosts = list(dict.fromkeys(keys))
    logger.warning("carp: %s: no sign of life for too long: the guardian dropped the addresses", names(hosts))


def _tell(fired: Burst[HostKey], news: GuardianNews) -> None:
    match news:
        case GuardianFired(key):
            # The whole process stalled, so every host has an event of it.
            fired.add(key)
        case _:
            log_news(news)
