"""A counter that was used before is a replay, unless its sender went on from a number that it had or heard."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.inspection.counter_history import CounterHistory, Repetition
from pycarp.vocabulary import Address, Family

A, B, C = (ip_address(f"192.168.1.{number}") for number in (10, 11, 12))
GROUP = ((), 7, Family.IPV4)


def relations(*sent: tuple[Address, int]) -> list[Repetition]:
    history = CounterHistory()
    return [history.add(GROUP, source, counter) for source, counter in sent]


def run(source: Address, first: int, last: int) -> list[tuple[Address, int]]:
    return [(source, counter) for counter in range(first, last + 1)]


def test_the_counters_of_one_lineage_are_new() -> None:
    assert set(relations(*run(A, 1, 5), *run(B, 6, 9), *run(A, 10, 12))) == {Repetition.NEW}


def test_what_a_kernel_adopted_after_a_partition_is_no_replay() -> None:
    """B heard 100 last and took over unheard; then A, which is at 110, hears 103 and goes on from there."""
    apart = [*run(B, 80, 89), *run(A, 90, 110)]

    found = relations(*apart, (B, 103), *run(A, 104, 112))

    assert found[len(apart) + 1 :] == [Repetition.CONTINUED] * 7 + [Repetition.NEW] * 2


def test_the_second_host_of_a_partition_begins_with_a_number_of_the_other() -> None:
    """B heard 100 last, so its 101 follows what A sent, although A has sent 101 as well meanwhile."""
    history = CounterHistory()
    for source, counter in [*run(B, 90, 95), *run(A, 96, 101)]:
        history.add(GROUP, source, counter)

    assert history.add(GROUP, B, 96) is Repetition.CONTINUED


@pytest.mark.parametrize("offset", range(10))
def test_a_replay_of_one_packet_is_one(offset: int) -> None:
    assert relations(*run(A, 1, 20), (A, 1 + offset))[-1] is Repetition.REPLAYED


def test_the_packet_just_sent_that_comes_again_is_a_replay() -> None:
    assert relations(*run(A, 1, 20), (A, 20))[-1] is Repetition.REPLAYED


def test_a_replayed_sequence_does_not_count_as_continued() -> None:
    found = relations(*run(A, 1, 20), *run(A, 3, 9))

    assert set(found[20:]) == {Repetition.REPLAYED}


def test_a_sequence_replayed_from_another_address_does_not_count_as_continued() -> None:
    found = relations(*run(A, 1, 20), *run(C, 3, 9))

    assert set(found[20:]) == {Repetition.FROM_ANOTHER}


def test_a_kernel_that_adopts_a_replayed_number_does_not_replay_itself() -> None:
    found = relations(*run(A, 1, 20), (C, 3), (A, 4))

    assert found[-2:] == [Repetition.FROM_ANOTHER, Repetition.CONTINUED]


def test_the_last_number_is_followed_by_the_first() -> None:
    last = (1 << 64) - 1

    assert relations((A, 0), (A, 5), (B, last), (A, 0))[-1] is Repetition.CONTINUED


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(0, 12)), max_size=40))
def test_what_was_never_used_is_new_and_all_else_is_not(sent: list[tuple[Address, int]]) -> None:
    used: set[int] = set()
    for (_source, counter), relation in zip(sent, relations(*sent), strict=True):
        assert (relation is Repetition.NEW) is (counter not in used)
        used.add(counter)
