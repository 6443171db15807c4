"""The wake-up index, against a dictionary of the earliest time noted for each host."""

from hypothesis import given
from hypothesis import strategies as st

from pycarp.core.deadlines import DeadlineIndex
from pycarp.vocabulary import HostKey

A, B, C = (HostKey("fxp0", vhid) for vhid in (1, 2, 3))

TIMES = st.integers(0, 20)
NOTES = st.tuples(st.sampled_from([A, B, C]), st.none() | TIMES)


def index(**times: int | None) -> DeadlineIndex:
    made = DeadlineIndex()
    for name, at_ns in times.items():
        made.note({"a": A, "b": B, "c": C}[name], at_ns)
    return made


def test_an_empty_index_has_no_earliest_time() -> None:
    assert index().earliest_ns() is None


def test_the_earliest_of_all_times_is_told() -> None:
    assert index(a=30, b=10, c=20).earliest_ns() == 10


def test_a_later_time_leaves_the_earlier_entry() -> None:
    made = index(a=10)
    made.note(A, 20)

    assert made.earliest_ns() == 10


def test_an_earlier_time_replaces_the_entry() -> None:
    made = index(a=10)
    made.note(A, 5)

    assert (made.pop_due(7), made.pop_due(100)) == ([A], [])


def test_a_host_without_a_deadline_is_taken_out() -> None:
    made = index(a=10, b=20)
    made.note(A, None)

    assert made.earliest_ns() == 20
    assert made.pop_due(30) == [B]


def test_taking_out_a_host_that_is_not_in_does_nothing() -> None:
    made = index(a=None)

    assert made.earliest_ns() is None


def test_an_entry_is_due_at_its_very_time() -> None:
    made = index(a=10)

    assert (made.pop_due(9), made.pop_due(10)) == ([], [A])


def test_due_hosts_come_in_the_order_of_their_times() -> None:
    assert index(a=30, b=10, c=20).pop_due(25) == [B, C]


def test_hosts_that_are_due_at_once_come_in_the_order_of_their_keys() -> None:
    assert index(c=10, a=10, b=10).pop_due(10) == [A, B, C]


def test_a_host_comes_once() -> None:
    made = index(a=10)
    made.note(A, None)
    made.note(A, 10)

    assert made.pop_due(10) == [A]


@given(st.lists(NOTES | TIMES, max_size=40))
def test_it_does_as_a_dictionary_of_minima_does(actions: list[tuple[HostKey, int | None] | int]) -> None:
    made, model = DeadlineIndex(), dict[HostKey, int]()

    for action in actions:
        if isinstance(action, int):
            due = {key for key, at_ns in model.items() if at_ns <= action}
            assert set(made.pop_due(action)) == due
            model = {key: at_ns for key, at_ns in model.items() if key not in due}
        else:
            key, noted_ns = action
            made.note(key, noted_ns)
            model.pop(key, None) if noted_ns is None else model.update({key: min(noted_ns, model.get(key, noted_ns))})
        assert made.earliest_ns() == min(model.values(), default=None)


def test_a_deadline_that_is_set_may_be_later_than_the_known_one() -> None:
    index = DeadlineIndex([(A, 10), (B, 20)])
    index.set(A, 30)

    assert index.earliest_ns() == 20
    assert index.pop_due(30) == [B, A]


def test_a_cleared_index_has_no_deadline() -> None:
    index = DeadlineIndex([(A, 10)])
    index.clear()

    assert (index.earliest_ns(), index.entries) == (None, ())


def test_a_cleared_index_takes_the_same_time_again() -> None:
    index = DeadlineIndex([(A, 10)])
    index.clear()
    index.note(B, 10)

    assert index.earliest_ns() == 10
    assert index.pop_due(10) == [B]


def test_the_first_true_deadline_is_behind_all_that_were_postponed() -> None:
    index, true_ns = DeadlineIndex([(A, 10), (B, 20), (C, 30)]), {A: 40, B: 50, C: 30}

    assert index.first_true_ns(true_ns.get) == 30
    assert dict(index.entries) == true_ns


def test_what_is_behind_the_first_true_deadline_is_not_looked_at() -> None:
    index, looked_at = DeadlineIndex([(A, 10), (B, 20), (C, 30)]), list[HostKey]()

    def deadline_of(key: HostKey) -> int:
        looked_at.append(key)
        return {A: 15, B: 50, C: 60}[key]

    assert index.first_true_ns(deadline_of) == 15
    assert set(looked_at) == {A}


def test_a_host_that_has_lost_its_deadline_is_taken_out() -> None:
    index = DeadlineIndex([(A, 10)])

    assert index.first_true_ns(lambda _key: None) is None
    assert index.entries == ()


def test_a_true_deadline_among_postponed_ones_of_the_same_time_is_found() -> None:
    index, true_ns = DeadlineIndex([(A, 10), (B, 10)]), {A: 40, B: 10}

    assert index.first_true_ns(true_ns.get) == 10
    assert dict(index.entries) == true_ns


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), TIMES)), st.integers(1, 3))
def test_due_hosts_come_in_parts_in_the_same_order(notes: list[tuple[HostKey, int]], most: int) -> None:
    at_once, in_parts = DeadlineIndex(), DeadlineIndex()
    for key, at_ns in notes:
        at_once.note(key, at_ns)
        in_parts.note(key, at_ns)
    due: list[HostKey] = []
    while part := in_parts.pop_due(10, most):
        assert len(part) <= most
        due += part

    assert due == at_once.pop_due(10)
    assert in_parts.earliest_ns() == at_once.earliest_ns()


@given(st.lists(NOTES, max_size=20), st.dictionaries(st.sampled_from([A, B, C]), st.integers(20, 25)))
def test_an_index_of_the_entries_of_another_one_corrects_the_same_hosts(
    notes: list[tuple[HostKey, int | None]], true_ns: dict[HostKey, int]
) -> None:
    one = DeadlineIndex()
    for key, at_ns in notes:
        one.set(key, at_ns)
    other = DeadlineIndex(one.entries)

    assert one.first_true_ns(true_ns.get) == other.first_true_ns(true_ns.get)
    assert one.entries == other.entries
