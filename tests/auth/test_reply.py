"""Replies in the counter of an advertisement."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.counter_prediction import WINDOW
from pycarp.auth.reply import Reply

COUNTERS = st.integers(0, (1 << 64) - 1)


@given(COUNTERS, st.sampled_from(Reply))
def test_a_reply_names_the_counter_that_it_answers(counter: int, reply: Reply) -> None:
    assert reply.answered(reply.to(counter)) == counter


@given(COUNTERS, st.sampled_from(Reply))
def test_a_reply_is_a_counter(counter: int, reply: Reply) -> None:
    assert 0 <= reply.to(counter) < 1 << 64


@pytest.mark.parametrize(
    "replies", list(product(Reply, repeat=2)), ids=lambda pair: "-".join(each.name for each in pair)
)
def test_a_reply_to_a_reply_is_not_the_first_advertisement_again(replies: tuple[Reply, Reply]) -> None:
    one, other = replies

    assert other.to(one.to(7)) not in range(7 - WINDOW, 7 + WINDOW)
    assert one is other or one.to(7) != other.to(7)
