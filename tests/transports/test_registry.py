"""Transports by name, and why one cannot be used."""

from collections.abc import Callable

import pytest

from pycarp import transports
from pycarp.errors import ConfigError, TransportError
from pycarp.transports.transport import Availability
from tests.support.system import require, unprivileged


def test_every_backend_is_listed_and_says_why_it_can_or_cannot_be_used() -> None:
    listed = transports.available()

    assert [each.name for each in listed] == ["packet", "packet-real-mac", "raw", "udp", "memory"]
    assert all(each.reason for each in listed)


def test_the_memory_transport_is_usable_everywhere_and_says_how() -> None:
    assert transports.available()[-1] == Availability(
        "memory", True, "usable; pass MemoryBus().port(NAME) as the transport"
    )


@pytest.mark.parametrize("choose", [transports.by_name, transports.choose])
def test_an_unknown_name_is_a_config_error_that_lists_the_known_ones(choose: Callable[[str], object]) -> None:
    with pytest.raises(ConfigError, match="unknown transport 'pigeon'; known are: auto, packet, packet-real-mac, raw"):
        choose("pigeon")


def test_a_backend_is_made_without_opening_anything() -> None:
    for name in transports.NAMES[1:]:
        assert transports.by_name(name) is not transports.by_name(name)


def test_a_name_stands_for_itself_whether_it_is_usable_or_not() -> None:
    assert transports.choose("raw") == "raw"


@pytest.mark.system
def test_root_gets_packet_for_auto() -> None:
    require()

    assert transports.choose("auto") == "packet"
    assert [each.is_usable for each in transports.available()] == [True] * 5


def test_auto_tries_no_more_transports_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    for name in ("packet", "raw"):
        usable = _usable(tried, name)
        monkeypatch.setitem(transports._BACKENDS, name, transports._BACKENDS[name]._replace(refusal=usable))

    assert transports.choose("auto") == "packet"
    assert tried == ["packet"]


@pytest.mark.system
def test_who_lacks_the_capabilities_is_told_which_and_gets_no_transport() -> None:
    require()
    with unprivileged():
        listed = transports.available()
        with pytest.raises(
            TransportError, match="no transport is usable: packet, packet-real-mac, raw: no permission"
        ) as caught:
            transports.by_name("auto")

    assert [each.is_usable for each in listed] == [False, False, False, True, True]
    assert all("CAP_NET_RAW" in each.reason for each in listed[:3])
    assert str(caught.value).count("no permission: run as root") == 1


def _usable(tried: list[str], name: str) -> Callable[[], None]:
    return lambda: tried.append(name)
