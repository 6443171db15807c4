"""Which events become lines of the log."""

import asyncio
import logging
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from pycarp.aio.log_records import EXTERNAL_CHANGES_MOST
from pycarp.aio.node import Node
from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.events import (
    ActuationFailed,
    AddressesChangedByOthers,
    DemotionChange,
    Event,
    FloodChange,
    LoopStalled,
    MasterHeard,
    StateChange,
)
from pycarp.core.state import Reason, State
from pycarp.daemon.event_logger import EventLogger
from pycarp.daemon.log_fields import fields_of
from pycarp.daemon.log_thread import LogThread
from pycarp.daemon.sysctls import LOG_NOTHING
from pycarp.dialects.dialect import Claim
from pycarp.monitors import StaticMonitor
from pycarp.testing import run
from pycarp.transports import MemoryBus
from pycarp.vocabulary import NS_PER_S, HostKey
from tests.support.actuators import RecordingActuator
from tests.support.hosts import config, link

ONE, TWO = HostKey("fxp0", 1), HostKey("fxp0", 2)
MS = NS_PER_S // 1000


def logged(act: Callable[[EventLogger, tuple[VirtualHost, ...]], None]) -> list[logging.LogRecord]:
    """Return the records that a logger of two hosts makes."""
    records: list[logging.LogRecord] = []
    thread = LogThread(records.append)

    async def plan() -> None:
        async with Node(
            transport=MemoryBus().port("a"),
            actuator=RecordingActuator(),
            monitor=StaticMonitor([link()]),
            logs_events=False,
        ) as node:
            for vhid in (ONE.vhid, TWO.vhid):
                await node.add(config(vhid=vhid, addresses=(f"192.168.1.{vhid}/24",)))
            log = logging.getLogger("pycarp")
            log.addHandler(thread)
            log.setLevel(logging.INFO)
            try:
                act(EventLogger(), node.hosts)
            finally:
                log.removeHandler(thread)
                log.setLevel(logging.NOTSET)

    thread.start()
    run(plan())
    thread.finish(timeout_s=5)
    return records


def log_all(*events: Event, level: int | None = None) -> list[logging.LogRecord]:
    def act(events_logger: EventLogger, hosts: tuple[VirtualHost, ...]) -> None:
        if level is not None:
            events_logger.level = level
        for event in events:
            events_logger.log(event, next(each for each in hosts if each.key == event.key))

    return logged(act)


def contested(count: int, *, at_s: int = 0) -> Event:
    return AddressesChangedByOthers(key=ONE, at_ns=at_s * NS_PER_S, what="192.168.1.1 was removed", count=count)


def test_a_flood_of_a_link_is_one_line_not_one_a_host() -> None:
    floods = [FloodChange(key=key, at_ns=5, is_on=True, rate=9000, every=64) for key in (ONE, TWO)]

    (record,) = log_all(*floods)

    assert record.getMessage().startswith("carp: fxp0: 9000 packets a second")
    assert fields_of(record) == {"interface": "fxp0"}


def test_a_demotion_of_the_node_is_one_line_that_says_of_how_many_hosts() -> None:
    causes = (("maintenance", 40),)
    changes = [DemotionChange(key=key, at_ns=5, total=40, causes=causes) for key in (ONE, TWO)]
    records: list[str] = []

    def act(_logger: EventLogger, hosts: tuple[VirtualHost, ...]) -> None:
        for host in hosts:
            host.demote("maintenance", by=40)
        mine = EventLogger(lambda: [host.snapshot() for host in hosts])
        for change, host in zip(changes, hosts, strict=True):
            mine.log(change, host)

    records += [each.getMessage() for each in logged(act)]

    assert records == ["carp: 2 hosts: demotion is 40 (maintenance +40)"]


def test_a_stall_of_the_process_is_one_line_not_one_a_host() -> None:
    stalls = [LoopStalled(key=key, at_ns=5, late_ns=300 * MS) for key in (ONE, TWO)]

    assert [each.msg for each in log_all(*stalls)] == ["carp: this process was not scheduled for 300 ms"]


def test_two_stalls_of_which_each_host_tells_at_once_are_two_lines() -> None:
    stalls = [LoopStalled(key=key, at_ns=at_ns, late_ns=300 * MS) for key in (ONE, TWO) for at_ns in (5, 6)]

    assert len(log_all(*stalls)) == 2


def test_a_flood_of_which_each_host_tells_begin_and_end_at_once_is_two_lines() -> None:
    floods = [
        FloodChange(key=key, at_ns=at_ns, is_on=is_on, rate=9000, every=64)
        for key in (ONE, TWO)
        for at_ns, is_on in ((5, True), (6, False))
    ]

    assert len(log_all(*floods)) == 2


def test_changes_of_many_hosts_at_once_are_some_lines_and_one_for_the_others() -> None:
    keys = [HostKey("fxp0", vhid) for vhid in range(1, 101)]

    async def act() -> list[str]:
        said = Sayings()
        events_logger = EventLogger()
        logging.getLogger("pycarp").addHandler(said)
        try:
            async with Node(
                transport=MemoryBus().port("a"),
                actuator=RecordingActuator(),
                monitor=StaticMonitor([link()]),
                logs_events=False,
            ) as node:
                host = await node.add(config(addresses=("192.168.1.1/24",)))
                for key in keys:
                    events_logger.log(AddressesChangedByOthers(key=key, at_ns=0, what="gone", count=1), host)
                await asyncio.sleep(1)
        finally:
            logging.getLogger("pycarp").removeHandler(said)
        return said.lines

    lines = run(act())

    assert len(lines) == EXTERNAL_CHANGES_MOST + 1
    assert lines[-1].startswith(f"carp: {100 - EXTERNAL_CHANGES_MOST} hosts (6@fxp0, ")


class Sayings(logging.Handler):
    """Keeps the texts of all records."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_the_next_stall_is_another_line() -> None:
    stalls = [LoopStalled(key=ONE, at_ns=at_ns, late_ns=300 * MS) for at_ns in (5, 6)]

    assert len(log_all(*stalls)) == 2


def test_somebody_who_insists_on_changing_addresses_costs_a_few_lines_and_then_one_a_minute() -> None:
    """665 in 5 s was measured; each had a line."""
    storm = [contested(count, at_s=count // 100) for count in range(1, 12_001)]

    assert len(log_all(*storm)) == EXTERNAL_CHANGES_MOST + 2


def test_a_line_is_about_its_host_and_what_became_of_it() -> None:
    change = StateChange(key=TWO, at_ns=0, old=State.BACKUP, new=State.MASTER, reason=Reason.MASTER_SILENT, epoch=3)

    (record,) = log_all(change)

    assert fields_of(record)["vhid"] == 2
    assert fields_of(record)["epoch"] == 3


def test_a_line_of_another_event_tells_the_state_of_its_host() -> None:
    (record,) = log_all(DemotionChange(key=ONE, at_ns=0, total=1, causes=(("test", 1),)))

    assert fields_of(record)["state"] == "BACKUP"


def test_log_level_0_leaves_what_an_administrator_must_see() -> None:
    change = DemotionChange(key=ONE, at_ns=0, total=1, causes=(("test", 1),))
    failed = ActuationFailed(key=ONE, at_ns=0, action="hold", error="no")

    assert [each.levelno for each in log_all(change, failed, level=LOG_NOTHING)] == [logging.ERROR]


@pytest.mark.parametrize("level", [1, 2])
def test_at_other_log_levels_changes_are_lines(level: int) -> None:
    assert log_all(DemotionChange(key=ONE, at_ns=0, total=1, causes=(("test", 1),)), level=level)


def test_another_master_is_one_line_a_mastership_with_its_address() -> None:
    heard = [
        MasterHeard(key=ONE, at_ns=at, source=ip_address(source), claim=Claim(advbase=1, advskew=0))
        for at, source in enumerate(["10.0.0.1", "10.0.0.1", "10.0.0.2"])
    ]

    assert [each.getMessage() for each in log_all(*heard)] == [
        "carp: 1@fxp0: MASTER is 10.0.0.1 (advbase 1 advskew 0)",
        "carp: 1@fxp0: MASTER is 10.0.0.2 (advbase 1 advskew 0)",
    ]
