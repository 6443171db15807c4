"""Copies of the parts of an engine that share no mutable value with the original.

Immutable values (numbers, texts, addresses, frozen dataclasses, tuples of such) are shared. The fields of a checkpoint
class name what is copied, so no class copies its state by hand. How the values of a type are copied is looked up, since
a checkpoint of hundreds of hosts copies ten thousand values while the event loop waits.
"""

from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import msgspec.structs

T = TypeVar("T")

_NAMES: dict[type, tuple[str, ...]] = {}
_COPIERS: dict[type, Callable[[Any], Any] | None] = {}


def copied(value: T) -> T:
    """Return a copy of a value, a collection or a dataclass that shares no mutable value with it."""
    copy_of = _copier(type(value))
    return value if copy_of is None else copy_of(value)


def captured(kind: type[T], source: object) -> T:
    """Return a dataclass or struct whose fields are copies of the attributes of the same names."""
    return kind(**{name: copied(getattr(source, name)) for name in _names(kind)})


def restored(target: object, checkpoint: object) -> None:
    """Set the attributes that ``captured`` copied, again as copies."""
    for name in _names(type(checkpoint)):
        setattr(target, name, copied(getattr(checkpoint, name)))


def _names(kind: Any) -> tuple[str, ...]:
    names = _NAMES.get(kind)
    if names is None:
        listed = msgspec.structs.fields(kind) if issubclass(kind, msgspec.Struct) else fields(kind)
        names = _NAMES[kind] = tuple(each.name for each in listed)
    return names


def _copier(kind: type) -> Callable[[Any], Any] | None:
    """Return the function that copies values of a type; None if they are immutable, and are shared."""
    try:
        return _COPIERS[kind]
    except KeyError:
        made = _COPIERS[kind] = _new_copier(kind)
        return made


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
    return {key: copied(item) for key, item in value.items()} if value else {}


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
    made = object.__new__(kind)
    for name in _names(kind):
        item = getattr(value, name)
        copy_of = _copier(type(item))
        setattr(made, name, item if copy_of is None else copy_of(item))
    return made
