"""Mistakes that were made once: each of these failed."""

from ipaddress import ip_address

import pytest

from pycarp.auth.key import Passphrase
from pycarp.core.events import Mismatch, PeerMismatch
from pycarp.core.inputs import Action, HostRemoved, TransmitReported
from pycarp.core.state import Reason
from pycarp.dialects import FREEBSD, NETBSD, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.errors import ConfigError
from pycarp.vocabulary import MacAddress
from pycarp.wire import advertisement as wire
from tests.support.hosts import (
    KEY,
    OWN,
    advert,
    bench,
    changes,
    config,
    datagram,
    master,
    published,
    seconds,
    transmitted,
)

MAC = MacAddress.parse("02:00:00:00:00:01")


def test_send_errors_demote_also_when_a_host_has_left_meanwhile() -> None:
    """The threshold of OpenBSD falls with the number of hosts, and was jumped over."""
    other = config(dialect=OPENBSD, vhid=2, addresses=("192.168.1.60/24",))
    host = master(config(dialect=OPENBSD), other)
    for _ in range(4):
        host.feed(TransmitReported(KEY, "no buffers"))
    host.feed(HostRemoved(other.key))
    host.report(Action.DROP, key=other.key)
    host.feed(TransmitReported(KEY, "no buffers"))

    assert host.engine.snapshot().demotion == 1


def test_the_relief_of_a_more_demoted_master_is_told_as_such_with_preempt_too() -> None:
    host = bench(config(dialect=OPENBSD, preempt=True, advskew=100))

    assert [each.reason for each in changes(host.hear(advert(demote=1)))] == [Reason.MASTER_DEMOTED]


@pytest.mark.parametrize("dialect", [FREEBSD, UNIVERSAL], ids=lambda dialect: dialect.name)
def test_our_own_advertisement_is_not_told_as_that_of_an_equal_peer(dialect: Dialect) -> None:
    host = bench(config(dialect=dialect))
    (echo,) = transmitted(host.pass_time(to_ns=seconds(3)))
    effects = host.hear(datagram(wire.encode(echo), source=ip_address(OWN.partition("/")[0])))

    told = [event.mismatch for event in published(effects) if isinstance(event, PeerMismatch)]
    assert told == [Mismatch.OWN_ADDRESS]


@pytest.mark.parametrize(
    ("settings", "peers", "match"),
    [
        ({"dialect": FREEBSD, "passphrase": Passphrase.from_key(b"x" * 20)}, OPENBSD, "its key has at most 19 octets"),
        ({"dialect": OPENBSD, "lladdr": MAC}, FREEBSD, "does not sign the link-layer address"),
        ({"dialect": UCARP, "multicast_group": "239.192.0.5"}, FREEBSD, "knows the group 224.0.0.18 only"),
        ({"peers": ("192.168.1.5",)}, NETBSD, "knows no unicast peers with IPv4"),
    ],
    ids=["key", "lladdr", "group", "unicast"],
)
def test_what_a_peer_dialect_cannot_do_is_refused(settings: dict[str, object], peers: Dialect, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        config(peer_dialects=(peers,), **settings)  # type: ignore[arg-type]


def test_a_link_layer_address_is_refused_where_it_is_not_signed() -> None:
    with pytest.raises(ConfigError, match="dialect freebsd does not sign it"):
        config(dialect=FREEBSD, lladdr=MAC)
