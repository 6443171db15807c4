"""A switch that drops frames from any MAC address but the port's own does not make two MASTERs."""

import json
from pathlib import Path

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import HandoverReply, HandoverRequest
from pycarp.lab.lab_network import Segment
from tests.support.daemons import SHARED, Pycarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

OWN = {"hosta": "192.168.1.1/24", "hostb": "192.168.1.2/24"}
GATEWAY = "192.168.1.254"


def secure(segment: Segment) -> None:
    """Let each port take frames from its host's own MAC address only, and let the hosts know a neighbour."""
    for host in OWN:
        (link,) = json.loads(segment.run(host, ["ip", "-j", "link", "show", "dev", "fxp0"]))
        segment.run("switch", ["bridge", "fdb", "replace", link["address"], "dev", host, "master", "static"])
        segment.run("switch", ["bridge", "link", "set", "dev", host, "locked", "on", "learning", "off"])
        segment.run(host, ["ip", "route", "add", "default", "via", GATEWAY])


@pytest.fixture
def segment() -> Segment:
    require("ip", "bridge")
    return new_segment(switch_address=f"{GATEWAY}/24", **OWN)


def test_advertisements_leave_from_the_mac_address_that_answers(segment: Segment, tmp_path: Path) -> None:
    """One host is told, the other finds out; each is heard by the other."""
    with segment:
        secure(segment)
        told = Pycarp(segment, "hosta", tmp_path, options=("--mac-mode", "interface"))
        finds_out = Pycarp(segment, "hostb", tmp_path, advskew=100)
        with told, finds_out:
            wait_until(lambda: finds_out.is_in("BACKUP") and finds_out.status.master == "192.168.1.1", 8)
            assert told.status.warnings == finds_out.status.warnings == []
            done = request(told.control, HandoverRequest(host="carp0", timeout_s=2), HandoverReply)
            assert done.master == "192.168.1.2"
            # The guardian's bow-out leaves from there as well.
            wait_until(lambda: finds_out.has_address(SHARED), 2)
            finds_out.process.kill()
            assert wait_until(lambda: told.has_address(SHARED), 8) < 2


def test_a_transport_that_contradicts_is_said_once(segment: Segment, tmp_path: Path) -> None:
    with segment:
        secure(segment)
        with Pycarp(segment, "hosta", tmp_path, options=("--transport", "packet")) as daemon:
            wait_until(lambda: daemon.is_in("BACKUP"), 5)
            (warning,) = daemon.status.warnings

            assert "transport packet sends from 00:00:5e:00:01:01" in warning
            assert len(daemon.lines(warning)) == 1
