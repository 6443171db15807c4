"""What README's comparison says of ucarp and keepalived, seen with Debian's own on a real segment."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.lab.lab_network import Segment
from tests.support.daemons import Keepalived, Process, Ucarp, children, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

SOURCE, SHARED, SHARED_OF_KEEPALIVED = "192.168.1.4", "192.168.1.50", "192.168.1.60"
OF_VRRP = "00:00:5e:00:01:07"
STARTED_S = 8.0
PUT_BACK_S = 2.5
OWNER = 255
"""Priority of an owner: it is MASTER at once."""


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("ucarp", "keepalived")
    with new_segment(a=f"{SOURCE}/24") as made:
        yield made


@pytest.fixture
def ucarp(segment: Segment, tmp_path: Path) -> Iterator[Ucarp]:
    """A ucarp that is MASTER."""
    with Ucarp(segment, "a", tmp_path, source=SOURCE, options=("-P",)) as started:
        wait_until(started.has_address, STARTED_S)
        yield started


@pytest.fixture
def keepalived(segment: Segment, tmp_path: Path) -> Iterator[Keepalived]:
    """A keepalived that is MASTER."""
    with Keepalived(segment, "a", tmp_path, vrid=7, priority=OWNER) as started:
        wait_until(lambda: started.has_address(SHARED_OF_KEEPALIVED), STARTED_S)
        yield started


def kill_all(program: Process) -> None:
    """Send SIGKILL to a program and to all that it has started."""
    for pid in [*children(program.process.pid), program.process.pid]:
        os.kill(pid, signal.SIGKILL)
    program.process.wait()


def devices(segment: Segment) -> list[dict[str, object]]:
    shown: list[dict[str, object]] = json.loads(segment.run("a", ["ip", "-json", "link", "show"]))
    return shown


def test_ucarp_takes_no_ipv6_address(segment: Segment, tmp_path: Path) -> None:
    with Ucarp(segment, "a", tmp_path, source=SOURCE, options=("-a", "2001:db8::10")) as refused:
        assert refused.process.wait(STARTED_S) != 0


def test_ucarp_takes_one_address(segment: Segment, tmp_path: Path) -> None:
    another = "192.168.1.51"
    with Ucarp(segment, "a", tmp_path, source=SOURCE, options=("-P", "-a", another)) as started:
        wait_until(lambda: started.has_address(another), STARTED_S)

        assert not started.has_address(SHARED)


def test_ucarp_answers_with_the_mac_address_of_the_interface(ucarp: Ucarp, segment: Segment) -> None:
    assert ucarp.has_address()
    assert not any(str(each["address"]).startswith("00:00:5e") for each in devices(segment))


def test_keepalived_has_a_virtual_mac_address_if_it_is_told_to(segment: Segment, tmp_path: Path) -> None:
    with Keepalived(segment, "a", tmp_path, vrid=7, priority=OWNER, lines=" use_vmac\n") as started:
        wait_until(lambda: started.has_address(SHARED_OF_KEEPALIVED), STARTED_S)

        assert OF_VRRP in [each["address"] for each in devices(segment)]
        started.process.terminate()
        started.process.wait()


def test_keepalived_has_ipv6_addresses(segment: Segment, tmp_path: Path) -> None:
    further = " virtual_ipaddress_excluded {\n 2001:db8::10/64\n }\n"
    with Keepalived(segment, "a", tmp_path, vrid=7, priority=OWNER, lines=further):
        wait_until(lambda: "2001:db8::10/64" in segment.run("a", ["ip", "-6", "addr", "show"]), STARTED_S)


def test_the_address_of_a_killed_ucarp_stays(ucarp: Ucarp) -> None:
    kill_all(ucarp)
    time.sleep(PUT_BACK_S)

    assert ucarp.has_address()


def test_the_address_of_a_killed_keepalived_stays(keepalived: Keepalived) -> None:
    kill_all(keepalived)
    time.sleep(PUT_BACK_S)

    assert keepalived.has_address(SHARED_OF_KEEPALIVED)


def test_ucarp_does_not_notice_that_its_address_is_deleted(ucarp: Ucarp, segment: Segment) -> None:
    segment.run("a", ["ip", "addr", "del", f"{SHARED}/24", "dev", "fxp0"])
    time.sleep(PUT_BACK_S)

    assert ucarp.process.poll() is None
    assert not ucarp.has_address()


def test_keepalived_puts_back_an_address_that_is_deleted(keepalived: Keepalived, segment: Segment) -> None:
    segment.run("a", ["ip", "addr", "del", f"{SHARED_OF_KEEPALIVED}/24", "dev", "fxp0"])

    wait_until(lambda: keepalived.has_address(SHARED_OF_KEEPALIVED), PUT_BACK_S)
