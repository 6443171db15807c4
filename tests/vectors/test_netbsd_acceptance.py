"""What NetBSD's kernel did with crafted frames, the ``netbsd`` dialect does as well: case by case."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pycarp.core.inputs import DatagramReceived, SettingsChanged
from pycarp.core.settings import Settings
from pycarp.core.statistics import Statistic
from pycarp.dialects import NETBSD
from pycarp.wire import envelope
from tests.support.hosts import KEY, Bench, bench, config, master, seconds

ACCEPTANCE = json.loads((Path(__file__).parent / "netbsd-acceptance.json").read_text())["cases"]
CASES: list[dict[str, Any]] = [case for case in ACCEPTANCE if "frame" in case]
REPLAYED = next(case["frame"] for case in CASES if case["case"].startswith("the same advert again"))

# No kernel counts under badaddrs; ours says so of what it counts under badauth as well.
_ON_RECEIPT = {name for name in Statistic if name.startswith(("ipackets", "bad"))} - {Statistic.BAD_ADDRESS_LIST}


def kernel(state: str, *, settings: Settings | None = None) -> Bench:
    """Return a host with the settings that NetBSD had, in a state."""
    host = config(advskew=100, dialect=NETBSD, addresses=("192.168.1.50/24", "192.168.1.51/24"))
    return bench(host, settings=settings) if state == "BACKUP" else master(host, settings=settings)


def receive(host: Bench, frame: str) -> None:
    datagram = envelope.datagram_of(bytes.fromhex(frame), link=KEY.link)
    if datagram is not None:
        host.feed(DatagramReceived(datagram))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["case"]))
def test_we_do_what_the_kernel_did(case: dict[str, Any]) -> None:
    settings = Settings(preempt="preempt 1" in case["case"])
    host = kernel(case["state_before"], settings=settings)
    if "allow=0" in case["case"]:
        host.feed(SettingsChanged(Settings(allow=False)))
    before = Counter(host.engine.snapshot().statistics)

    receive(host, case["frame"])

    rose = Counter(host.engine.snapshot().statistics) - before
    counted = {name.value: count for name, count in rose.items() if name in _ON_RECEIPT}
    assert (host.state.value, counted) == (case["state_after"], case["counters"])


def test_one_recorded_advertisement_keeps_the_host_in_backup_as_long_as_it_is_replayed() -> None:
    host = kernel("BACKUP")
    states = set()

    for second in range(1, 10):
        host.pass_time(to_ns=seconds(second))
        receive(host, REPLAYED)
        states.add(host.state.value)

    assert sorted(states) == ACCEPTANCE[-1]["states_seen"]
