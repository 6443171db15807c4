"""ucarp in place: what it takes from this machine when its command line does not say it."""

from ipaddress import IPv4Interface

import pytest

from pycarp.config.ucarp_options import parse
from pycarp.daemon import ucarp_daemon
from pycarp.errors import ConfigError
from pycarp.vocabulary import LinkFacts

COMMAND = parse(["--srcip=10.0.0.2", "--vhid=1", "--pass=x", "--addr=10.0.0.1"])
LOOPBACK = LinkFacts(name="lo", is_up=True)
OTHER = LinkFacts(name="eth0", is_up=True)
OWNER = LinkFacts(name="eth1", is_up=True, addresses=(IPv4Interface("10.0.0.2/24"),))


@pytest.mark.parametrize(
    ("found", "expected"),
    [((LOOPBACK, OTHER, OWNER), "eth1"), ((LOOPBACK, OTHER), "eth0"), ((LOOPBACK, OWNER), "eth1")],
)
def test_without_an_interface_the_owner_of_the_address_counts_then_the_first(
    found: tuple[LinkFacts, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ucarp_daemon, "interfaces", lambda: found)

    assert ucarp_daemon.first_interface(COMMAND) == expected


def test_on_a_machine_without_interfaces_one_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ucarp_daemon, "interfaces", lambda: (LOOPBACK,))

    with pytest.raises(ConfigError, match="You must supply a network interface: --interface=eth0"):
        ucarp_daemon.first_interface(COMMAND)
