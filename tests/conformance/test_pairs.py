"""Two hosts of any two dialects that dialects.md calls compatible share their addresses; others are refused.

Each pair is played in both orders, because the roles differ: the first is the faster one.
"""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import HostRemoved, SettingsChanged
from pycarp.core.settings import Settings
from pycarp.dialects import ALL, FREEBSD, FREEBSD9, NETBSD, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.dialects.compatibility import incompatibilities
from pycarp.errors import ConfigError
from pycarp.sim.fabric import DEFAULT_DELAY_NS
from pycarp.vocabulary import NS_PER_S
from tests.support.hosts import KEY, config, seconds
from tests.support.segment import Segment

ADDRESSES = {
    "one IPv4": ("192.168.1.50/24",),
    "several IPv4": ("192.168.1.50/24", "192.168.1.40/24"),
    "IPv6": ("2001:db8::50/64",),
    "both families": ("192.168.1.50/24", "2001:db8::50/64"),
    "IPv6 with a link-local": ("2001:db8::50/64", "fe80::50/64"),
}

_PLAIN = {UNIVERSAL, FREEBSD, FREEBSD9, OPENBSD}
_ORIGINAL = {UNIVERSAL, FREEBSD, FREEBSD9}
_SKIPPING = {UNIVERSAL, OPENBSD}

PAIRS = list(product(ALL, ALL))


def is_compatible(one: Dialect, other: Dialect, what: str) -> bool:
    """Say what the tables say: "Which profiles may share one vhid" of dialects.md, carp.md 3.6, and 14."""
    both = {one, other}
    match what:
        case "one IPv4":
            return True
        case "several IPv4":
            return UCARP not in both
        case "IPv6" | "both families":
            return both <= _PLAIN or both == {NETBSD}
        case _:
            return both <= _ORIGINAL or both <= _SKIPPING or both == {NETBSD}


CELLS = [(one, other, what) for (one, other), what in product(PAIRS, ADDRESSES)]
COMPATIBLE = [cell for cell in CELLS if is_compatible(*cell)]

SLOWER = 100
LIVELY = ("192.168.1.3/24", "fe80::3/64"), ("192.168.1.5/24", "fe80::5/64")


def title(cell: tuple[Dialect, Dialect, str]) -> str:
    return f"{cell[0].name} and {cell[1].name}, {cell[2]}"


def tuned(dialect: Dialect, what: str, **others: Any) -> HostConfig:
    return config(dialect=dialect, addresses=ADDRESSES[what], **others)


def pair(cell: tuple[Dialect, Dialect, str], *, preempt: bool = False) -> Segment:
    """Return two hosts that have settled: ``fast``, which has the lower advskew, is MASTER."""
    fast, slow, what = cell
    made = Segment(latency_ns=DEFAULT_DELAY_NS)
    made.join("fast", tuned(fast, what, preempt=preempt), own=LIVELY[0])
    made.join("slow", tuned(slow, what, preempt=preempt, advskew=SLOWER), own=LIVELY[1])
    made.run(until_ns=seconds(12))
    return made


def later(made: Segment, span_s: float) -> list[str]:
    made.run(until_ns=made.now_ns + seconds(span_s))
    return made.masters


every_compatible = pytest.mark.parametrize("cell", COMPATIBLE, ids=title)


@pytest.mark.parametrize("cell", CELLS, ids=title)
def test_the_table_is_told_from_the_fields(cell: tuple[Dialect, Dialect, str]) -> None:
    one, other, what = cell
    shared = [each.ip for each in config(addresses=ADDRESSES[what]).addresses]

    assert (incompatibilities(one, other, shared) == ()) == is_compatible(*cell)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell not in COMPATIBLE], ids=title)
def test_what_cannot_work_is_refused(cell: tuple[Dialect, Dialect, str]) -> None:
    one, other, what = cell

    with pytest.raises(ConfigError, match=r"cannot share|too many for|is IPv6"):
        tuned(one, what, peer_dialects=(other,))


@every_compatible
def test_a_compatible_pair_may_be_declared(cell: tuple[Dialect, Dialect, str]) -> None:
    assert tuned(cell[0], cell[2], peer_dialects=(cell[1],)).peer_dialects == (cell[1],)


@every_compatible
def test_a_pair_elects_the_faster_one(cell: tuple[Dialect, Dialect, str]) -> None:
    made = pair(cell)
    before = len(made.changes)

    assert (made.masters, later(made, 10), len(made.changes) - before) == (["fast"], ["fast"], 0)


@every_compatible
def test_the_other_takes_over_when_the_master_falls_silent(cell: tuple[Dialect, Dialect, str]) -> None:
    made = pair(cell)
    made.crash("fast")

    assert later(made, 4.5) == ["slow"]


@every_compatible
def test_the_other_takes_over_when_the_master_leaves(cell: tuple[Dialect, Dialect, str]) -> None:
    made = pair(cell)
    made.submit("fast", HostRemoved(KEY))

    assert later(made, 0.1 if cell[0].bow_out else 4.5) == ["slow"]


@every_compatible
def test_the_faster_one_preempts_when_it_comes_back(cell: tuple[Dialect, Dialect, str]) -> None:
    made = pair(cell, preempt=True)
    made.crash("fast")
    later(made, 6)
    made.join("fast", tuned(cell[0], cell[2], preempt=True), own=LIVELY[0])

    assert later(made, 3) == ["fast"]


@every_compatible
def test_the_faster_one_leaves_it_alone_without_preempt(cell: tuple[Dialect, Dialect, str]) -> None:
    made = pair(cell)
    made.crash("fast")
    later(made, 6)
    made.join("fast", tuned(cell[0], cell[2]), own=LIVELY[0])

    assert later(made, 10) == ["slow"]


@every_compatible
def test_the_sysctl_lets_it_preempt_later(cell: tuple[Dialect, Dialect, str]) -> None:
    made = pair(cell)
    made.crash("fast")
    later(made, 6)
    made.join("fast", tuned(cell[0], cell[2]), own=LIVELY[0])
    later(made, 3)
    made.submit("fast", SettingsChanged(Settings(preempt=True)))

    assert later(made, 3) == ["fast"]


@every_compatible
def test_a_pair_that_was_parted_settles_on_the_faster_one(cell: tuple[Dialect, Dialect, str]) -> None:
    made = pair(cell)
    made.deafen("fast", "slow")
    parted = later(made, 10)
    made.heal()

    assert (parted, later(made, 3)) == (["fast", "slow"], ["fast"])


# Equal claims

OFFSETS = [0, DEFAULT_DELAY_NS // 2, DEFAULT_DELAY_NS, 2 * DEFAULT_DELAY_NS, NS_PER_S // 2]
YIELDS_TO_EQUALS = {FREEBSD, FREEBSD9, OPENBSD, NETBSD}
"""Two of these go on for ever where their advertisements cross: "keep them distinct", carp.md 5.1, and dialects.md."""


def settles(one: Dialect, other: Dialect, offset_ns: int, *, parted: bool) -> bool:
    made = Segment(latency_ns=DEFAULT_DELAY_NS)
    if parted:
        made.deafen("fast", "slow")
    made.join("fast", tuned(one, "one IPv4"), own=LIVELY[0])
    made.run(until_ns=offset_ns)
    made.join("slow", tuned(other, "one IPv4"), own=LIVELY[1])
    later(made, 10)
    made.heal()
    masters, before = later(made, 30), len(made.changes)
    return len(masters) == 1 and later(made, 10) == masters and len(made.changes) == before


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("parted", [False, True], ids=["together", "parted"])
def test_equals_settle_unless_they_have_to_be_kept_distinct(one: Dialect, other: Dialect, *, parted: bool) -> None:
    """Source: carp.md 5.1 and section 13; the pairs of dialects.md."""
    livelocks = [offset_ns for offset_ns in OFFSETS if not settles(one, other, offset_ns, parted=parted)]

    if {one, other} <= YIELDS_TO_EQUALS:
        assert livelocks == [0, DEFAULT_DELAY_NS // 2]
    else:
        assert livelocks == []


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda dialect: dialect.name)
def test_one_unit_of_skew_is_distinct_enough(one: Dialect, other: Dialect) -> None:
    made = Segment(latency_ns=DEFAULT_DELAY_NS)
    made.deafen("fast", "slow")
    made.join("fast", tuned(one, "one IPv4"), own=LIVELY[0])
    made.join("slow", replace(tuned(other, "one IPv4"), advskew=1), own=LIVELY[1])
    later(made, 10)
    made.heal()

    assert later(made, 10) == ["fast"]
