"""Advertisements of a host whose addresses are on the link itself leave from the MAC address of the link."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from msgspec import structs

from pycarp import dialects
from pycarp.actuators import NullActuator
from pycarp.aio.source_mac import SourceMacs
from pycarp.core.host_config import HostConfig
from pycarp.vocabulary import Family, HostKey, MacMode, Outgoing
from pycarp.wire.ethernet import virtual_mac
from tests.support.nodes import config


class Answering(NullActuator):
    """Returns a fixed MAC mode."""

    def __init__(self, mode: MacMode | None) -> None:
        self._mode = mode

    def mac_mode(self, key: HostKey) -> MacMode | None:
        return self._mode


def advert(host: HostConfig) -> Outgoing:
    return Outgoing(
        link=host.interface,
        family=Family.IPV4,
        source=IPv4Address("192.0.2.1"),
        destination=IPv4Address("224.0.0.18"),
        tos=0x10,
        identification=None,
        source_mac=host.dialect.source_mac(host.vhid),
        payload=bytes(36),
    )


@pytest.mark.parametrize(
    ("found", "said", "is_replaced"),
    [
        (MacMode.INTERFACE, MacMode.AUTO, True),
        (MacMode.INTERFACE, MacMode.INTERFACE, True),
        (MacMode.VIRTUAL, MacMode.AUTO, False),
        (None, MacMode.INTERFACE, True),
        (None, MacMode.AUTO, False),
        (None, None, False),
    ],
)
@pytest.mark.parametrize("dialect", [dialects.UNIVERSAL, dialects.UCARP])
def test_what_was_found_counts_more_than_what_was_said(
    found: MacMode | None, said: MacMode | None, dialect: dialects.Dialect, is_replaced: bool
) -> None:
    host = replace(config(), mac_mode=said, dialect=dialect)
    macs = SourceMacs(Answering(found))
    macs.note(host)

    assert macs.applied(advert(host)).source_mac == (None if is_replaced else dialect.source_mac(host.vhid))


def test_other_hosts_and_links_are_not_touched() -> None:
    host = replace(config(), mac_mode=MacMode.INTERFACE)
    macs = SourceMacs(NullActuator())
    macs.note(host)
    sent = advert(host)
    others = [structs.replace(sent, link="eth9"), structs.replace(sent, source_mac=virtual_mac(host.vhid + 1))]

    assert [macs.applied(each) for each in others] == others


def test_a_host_that_left_is_forgotten() -> None:
    host = replace(config(), mac_mode=MacMode.INTERFACE)
    macs = SourceMacs(NullActuator())
    macs.note(host)
    macs.forget(host.key)

    assert macs.applied(advert(host)) == advert(host)
