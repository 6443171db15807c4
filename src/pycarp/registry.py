"""Finds the transports, actuators, monitors, dialects and probes that other distributions register by name.

A distribution registers an object as an entry point, and pycarp then knows its name in TOML, on the command line and
in ``Node``::

    [project.entry-points."pycarp.transports"]
    quic = "my_package:QuicTransport"

The object is a dialect, a function (or class) that takes no arguments and returns a new transport, actuator or
monitor, or one that takes settings and returns a probe, see ``pycarp.health``. The names of pycarp's own cannot be
replaced.
"""

from collections.abc import Iterable
from typing import Any

from pycarp.errors import ConfigError


def registered(kind: str) -> tuple[str, ...]:
    """Return the names that others register; ``kind`` is transport, actuator, monitor, dialect or probe."""
    return tuple(sorted({each.name for each in _entry_points(kind)}))


def load(kind: str, name: str, own: Iterable[str]) -> Any:
    """Return the object that another distribution registers under a name.

    Raises ConfigError, with ``own`` and the registered names, if there is none, and if importing it fails.
    """
    found = [each for each in _entry_points(kind) if each.name == name]
    if not found:
        known = ", ".join([*own, *registered(kind)])
        raise ConfigError(f"unknown {kind} {name!r}; known are: {known}")
    distributions = sorted({each.dist.name if each.dist else "?" for each in found})
    if len(distributions) > 1:
        raise ConfigError(f"{kind} {name!r} is registered by {' and '.join(distributions)}; uninstall one of them")
    try:
        return found[0].load()
    # Any exception may come out of a foreign module that is imported.
    except Exception as exc:
        why = f"{type(exc).__name__}: {exc}"
        raise ConfigError(f"{kind} {name!r} of {distributions[0]} cannot be loaded: {why}") from exc


def _entry_points(kind: str) -> Iterable[Any]:
    # Imported here because it takes longer than most commands, and nobody needs it for pycarp's own names.
    from importlib.metadata import entry_points  # noqa: PLC0415

    return entry_points(group=f"pycarp.{kind}s")
