"""Copies share nothing that changes, and keep what cannot."""

from collections import deque
from dataclasses import dataclass, field

import pytest

from pycarp.core.copying import captured, copied, restored


@dataclass(slots=True)
class Inner:
    numbers: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fixed:
    number: int = 0


@dataclass(slots=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    by_name: dict[str, Inner] = field(default_factory=dict)
    fixed: Fixed = field(default_factory=Fixed)


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    inner: Inner
    by_name: dict[str, Inner]


@pytest.mark.parametrize("value", [{"a": Inner([1])}, [Inner([1])], deque([Inner([1])], maxlen=4), {1, 2}, Outer()])
def test_a_copy_is_equal_and_another(value: object) -> None:
    made = copied(value)

    assert made == value
    assert made is not value


def test_a_copy_shares_nothing_that_changes() -> None:
    value = Outer(Inner([1]), {"a": Inner([2])})

    made = copied(value)
    made.inner.numbers.append(3)
    made.by_name["a"].numbers.append(4)

    assert value == Outer(Inner([1]), {"a": Inner([2])})


def test_what_cannot_change_is_shared() -> None:
    value = Outer()

    assert copied(value).fixed is value.fixed


def test_a_deque_keeps_its_bound() -> None:
    assert copied(deque([1], maxlen=4)).maxlen == 4


def test_a_checkpoint_brings_back_what_was_captured() -> None:
    value = Outer(Inner([1]), {"a": Inner([2])})
    checkpoint = captured(Checkpoint, value)
    value.inner.numbers.append(3)
    value.by_name.clear()

    restored(value, checkpoint)

    assert value == Outer(Inner([1]), {"a": Inner([2])})


def test_a_checkpoint_can_be_used_twice() -> None:
    value = Outer(Inner([1]))
    checkpoint = captured(Checkpoint, value)

    for _ in range(2):
        restored(value, checkpoint)
        value.inner.numbers.append(3)
    restored(value, checkpoint)

    assert value.inner.numbers == [1]
