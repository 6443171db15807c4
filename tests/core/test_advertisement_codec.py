"""The voice and the ear of a virtual host: signing, authenticating and counting."""

from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from pycarp.core.advertisement_codec import AdvertisementCodec
from pycarp.dialects import ALL, FREEBSD, UNIVERSAL, Claim, Dialect
from pycarp.vocabulary import CARP_GROUPS, NS_PER_S, Address, Family, Outgoing
from pycarp.wire import advertisement as wire
from tests.support.hosts import advert, config

OWN = IPv4Address("192.168.1.3")
CLAIM = Claim(advbase=1, advskew=100)
SOURCES: tuple[Address, ...] = (OWN,)


def codec(
    dialect: Dialect = UNIVERSAL, *, vhid: int = 1, entropy: Callable[[], int] = lambda: 77
) -> AdvertisementCodec:
    return AdvertisementCodec(config(dialect=dialect, vhid=vhid), entropy)


def sent(voice: AdvertisementCodec, claim: Claim = CLAIM) -> Outgoing:
    (outgoing,) = voice.compose(claim, SOURCES, 0)
    return outgoing


def said(voice: AdvertisementCodec, claim: Claim = CLAIM) -> wire.Advertisement:
    return wire.decode(sent(voice, claim).payload)


def heard(*, counter: int = 7, passphrase: str = "testpass") -> wire.Advertisement:
    return wire.decode(advert(counter=counter, passphrase=passphrase).payload)


def test_an_advertisement_says_the_claim() -> None:
    spoken = said(codec(vhid=9), Claim(advbase=3, advskew=100, demote=5))

    assert (spoken.vhid, spoken.advbase, spoken.advskew, spoken.demote) == (9, 3, 100, 5)


def test_an_advertisement_goes_from_our_source_to_the_group() -> None:
    outgoing = sent(codec())

    assert (outgoing.link, outgoing.source, outgoing.destination) == ("fxp0", OWN, CARP_GROUPS[Family.IPV4])


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_its_envelope_is_the_dialects(dialect: Dialect) -> None:
    outgoing = sent(codec(dialect, vhid=9))

    assert (outgoing.tos, outgoing.identification) == (dialect.tos, dialect.identification)
    assert outgoing.source_mac == dialect.source_mac(9)


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_every_dialect_accepts_what_every_dialect_says(dialect: Dialect) -> None:
    for other in ALL:
        assert codec(dialect).accepts(said(codec(other)), 0)


def test_another_passphrase_is_not_accepted() -> None:
    assert not codec().accepts(heard(passphrase="another"), 0)


def test_counters_are_random_until_a_peer_was_heard() -> None:
    """Source: carp.md 1.5."""
    numbers = iter([5, 900, 3])
    voice = codec(FREEBSD, entropy=lambda: next(numbers))

    assert [said(voice).counter for _ in range(3)] == [5, 900, 3]


def test_a_universal_host_counts_up_even_if_it_never_heard_a_peer() -> None:
    """So that its peers know in a flood what it will send next."""
    numbers = iter([5, 900, 3])
    voice = codec(entropy=lambda: next(numbers))

    assert [said(voice).counter for _ in range(3)] == [5, 6, 7]


def test_the_next_digests_of_a_peer_are_expected() -> None:
    peer, voice = codec(entropy=lambda: 5), codec()
    voice.identify(said(peer), ())

    expected = voice.expected(2).upcoming

    assert expected == (said(peer).digest, said(peer).digest)


def test_what_is_signed_the_previous_way_is_expected_while_it_is_accepted() -> None:
    peer, voice = codec(entropy=lambda: 5), codec()
    voice.identify(said(peer), ())
    voice.reconfigure(config(passphrase="another"), 0, rolling_ns=NS_PER_S)

    assert said(peer).digest in voice.expected(1).upcoming


def test_counters_go_on_from_the_peers() -> None:
    voice = codec()
    voice.identify(heard(counter=41), ())

    assert [said(voice).counter for _ in range(2)] == [42, 43]


def test_the_counter_of_a_late_copy_is_not_adopted() -> None:
    """Otherwise the next advertisement would be the same as the last one, and taken for a copy of it."""
    voice = codec()
    for counter in (41, 43, 41):
        voice.identify(heard(counter=counter), ())

    assert said(voice).counter == 44


def test_the_counter_of_a_forged_advertisement_is_not_adopted() -> None:
    voice = codec()
    voice.accepts(heard(counter=41, passphrase="another"), 0)

    assert said(voice).counter == 77


def test_peers_are_awaited_in_the_families_of_the_shared_addresses() -> None:
    assert codec().awaited(0) == (Family.IPV4,)


def test_the_repr_does_not_show_the_secret() -> None:
    assert "testpass" not in repr(codec())
