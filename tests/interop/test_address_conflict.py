"""A neighbour that has a shared address already is warned of, and nobody waits for that."""

import json
from pathlib import Path

import pytest

from tests.support.daemons import SHARED, Pycarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

SHARED6 = "fd77::50"


def test_the_mac_address_of_a_stranger_is_in_log_and_status_and_peers_are_none(tmp_path: Path) -> None:
    require("ip")
    with new_segment(hosta="192.168.1.1/24", hostb="192.168.1.2/24", stranger=f"{SHARED}/24") as segment:
        for host, own in (("hosta", "fd77::1"), ("hostb", "fd77::2"), ("stranger", SHARED6)):
            segment.run(host, ["ip", "addr", "add", f"{own}/64", "dev", "fxp0", "nodad"])
        (link,) = json.loads(segment.run("stranger", ["ip", "-j", "link", "show", "dev", "fxp0"]))
        lines = ('cloned_interfaces="carp0"', 'ifconfig_carp0="vhid 1 advskew {} pass x 192.168.1.50/24"')
        both = "\n".join((*lines, f'ifconfig_carp0_alias0="inet6 {SHARED6} prefixlen 64"\n'))
        first = Pycarp(segment, "hosta", tmp_path, rc_conf=both.format(0))
        second = Pycarp(segment, "hostb", tmp_path, rc_conf=both.format(100))
        with first, second:
            wait_until(lambda: first.is_in("MASTER"), 8)
            assert first.status.warnings == []
            wait_until(lambda: len(first.status.warnings) == len(second.status.warnings) == 2, 8)
            for daemon in (first, second):
                told = daemon.status.warnings
                assert [each.split()[0] for each in told] == [link["address"]] * 2
                assert {each.split()[3].strip(",") for each in told} == {SHARED, SHARED6}
                assert [len(daemon.lines(each)) for each in told] == [1, 1]
