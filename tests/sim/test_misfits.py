"""What does not fit between machines is found from their settings."""

from dataclasses import replace
from typing import Any

import pytest

from pycarp.dialects import by_name
from pycarp.sim.experiments import masters_at_rest
from pycarp.sim.misfits import Misfit, misfits
from pycarp.sim.story import Member
from tests.support.casts import cast_of


def two(**of_second: Any) -> tuple[Member, Member]:
    """Return two machines of which the second has other settings."""
    one, other = cast_of(2)
    return one, replace(other, hosts=(replace(other.hosts[0], **of_second),))


def test_machines_that_fit_are_not_spoken_of() -> None:
    assert misfits(cast_of(3)) == ()


@pytest.mark.parametrize(
    ("settings", "misfit", "words"),
    [
        ({"passphrase": "another"}, Misfit.PASSWORD, "the passwords differ"),
        ({"addresses": ("192.168.1.51/24",)}, Misfit.ADDRESSES, "192.168.1.50 only on a, 192.168.1.51 only on b"),
        (
            {"addresses": ("192.168.1.50/24", "192.168.1.51/24")},
            Misfit.ADDRESSES,
            "192.168.1.51 only on b",
        ),
    ],
)
def test_hosts_that_are_deaf_to_each_other_are_found(settings: dict[str, Any], misfit: Misfit, words: str) -> None:
    members = two(**settings)
    (finding,) = misfits(members)

    assert (finding.misfit, finding.is_deafness, finding.machines) == (misfit, True, ("a", "b"))
    assert words in finding.words
    assert set(map(len, masters_at_rest(members).values())) == {2}


def test_a_prefix_length_makes_no_difference() -> None:
    assert misfits(two(addresses=("192.168.1.50/32",))) == ()


def test_other_multicast_groups_are_found() -> None:
    (finding,) = misfits(two(multicast_group="224.0.0.99"))

    assert (finding.misfit, finding.is_deafness) == (Misfit.WAY, True)


def test_peers_on_one_side_only_are_found() -> None:
    (finding,) = misfits(two(peers=("192.168.1.1",)))

    assert finding.words == "vhid 1 of a and b: b sends to peers and a to a group"


def test_dialects_that_cannot_share_addresses_are_found() -> None:
    members = cast_of(2, addresses=("2001:db8::50/64",))
    other = replace(members[1], hosts=(replace(members[1].hosts[0], dialect=by_name("netbsd")),))
    (finding,) = misfits((members[0], other))

    assert finding.misfit is Misfit.DIALECT
    assert finding.is_deafness


def test_equal_claims_are_found() -> None:
    (finding,) = misfits(two(advskew=0))

    assert finding.misfit is Misfit.EQUAL_CLAIM
    assert not finding.is_deafness
    assert "both have advbase 1 and advskew 0" in finding.words


def test_a_master_that_is_too_slow_for_the_others_is_found() -> None:
    (finding,) = misfits(two(advbase=10))

    assert finding.misfit is Misfit.TOO_SLOW
    assert "b advertises every 10.391 s, a waits 3.000 s" in finding.words


def test_a_virtual_host_that_nobody_inherits_is_found() -> None:
    one, other = cast_of(2)
    more = replace(one, hosts=(*one.hosts, replace(one.hosts[0], vhid=2, addresses=("192.168.1.51/24",), name="")))
    (finding,) = misfits((more, other))

    assert finding.words == "vhid 2 is on a alone: nobody takes over from it"


def test_what_makes_two_masters_is_told_first() -> None:
    members = two(advskew=0, passphrase="another")

    assert [each.misfit for each in misfits(members)] == [Misfit.PASSWORD, Misfit.EQUAL_CLAIM]


def test_passwords_are_never_told() -> None:
    assert not any("another" in repr(each) for each in misfits(two(passphrase="another")))
