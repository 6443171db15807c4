"""The daemon on a real segment: takeover, leaving, mistakes of its operator."""

import datetime
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import DoneReply, IfconfigRequest
from pycarp.errors import UsageError
from pycarp.lab.lab_network import Segment
from pycarp.wire import advertisement as wire
from pycarp.wire import arp, envelope, ethernet
from tests.support.daemons import PASSWORD, SHARED, Capture, Pycarp, children, new_segment, wait_until
from tests.support.pcap import timed_frames
from tests.support.system import require

pytestmark = pytest.mark.system

A, B = "192.168.1.3", "192.168.1.5"
STARTED_S = 8.0


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("tcpdump", "setpriv")
    with new_segment(a=f"{A}/24", b=f"{B}/24") as made:
        yield made


def adverts(capture: Path, source: str) -> list[tuple[float, wire.Advertisement]]:
    """Return the advertisements from an address in a capture, each with its time."""
    received = [(at_s, envelope.datagram_of(frame, link="br0")) for at_s, frame in timed_frames(capture)]
    return [(at_s, wire.decode(each.payload)) for at_s, each in received if each and str(each.source) == source]


def test_the_backup_takes_over_3_39_s_after_the_last_advertisement(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as a, Pycarp(segment, "b", tmp_path, advskew=100, after=a) as b:
        wait_until(lambda: a.is_in("MASTER") and b.is_in("BACKUP"), STARTED_S)
        with Capture(segment, tmp_path) as capture:
            time.sleep(2)
            segment.unplug("a")
            wait_until(lambda: b.is_in("MASTER"), 5)
            capture.stop()

    last_s = adverts(capture.file, A)[-1][0]
    first_s = adverts(capture.file, B)[0][0]
    assert 3.39 <= first_s - last_s <= 3.6


def test_a_takeover_is_announced_by_gratuitous_arp(segment: Segment, tmp_path: Path) -> None:
    with Capture(segment, tmp_path) as capture, Pycarp(segment, "a", tmp_path) as a:
        wait_until(lambda: a.is_in("MASTER") and a.has_address(), STARTED_S)
        time.sleep(0.5)
        capture.stop()

    packets = [frame for _at_s, frame in timed_frames(capture.file)]
    arps = [arp.decode(each[14:]) for each in packets if ethernet.decode(each).ethertype == ethernet.ETHERTYPE_ARP]
    announced = [each for each in arps if each.sender == each.target == IPv4Address(SHARED)]
    assert {each.operation for each in announced} == {arp.Operation.REQUEST, arp.Operation.REPLY}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_makes_it_leave_within_a_second(segment: Segment, tmp_path: Path, number: signal.Signals) -> None:
    with Pycarp(segment, "a", tmp_path) as a:
        wait_until(lambda: a.is_in("MASTER") and a.has_address(), STARTED_S)
        with Capture(segment, tmp_path) as capture:
            a.process.send_signal(number)
            a.process.wait(1)
            time.sleep(0.2)
            capture.stop()

        assert a.process.returncode == 0
        assert not a.has_address()
        assert not a.control.exists()
        assert adverts(capture.file, A)[-1][1].is_bow_out


def test_after_sigterm_the_address_moves_within_100_ms(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as a, Pycarp(segment, "b", tmp_path, advskew=100, after=a) as b:
        wait_until(lambda: a.is_in("MASTER") and b.status.master == A, STARTED_S)
        told_at_s = time.time()
        a.process.terminate()
        wait_until(b.has_address, 2)

        change = b.status.last_change
        assert change is not None
        assert datetime.datetime.fromisoformat(change.at).timestamp() - told_at_s < 0.1


def test_nothing_of_a_killed_daemon_is_left(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as a:
        wait_until(lambda: a.is_in("MASTER") and a.has_address(), STARTED_S)
        a.process.kill()
        a.process.wait(1)

        wait_until(lambda: not a.has_address(), 1)
        wait_until(lambda: "carp0" not in segment.run("a", ["ip", "link"]), 10)


def test_what_a_daemon_and_its_guardian_left_is_cleaned_up_by_the_next(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as a:
        wait_until(lambda: a.is_in("MASTER") and a.has_address(), STARTED_S)
        a.process.send_signal(signal.SIGSTOP)
        for pid in children(a.process.pid):
            os.kill(pid, signal.SIGKILL)
        a.process.kill()
        a.process.wait(1)
        assert "carp0" in segment.run("a", ["ip", "link"])

    with Pycarp(segment, "a", tmp_path) as again:
        wait_until(lambda: again.is_in("BACKUP"), STARTED_S)

        assert not again.has_address()
        assert again.lines("left by an earlier run: removed device carp0")


def test_the_handbook_s_own_command_makes_a_master_bow_out(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as a, Pycarp(segment, "b", tmp_path, advskew=100, after=a) as b:
        wait_until(lambda: a.is_in("MASTER") and b.status.master == A, STARTED_S)
        segment.run("a", ["sh", "-c", "ip link set carp0 down && ip link set carp0 up"])

        wait_until(lambda: b.is_in("MASTER") and a.is_in("BACKUP"), 1)
        assert (a.has_address(), b.has_address()) == (False, True)


def test_a_host_that_is_set_down_shows_it_on_its_device(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as a:
        wait_until(lambda: a.is_in("MASTER") and a.has_address(), STARTED_S)
        a.set(is_up=False)
        wait_until(lambda: "state DOWN" in segment.run("a", ["ip", "link", "show", "carp0"]), 1)
        segment.run("a", ["ip", "link", "set", "carp0", "up"])

        wait_until(lambda: a.is_in("BACKUP"), 1)


@pytest.mark.parametrize("transports", [("raw", "raw"), ("raw", "packet"), ("packet-real-mac", "raw")], ids=str)
def test_every_transport_talks_to_every_other(segment: Segment, tmp_path: Path, transports: tuple[str, str]) -> None:
    first, second = transports
    with (
        Pycarp(segment, "a", tmp_path, options=("--transport", first)) as a,
        Pycarp(segment, "b", tmp_path, advskew=100, options=("--transport", second), after=a) as b,
    ):
        wait_until(lambda: a.is_in("MASTER") and b.is_in("BACKUP") and b.status.master == A, STARTED_S)
        a.process.terminate()

        wait_until(lambda: b.is_in("MASTER") and b.has_address(), 1)


@pytest.mark.parametrize(
    ("password", "address"),
    [("another", f"{SHARED}/24"), (PASSWORD, "192.168.1.51/24")],
    ids=["password", "addresses"],
)
def test_peers_that_do_not_agree_are_told_so_in_one_line(
    segment: Segment, tmp_path: Path, password: str, address: str
) -> None:
    with (
        Pycarp(segment, "a", tmp_path) as a,
        Pycarp(segment, "b", tmp_path, advskew=100, password=password, address=address) as b,
    ):
        wait_until(lambda: a.is_in("MASTER") and b.is_in("MASTER"), STARTED_S)
        time.sleep(3)

        (line,) = b.lines("not authentic")
        assert f"from {A}" in line
        assert "give both hosts the same pass and the same shared addresses" in line


@pytest.mark.parametrize("lack", ["-net_raw,-net_admin", "-net_raw", "-net_admin"])
def test_without_permission_it_says_what_to_do(segment: Segment, tmp_path: Path, lack: str) -> None:
    """A host that may send but not hold addresses would be MASTER of an address that nobody answers for."""
    refused = Pycarp(segment, "a", tmp_path)
    run = [sys.executable, "-m", "pycarp", "run", "--rc-conf", str(tmp_path / "a.rc.conf")]
    run += ["--control", str(refused.control)]
    powerless = ["setpriv", f"--bounding-set={lack}", f"--inh-caps={lack}"]

    argv = segment.exec_argv("a", [*powerless, *run])
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode == 1
    assert "run as root or give" in done.stderr
    assert "Traceback" not in done.stderr


def test_down_and_up_give_the_address_back_to_its_owner(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "b", tmp_path, advskew=100) as provider:
        wait_until(lambda: provider.is_in("MASTER"), STARTED_S)
        with Pycarp(segment, "a", tmp_path) as owner:
            wait_until(lambda: owner.is_in("BACKUP") and owner.status.master == B, STARTED_S)

            provider.set(is_up=False)
            provider.set(is_up=True)

            wait_until(lambda: owner.is_in("MASTER") and owner.has_address(), 1)
            wait_until(lambda: provider.is_in("BACKUP") and not provider.has_address(), 1)


def test_fifty_virtual_hosts_leave_within_a_second_too(segment: Segment, tmp_path: Path) -> None:
    names = [f"carp{number}" for number in range(50)]
    lines = [f'cloned_interfaces="{" ".join(names)}"']
    lines += [f'ifconfig_{name}="vhid {n} pass s 192.168.1.{100 + n}/24"' for n, name in enumerate(names, 1)]
    with Pycarp(segment, "a", tmp_path, rc_conf="\n".join(lines) + "\n") as a:
        wait_until(lambda: all(a.has_address(f"192.168.1.{100 + n}") for n in (1, 25, 50)), STARTED_S)

        a.process.terminate()
        a.process.wait(1.5)

        assert a.process.returncode == 0
        assert "192.168.1.1" not in segment.run("a", ["ip", "-4", "-o", "addr", "show", "dev", "fxp0", "secondary"])
        assert a.has_address(A)


def test_a_request_that_cannot_be_right_is_wrong_usage(segment: Segment, tmp_path: Path) -> None:
    with Pycarp(segment, "a", tmp_path) as a:
        wait_until(lambda: a.is_in("BACKUP"), STARTED_S)

        with pytest.raises(UsageError, match="advskew 300 is outside 0-254"):
            request(a.control, IfconfigRequest(host="carp0", advskew=300), DoneReply)
