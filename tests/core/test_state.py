"""States, phases and the edges between them."""

from itertools import product

import pytest

from pycarp.core.state import EDGES, Backup, Init, Master, Phase, Reason, State, state_of
from pycarp.vocabulary import Family


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        (Init(), State.INIT),
        (Backup({Family.IPV4: 5}), State.BACKUP),
        (Master(since_ns=0, advertised_at_ns=0, alive_at_ns=0, advertise_at_ns=5), State.MASTER),
    ],
)
def test_every_phase_belongs_to_a_state(phase: Phase, state: State) -> None:
    assert state_of(phase) is state


def test_there_is_no_way_from_init_to_master() -> None:
    """Source: carp.md 5.3, a lone host waits as well."""
    assert (State.INIT, State.MASTER) not in EDGES


def test_every_other_pair_of_states_has_an_edge() -> None:
    missing = {pair for pair in product(State, State) if pair[0] is not pair[1]} - set(EDGES)

    assert missing == {(State.INIT, State.MASTER)}


def test_every_reason_belongs_to_an_edge() -> None:
    assert frozenset().union(*EDGES.values()) == frozenset(Reason)


def test_no_edge_is_without_a_reason() -> None:
    assert all(EDGES.values())
