"""Two hosts on one wire: they settle on one MASTER, also where their claims are equal and their packets cross."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycarp.dialects import ALL, NETBSD, UNIVERSAL, Dialect
from pycarp.vocabulary import NS_PER_S
from tests.support.hosts import LINK, config, seconds
from tests.support.segment import Segment

LATENCY_NS = 50_000
LOWER, HIGHER = "192.168.1.3/24", "192.168.1.5/24"

every_order = pytest.mark.parametrize(
    "addresses", [(LOWER, HIGHER), (HIGHER, LOWER)], ids=["we have the lower address", "we have the higher address"]
)
every_peer = pytest.mark.parametrize("peer", ALL, ids=lambda dialect: dialect.name)
every_offset = pytest.mark.parametrize(
    "offset_ns",
    [0, LATENCY_NS // 2, LATENCY_NS, 2 * LATENCY_NS, NS_PER_S // 2],
    ids=["at the same instant", "crossing", "just not crossing", "soon after", "half an interval later"],
)


def segment(
    *, peer: Dialect, addresses: tuple[str, str], offset_ns: int, is_cut: bool, latency_ns: int = LATENCY_NS
) -> Segment:
    """Return a universal host and a peer of equal claim that joined ``offset_ns`` later."""
    made = Segment(latency_ns=latency_ns)
    if is_cut:
        made.deafen("we", "peer")
    made.join("we", config(), own=addresses[0])
    made.run(until_ns=offset_ns)
    made.join("peer", config(dialect=peer), own=addresses[1])
    return made


def settled(made: Segment) -> tuple[int, int]:
    """Return how many are MASTER in half a minute, and how many changes there are in the ten seconds after."""
    made.run(until_ns=made.now_ns + seconds(30))
    masters, before = len(made.masters), len(made.changes)
    made.run(until_ns=made.now_ns + seconds(10))
    return masters, len(made.changes) - before


@every_peer
@every_order
@every_offset
def test_equals_that_start_together_settle_on_one_master(
    peer: Dialect, addresses: tuple[str, str], offset_ns: int
) -> None:
    made = segment(peer=peer, addresses=addresses, offset_ns=offset_ns, is_cut=False)

    assert settled(made) == (1, 0)


@every_peer
@every_order
@every_offset
def test_equals_that_were_parted_settle_on_one_master(
    peer: Dialect, addresses: tuple[str, str], offset_ns: int
) -> None:
    made = segment(peer=peer, addresses=addresses, offset_ns=offset_ns, is_cut=True)
    made.run(until_ns=seconds(10))
    parted = made.masters
    made.heal()

    assert (parted, settled(made)) == (["we", "peer"], (1, 0))


@every_order
def test_two_universal_hosts_leave_it_to_the_one_with_the_lower_address(addresses: tuple[str, str]) -> None:
    made = segment(peer=UNIVERSAL, addresses=addresses, offset_ns=NS_PER_S // 2, is_cut=True)
    made.run(until_ns=seconds(10))
    made.heal()
    made.run(until_ns=seconds(12))

    assert made.masters == ["we" if addresses[0] == LOWER else "peer"]


@settings(max_examples=60, deadline=None)
@given(
    peer=st.sampled_from(ALL),
    addresses=st.permutations([LOWER, HIGHER]),
    offset_ns=st.integers(0, 2 * NS_PER_S),
    latency_ns=st.integers(1, NS_PER_S // 25),
    is_cut=st.booleans(),
    healed_after_ns=st.integers(0, 10 * NS_PER_S),
)
def test_equals_settle_whatever_the_moment_and_the_delay(
    *, peer: Dialect, addresses: list[str], offset_ns: int, latency_ns: int, is_cut: bool, healed_after_ns: int
) -> None:
    """The delay stays below half the grace of the tie rule; no segment is slower."""
    ours, theirs = addresses
    made = segment(peer=peer, addresses=(ours, theirs), offset_ns=offset_ns, is_cut=is_cut, latency_ns=latency_ns)
    made.run(until_ns=made.now_ns + healed_after_ns)
    made.heal()

    assert settled(made) == (1, 0)


@every_peer
def test_the_faster_of_two_that_were_parted_stays_master(peer: Dialect) -> None:
    made = Segment(latency_ns=LATENCY_NS)
    made.deafen("we", "peer")
    made.join("we", config(advskew=100), own=LOWER)
    made.join("peer", config(dialect=peer), own=HIGHER)
    made.run(until_ns=seconds(10))
    made.heal()
    made.run(until_ns=seconds(12))

    assert made.masters == ["peer"]


def test_two_hosts_of_netbsd_with_crossing_packets_both_yield() -> None:
    """Source: carp.md 5.1; it is why the universal rule keeps for a moment."""
    made = Segment(latency_ns=LATENCY_NS)
    made.deafen("a", "b")
    made.join("a", config(dialect=NETBSD), own=LOWER)
    made.join("b", config(dialect=NETBSD), own=HIGHER)
    made.run(until_ns=seconds(10) - 1)
    made.heal()
    made.run(until_ns=seconds(10) + 2 * LATENCY_NS)

    assert made.masters == []


def test_equals_settle_when_one_that_was_deaf_hears_again() -> None:
    """Their counters run side by side then, so that packets which cross have the same digest."""
    made = segment(peer=UNIVERSAL, addresses=(LOWER, HIGHER), offset_ns=NS_PER_S // 2, is_cut=False)
    made.run(until_ns=seconds(10))
    made.deafen("peer")
    made.run(until_ns=seconds(20))
    deaf = made.masters
    made.heal()
    made.fabric(LINK).delay_ns *= 2

    assert (deaf, settled(made)) == (["we", "peer"], (1, 0))


def test_equals_without_addresses_settle_on_one_master() -> None:
    """Source: carp.md 1.2, a source of 0.0.0.0 is legal."""
    made = Segment(latency_ns=LATENCY_NS)
    made.deafen("a", "b")
    made.join("a", config(), own=None)
    made.run(until_ns=NS_PER_S // 2)
    made.join("b", config(), own=None)
    made.run(until_ns=seconds(10))
    made.heal()

    assert settled(made) == (1, 0)
