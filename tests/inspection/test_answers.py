"""Who answers for an address is explained by the groups that were heard."""

from collections.abc import Mapping
from ipaddress import ip_address

import pytest

from pycarp.inspection.answers import Answer, answers_of
from pycarp.inspection.scan import Scan
from pycarp.inspection.scan_report import ScanReport
from pycarp.vocabulary import NS_PER_S, Address, Family, MacAddress
from pycarp.wire import ethernet
from tests.support.carp_packets import ONE, SHARED, TWO, VHID, Macs, captured, frame, ip_packet, payload
from tests.support.vrrp_packets import Version3

REAL = MacAddress.parse("02:00:00:00:00:01")
ANNOUNCED = ip_address("192.168.1.0")


def heard(*packets: tuple[bytes, Address, MacAddress]) -> ScanReport:
    scan = Scan()
    for octets, source, mac in packets:
        scan.add(captured(frame(ip_packet(octets, source=source), Macs(source=mac))))
    return scan.report(NS_PER_S)


def the_answer(
    mac: MacAddress,
    report: ScanReport,
    *,
    address: Address = SHARED,
    device: str | None = None,
    known: Mapping[Address, set[MacAddress]] | None = None,
) -> Answer:
    (found,) = answers_of(address, {mac: device}, report=report, known=known or {})
    return found


def test_a_virtual_mac_is_that_of_its_master() -> None:
    found = the_answer(ethernet.virtual_mac(VHID), heard((payload(), ONE, ethernet.virtual_mac(VHID))))

    assert found.words == "192.168.1.10, MASTER of vhid 7"


def test_a_virtual_mac_of_a_master_that_was_not_heard_says_its_id() -> None:
    assert the_answer(ethernet.virtual_mac(9), heard()).words == (
        "the virtual MAC address of vhid or VRID 9, whose MASTER was not heard"
    )


def test_a_host_that_advertises_from_another_mac_is_known_by_its_own_address() -> None:
    """ucarp advertises from a MAC address that nobody has, and answers with its own."""
    report = heard((payload(), TWO, ethernet.ucarp_mac(VHID)))

    assert the_answer(REAL, report, known={TWO: {REAL}}).words == "192.168.1.11, MASTER of vhid 7"
    assert the_answer(REAL, report).words == ""


def test_the_master_of_several_groups_is_that_of_the_one_that_announces_the_address() -> None:
    report = heard((payload(), ONE, REAL), (Version3(count=1, source=ONE).octets(), ONE, REAL))

    assert the_answer(REAL, report, address=ANNOUNCED).words == "192.168.1.10, MASTER of VRID 51"
    assert the_answer(REAL, report).words == "192.168.1.10, MASTER of vhid 7; 192.168.1.10, MASTER of VRID 51"


def test_this_machine_is_called_so() -> None:
    report = heard((payload(), ONE, ethernet.virtual_mac(VHID)))

    assert the_answer(ethernet.virtual_mac(VHID), report, device="carp0").words == (
        "this machine, on carp0; 192.168.1.10, MASTER of vhid 7"
    )


def test_who_is_not_master_is_not_named() -> None:
    report = heard((payload(advbase=255, advskew=255), ONE, ethernet.virtual_mac(VHID)))

    assert "not heard" in the_answer(ethernet.virtual_mac(VHID), report).words


@pytest.mark.parametrize("family", [Family.IPV4, Family.IPV6])
def test_a_router_answers_with_the_mac_of_its_family(family: Family) -> None:
    source = ip_address("fe80::1") if family is Family.IPV6 else ONE
    report = heard((Version3(count=1, source=source).octets(), source, REAL))

    assert len(the_answer(ethernet.vrrp_mac(51, family), report).masterships) == 1


def test_every_mac_is_an_answer_in_ascending_order() -> None:
    found = answers_of(SHARED, {REAL: None, ethernet.virtual_mac(1): None}, report=heard(), known={})

    assert [each.mac for each in found] == [ethernet.virtual_mac(1), REAL]
