"""Converts inputs, effects, events and checkpoints to JSON values, and inputs and checkpoints back.

Led by the annotations of the classes, so that a new field of an input is recorded without a word here. Dataclasses
and structs become objects without the fields that have their defaults, named tuples arrays, dictionaries arrays of
pairs, octets hex digits, enumerations the names of their members; where several classes may stand, ``is`` names the
one.
"""

import dataclasses
import types
from collections import Counter, deque
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec.structs

from pycarp import dialects
from pycarp.auth.key import Passphrase
from pycarp.core import events
from pycarp.core.checkpoint import Checkpoint
from pycarp.core.effects import Effect
from pycarp.core.host_table import HostEntryCheckpoint
from pycarp.core.inputs import Input
from pycarp.dialects import Dialect
from pycarp.recording.placeholder_key import PlaceholderKey, text_of
from pycarp.vocabulary import Address, InterfaceAddress, MacAddress

_TAG = "is"
_NONE = object()
_NO_DEFAULT = (dataclasses.MISSING, msgspec.NODEFAULT)

_EVENTS: tuple[Any, ...] = tuple(each for each in vars(events).values() if isinstance(each, type))


class _Form(NamedTuple):
    """The functions that pack and unpack values of a type; ``unpack`` raises ValueError for a value of another form."""

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


def pack_input(event: Input) -> Any:
    """Return an input as JSON values."""
    return _form(Input).pack(event)


def unpack_input(packed: Any) -> Input:
    """Return a packed input; ValueError for another form, ConfigError for illegal settings."""
    return _form(Input).unpack(packed)  # type: ignore[no-any-return]


def pack_effects(effects: tuple[Effect, ...]) -> Any:
    """Return effects as JSON values, which are equal exactly if the effects are."""
    return _form(tuple[Effect, ...]).pack(effects)


def pack_checkpoint(checkpoint: Checkpoint) -> Any:
    """Return a checkpoint as JSON values."""
    return _form(Checkpoint).pack(checkpoint)


def pack_host(entry: HostEntryCheckpoint) -> Any:
    """Return one of the hosts of a checkpoint as JSON values."""
    return _form(HostEntryCheckpoint).pack(entry)


def unpack_checkpoint(packed: Any) -> Checkpoint:
    """Return a packed checkpoint; raises as ``unpack_input`` does."""
    return _form(Checkpoint).unpack(packed)  # type: ignore[no-any-return]


@cache
def _form(hint: Any) -> _Form:
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if hint is events.Event:
        return _of_union(tuple(each for each in _EVENTS if issubclass(each, hint) and each is not hint))
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _of_union(get_args(hint))
    if origin is not None:
        return _of_collection(origin, get_args(hint))
    if issubclass(hint, Enum):
        return _of_enum(hint)
    if _is_object(hint):
        return _of_object(hint)
    assert issubclass(hint, tuple), f"no form for {hint}"
    return _of_named_tuple(hint)


def _checked(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{_short(value)} where {kind.__name__} belongs")
        return value

    return check


def _text(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: parse(_checked(str)(value))


_SIMPLE: dict[Any, _Form] = {
    int: _Form(int, _checked(int)),
    bool: _Form(bool, _checked(bool)),
    str: _Form(str, _checked(str)),
    bytes: _Form(bytes.hex, _text(bytes.fromhex)),
    types.NoneType: _Form(lambda value: value, _checked(types.NoneType)),
    MacAddress: _Form(str, _text(MacAddress.parse)),
    Passphrase: _Form(text_of, _text(PlaceholderKey)),
    Dialect: _Form(lambda dialect: dialect.name, _text(dialects.by_name)),
    Address: _Form(str, _text(ip_address)),
    InterfaceAddress: _Form(str, _text(ip_interface)),
    IPv4Address: _Form(str, _text(IPv4Address)),
    IPv6Address: _Form(str, _text(IPv6Address)),
    IPv4Interface: _Form(str, _text(IPv4Interface)),
    IPv6Interface: _Form(str, _text(IPv6Interface)),
}


def _of_union(given: tuple[Any, ...]) -> _Form:
    """Return the form of a union: the JSON type selects the member, the tag ``is`` one of several classes."""
    members = _merged(given)
    classes: dict[str, Any] = {each.__name__: each for each in members if _is_object(each)}
    others = [each for each in members if each not in classes.values()]
    is_tagged = len(classes) > 1

    def pack(value: Any) -> Any:
        name = type(value).__name__
        if name in classes:
            packed = _form(classes[name]).pack(value)
            return {_TAG: name, **packed} if is_tagged else packed
        return next(_form(each).pack(value) for each in others if _is_of(value, each))

    def unpack(packed: Any) -> Any:
        if isinstance(packed, dict) and classes:
            if not is_tagged:
                return _form(next(iter(classes.values()))).unpack(packed)
            fields = dict(packed)
            name = fields.pop(_TAG, None)
            if not isinstance(name, str) or name not in classes:
                raise ValueError(f"{_short(name)} is none of {', '.join(classes)}")
            return _form(classes[name]).unpack(fields)
        for each in others:
            if _may_be(packed, each):
                return _form(each).unpack(packed)
        raise ValueError(f"{_short(packed)} is not expected here")

    return _Form(pack, unpack)


def _merged(members: tuple[Any, ...]) -> tuple[Any, ...]:
    """Join the two families, which ``Address | None`` lists separately: the text itself shows the family."""
    for both in (Address, InterfaceAddress):
        parts = get_args(both)
        if all(part in members for part in parts):
            members = (both, *(each for each in members if each not in parts))
    return members


def _is_object(hint: Any) -> bool:
    is_struct = isinstance(hint, type) and issubclass(hint, msgspec.Struct)
    return (is_struct or dataclasses.is_dataclass(hint)) and hint not in _SIMPLE


def _is_of(value: Any, hint: Any) -> bool:
    return isinstance(value, hint)


def _may_be(packed: Any, hint: Any) -> bool:
    if hint is types.NoneType:
        return packed is None
    if hint in (int, bool):
        return type(packed) is hint
    is_array = hint not in _SIMPLE and issubclass(hint, tuple)
    return isinstance(packed, list if is_array else str)


def _of_collection(origin: Any, arguments: tuple[Any, ...]) -> _Form:
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _of_fields(tuple, arguments)
    if origin in (tuple, list, deque):
        item = _form(arguments[0])
        return _Form(
            lambda values: [item.pack(each) for each in values],
            lambda packed: origin(item.unpack(each) for each in _checked(list)(packed)),
        )
    if origin in (set, frozenset):
        member = _form(arguments[0])
        return _Form(
            lambda values: sorted(map(member.pack, values), key=str),
            lambda packed: origin(member.unpack(each) for each in _checked(list)(packed)),
        )
    assert origin in (dict, Mapping, Counter), f"no form for {origin}"
    pair = _of_fields(tuple, (arguments[0], int if origin is Counter else arguments[1]))
    made = Counter if origin is Counter else dict
    return _Form(
        lambda values: [pair.pack(each) for each in values.items()],
        lambda packed: made(dict(pair.unpack(each) for each in _checked(list)(packed))),
    )


def _of_named_tuple(kind: Any) -> _Form:
    # Fields that came later have defaults: older recordings lack them.
    hints = tuple(get_type_hints(kind).values())
    return _of_fields(lambda values: kind(*values), hints, at_least=len(hints) - len(kind._field_defaults))


def _of_fields(make: Callable[[Any], Any], hints: tuple[Any, ...], *, at_least: int | None = None) -> _Form:
    # Looked up late: a type may contain itself.
    def pack(values: Any) -> list[Any]:
        return [_form(hint).pack(each) for hint, each in zip(hints, values, strict=True)]

    def unpack(packed: Any) -> Any:
        least = len(hints) if at_least is None else at_least
        if not least <= len(_checked(list)(packed)) <= len(hints):
            raise ValueError(f"{_short(packed)} has {len(packed)} items instead of {len(hints)}")
        return make(_form(hint).unpack(each) for hint, each in zip(hints, packed, strict=False))

    return _Form(pack, unpack)


def _of_enum(kind: type[Enum]) -> _Form:
    def unpack(packed: Any) -> Enum:
        if _checked(str)(packed) not in kind.__members__:
            raise ValueError(f"{packed!r} is no {kind.__name__}")
        return kind[packed]

    return _Form(lambda member: member.name, unpack)


def _of_object(kind: Any) -> _Form:
    hints = get_type_hints(kind)
    defaults = _defaults_of(kind)
    fields = {name: _form(hints[name]) for name in defaults}

    def pack(value: Any) -> dict[str, Any]:
        given = ((name, form, getattr(value, name)) for name, form in fields.items())
        return {name: form.pack(each) for name, form, each in given if each != defaults[name]}

    def unpack(packed: Any) -> Any:
        for name in _checked(dict)(packed):
            if name not in fields:
                raise ValueError(f"{kind.__name__} has no {name!r}")
        for name in fields:
            if name not in packed and defaults[name] is _NONE:
                raise ValueError(f"{kind.__name__} lacks {name!r}")
        return kind(**{name: fields[name].unpack(each) for name, each in packed.items()})

    return _Form(pack, unpack)


def _defaults_of(kind: Any) -> dict[str, Any]:
    """Return the default of each field that is given to the constructor, ``_NONE`` for none."""
    given: list[Any]
    if issubclass(kind, msgspec.Struct):
        given = list(msgspec.structs.fields(kind))
    else:
        given = [each for each in dataclasses.fields(kind) if each.init]
    return {each.name: _default_of(each) for each in given}


def _default_of(field: Any) -> Any:
    if field.default_factory not in _NO_DEFAULT:
        return field.default_factory()
    return _NONE if field.default in _NO_DEFAULT else field.default


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
