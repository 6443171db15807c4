"""What leads from one configuration to another, and what it costs."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from pycarp.auth.key import Passphrase
from pycarp.core.host_config import HostConfig
from pycarp.core.state import State
from pycarp.daemon.reconfiguration import (
    Addition,
    Change,
    Move,
    Reconfiguration,
    Removal,
    Replacement,
    cost,
    diff,
    name_of,
    words,
)
from pycarp.dialects import FREEBSD, UCARP
from pycarp.vocabulary import HostKey, MacMode
from tests.support.hosts import config

ONE = config(name="carp0", addresses=("192.168.1.50/24",))
TWO = config(name="carp1", vhid=2, addresses=("192.168.1.60/24",))


def price(change: Change, states: Mapping[HostKey, State], *, rolling_s: float = 0) -> str:
    return f"{name_of(change)}: {words(change)}; {cost(change, states, rolling_s=rolling_s).text}"


def said(old: HostConfig, new: HostConfig, *, state: State = State.MASTER, rolling_s: float = 0) -> str:
    (change,) = diff([old], [new])
    return price(change, {old.key: state}, rolling_s=rolling_s)


def test_nothing_leads_to_the_same() -> None:
    assert diff([ONE, TWO], [TWO, replace(ONE)]) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"advbase": 2},
        {"advskew": 100},
        {"preempt": True},
        {"addresses": ("192.168.1.50/24", "192.168.1.51/24")},
        {"passphrase": "another"},
    ],
    ids=str,
)
def test_what_can_be_changed_in_place_is(changes: dict[str, object]) -> None:
    new = replace(ONE, **changes)  # type: ignore[arg-type]

    assert diff([ONE], [new]) == (Reconfiguration(ONE, new),)


@pytest.mark.parametrize(
    "changes",
    [
        {"dialect": FREEBSD},
        {"name": "carp9"},
        {"groups": ("carp", "lan")},
        {"mac_mode": "interface"},
        {"dead_ratio": 4},
        {"peers": ("192.168.1.5",)},
        {"addresses": ("fd00::1/64",)},
    ],
    ids=" ".join,
)
def test_all_else_needs_the_host_to_leave_and_come_back(changes: dict[str, object]) -> None:
    new = replace(ONE, **changes)  # type: ignore[arg-type]

    assert diff([ONE], [new]) == (Replacement(ONE, new),)


def test_other_peers_are_no_reason_to_leave() -> None:
    old, new = replace(ONE, peers=(ip_address("192.168.1.5"),)), replace(ONE, peers=(ip_address("192.168.1.6"),))

    assert diff([old], [new]) == (Reconfiguration(old, new),)


def test_what_may_fail_comes_first_and_what_leaves_last() -> None:
    three = config(name="carp2", vhid=3, addresses=("192.168.1.70/24",))
    changed = replace(ONE, advskew=1)

    assert diff([TWO, ONE], [changed, three]) == (Addition(three), Reconfiguration(ONE, changed), Removal(TWO))


def test_what_needs_an_address_of_another_waits_until_that_has_left() -> None:
    new = config(name="carp2", vhid=3, addresses=("192.168.1.60/24", "192.168.1.70/24"))

    assert diff([TWO], [new]) == (Removal(TWO), Addition(new))


@pytest.mark.parametrize("changes", [{"interface": "fxp1"}, {"vhid": 7}], ids=str)
def test_a_host_of_the_same_name_elsewhere_has_moved(changes: dict[str, object]) -> None:
    moved = replace(ONE, **changes)  # type: ignore[arg-type]

    assert diff([ONE], [moved]) == (Move(ONE, moved),)


def test_a_host_without_a_name_has_moved_if_its_addresses_have() -> None:
    old = config(name="", addresses=("192.168.1.50/24",))
    new = config(name="", interface="fxp1", addresses=("192.168.1.50/24",))

    assert said(old, new) == (
        "1@fxp0: interface fxp0 -> fxp1; 1@fxp0 leaves MASTER, about 3.0 s unless another host takes over at once"
    )


def test_another_name_on_another_interface_is_another_host() -> None:
    other = config(name="carp7", vhid=7, interface="fxp1", addresses=("192.168.9.70/24",))

    assert diff([ONE], [other]) == (Addition(other), Removal(ONE))


def test_every_setting_is_shown_as_it_was_and_as_it_is_to_be() -> None:
    old, new = (
        replace(ONE, peers=(ip_address("192.168.1.5"),)),
        replace(ONE, peers=(ip_address("192.168.1.6"),), mac_mode=MacMode.VIRTUAL),
    )

    assert words(Reconfiguration(old, new)) == "mac_mode none -> virtual, peers 192.168.1.5 -> 192.168.1.6"


def test_an_address_more_costs_nothing_with_rolling() -> None:
    new = replace(ONE, addresses=(*ONE.addresses, ip_interface("192.168.1.51/24")))

    assert said(ONE, new) == (
        "carp0: one address more; "
        "no interruption with rolling 60; without it, hosts that are not changed yet do not hear it"
    )
    assert said(ONE, new, rolling_s=30) == "carp0: one address more; no interruption within 30 s"


def test_a_change_of_timing_costs_nothing() -> None:
    assert said(ONE, replace(ONE, advskew=100)) == "carp0: advskew 0 -> 100; no interruption"


def test_no_password_is_shown() -> None:
    text = said(ONE, replace(ONE, passphrase=Passphrase("geheim")))

    assert text.startswith("carp0: another password; ")
    assert "geheim" not in text
    assert "testpass" not in text


def test_a_master_that_is_made_anew_leaves_for_its_timer() -> None:
    text = said(TWO, replace(TWO, dialect=FREEBSD, advskew=100))

    assert "dialect universal -> freebsd" in text
    assert text.endswith("carp1 leaves MASTER, about 3.4 s unless another host takes over at once")


def test_without_a_bow_out_nobody_takes_over_at_once() -> None:
    text = price(Removal(replace(ONE, dialect=UCARP)), {ONE.key: State.MASTER})

    assert text == "carp0: removed; leaves MASTER, about 3.0 s until the next host takes over"


def test_what_is_no_master_costs_nothing_when_it_leaves() -> None:
    assert price(Removal(ONE), {ONE.key: State.BACKUP}) == "carp0: removed; no interruption, it is BACKUP"


def test_a_host_that_comes_is_backup_first() -> None:
    text = price(Addition(ONE), {})

    assert text == "carp0: added, shares 192.168.1.50/24; BACKUP for about 3.0 s at least"
