"""What does not fit between machines is found from their settings."""

from dataclasses import replace
from ipaddress import ip_interface
from typing import Any

import pytest
from msgspec import structs

from pycarp.dialects import by_name
from pycarp.placement.share import SyncGroupConfig
from pycarp.sim.faults.configuration_conflicts import ConfigurationConflict, configuration_conflicts
from pycarp.sim.faults.experiments import masters_at_rest
from pycarp.sim.faults.fault_plan import Member
from tests.support.topologies import topology_of


def two(**of_second: Any) -> tuple[Member, Member]:
    """Return two machines of which the second has other settings."""
    one, other = topology_of(2)
    return one, structs.replace(other, hosts=(replace(other.hosts[0], **of_second),))


def test_machines_that_fit_are_not_spoken_of() -> None:
    assert configuration_conflicts(topology_of(3)) == ()


@pytest.mark.parametrize(
    ("settings", "conflict", "words"),
    [
        ({"passphrase": "another"}, ConfigurationConflict.PASSWORD, "the passwords differ"),
        (
            {"addresses": ("192.168.1.51/24",)},
            ConfigurationConflict.ADDRESSES,
            "192.168.1.50 only on a, 192.168.1.51 only on b",
        ),
        (
            {"addresses": ("192.168.1.50/24", "192.168.1.51/24")},
            ConfigurationConflict.ADDRESSES,
            "192.168.1.51 only on b",
        ),
    ],
)
def test_hosts_that_are_deaf_to_each_other_are_found(
    settings: dict[str, Any], conflict: ConfigurationConflict, words: str
) -> None:
    members = two(**settings)
    (finding,) = configuration_conflicts(members)

    assert (finding.conflict, finding.is_deafness, finding.machines) == (conflict, True, ("a", "b"))
    assert words in finding.words
    assert set(map(len, masters_at_rest(members).values())) == {2}


def test_a_prefix_length_makes_no_difference() -> None:
    assert configuration_conflicts(two(addresses=(ip_interface("192.168.1.50/32"),))) == ()


def test_other_multicast_groups_are_found() -> None:
    (finding,) = configuration_conflicts(two(multicast_group="224.0.0.99"))

    assert (finding.conflict, finding.is_deafness) == (ConfigurationConflict.WAY, True)


def test_peers_on_one_side_only_are_found() -> None:
    (finding,) = configuration_conflicts(two(peers=("192.168.1.1",)))

    assert finding.words == "vhid 1 of a and b: b sends to peers and a to a group"


def test_dialects_that_cannot_share_addresses_are_found() -> None:
    members = topology_of(2, addresses=("2001:db8::50/64",))
    other = structs.replace(members[1], hosts=(replace(members[1].hosts[0], dialect=by_name("netbsd")),))
    (finding,) = configuration_conflicts((members[0], other))

    assert finding.conflict is ConfigurationConflict.DIALECT
    assert finding.is_deafness


def test_equal_claims_are_found() -> None:
    (finding,) = configuration_conflicts(two(advskew=0))

    assert finding.conflict is ConfigurationConflict.EQUAL_CLAIM
    assert not finding.is_deafness
    assert "both have advbase 1 and advskew 0" in finding.words


def test_a_master_that_is_too_slow_for_the_others_is_found() -> None:
    (finding,) = configuration_conflicts(two(advbase=10))

    assert finding.conflict is ConfigurationConflict.TOO_SLOW
    assert "b advertises every 10.391 s, a waits 3.000 s" in finding.words


def test_a_virtual_host_that_nobody_inherits_is_found() -> None:
    one, other = topology_of(2)
    more = structs.replace(
        one, hosts=(*one.hosts, replace(one.hosts[0], vhid=2, addresses=(ip_interface("192.168.1.51/24"),), name=""))
    )
    (finding,) = configuration_conflicts((more, other))

    assert finding.words == "vhid 2 is on a alone: nobody takes over from it"


def test_what_makes_two_masters_is_told_first() -> None:
    members = two(advskew=0, passphrase="another")

    assert [each.conflict for each in configuration_conflicts(members)] == [
        ConfigurationConflict.PASSWORD,
        ConfigurationConflict.EQUAL_CLAIM,
    ]


def test_passwords_are_never_told() -> None:
    assert not any("another" in repr(each) for each in configuration_conflicts(two(passphrase="another")))


def grouped(*, skews: tuple[tuple[int, int], tuple[int, int]], also_on_b: bool = True) -> tuple[Member, ...]:
    """Return two machines with two virtual hosts each, which are a group on a, and on b."""
    made = []
    for member, (first, second), is_grouped in zip(topology_of(2), skews, (True, also_on_b), strict=True):
        leader = replace(member.hosts[0], advskew=first)
        other = replace(leader, vhid=2, addresses=(ip_interface("192.168.1.60/24"),), advskew=second, name="")
        groups = (SyncGroupConfig(name="router", hosts=(leader.key, other.key)),) if is_grouped else ()
        made.append(structs.replace(member, hosts=(leader, other), groups=groups))
    return tuple(made)


def test_a_group_whose_hosts_prefer_different_machines_is_named() -> None:
    (finding,) = configuration_conflicts(grouped(skews=((0, 100), (100, 0))))

    a, b = (member.name for member in topology_of(2))
    assert (finding.conflict, finding.is_deafness) == (ConfigurationConflict.PREFERENCES, False)
    assert f"prefers {a} for vhid 1, {b} for vhid 2" in finding.words


def test_a_group_that_only_one_machine_has_is_named() -> None:
    (finding,) = configuration_conflicts(grouped(skews=((0, 0), (100, 100)), also_on_b=False))

    assert finding.conflict is ConfigurationConflict.GROUPS
    assert finding.machines == (topology_of(2)[1].name,)


def test_a_group_that_all_machines_have_and_prefer_alike_has_no_conflict() -> None:
    assert configuration_conflicts(grouped(skews=((0, 0), (100, 100)))) == ()
