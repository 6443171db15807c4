"""Copies of the parts of an engine that share no mutable value with the original.

Immutable values (numbers, texts, addresses, frozen dataclasses, tuples of such) are shared. The fields of a checkpoint
class name what is copied, so no class copies its state by hand.
"""

from collections import deque
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def copied(value: T) -> T:
    """Return a copy of a value, a collection or a dataclass that shares no mutable value with it."""
    if isinstance(value, dict):
        made: Any = copy(value)
        for key, item in value.items():
            made[key] = copied(item)
        return made  # type: ignore[no-any-return]
    if isinstance(value, list | deque):
        made = copy(value)
        for index, item in enumerate(value):
            made[index] = copied(item)
        return made  # type: ignore[no-any-return]
    if isinstance(value, set):
        return copy(value)
    if is_dataclass(value) and not isinstance(value, type) and not value.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        made = copy(value)
        for each in fields(value):
            setattr(made, each.name, copied(getattr(value, each.name)))
        return made  # type: ignore[no-any-return]
    return value


def captured(kind: type[T], source: object) -> T:
    """Return a dataclass whose fields are copies of the attributes of the same names."""
    return kind(**{each.name: copied(getattr(source, each.name)) for each in fields(kind)})  # type: ignore[arg-type]


def restored(target: object, checkpoint: object) -> None:
    """Set the attributes that ``captured`` copied, again as copies."""
    for each in fields(checkpoint):  # type: ignore[arg-type]
        setattr(target, each.name, copied(getattr(checkpoint, each.name)))
