"""The edges between the states, and their reasons."""

from itertools import product

from pycarp.core.state import EDGES, Reason, State


def test_there_is_no_way_from_init_to_master() -> None:
    """Source: carp.md 5.3, a lone host waits as well."""
    assert (State.INIT, State.MASTER) not in EDGES


def test_every_other_pair_of_states_has_an_edge() -> None:
    missing = {pair for pair in product(State, State) if pair[0] is not pair[1]} - set(EDGES)

    assert missing == {(State.INIT, State.MASTER)}


def test_every_reason_belongs_to_an_edge() -> None:
    assert frozenset().union(*EDGES.values()) == frozenset(Reason) - {Reason.NODE_FAILED}


def test_no_edge_is_without_a_reason() -> None:
    assert all(EDGES.values())
