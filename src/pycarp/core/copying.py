"""Copies of the parts of an engine that share no mutable value with the original.

Immutable values (numbers, texts, addresses, frozen dataclasses, tuples of such) are shared. The fields of a checkpoint
class name what is copied, so no class copies its state by hand. How the values of a type are copied is looked up, since
a checkpoint of hundreds of hosts copies ten thousand values while the event loop waits.
"""

from collections import deque
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any, TypeVar

import msgspec.structs

T = TypeVar("T")


def copied(value: T) -> T:
    """Return a copy of a value, a collection or a dataclass that shares no mutable value with it."""
    copy_of = _COPIERS[type(value)]
    return value if copy_of is None else copy_of(value)


def captured(kind: type[T], source: object) -> T:
    """Return a dataclass or struct whose fields are copies of the attributes of the same names."""
    names, values = _FIELDS[kind]
    return kind(**dict(zip(names, _all_copied(values(source)), strict=True)))


def restored(target: object, checkpoint: object) -> None:
    """Set the attributes that ``captured`` copied, again as copies."""
    names, values = _FIELDS[type(checkpoint)]
    for name, item in zip(names, _all_copied(values(checkpoint)), strict=True):
        setattr(target, name, item)


class _Copiers(dict[type, Callable[[Any], Any] | None]):
    """By type, the function that copies its values; None if they are immutable, and are shared."""

    def __missing__(self, kind: type) -> Callable[[Any], Any] | None:
        made = self[kind] = _new_copier(kind)
        return made


class _Fields(dict[type, tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]]):
    """By dataclass or struct, the names of its fields, and the function that returns their values."""

    def __missing__(self, kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
        listed = msgspec.structs.fields(kind) if issubclass(kind, msgspec.Struct) else fields(kind)
        names = tuple(each.name for each in listed)
        # With less than two names attrgetter returns no tuple.
        values = attrgetter(*names) if len(names) > 1 else lambda value: tuple(getattr(value, name) for name in names)
        made = self[kind] = names, values
        return made


_COPIERS, _FIELDS = _Copiers(), _Fields()


def _all_copied(values: Iterable[Any]) -> list[Any]:
    copiers = _COPIERS
    return [value if (copy_of := copiers[type(value)]) is None else copy_of(value) for value in values]


def _new_copier(kind: type) -> Callable[[Any], Any] | None:
    if kind is dict:
        return _copied_dict
    if issubclass(kind, dict):
        return _copied_mapping
    if issubclass(kind, list | deque):
        return _copied_sequence
    if issubclass(kind, set):
        return copy
    if is_dataclass(kind) and not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return _copied_dataclass
    return None


def _copied_dict(value: dict[Any, Any]) -> dict[Any, Any]:
    return dict(zip(value, _all_copied(value.values()), strict=True)) if value else {}


def _copied_mapping(value: dict[Any, Any]) -> dict[Any, Any]:
    made = copy(value)
    for key, item in value.items():
        made[key] = copied(item)
    return made


def _copied_sequence(value: Any) -> Any:
    made = copy(value)
    for index, item in enumerate(value):
        made[index] = copied(item)
    return made


def _copied_dataclass(value: Any) -> Any:
    kind = type(value)
    names, values = _FIELDS[kind]
    made = object.__new__(kind)
    for name, item in zip(names, _all_copied(values(value)), strict=True):
        setattr(made, name, item)
    return made
