"""The same machines with another advbase."""

import pytest

from pycarp.dialects import by_name
from pycarp.errors import ConfigError
from pycarp.sim.faults.advbase_sweep import ADVBASES, AdvbaseVariant, with_advbase
from tests.support.topologies import topology_of


def test_an_advbase_leaves_the_advskews() -> None:
    hosts = [member.hosts[0] for member in with_advbase(topology_of(3), AdvbaseVariant(advbase=5))]

    assert [(host.advbase, host.advskew) for host in hosts] == [(5, 0), (5, 100), (5, 200)]


def test_without_advbase_the_advskews_are_steps_in_the_order_of_eagerness() -> None:
    a, b, c = topology_of(3)
    hosts = {member.name: member.hosts[0] for member in with_advbase((c, a, b), AdvbaseVariant(advbase=0, step=25))}

    assert {name: (host.advbase, host.advskew) for name, host in hosts.items()} == {
        "a": (0, 25),
        "b": (0, 50),
        "c": (0, 75),
    }


def test_a_dialect_may_forbid_a_advbase() -> None:
    with pytest.raises(ConfigError, match="advbase 0 is outside"):
        with_advbase(topology_of(2, dialect=by_name("freebsd")), AdvbaseVariant(advbase=0, step=25))


def test_advbases_go_from_the_fastest_to_the_slowest() -> None:
    speeds = [variant.advbase * 256 + variant.step for variant in ADVBASES]

    assert speeds == sorted(speeds)
