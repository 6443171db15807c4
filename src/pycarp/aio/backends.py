"""Checks the objects that a node is given as its transport, actuator and monitor, before it calls them."""

import inspect
from collections.abc import Iterable

from pycarp.errors import ConfigError


def check_backend(what: str, backend: object, protocol: type, *, optional: Iterable[type] = ()) -> None:
    """Raise ConfigError unless an object has the methods of a protocol, and can be called as a node calls it.

    If the protocol is an abstract base class, the object must be of a subclass. The methods of each ``optional``
    protocol are checked if the object has all of them.
    """
    name = protocol.__name__
    if isinstance(backend, type):
        raise ConfigError(f"{what} {backend!r} is a class; pass an object of it: {backend.__name__}()")
    if inspect.isabstract(protocol) and not isinstance(backend, protocol):
        required = " and ".join(each for each in _methods(protocol) if each in _abstract(protocol))
        raise ConfigError(f"{what} {backend!r} is no pycarp.{name}; make a subclass of it, with {required}")
    if missing := [each for each in _methods(protocol) if not callable(getattr(backend, each, None))]:
        raise ConfigError(f"{what} {backend!r} has no {', '.join(missing)}; pycarp.{name} says what they do")
    for each in (protocol, *(part for part in optional if isinstance(backend, part))):
        for method in _methods(each):
            _check_call(what, backend, each, method)


def _methods(protocol: type) -> list[str]:
    return [name for name, value in vars(protocol).items() if inspect.isfunction(value) and not name.startswith("_")]


def _abstract(protocol: type) -> frozenset[str]:
    return frozenset(getattr(protocol, "__abstractmethods__", ()))


def _check_call(what: str, backend: object, protocol: type, method: str) -> None:
    """Raise ConfigError unless a method takes the arguments that the protocol says."""
    expected = list(inspect.signature(getattr(protocol, method)).parameters.values())[1:]
    named = [each.name for each in expected if each.kind is inspect.Parameter.KEYWORD_ONLY]
    try:
        signature = inspect.signature(getattr(backend, method))
    except (TypeError, ValueError):
        return  # A function in C does not always have one.
    try:
        signature.bind(*(None for each in expected if each.name not in named), **dict.fromkeys(named))
    except TypeError as exc:
        shown = ", ".join(f"{each.name}=..." if each.name in named else each.name for each in expected)
        raise ConfigError(f"{what} {backend!r} cannot be called as {method}({shown}): {exc}") from None
